"""RTMPose and DWPose as published by mmpose and by the authors of DWPose, under our names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from pctlib.checkpoints.files import NameTable, Shapes, count, load_strictly, part
from pctlib.models.cspnext import CSPNeXt
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.rtmcc import RTMCC
from pctlib.skeletons import SKELETONS, Skeleton

_BACKBONE, _HEAD = "backbone.", "head."
_STUDENT, _TEACHER, _LOSSES = "student.", "teacher.", "distill_losses."
_STRIDE, _BINS_PER_PIXEL = 32, 2
BY_COUNT = {133: "coco_wholebody", 17: "coco", 16: "mpii", 14: "crowdpose"}
"""The keypoint set that a number of keypoints is taken for where a file does not say."""


def is_rtmpose(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of an RTMPose or DWPose model, or of a DWPose training run."""
    ends = (f"{_HEAD}gau.uv.weight", f"{_HEAD}cls_x.weight")
    return any(all(prefix + end in state for end in ends) for prefix in ("", _STUDENT))


def load_rtmpose(
    state: Mapping[str, Tensor],
    file: str | Path,
    *,
    skeleton: Skeleton | None = None,
    flip_permutation: Sequence[int] | None = None,
    stage: int | None = None,
) -> PoseEstimator:
    """Return the published RTMPose or DWPose model that a checkpoint holds, in eval mode.

    All sizes come from the shapes; the labels' standard deviation, which is not in a checkpoint, from
    RTMPose's rule, whose values are those of the published models.

    A checkpoint of a DWPose training run, which holds teacher and student, gives what its authors publish of
    it: of stage one the student, of stage two the teacher's backbone with the student's head.

    Args:
        state: official names to tensors.
        file: named in errors.
        skeleton: keypoints of the model. None: COCO-WholeBody, COCO, MPII or CrowdPose, by their K of 133,
            17, 16 or 14.
        flip_permutation: K indices for the flip test. None: that of the skeleton.
        stage: 1 or 2, of a training run. None: one if it has an adapter for the features, else two.

    Raises:
        ValueError: if a name is missing or unexpected, a shape does not fit, or the keypoint set is unknown;
            names the file. If `flip_permutation` has another number of indices than there are keypoints.
    """
    state = _of_training_run(state, file, stage)
    strangers = [name for name in state if not name.startswith((_BACKBONE, _HEAD))]
    if strangers:
        raise ValueError(f"{file}: unexpected names in an RTMPose model: {', '.join(strangers[:8])}")
    backbone = _build_backbone(part(state, _BACKBONE), file)
    head = part(state, _HEAD)
    K = Shapes(head, file, _HEAD).size("final_layer.weight", 0, 4)
    flips = flips_of(K, file, skeleton=skeleton, flip_permutation=flip_permutation)
    representation = _build_representation(head, file, backbone.channels[-1], flips)
    for module, prefix in ((backbone, _BACKBONE), (representation.head, _HEAD)):
        load_strictly(module, part(state, prefix), _same_names(module), file, prefix=prefix)
    return PoseEstimator(backbone, representation).eval()


def _of_training_run(state: Mapping[str, Tensor], file: str | Path, stage: int | None) -> dict[str, Tensor]:
    """Return the model a training run of DWPose is for; any other state as it is."""
    student, teacher = part(state, _STUDENT), part(state, _TEACHER)
    if not student and stage is None:
        return dict(state)
    if not student or stage not in (None, 1, 2):
        found = "a training run" if student else "a finished model"
        raise ValueError(f"{file}: stage: expected 1 or 2 of a training run, got {stage} and {found}")
    if stage is None:
        stage = 1 if any(name.startswith(f"{_LOSSES}loss_fea.") for name in state) else 2
    if stage == 1:
        return student
    kept = [(teacher, _BACKBONE), (student, _HEAD)]
    return {
        name: value for source, prefix in kept for name, value in source.items() if name.startswith(prefix)
    }


def flips_of(
    K: int,
    file: str | Path,
    *,
    skeleton: Skeleton | None = None,
    flip_permutation: Sequence[int] | None = None,
) -> Sequence[int]:
    """Return the flip permutation of a model with K keypoints.

    Raises:
        ValueError: if what is given is for another number of keypoints, or nothing is given and no set of K
            keypoints is known; names the file.
    """
    if skeleton is not None and skeleton.num_keypoints != K:
        raise ValueError(
            f"{file}: the model gives {K} keypoints, skeleton '{skeleton.name}' has {skeleton.num_keypoints}"
        )
    if flip_permutation is None and skeleton is not None:
        flip_permutation = skeleton.flip_permutation
    if flip_permutation is None:
        if K not in BY_COUNT:
            raise ValueError(
                f"{file}: no known skeleton has {K} keypoints, and the file does not describe its own "
                "(dataset_meta); give a skeleton: its names in a small YAML file"
            )
        flip_permutation = SKELETONS[BY_COUNT[K]].flip_permutation
    if len(flip_permutation) != K:
        raise ValueError(f"flip_permutation: {len(flip_permutation)} indices for the {K} keypoints of {file}")
    return flip_permutation


def cspnext_factors(state: Mapping[str, Tensor], file: str | Path) -> tuple[float, float]:
    """Return the depth and width of the CSPNeXt whose names without prefix these are."""
    width = Shapes(state, file, _BACKBONE).size("stem.2.conv.weight", 0, 4) / 64
    blocks = count(state, "stage2.1.blocks.")
    if not blocks:
        raise ValueError(f"{file}: missing '{_BACKBONE}stage2.1.blocks.0.*'")
    return blocks / 6, width


def input_size_of(shapes: Shapes, file: str | Path) -> tuple[int, int]:
    """Return the (height, width) that the bins of a head are for, pixels."""
    height, width = (shapes.size(f"cls_{axis}.weight", 0) // _BINS_PER_PIXEL for axis in ("y", "x"))
    if height % _STRIDE or width % _STRIDE:
        raise ValueError(
            f"{file}: '{_HEAD}cls_*': bins of an input of {(height, width)}, no multiple of {_STRIDE}"
        )
    return height, width


def _build_backbone(state: Mapping[str, Tensor], file: str | Path) -> CSPNeXt:
    """Build the CSPNeXt whose factors the widths and numbers of blocks tell."""
    return CSPNeXt(*cspnext_factors(state, file))


def _build_representation(
    state: Mapping[str, Tensor], file: str | Path, in_channels: int, flip_permutation: Sequence[int]
) -> RTMCC:
    """Build the RTMCC whose sizes the shapes of a head tell."""
    shapes = Shapes(state, file, _HEAD)
    return RTMCC(
        in_channels,
        flip_permutation,
        input_size=input_size_of(shapes, file),
        hidden_dim=shapes.size("mlp.1.weight", 0),
        key_dim=shapes.size("gau.gamma", 1),
    )


def _same_names(module: nn.Module) -> NameTable:
    """Return the table of a module whose names are the official ones."""
    return NameTable([(name, name) for name in module.state_dict()])
