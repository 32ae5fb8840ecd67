"""The families of systems in the published tables, each built by one function from plain sizes.

`pctlib.models.published` names the systems of the tables at their published sizes; `SMALL` has one of each
family at the size of a demo.

Long, as it is a list of families.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from torch import nn

from pctlib.models.backbones import Backbone
from pctlib.models.cspnext import CSPNeXt
from pctlib.models.estimator import PoseEstimator
from pctlib.models.hrformer import HRFormer
from pctlib.models.hrnet import AggregatedHRNet, HRNet
from pctlib.models.layers import MixerSize
from pctlib.models.prtr import PRTR
from pctlib.models.representations.base import feature_grid
from pctlib.models.representations.heatmap import DeconvolutionHead, Heatmap
from pctlib.models.representations.heatmap_coding import CodingKind, HeatmapCoding
from pctlib.models.representations.pct import HeadSize, PCTClassifier
from pctlib.models.representations.regression import CoordinateRegression
from pctlib.models.representations.rtmcc import RTMCC
from pctlib.models.representations.simcc import SimCC, SimCCHead
from pctlib.models.representations.simcc_coding import SimCCCoding
from pctlib.models.tokenizer import PoseTokenizer
from pctlib.models.tokenpose import TokenPoseHead
from pctlib.models.transpose import TransPoseHead
from pctlib.skeletons import COCO, COCO_WHOLEBODY

Size = tuple[int, int]
_COCO = COCO.flip_permutation
_WHOLEBODY = COCO_WHOLEBODY.flip_permutation


def simple_baseline(
    name: str,
    input_size: Size,
    flip_permutation: Sequence[int] = _COCO,
    *,
    channels: Sequence[int] = (256, 256, 256),
    kernel: int = 4,
    final_norm: bool = False,
) -> PoseEstimator:
    """Return a timm backbone with SimpleBaseline's transposed convolutions.

    Source: Xiao et al. 2018, arXiv:1804.06208; with Swin V2: `hmp_base` in the release of PCT,
    arXiv:2303.11638.

    Args:
        name: of the timm model.
        input_size: (height, width) of the images, pixels.
        flip_permutation: K indices: where each keypoint is found in a mirrored image.
        channels: width of each transposed convolution.
        kernel: kernel size of all.
        final_norm: pass the last map through the model's last normalisation (Swin).

    Raises:
        ValueError: if the input size is no multiple of the backbone's stride.
    """
    backbone = Backbone(name, input_size, final_norm=final_norm)
    representation = Heatmap.simple_baseline(
        backbone.channels[-1],
        flip_permutation,
        input_size=input_size,
        sigma=heatmap_sigma(input_size),
        feature_stride=backbone.strides[-1],
        channels=channels,
        kernels=[kernel] * len(channels),
    )
    return PoseEstimator(backbone, representation)


def deep_pose(name: str, input_size: Size, flip_permutation: Sequence[int] = _COCO) -> PoseEstimator:
    """Return a timm backbone with one linear layer from its mean feature to the coordinates.

    Source: Toshev and Szegedy 2014, arXiv:1312.4659, on ResNet-101 in mmpose.

    Args:
        name: of the timm model.
        input_size: (height, width) of the images, pixels.
        flip_permutation: K indices: where each keypoint is found in a mirrored image.
    """
    backbone = Backbone(name, input_size)
    head = CoordinateRegression(backbone.channels[-1], flip_permutation, input_size=input_size)
    return PoseEstimator(backbone, head)


def on_finest_map(
    backbone: nn.Module,
    input_size: Size,
    flip_permutation: Sequence[int] = _COCO,
    *,
    coding: CodingKind = "standard",
    head: nn.Module | None = None,
) -> PoseEstimator:
    """Return a backbone with one map, and heatmaps of the size of that map.

    Source: HRNet: Sun et al. 2019, arXiv:1902.09212; DARK: Zhang et al. 2020, arXiv:1910.06278; UDP: Huang et
    al. 2020, arXiv:1911.07524; HRFormer: Yuan et al. 2021, arXiv:2110.09408.

    Args:
        backbone: an `HRNet` or `HRFormer`.
        input_size: (height, width) of the images, pixels.
        flip_permutation: K indices: where each keypoint is found in a mirrored image.
        coding: "standard", "dark" or "udp".
        head: maps the feature map to K heatmaps of its size; None: one 1x1 convolution.

    Raises:
        ValueError: if the input size is no multiple of the backbone's stride.
    """
    grid_size = feature_grid(input_size, backbone.strides[-1])
    if head is None:
        head = DeconvolutionHead(backbone.channels[-1], len(flip_permutation), channels=(), kernels=())
    written = HeatmapCoding(coding, input_size, grid_size, heatmap_sigma(input_size))
    return PoseEstimator(backbone, Heatmap(head, written, flip_permutation=flip_permutation))


def hrnet(
    name: str,
    input_size: Size,
    flip_permutation: Sequence[int] = _COCO,
    *,
    coding: CodingKind = "standard",
    sizes: Mapping[str, Any] | None = None,
) -> PoseEstimator:
    """Return HRNet with a 1x1 convolution to heatmaps; `sizes` go to timm, the rest to `on_finest_map`."""
    return on_finest_map(HRNet(name, **(sizes or {})), input_size, flip_permutation, coding=coding)


def hrformer(
    input_size: Size, flip_permutation: Sequence[int] = _COCO, *, drop_path: float = 0.2, **sizes: Any
) -> PoseEstimator:
    """Return HRFormer with a 1x1 convolution to heatmaps; `sizes` are those of `HRFormer`."""
    return on_finest_map(HRFormer(drop_path=drop_path, **sizes), input_size, flip_permutation)


def transpose_h(
    name: str,
    input_size: Size,
    flip_permutation: Sequence[int] = _COCO,
    *,
    sizes: Mapping[str, Any] | None = None,
    **head_sizes: Any,
) -> PoseEstimator:
    """Return the first three stages of HRNet and TransPose's encoder.

    Source: Yang et al. 2021, arXiv:2012.14214.

    Args:
        name: of the timm HRNet.
        input_size: (height, width) of the images, pixels.
        flip_permutation: K indices: where each keypoint is found in a mirrored image.
        sizes: of the HRNet, for timm; None: the model's own.
        **head_sizes: of `TransPoseHead`; the defaults are TransPose-H-A6's.
    """
    backbone = HRNet(name, num_stages=3, **(sizes or {}))
    grid_size = feature_grid(input_size, backbone.strides[-1])
    head = TransPoseHead(backbone.channels[-1], len(flip_permutation), grid_size=grid_size, **head_sizes)
    return on_finest_map(backbone, input_size, flip_permutation, head=head)


def token_pose_l(
    name: str,
    input_size: Size,
    flip_permutation: Sequence[int] = _COCO,
    *,
    patch_size: Size,
    sizes: Mapping[str, Any] | None = None,
    **head_sizes: Any,
) -> PoseEstimator:
    """Return the first three stages of HRNet and TokenPose's keypoint tokens.

    Source: Li et al. 2021, arXiv:2104.03516.

    Args:
        name: of the timm HRNet.
        input_size: (height, width) of the images, pixels.
        flip_permutation: K indices: where each keypoint is found in a mirrored image.
        patch_size: (height, width) of a patch, cells of the map at stride 4.
        sizes: of the HRNet, for timm; None: the model's own.
        **head_sizes: of `TokenPoseHead`; the defaults are TokenPose-L/D24's.
    """
    backbone = HRNet(name, num_stages=3, **(sizes or {}))
    grid_size = feature_grid(input_size, backbone.strides[-1])
    K = len(flip_permutation)
    places = {"grid_size": grid_size, "patch_size": patch_size}
    head = TokenPoseHead(backbone.channels[-1], K, **places, **head_sizes)
    return on_finest_map(backbone, input_size, flip_permutation, head=head)


def simcc_hrnet(
    name: str,
    input_size: Size,
    flip_permutation: Sequence[int] = _COCO,
    *,
    bins_per_pixel: float = 1.5,
    sigma: float = 4.0,
    sizes: Mapping[str, Any] | None = None,
) -> PoseEstimator:
    """Return HRNet with SimCC's two linear layers on the flattened maps.

    Source: Li et al. 2022, arXiv:2107.03332, and release ("sa-simdr"; the defaults are those of HRNet-W48 at
    384x288).

    Args:
        name: of the timm HRNet.
        input_size: (height, width) of the images, pixels.
        flip_permutation: K indices: where each keypoint is found in a mirrored image.
        bins_per_pixel: the split ratio.
        sigma: of the Gaussian labels, bins.
        sizes: of the HRNet, for timm; None: the model's own.
    """
    backbone = HRNet(name, **(sizes or {}))
    coding = SimCCCoding(input_size, (sigma, sigma), bins_per_pixel, normalized=True)
    grid_size = feature_grid(input_size, backbone.strides[-1])
    K = len(flip_permutation)
    head = SimCCHead(backbone.channels[-1], K, grid_size=grid_size, num_bins_xy=coding.num_bins_xy)
    return PoseEstimator(backbone, SimCC(head, coding, flip_permutation=flip_permutation))


def prtr(
    name: str,
    input_size: Size,
    flip_permutation: Sequence[int] = _COCO,
    *,
    sizes: Mapping[str, Any] | None = None,
    **head_sizes: Any,
) -> PoseEstimator:
    """Return HRNet with its classifier's layers up to the pooling, and PRTR's transformer.

    Source: Li et al. 2021, arXiv:2104.06976, the two-stage variant and release.

    Args:
        name: of the timm HRNet.
        input_size: (height, width) of the images, pixels.
        flip_permutation: K indices: where each keypoint is found in a mirrored image.
        sizes: of the HRNet, for timm; None: the model's own.
        **head_sizes: of `PRTRHead`; the defaults are the published ones.
    """
    backbone = AggregatedHRNet(name, **(sizes or {}))
    options = {"input_size": input_size, "feature_stride": backbone.strides[-1], **head_sizes}
    return PoseEstimator(backbone, PRTR.transformer(backbone.channels[-1], flip_permutation, **options))


def rtm_pose(size: str, input_size: Size, flip_permutation: Sequence[int] = _WHOLEBODY) -> PoseEstimator:
    """Return RTMPose or DWPose, which are one network: CSPNeXt with RTMCC.

    Source: Jiang et al. 2023, arXiv:2303.07399; Yang et al. 2023, arXiv:2307.15880.

    Args:
        size: "t", "s", "m", "l" or "x".
        input_size: (height, width) of the images, pixels.
        flip_permutation: K indices: where each keypoint is found in a mirrored image.
    """
    backbone = CSPNeXt.of_size(size)
    return PoseEstimator(backbone, RTMCC(backbone.channels[-1], flip_permutation, input_size=input_size))


def pct(name: str, input_size: Size, flip_permutation: Sequence[int] = _COCO) -> PoseEstimator:
    """Return a timm backbone with the token classifier of PCT: 34 tokens of 2048 entries, as released.

    Source: Geng et al. 2023, arXiv:2303.11638, and the release's `pct_base_classifier`.

    Args:
        name: of the timm model, such as a Swin V2.
        input_size: (height, width) of the images, pixels.
        flip_permutation: K indices: where each keypoint is found in a mirrored image.
    """
    backbone = Backbone(name, input_size, final_norm=True)
    tokenizer = PoseTokenizer(
        len(flip_permutation),
        34,
        codebook_size=2048,
        token_dim=512,
        encoder=MixerSize(dim=512, num_layers=4, token_hidden=64, channel_hidden=512),
        decoder=MixerSize(dim=32, num_layers=1, token_hidden=64, channel_hidden=64),
    )
    classifier = PCTClassifier(
        tokenizer,
        backbone.channels[-1],
        input_size=input_size,
        flip_permutation=flip_permutation,
        feature_stride=backbone.strides[-1],
        head=HeadSize(256, 2, 1, MixerSize(dim=64, num_layers=4, token_hidden=64, channel_hidden=256)),
    )
    return PoseEstimator(backbone, classifier)


def heatmap_sigma(input_size: Size) -> float:
    """Return the published deviation of the Gaussians, cells: 2 up to 256 pixels, 3 for 384; at least 1."""
    return max(1.0, max(input_size) / 128)


def _small_hrnet() -> dict[str, dict[str, Any]]:
    """Return the stages of an HRNet with one module of one block a map, 8 to 64 wide."""
    stem = {"block_type": "BOTTLENECK", "num_branches": 1, "num_blocks": (1,), "num_channels": (16,)}
    stages = {"stage1": stem}
    for count in (2, 3, 4):
        widths = (8, 16, 32, 64)[:count]
        blocks = {"block_type": "BASIC", "num_blocks": (1,) * count, "num_channels": widths}
        stages[f"stage{count}"] = {"num_branches": count, **blocks}
    return {name: {"num_modules": 1, "fuse_method": "SUM", **stage} for name, stage in stages.items()}


SMALL_HRNET = _small_hrnet()  # for any HRNet of timm
_HRNET = {"name": "hrnet_w18_small", "sizes": SMALL_HRNET}

# The same networks at the size of a demo: (input size, flip permutation) -> untrained system.
SMALL: Mapping[str, Callable[[Size, Sequence[int]], PoseEstimator]] = MappingProxyType(
    {
        "simple_baseline": lambda size, flip: simple_baseline("resnet18", size, flip, channels=(32, 32, 32)),
        "hrnet": lambda size, flip: hrnet(input_size=size, flip_permutation=flip, **_HRNET),
        "simcc": lambda size, flip: simcc_hrnet(
            input_size=size, flip_permutation=flip, bins_per_pixel=2.0, sigma=6.0, **_HRNET
        ),
        "transpose_h": lambda size, flip: transpose_h(
            input_size=size, flip_permutation=flip, dim=32, hidden=64, num_layers=2, **_HRNET
        ),
        "token_pose_l": lambda size, flip: token_pose_l(
            input_size=size,
            flip_permutation=flip,
            patch_size=(4, 4),
            dim=48,
            depth=3,
            num_heads=4,
            **_HRNET,
        ),
        "hrformer": lambda size, flip: hrformer(
            size,
            flip,
            widths=(8, 16, 32, 64),
            heads=(1, 2, 4, 8),
            num_modules=(1, 1, 1),
            stem_width=16,
            drop_path=0.0,
        ),
        "prtr": lambda size, flip: prtr(
            input_size=size,
            flip_permutation=flip,
            dim=64,
            hidden=128,
            num_layers=2,
            num_heads=4,
            num_queries=2 * len(flip),
            **_HRNET,
        ),
    }
)
