"""What a method in 3D finds, its errors, and where a sliding patch hurts it most."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pctlib.data.occlusion.sliding import scaled_patch, worst_place
from pctlib.data.people import People
from pctlib.metrics.mpjpe import procrustes_align
from pctlib.metrics.pck import distances
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.base import Keypoints, Representation
from pctlib.profiles.profile import Profile
from pctlib.study.crops import Crops
from pctlib.study.features import Features, FrozenStage, decode_features
from pctlib.study.predictions_3d import judge_3d, supposed_root_depth, truth_3d
from pctlib.study.spaces import join, out_of_crops, to_people

SUPPOSED = "supposed root: "  # before metrics of pixels and depths whose root depth comes from bones
PREDICTIONS, PREDICTIONS_SUPPOSED = "predictions.npz", "predictions-supposed-root.npz"


def measure(
    head: Representation,
    stage: FrozenStage,
    train: People,
    folder: Path,
    *,
    mirrored: Features | None = None,
) -> dict[str, float]:
    """Return the errors of a head on the validation people, and save its predictions.

    What is said in pixels and depths needs the depth of the root: it is measured with the true one, and,
    under `SUPPOSED`, with the one at which the bones are as long as those of the training people.

    Args:
        head: in eval mode.
        stage: the frozen backbone, or lifted poses in the place of its features.
        train: training people.
        folder: of the run.
        mirrored: features to merge with.
    """
    people = stage.val_crops.people
    found, affine = find(head, stage, mirrored)
    predictions = to_people(head, found, affine, people)
    predictions.save(folder / PREDICTIONS, people)
    metrics = judge_3d(people, predictions)
    if head.space != "input and depth":
        return metrics
    pixels, depths = out_of_crops(found, affine)
    root_depth = supposed_root_depth(people, pixels, depths, train=train)
    supposed = to_people(head, found, affine, people, root_depth=root_depth)
    supposed.save(folder / PREDICTIONS_SUPPOSED, people)
    outside = np.abs(truth_3d(people)[..., 2]) > head.depth.range / 2
    metrics |= {f"{SUPPOSED}{name}": value for name, value in judge_3d(people, supposed).items()}
    return metrics | {"joints outside the volume": float(outside.mean())}


@torch.inference_mode()
def find(head: Representation, stage: FrozenStage, mirrored: Features | None) -> tuple[Keypoints, Tensor]:
    """Return what a head finds of the validation people in its own space, and the affines of their crops."""
    if stage.val_features is not None:
        found = decode_features(head, stage.val_features, mirrored=mirrored)
        return found, stage.val_features.affine.to(found.keypoints.device)
    device = next(head.parameters()).device
    model = PoseEstimator(stage.backbone.to(device), head).eval()
    parts, affines = [], []
    for inputs in stage.val_crops.in_order(device):
        parts.append(model.predict(inputs.images, flip_test=True))
        affines.append(inputs.affine)
    return join(parts), torch.cat(affines)


@torch.inference_mode()
def worst_places(
    heads: Mapping[str, Callable[[Tensor], tuple[Representation, Keypoints]]],
    crops: Crops,
    profile: Profile,
    *,
    device: str | torch.device,
    progress: bool = True,
) -> pd.DataFrame:
    """Return the errors of methods where a sliding patch hurts them most, by person.

    Args:
        heads: method -> what it finds in images [N, 3, H, W], with the head that says in which space.
        crops: of the people; the first `patch_people` of the profile are taken.
        profile: with the section "pose3d".
        device: where networks run.
        progress: show progress bars.

    Returns:
        One row a method and patch: "method", "patch" in pixels of 224, 0 for none, "MPJPE mm" and
        "PA-MPJPE mm" at the worst place, and "mean of places", of MPJPE.
    """
    section = profile.pose3d
    rows = torch.arange(min(section.patch_people, len(crops)))
    inputs = next(iter(crops.inputs([rows], torch.device(device))))
    people = crops.people.select(rows.numpy())
    truth = truth_3d(people)

    def errors_of(images: Tensor) -> dict[str, Tensor]:
        errors = {}
        for method, find_poses in heads.items():
            head, found = find_poses(images)
            poses = to_people(head, found, inputs.affine, people).poses
            pair = distances(poses, truth).mean(1), distances(procrustes_align(poses, truth), truth).mean(1)
            errors[method] = torch.from_numpy(np.stack(pair, axis=1))
        return errors

    table = [_row(method, 0, errors, errors) for method, errors in errors_of(inputs.images).items()]
    size = profile.crop.input_size
    for patch in section.patches:
        sides = {"patch": scaled_patch(patch, size), "stride": scaled_patch(section.patch_stride, size)}
        found = worst_place(inputs.images, errors_of, **sides, progress=progress)
        table += [_row(method, patch, worst.errors, worst.mean) for method, worst in found.items()]
    return pd.DataFrame(table)


def _row(method: str, patch: int, errors: Tensor, mean: Tensor) -> dict[str, object]:
    mpjpe, aligned = errors.mean(0).tolist()
    values = {"MPJPE mm": mpjpe, "PA-MPJPE mm": aligned, "mean of places": float(mean[:, 0].mean())}
    return {"method": method, "patch": patch} | values
