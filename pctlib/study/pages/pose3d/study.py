"""The networks of page 14: a head in 3D on the frozen backbone of heatmaps, built, saved and used."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pctlib.models.backbones import Backbone
from pctlib.models.estimator import PoseEstimator
from pctlib.models.in_3d import Found3D
from pctlib.models.representations.base import Representation
from pctlib.models.representations.integral import Depth, IntegralRegression
from pctlib.models.representations.lifting import Lifting
from pctlib.models.representations.regression_3d import DirectRegression3D
from pctlib.models.tokenizer import PoseTokenizer
from pctlib.profiles.profile import Profile
from pctlib.skeletons import COCO, SKELETONS, Skeleton
from pctlib.study.pages.pose3d.trainings import DIRECT, LIFTED, LIFTED_TRUE, PCT
from pctlib.study.predictions_3d import ROOT
from pctlib.study.runs import RunDescription
from pctlib.study.stages import heatmap
from pctlib.study.stages.classifier import build_classifier, head_size
from pctlib.study.stages.tokenizer import build_tokenizer

KIND = "pose3d"


class Seen3D(nn.Module):
    """A head in 3D beside the heatmaps whose backbone it reads: a person in the picture and in millimetres.

    Args:
        heatmap: finds the keypoints in the picture.
        head: reads the features of its backbone, or for lifting its keypoints.
        skeleton_3d: of the head.
    """

    faces = None

    def __init__(self, heatmap: PoseEstimator, head: Representation, skeleton_3d: Skeleton) -> None:
        super().__init__()
        self.heatmap, self.head, self.skeleton_3d = heatmap, head, skeleton_3d

    @torch.inference_mode()
    def find(self, images: Tensor) -> Found3D:
        """Return the people in images [B, 3, H, W], as `pctlib.models.in_3d.Finder3D`."""
        features = self.heatmap.backbone(images)
        flat = self.heatmap.representation.decode(self.heatmap.representation(features))
        read = [flat.keypoints] if isinstance(self.head, Lifting) else features
        joints = self.head.decode(self.head(read)).keypoints.float()
        return Found3D(flat.keypoints, flat.scores, joints - joints[:, ROOT, None])


def settings_3d(profile: Profile) -> Profile:
    """Return the profile with the stages of this page in the place of those of 2D."""
    section = profile.pose3d
    return profile.model_copy(update={"tokenizer": section.tokenizer, "classifier": section.classifier})


def build_head(
    variant: str,
    profile: Profile,
    backbone: Backbone,
    skeleton_3d: Skeleton,
    *,
    tokenizer: PoseTokenizer | None = None,
) -> Representation:
    """Return an untrained head; torch's global generator draws its weights.

    Args:
        variant: the method.
        profile: of `settings_3d`.
        backbone: whose features are read.
        skeleton_3d: joints that are found.
        tokenizer: of PCT, whose classifier freezes it; None: an untrained one, to be loaded.
    """
    section, size = profile.pose3d, profile.crop.input_size
    flip = skeleton_3d.flip_permutation
    channels, stride = backbone.channels[-1], backbone.strides[-1]
    if variant in (LIFTED, LIFTED_TRUE):
        skeleton = lifted_skeleton(variant, skeleton_3d)
        sizes = section.lifting
        return Lifting(
            skeleton.num_keypoints,
            flip,
            keypoint_permutation=skeleton.flip_permutation,
            input_size=size,
            width=sizes.width,
            num_blocks=sizes.blocks,
            dropout=sizes.dropout,
            max_norm=sizes.max_norm,
        )
    if variant == PCT:
        untrained = {"num_keypoints": skeleton_3d.num_keypoints, "num_dims": 3}
        return build_classifier(
            profile, backbone, tokenizer or build_tokenizer(profile, **untrained), skeleton_3d
        )
    if variant == DIRECT:
        head = head_size(profile.classifier)
        return DirectRegression3D(channels, flip, input_size=size, feature_stride=stride, head=head)
    return IntegralRegression.deconvolution(
        channels, flip, input_size=size, depth=Depth(section.depth_cells), channels=section.volume_channels
    )


def lifted_skeleton(variant: str, skeleton_3d: Skeleton) -> Skeleton:
    """Return the keypoint set that a lifting method takes: that of the joints, or of the heatmaps."""
    return skeleton_3d if variant == LIFTED_TRUE else COCO


def describe(
    variant: str, profile: Profile, heatmap_run: RunDescription, skeleton_3d: Skeleton
) -> RunDescription:
    """Return how a trained method is built again; its heatmaps are those of another run.

    Args:
        variant: the method.
        profile: of `settings_3d`.
        heatmap_run: of the heatmaps whose backbone is frozen.
        skeleton_3d: joints that are found.
    """
    sizes: dict[str, Any] = {"method": variant, "skeleton_3d": skeleton_3d.name}
    sizes |= {"profile": profile.model_dump(mode="json"), "heatmap": heatmap_run.sizes}
    return replace(heatmap_run, kind=KIND, sizes=sizes)


def build_run(run: RunDescription) -> Seen3D:
    """Return the untrained network of a run."""
    skeleton_3d = SKELETONS[run.sizes["skeleton_3d"]]
    flat = heatmap.build_run(replace(run, kind="heatmap", sizes=run.sizes["heatmap"]))
    profile = Profile.model_validate(run.sizes["profile"])
    head = build_head(run.sizes["method"], profile, flat.backbone, skeleton_3d)
    return Seen3D(flat, head, skeleton_3d)


def finder_3d(run: RunDescription, model: Seen3D) -> Seen3D:
    """Return what finds people in images.

    Raises:
        ValueError: if the method sees no images, or says no millimetres without the camera.
    """
    method = run.sizes["method"]
    if method == LIFTED_TRUE:
        raise ValueError(f"'{method}' lifts true 2D joints and sees no images; take '{LIFTED}'")
    if model.head.space != "camera":
        raise ValueError(f"'{method}' says pixels and depths: millimetres need the camera of the picture")
    return model
