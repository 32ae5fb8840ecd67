"""The systems of the published tables at their published sizes, and what the tables' numbers count.

Long, as it is a table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pctlib.complexity import MultiplyAdds
from pctlib.models.estimator import PoseEstimator
from pctlib.models.rivals import (
    Size,
    deep_pose,
    hrformer,
    hrnet,
    pct,
    prtr,
    rtm_pose,
    simcc_hrnet,
    simple_baseline,
    token_pose_l,
    transpose_h,
)
from pctlib.models.vitpose import vitpose
from pctlib.skeletons import COCO, COCO_WHOLEBODY

Counted = Literal["parameters", "layers and attention", "layers"]


@dataclass(frozen=True)
class Published:
    """One number of a published table: the parameters or GFLOPs of a system built here.

    Attributes:
        table: name of the file in `pctlib/published`.
        row: column to value; picks one row.
        counted: what the number counts: parameters, or multiply-adds with or without the products of
            attention.
        unit: what one of the number is: 1e6 for parameters; for multiply-adds 1e9, or 2**30 where the source
            used the counter of HRNet's release, which divides by that.
        extra: operations beside multiply-adds that the source counts, in units.
        corrected: what is right where the table is not: the number of the system's own paper or release, or
            of a count where neither has one; None: the table is right.
        remark: where the number differs from a plain count, and why.
    """

    table: str
    row: Mapping[str, str]
    counted: Counted
    unit: float
    extra: float = 0.0
    corrected: float | None = None
    remark: str = ""

    def measured(self, parameters: int, flops: MultiplyAdds) -> float:
        """Return counts of a network as this number counts them, in its unit."""
        counts = {
            "parameters": parameters,
            "layers": flops.layers,
            "layers and attention": flops.total,
        }
        return counts[self.counted] / self.unit + self.extra


@dataclass(frozen=True)
class Rival:
    """A system of the published tables.

    Attributes:
        build: returns the untrained system; under `torch.device("meta")` without memory for its weights.
        input_size: (height, width) of its images, pixels.
        published: its numbers in the tables.
        built: what was built where paper and release differ, or several releases.
    """

    build: Callable[[], PoseEstimator]
    input_size: Size
    published: tuple[Published, ...]
    built: str = ""


def _params(method: str, backbone: str, size: Size, **differs: object) -> Published:
    row = {"method": method, "backbone": backbone, "input_resolution": _text(size)}
    return Published("coco_val_vitpose", row, "parameters", 1e6, **differs)


def _gflops(
    method: str,
    backbone: str,
    size: Size,
    counted: Counted = "layers and attention",
    unit: float = 1e9,
    **differs: object,
) -> Published:
    row = {"method": method, "backbone": backbone, "input_size": _text(size)}
    return Published("coco_body_pct_table1", row, counted, unit, **differs)


def _whole_body(method: str, size: Size, unit: float = 1e9, **differs: object) -> Published:
    row = {"method": method, "input_size": _text(size)}
    return Published("coco_wholebody_dwpose", row, "layers and attention", unit, **differs)


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


_SMALL, _SQUARE, _LARGE = (256, 192), (256, 256), (384, 288)
_WHOLE_BODY = COCO_WHOLEBODY.flip_permutation
_HRNET_COUNTER = 2**30
_SWIN = "swinv2_base_window12to16_192to256"
_SWIN_BUILT = (
    "The release (`hmp_base`): Swin V2 with windows of 16, 16, 16 and 8 cells and three transposed "
    "convolutions, 2 x 2 and 32 wide. SimpleBaseline's own decoder is 4 x 4 and 256 wide."
)
_SWIN_REMARK = (
    "No Swin-B needs so few for an image of 256 x 256: the release's needs 22.0, 20.0 of them outside "
    "attention. 16.6 fits Swin-B at 224 x 224 with SimpleBaseline's decoder (16.7)."
)
_PCT_REMARK = (
    "No Swin-B needs so few for an image of 256 x 256: the release's backbone alone needs 22.0, the head and "
    "decoder 0.25."
)
_TOKENS_BUILT = "The release; its depth of 8 is that of each of three transformers in a row, 24 together."
_HRFORMER_BUILT = (
    "The release as ported to mmpose 1.3.2, which loads its weights and enlarges coarser maps bilinearly; "
    "the release's own classifier repeats the nearest cell."
)
_UNIT_REMARK = "The counter of HRNet's release divides by 2**30."
_RESNET_REMARK = "60 is ResNet-152 with its classifier; SimpleBaseline on it has 68.6 (paper and release)."
_DECONV_EXTRA = 3 * 16 * 256 * (12 * 9) * (2048 + 4 * 256 + 16 * 256) / _HRNET_COUNTER
_DECONV_REMARK = (
    _UNIT_REMARK + " It counts transposed convolutions at the cells of their output, 4 times as many."
)
_SAME = "RTMPose and DWPose are one network."


def _vitpose(size: str, letter: str, word: str, *, whole: float | None = None) -> Rival:
    """Return ViTPose with the classic decoder; `whole`: its millions of parameters where the table is off."""
    remark = "The backbone's number, as the paper of ViT has it; the classic decoder is not in it."
    backbone = f"ViT-{letter}"
    flops = "Without attention's products."
    return Rival(
        partial(vitpose, size, COCO.flip_permutation),
        _SMALL,
        (
            _params(f"ViTPose-{letter}", backbone, _SMALL, corrected=whole, remark=remark),
            _gflops("ViTPose", f"ViT-{word}", _SMALL, counted="layers", remark=flops),
        ),
    )


RIVALS: Mapping[str, Rival] = {
    "simple_baseline_resnet152_256x192": Rival(
        partial(simple_baseline, "resnet152", _SMALL),
        _SMALL,
        (_params("SimpleBaseline", "ResNet-152", _SMALL, corrected=68.6, remark=_RESNET_REMARK),),
    ),
    "simple_baseline_resnet152_384x288": Rival(
        partial(simple_baseline, "resnet152", _LARGE),
        _LARGE,
        (_gflops("SimpleBaseline", "ResNet-152", _LARGE),),
    ),
    "simple_baseline_swin_b_256x256": Rival(
        partial(simple_baseline, _SWIN, _SQUARE, channels=(32, 32, 32), kernel=2, final_norm=True),
        _SQUARE,
        (_gflops("SimpleBaseline", "Swin-Base", _SQUARE, corrected=22.0, remark=_SWIN_REMARK),),
        _SWIN_BUILT,
    ),
    "hrnet_w32_256x192": Rival(
        partial(hrnet, "hrnet_w32", _SMALL), _SMALL, (_params("HRNet", "HRNet-W32", _SMALL),)
    ),
    "hrnet_w32_384x288": Rival(
        partial(hrnet, "hrnet_w32", _LARGE), _LARGE, (_params("HRNet", "HRNet-W32", _LARGE),)
    ),
    "hrnet_w48_256x192": Rival(
        partial(hrnet, "hrnet_w48", _SMALL), _SMALL, (_params("HRNet", "HRNet-W48", _SMALL),)
    ),
    "hrnet_w48_384x288": Rival(
        partial(hrnet, "hrnet_w48", _LARGE),
        _LARGE,
        (_params("HRNet", "HRNet-W48", _LARGE), _gflops("HRNet", "HRNet-W48", _LARGE)),
    ),
    "dark_hrnet_w48_384x288": Rival(
        partial(hrnet, "hrnet_w48", _LARGE, coding="dark"),
        _LARGE,
        (_gflops("DARK", "HRNet-W48", _LARGE),),
    ),
    "udp_hrnet_w48_384x288": Rival(
        partial(hrnet, "hrnet_w48", _LARGE, coding="udp"),
        _LARGE,
        (_params("UDP", "HRNet-W48", _LARGE), _gflops("UDP", "HRNet-W48", _LARGE)),
        "Heatmaps alone; the paper also combines them with maps of offsets.",
    ),
    "simcc_hrnet_w48_384x288": Rival(
        partial(simcc_hrnet, "hrnet_w48", _LARGE),
        _LARGE,
        (_gflops("SimCC", "HRNet-W48", _LARGE, unit=_HRNET_COUNTER, remark=_UNIT_REMARK),),
        'The release: its only configuration of this size, "sa-simdr" with 1.5 bins a pixel.',
    ),
    "transpose_h_a6_256x192": Rival(
        partial(transpose_h, "hrnet_w48", _SMALL),
        _SMALL,
        (
            _params(
                "TransPose-H/A6",
                "HRNet-W48",
                _SMALL,
                corrected=17.5,
                remark="17.5 (paper and release), of which 0.3 are constant positions, not counted here.",
            ),
            _gflops(
                "TransPose",
                "HRNet-W48",
                _SMALL,
                extra=6 * 6 * 3072**2 / 1e9,
                remark="The release's counter adds 6 operations for each of the 6 x 3072 x 3072 weights of "
                "attention: 5 of the softmax, 1 of dropout.",
            ),
        ),
    ),
    "token_pose_l_d24_256x192": Rival(
        partial(token_pose_l, "hrnet_w48", _SMALL, patch_size=(4, 3)),
        _SMALL,
        (_params("TokenPose-L/D24", "HRNet-W48", _SMALL),),
        _TOKENS_BUILT,
    ),
    "token_pose_l_d24_384x288": Rival(
        partial(token_pose_l, "hrnet_w48", _LARGE, patch_size=(6, 4)),
        _LARGE,
        (
            _gflops(
                "TokenPose",
                "HRNet-W48",
                _SMALL,
                unit=_HRNET_COUNTER,
                remark="22.1 is the count for images of 384x288. " + _UNIT_REMARK,
            ),
        ),
        _TOKENS_BUILT,
    ),
    "hrformer_b_256x192": Rival(
        partial(hrformer, _SMALL, drop_path=0.2),
        _SMALL,
        (_params("HRFormer-B", "HRFormer-B", _SMALL),),
        _HRFORMER_BUILT,
    ),
    "hrformer_b_384x288": Rival(
        partial(hrformer, _LARGE, drop_path=0.3),
        _LARGE,
        (
            _params("HRFormer-B", "HRFormer-B", _LARGE),
            _gflops(
                "HRFormer", "HRFormer-B", _LARGE, counted="layers", remark="Without attention's products."
            ),
        ),
        _HRFORMER_BUILT,
    ),
    "prtr_hrnet_w32_384x288": Rival(
        partial(prtr, "hrnet_w32", _LARGE),
        _LARGE,
        (_gflops("PRTR", "HRNet-W32", _LARGE),),
        "The second stage of the two-stage variant, as the table does; the first finds people.",
    ),
    "deep_pose_resnet101_wholebody_384x288": Rival(
        partial(deep_pose, "resnet101", _LARGE, _WHOLE_BODY), _LARGE, (_whole_body("DeepPose", _LARGE),)
    ),
    "simple_baseline_resnet50_wholebody_384x288": Rival(
        partial(simple_baseline, "resnet50", _LARGE, _WHOLE_BODY),
        _LARGE,
        (_whole_body("SimpleBaseline", _LARGE, _HRNET_COUNTER, extra=_DECONV_EXTRA, remark=_DECONV_REMARK),),
    ),
    "hrnet_w32_wholebody_384x288": Rival(
        partial(hrnet, "hrnet_w32", _LARGE, _WHOLE_BODY),
        _LARGE,
        (_whole_body("HRNet", _LARGE, _HRNET_COUNTER, remark=_UNIT_REMARK),),
    ),
    "rtmpose_t_wholebody_256x192": Rival(
        partial(rtm_pose, "t", _SMALL), _SMALL, (_whole_body("DWPose-t", _SMALL),), _SAME
    ),
    "rtmpose_s_wholebody_256x192": Rival(
        partial(rtm_pose, "s", _SMALL), _SMALL, (_whole_body("DWPose-s", _SMALL),), _SAME
    ),
    "rtmpose_m_wholebody_256x192": Rival(
        partial(rtm_pose, "m", _SMALL),
        _SMALL,
        (_whole_body("RTMPose-m", _SMALL), _whole_body("DWPose-m", _SMALL)),
        _SAME,
    ),
    "rtmpose_l_wholebody_256x192": Rival(
        partial(rtm_pose, "l", _SMALL),
        _SMALL,
        tuple(_whole_body(name, _SMALL) for name in ("RTMPose-l", "RTMPose-l + UBody", "DWPose-l")),
        _SAME,
    ),
    "rtmpose_l_wholebody_384x288": Rival(
        partial(rtm_pose, "l", _LARGE),
        _LARGE,
        tuple(_whole_body(name, _LARGE) for name in ("RTMPose-l", "RTMPose-l + UBody", "DWPose-l")),
        _SAME,
    ),
    "vitpose_b_256x192": _vitpose("b", "B", "Base", whole=90.0),
    "vitpose_l_256x192": _vitpose("l", "L", "Large"),
    "vitpose_h_256x192": _vitpose("h", "H", "Huge"),
    "pct_swin_b_256x256": Rival(
        partial(pct, _SWIN, _SQUARE),
        _SQUARE,
        (_gflops("PCT", "Swin-Base", _SQUARE, corrected=22.2, remark=_PCT_REMARK),),
        "The release (`pct_base_classifier`): 34 tokens of 2048 entries; the encoder of poses, which only "
        "training needs, is not counted.",
    ),
    "rtmpose_x_wholebody_384x288": Rival(
        partial(rtm_pose, "x", _LARGE), _LARGE, (_whole_body("RTMPose-x", _LARGE),)
    ),
}
