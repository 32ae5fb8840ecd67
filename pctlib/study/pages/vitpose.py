"""ViTPose at any size, built from the values of a profile."""

from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.heatmap import Heatmap
from pctlib.models.representations.heatmap_coding import CodingKind
from pctlib.models.vit import ViT, ViTSize, resize_positions
from pctlib.models.vitpose import Decoder, vitpose_head, vitpose_heatmap
from pctlib.profiles.pages import VitSizeProfile
from pctlib.skeletons import Skeleton
from pctlib.training.resume import load_weights


def vit_size(size: VitSizeProfile, *, part_features: int = 0) -> ViTSize:
    """Return the size of a transformer; `part_features` come from experts, if there are any."""
    return ViTSize(
        size.dim,
        size.depth,
        size.heads,
        part_features=part_features,
        drop_path=size.drop_path,
        layer_decay=size.training.layer_decay,
    )


def build_representation(
    size: VitSizeProfile,
    skeleton: Skeleton,
    *,
    input_size: tuple[int, int],
    decoder: Decoder | None = None,
    coding: CodingKind = "udp",
) -> Heatmap:
    """Return the untrained heatmaps of a ViTPose.

    Args:
        size: width of the tokens, decoder and its width.
        skeleton: the keypoints.
        input_size: (height, width) of the network input, pixels, multiples of 16.
        decoder: "classic" or "simple"; None for the one of `size`.
        coding: of the heatmaps.
    """
    head = vitpose_head(decoder or size.decoder, size.dim, skeleton.num_keypoints, width=size.decoder_width)
    return vitpose_heatmap(head, skeleton.flip_permutation, input_size=input_size, coding=coding)


def build_vitpose(
    size: VitSizeProfile,
    skeleton: Skeleton,
    *,
    input_size: tuple[int, int],
    decoder: Decoder | None = None,
    coding: CodingKind = "udp",
    backbone: ViT | None = None,
) -> PoseEstimator:
    """Return an untrained ViTPose; weights are drawn by torch's global generator.

    Args:
        size: widths, depth and decoder.
        skeleton: the keypoints.
        input_size: (height, width) of the network input, pixels, multiples of 16.
        decoder: "classic" or "simple"; None for the one of `size`.
        coding: of the heatmaps.
        backbone: in place of a new one, for instance pretrained; as wide as `size` says.

    Raises:
        ValueError: if the input size is no multiple of 16, or the backbone of another width.
    """
    if backbone is None:
        backbone = ViT(vit_size(size), input_size)
    if backbone.channels[-1] != size.dim:
        raise ValueError(f"backbone: expected {size.dim} channels, got {backbone.channels[-1]}")
    head = build_representation(size, skeleton, input_size=input_size, decoder=decoder, coding=coding)
    return PoseEstimator(backbone, head)


def start_from(backbone: ViT, pretrained: ViT) -> None:
    """Give a backbone the weights of a pretrained one, in place.

    Positions are resized to the grid of the backbone. The last norm starts anew, as in ViTPose's release.

    Args:
        backbone: of the same widths and depth, for images of any size.
        pretrained: stays as it is.

    Raises:
        ValueError: if widths or depth differ; names the first tensors.
    """
    weights = {name: value.detach().clone() for name, value in pretrained.state_dict().items()}
    weights |= {f"last_norm.{name}": value for name, value in backbone.last_norm.state_dict().items()}
    weights["pos_embed"] = resize_positions(weights["pos_embed"], pretrained.grid_size, backbone.grid_size)
    load_weights(backbone, weights, "the pretrained transformer")
