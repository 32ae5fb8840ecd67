"""COCO keypoints: average precision and recall of arrays and of results files."""

from pathlib import Path
from typing import Any

import numpy as np

from pctlib.data.people import People
from pctlib.metrics.evaluation import Evaluation
from pctlib.metrics.matching import COCO_KEYS, Detections, GroundTruth, KeypointEvaluation, extent_areas, oks
from pctlib.metrics.results import Results, count_inputs, detections, ground_truth, read_annotations
from pctlib.metrics.suppression import rescore
from pctlib.skeletons import COCO, Skeleton

__all__ = ["COCO_KEYS", "coco_ap", "evaluate_coco", "evaluate_ochuman", "oks"]


def coco_ap(people: People, keypoints_image: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Return COCO's AP and AR of one prediction for each person: top-down with ground-truth boxes.

    The sigmas are those of the skeleton. Scores of keypoints are made one score a person as `rescore` does
    with a box score of 1. People hold no crowd regions, so that nothing is ignored but persons without a
    labelled keypoint; nothing is suppressed.

    Source: COCO keypoint evaluation, `pycocotools.COCOeval`; here with similarities computed on arrays.

    Args:
        people: N persons.
        keypoints_image: [N, K, 2] predictions aligned with the rows of `people`, image pixels.
        scores: [N] of persons, or [N, K] of keypoints.

    Returns:
        AP, AP50, AP75, APM, APL, AR, AR50, AR75, ARM, ARL, each 0 to 1; -1 where no person counts.

    Raises:
        ValueError: if a shape does not fit `people`, a number is not finite (names the row) or the skeleton
            has no sigmas.
    """
    keypoints = np.asarray(keypoints_image, dtype=np.float64)
    scores = np.asarray(scores, dtype=np.float64)
    _check_aligned(people, keypoints, scores)
    N, K = people.visible.shape
    found = Detections(
        image_ids=people.image_ids,
        keypoints=keypoints,
        confidences=np.ones((N, K)),
        scores=scores if scores.ndim == 1 else rescore(np.ones(N), scores),
        areas=extent_areas(keypoints),
    )
    return KeypointEvaluation(people_truth(people), found, sigmas=sigmas_of(people.skeleton)).run()


def people_truth(people: People) -> GroundTruth:
    """Return people as ground truth of the COCO protocol; persons without a labelled keypoint are ignored."""
    return GroundTruth(
        image_ids=np.unique(people.image_ids),
        person_image_ids=people.image_ids,
        keypoints=people.keypoints_image.astype(np.float64),
        visible=people.visible,
        areas=people.areas.astype(np.float64),
        boxes_xywh=people.boxes_xywh.astype(np.float64),
        crowd=np.zeros(len(people), dtype=bool),
        ignored=~(people.visible > 0).any(axis=1),
        annotation_ids=people.annotation_ids,
    )


def sigmas_of(skeleton: Skeleton) -> tuple[float, ...]:
    """Return the OKS sigmas of a skeleton.

    Raises:
        ValueError: if no source defines them.
    """
    if skeleton.sigmas is None:
        raise ValueError(f"skeleton {skeleton.name} has no OKS sigmas, so AP is not defined for it; use PCK")
    return skeleton.sigmas


def evaluate_coco(
    annotation_file: str | Path,
    results: Results,
    *,
    skeleton: Skeleton = COCO,
    protocol: str = "COCO keypoints",
    category: str | None = None,
    skip_invalid: bool = False,
) -> Evaluation:
    """Score results against a COCO keypoint file.

    Source: COCO keypoint evaluation, https://cocodataset.org/#keypoints-eval, by `pycocotools.COCOeval`:
    OKS 0.50 to 0.95 in steps of 0.05, the best 20 results of an image, sizes by segment area. Crowd regions
    and persons with `num_keypoints` 0 are ignored.
    Implementations disagree: pycocotools (followed) decides by the field `num_keypoints` and keeps every
    result; xtcocotools, in mmpose, counts flags above 0 and drops results without a positive keypoint
    confidence. pycocotools takes a match with the annotation whose id is 0 for a miss; here, as in
    xtcocotools, it is a match.

    Args:
        annotation_file: COCO annotation file.
        results: path of a results file or its list: `image_id`, `keypoints` (3K numbers), `score`.
        skeleton: gives K and the sigmas.
        protocol: heading of the returned table.
        category: name of the category of persons; None: the rule of `read_annotations`.
        skip_invalid: leave out and count persons with an empty box or area; they count else, as in
            pycocotools.

    Returns:
        One row with AP, AP50, AP75, APM, APL, AR, AR50, AR75, ARM, ARL, and the counts.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged or does not fit; names file, entry and field.
    """
    fields = {"keypoints": skeleton.num_keypoints}
    file = read_annotations(annotation_file, category=category, num_keypoints=skeleton.num_keypoints)
    truth = ground_truth(file, fields=fields, skip_invalid=skip_invalid)
    found, _ = detections(results, file, fields=fields)
    scores = KeypointEvaluation(truth, found, sigmas=sigmas_of(skeleton)).run()
    return Evaluation(protocol, {"person": scores}, count_inputs(truth, found))


def evaluate_ochuman(annotation_file: str | Path, results: Results, **options: Any) -> Evaluation:
    """Score results against an OCHuman file (val or test, in COCO layout).

    Source: Zhang et al. 2019, arXiv:1803.10683: COCO's protocol, keypoints and sigmas; every annotated
    person is heavily occluded (box IoU with another above 0.5).
    Implementations disagree: the areas are those in the file. The release has no segment areas; its
    conversion to COCO layout (`ochuman_coco_format_*.json`, followed by HRNet's and mmpose's users) writes
    the box area, which makes the OKS milder than with COCO's segment areas.

    Args:
        annotation_file: annotation file in COCO layout.
        results: as in `evaluate_coco`.
        **options: `category` and `skip_invalid` of `evaluate_coco`.

    Returns:
        As `evaluate_coco`.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged or does not fit; names file, entry and field.
    """
    return evaluate_coco(annotation_file, results, protocol="OCHuman keypoints", **options)


def _check_aligned(people: People, keypoints: np.ndarray, scores: np.ndarray) -> None:
    """Raise if predictions are not one finite pose with finite scores for each person."""
    N, K = people.visible.shape
    if keypoints.shape != (N, K, 2) or scores.shape not in ((N,), (N, K)):
        raise ValueError(
            f"expected keypoints_image [{N}, {K}, 2] and scores [{N}] or [{N}, {K}] for {N} people with "
            f"skeleton {people.skeleton.name}, got {keypoints.shape} and {scores.shape}"
        )
    for name, array in (("keypoints_image", keypoints), ("scores", scores)):
        bad = ~np.isfinite(array).reshape(N, -1).all(axis=1)
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(f"{name}: row {row} has a number that is not finite ({bad.sum()} such rows)")
