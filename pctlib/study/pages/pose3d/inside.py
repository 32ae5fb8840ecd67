"""A pose and a twin that looks the same from far away: what tokens say of depth."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from pctlib.models.tokenizer import PoseTokenizer
from pctlib.study.poses import Poses
from pctlib.study.stages.tokenizer import reconstruct
from pctlib.visualization.poses_3d import TRUTH, PoseRow3D

READ_BACK = "read back"


def mirrored_in_depth(poses: Poses, joints: Sequence[int], *, about: int) -> Poses:
    """Return poses in which some joints are as far behind another one as they were before it.

    Args:
        poses: N poses in 3D.
        joints: which are moved.
        about: the joint that stays.
    """
    keypoints = poses.keypoints.clone()
    keypoints[:, joints, 2] = 2 * keypoints[:, about, None, 2] - keypoints[:, joints, 2]
    return replace(poses, keypoints=keypoints)


def written(
    model: PoseTokenizer, versions: Mapping[str, Poses], person: int
) -> tuple[list[Tensor], list[PoseRow3D]]:
    """Return the tokens [M] of one person in each version of the poses, and rows that draw what they say.

    Args:
        model: in eval mode.
        versions: label -> N poses in 3D.
        person: a row of them.
    """
    tokens, rows = [], []
    for label, poses in versions.items():
        restored, indices = (t[person].cpu() for t in reconstruct(model, poses))
        pair = {TRUTH: poses.keypoints[person].cpu().numpy(), READ_BACK: restored.numpy()}
        tokens.append(indices)
        rows.append(PoseRow3D(pair, label=label))
    return tokens, rows
