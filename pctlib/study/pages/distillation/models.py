"""Teacher and student of DWPose at the sizes of a profile, and what their losses weigh."""

from dataclasses import replace
from pathlib import Path

from pctlib.checkpoints import load_official
from pctlib.checkpoints.reading import read_state
from pctlib.distillation.dwpose import PAPER, RELEASE, DistillationConstants
from pctlib.models.cspnext import CSPNeXt
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.rtmcc import RTMCC
from pctlib.models.representations.simcc import SimCC
from pctlib.paths import resolve
from pctlib.profiles.pages import DistillationProfile, SimCCModelProfile
from pctlib.skeletons import Skeleton
from pctlib.training.resume import load_weights


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


def read_teacher(path: str | Path, built: PoseEstimator) -> PoseEstimator:
    """Return a trained teacher, in eval mode.

    Args:
        path: an official RTMPose or DWPose, or the `model.safetensors` of a run of this study; relative paths
            are below the folder of the study.
        built: untrained; gets the weights if they are of a run of this study. An official model has a size
            of its own.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, or holds another model; names it.
    """
    path = resolve(path)
    state = read_state(path)
    if any(name.startswith("representation.") for name in state):
        load_weights(built, state, path)
        return built.eval()
    teacher = load_official(path)
    if not isinstance(teacher, PoseEstimator) or not isinstance(teacher.representation, SimCC):
        raise ValueError(f"{path}: expected an RTMPose or a DWPose, got another kind of model")
    return teacher
