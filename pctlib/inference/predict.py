"""Find poses in images and boxes: from a table of people to COCO results."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from pctlib.data.augmentation import make_inputs
from pctlib.data.crops import invert_affine, transform_points
from pctlib.data.patches import Patches, make_loader
from pctlib.data.people import People
from pctlib.metrics.suppression import top_down_results
from pctlib.models.estimator import PoseEstimator


@torch.inference_mode()
def find_poses(
    model: PoseEstimator,
    people: People,
    *,
    input_size: tuple[int, int],
    padding: float = 1.25,
    udp: bool = False,
    flip_test: bool = True,
    joint_scores: bool = False,
    batch_size: int = 32,
    workers: int = 2,
    progress: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the poses that a model finds in the boxes of people.

    Args:
        model: in eval mode, on the device that is to be used.
        people: N people with images and boxes; their keypoints are not looked at.
        input_size: (H, W) of the crops, pixels.
        padding: factor on the box, as in `crop_affine`.
        udp: cut the crops out by the unbiased affine of `udp_affine`.
        flip_test: merge with the mirrored images.
        joint_scores: score each joint by itself, see `PoseEstimator.predict`.
        batch_size: crops of a batch.
        workers: processes that read images; 0: this one.
        progress: show a progress bar.

    Returns:
        keypoints [N, K, 2] image pixels, and scores [N, K], both float32.

    Raises:
        ValueError: if the model has another number of keypoints than the people, or an image cannot be read;
            names it.
    """
    device, K = next(model.parameters()).device, people.skeleton.num_keypoints
    patches = Patches(people, input_size, padding=padding, margin=1.0)
    batches = torch.arange(len(people)).split(batch_size) if len(people) else ()
    loader = make_loader(patches, [rows.tolist() for rows in batches], workers=workers)
    keypoints, scores = [np.zeros((0, K, 2), np.float32)], [np.zeros((0, K), np.float32)]
    for batch in tqdm(loader, total=len(batches), unit="batch", disable=not progress):
        values = {name: value.to(device) for name, value in batch.items()}
        inputs = make_inputs(values, input_size, skeleton=people.skeleton, padding=padding, udp=udp)
        found = model.predict(inputs.images, flip_test=flip_test, joint_scores=joint_scores)
        if found.keypoints.shape[1:] != (K, 2):
            shape = tuple(found.keypoints.shape[1:])
            raise ValueError(f"model: finds poses of shape {shape}; {people.skeleton.name} has {(K, 2)}")
        keypoints.append(to_image(found.keypoints, inputs.affine))
        scores.append(found.scores.float().cpu().numpy())
    return np.concatenate(keypoints), np.concatenate(scores)


def to_image(keypoints: Tensor, affine: Tensor) -> np.ndarray:
    """Return input keypoints [B, K, 2] in image pixels, given affines image -> input [B, 2, 3]."""
    return transform_points(invert_affine(affine), keypoints.float()).cpu().numpy()


def coco_results(
    people: People, keypoints: np.ndarray, scores: np.ndarray
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return COCO results of poses in the boxes of people, rescored and without duplicates.

    Args:
        people: N people; without `box_scores` each box counts 1, as annotated boxes do.
        keypoints: [N, K, 2] image pixels.
        scores: [N, K].

    Returns:
        As `top_down_results`.

    Raises:
        ValueError: if the keypoint set has no standard deviations for the similarity of poses.
    """
    if people.skeleton.sigmas is None:
        raise ValueError(f"{people.skeleton.name} has no standard deviations to compare poses by")
    boxes = np.ones(len(people)) if people.box_scores is None else people.box_scores
    return top_down_results(
        people.image_ids,
        keypoints,
        keypoint_scores=scores,
        box_scores=boxes,
        areas=people.areas,
        sigmas=people.skeleton.sigmas,
        category_id=people.category_id,
    )
