"""Teacher and student of DWPose at the sizes of a profile, and what their losses weigh."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from pctlib.checkpoints import load_official
from pctlib.distillation.dwpose import PAPER, RELEASE, DistillationConstants
from pctlib.models.cspnext import CSPNeXt
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.rtmcc import RTMCC
from pctlib.models.representations.simcc import SimCC
from pctlib.profiles.pages import DistillationProfile, SimCCModelProfile
from pctlib.skeletons import Skeleton


def build_model(section: DistillationProfile, size: SimCCModelProfile, skeleton: Skeleton) -> PoseEstimator:
    """Return an untrained RTMPose, or a SimCC on CSPNeXt; weights are drawn by torch's global generator."""
    backbone = CSPNeXt(size.depth, size.width, stages=section.backbone_stages)
    return PoseEstimator(backbone, build_head(section, size, backbone, skeleton))


def build_head(
    section: DistillationProfile, size: SimCCModelProfile, backbone: CSPNeXt, skeleton: Skeleton
) -> SimCC:
    """Return an untrained head for a backbone."""
    place = {"input_size": section.input_size, "feature_stride": backbone.strides[-1]}
    channels, flip = backbone.channels[-1], skeleton.flip_permutation
    if section.head == "simcc":
        return SimCC.linear(channels, flip, **place)
    return RTMCC(channels, flip, **place, hidden_dim=size.hidden_dim, key_dim=size.key_dim)


def sizes_of(model: PoseEstimator) -> dict[str, Any]:
    """Return the sizes of an RTMPose or SimCC on CSPNeXt as JSON values, whoever has built it."""
    backbone, head = model.backbone, model.representation.head
    sizes = {"depth": backbone.depth, "width": backbone.width, "stages": len(backbone.strides) - 1}
    if isinstance(model.representation, RTMCC):
        sizes |= {"hidden_dim": head.mlp[1].out_features, "key_dim": head.gau.gamma.shape[1]}
    return sizes


def build_simcc(sizes: dict[str, Any], skeleton: Skeleton, *, input_size: tuple[int, int]) -> PoseEstimator:
    """Return the untrained model of those sizes."""
    backbone = CSPNeXt(sizes["depth"], sizes["width"], stages=sizes["stages"])
    place = {"input_size": input_size, "feature_stride": backbone.strides[-1]}
    kind, own = SimCC.linear, {}
    if "hidden_dim" in sizes:
        kind, own = RTMCC, {"hidden_dim": sizes["hidden_dim"], "key_dim": sizes["key_dim"]}
    return PoseEstimator(backbone, kind(backbone.channels[-1], skeleton.flip_permutation, **place, **own))


def constants_of(section: DistillationProfile) -> DistillationConstants:
    """Return the constants of the losses that a profile names, with the weights it changes.

    The release takes the inverse temperature of its logit loss from the student's own loss: 10 for RTMCC, as
    in `RELEASE`, and 1 for SimCC with linear layers.
    """
    named = {"release": RELEASE, "paper": PAPER}[section.constants]
    changes = {"feature_weight": section.feature_weight, "logit_weight": section.logit_weight}
    if section.constants == "release" and section.head == "simcc":
        changes["beta"] = 1.0
    return replace(named, **{name: value for name, value in changes.items() if value is not None})


def published_teacher(built: PoseEstimator, state: dict[str, Tensor], path: Path) -> PoseEstimator:
    """Return an official RTMPose or DWPose, which has a size of its own, whatever `built` has.

    Raises:
        ValueError: if the file holds another model; names it.
    """
    teacher = load_official(path)
    if not isinstance(teacher, PoseEstimator) or not isinstance(teacher.representation, RTMCC):
        raise ValueError(f"{path}: expected an RTMPose or a DWPose, got another kind of model")
    return teacher
