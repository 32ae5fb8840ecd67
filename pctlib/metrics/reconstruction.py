"""How well a tokenizer gives a pose back."""

import numpy as np

from pctlib.data.people import People
from pctlib.metrics.coco import coco_ap
from pctlib.metrics.pck import by_visibility, mean_error, pck_metrics


def reconstruction_metrics(people: People, keypoints_image: np.ndarray) -> dict[str, float]:
    """Return the error of reconstructed poses in pixels and in the measures that poses are judged by.

    Args:
        people: N persons.
        keypoints_image: [N, K, 2] reconstructions aligned with the rows of `people`, image pixels.

    Returns:
        `error px` (mean distance over labelled keypoints, also `... seen` and `... hidden`), what
        `pck_metrics` gives, and AP and AR of `coco_ap` with equal scores if the skeleton has OKS sigmas.

    Raises:
        ValueError: as `coco_ap`.
    """
    names = {"all": "error px", "seen": "error px seen", "hidden": "error px hidden"}
    metrics = {
        names[kind]: mean_error(keypoints_image, people.keypoints_image, part)
        for kind, part in by_visibility(people.visible).items()
    }
    metrics |= pck_metrics(people, keypoints_image)
    if people.skeleton.sigmas is not None:
        metrics |= coco_ap(people, keypoints_image, np.ones(len(people)))
    return metrics
