"""One person inside a trained model: what the sections "How it works" of the pages draw."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pctlib.data.augmentation import Inputs
from pctlib.data.images import denormalize
from pctlib.models.estimator import PoseEstimator
from pctlib.skeletons import Skeleton
from pctlib.study.crops import Crops
from pctlib.study.poses import Poses
from pctlib.study.runs import WEIGHTS, load_estimator
from pctlib.study.variants import run_folder
from pctlib.visualization.galleries import GalleryRow


def crop_pictures(images: Tensor) -> list[np.ndarray]:
    """Return network inputs [B, 3, H, W] as pictures, uint8 [H, W, 3] RGB each."""
    return list(denormalize(images).permute(0, 2, 3, 1).cpu().numpy())


def one_crop(crops: Crops, row: int, device: str | torch.device = "cpu") -> Inputs:
    """Return the network inputs of one person, B = 1, without augmentation.

    Args:
        crops: of the people.
        row: which of them.
        device: of the network.
    """
    return next(crops.inputs([torch.tensor([row])], torch.device(device)))


def trained_estimators(runs: str | Path, variants: Sequence[str]) -> dict[str, PoseEstimator]:
    """Return those of several variants that are trained, in eval mode on the CPU.

    Args:
        runs: of one seed; has a folder for each variant, without weights where its training failed.
        variants: names.
    """
    folders = {name: run_folder(runs, name) for name in variants}
    trained = {name: folder for name, folder in folders.items() if (folder / WEIGHTS).is_file()}
    return {name: load_estimator(folder).model for name, folder in trained.items()}


def crop_row(
    crops: Crops, row: int, inputs: Inputs, readings: Mapping[str, Tensor], *, label: str = ""
) -> GalleryRow:
    """Return a row of a prediction gallery: a person as the network sees it, with several readings.

    Args:
        crops: of the people.
        row: which of them.
        inputs: of this person alone, B = 1.
        readings: name -> [1, K, 2] pixels of the crop.
        label: why this person is shown.

    Raises:
        ValueError: if the inputs are not of one person.
    """
    if len(inputs.images) != 1:
        raise ValueError(f"inputs: expected those of one person, got {len(inputs.images)}")
    [image] = crop_pictures(inputs.images)
    scale = float(inputs.affine[0, 0, 0])  # of a crop that is neither turned nor mirrored
    return GalleryRow(
        image=image,
        truth=inputs.keypoints[0].cpu().numpy(),
        visible=inputs.visible[0].cpu().numpy(),
        predictions={name: keypoints[0].cpu().numpy() for name, keypoints in readings.items()},
        length=scale * float(crops.people.boxes_xywh[row, 2:].max()),
        label=label,
    )


def pose_readings(
    poses: Poses,
    row: int,
    readings: Mapping[str, Tensor],
    *,
    hidden: Mapping[str, Tensor] | None = None,
) -> dict[str, Any]:
    """Return the arguments of `reconstruction_gallery`: one pose, and what several readings make of it.

    Args:
        poses: N poses.
        row: which of them.
        readings: title -> [N, K, D] poses read back, pixels of the crop or millimetres.
        hidden: title -> [N, K] bool, joints that the encoder was not given; where a title is missing it was
            given all.
    """
    truth, visible = poses.crops()[0][row].cpu().numpy(), poses.visible[row].cpu().numpy()
    labelled = visible > 0
    found = {title: keypoints[row].cpu().numpy() for title, keypoints in readings.items()}
    unseen = {title: known[row].cpu().numpy() for title, known in (hidden or {}).items()}
    unit = "mm" if poses.num_dims == 3 else "px"
    errors = [np.linalg.norm(pose - truth, axis=-1)[labelled].mean() for pose in found.values()]
    return {
        "truth": np.stack([truth[:, :2]] * len(found)),
        "restored": np.stack([pose[:, :2] for pose in found.values()]),
        "visible": np.stack([visible] * len(found)),
        "hidden": np.stack([unseen.get(title, np.zeros_like(labelled)) for title in found]),
        "titles": [f"{title}\n{error:.1f} {unit}" for title, error in zip(found, errors, strict=True)],
        "skeleton": poses.skeleton,
    }


def left_arm(skeleton: Skeleton) -> list[int]:
    """Return left elbow and wrist; of a keypoint set without them, both ends of its first limb."""
    arm = [k for k, name in enumerate(skeleton.keypoint_names) if name in ("left_elbow", "left_wrist")]
    return arm or list(skeleton.limbs[0])
