"""COCO-WholeBody: AP, AR and errors of the body, its parts and the whole."""

import dataclasses
from pathlib import Path

import numpy as np

from pctlib.data.coco import WHOLEBODY_FIELDS
from pctlib.data.coco_format import EntryTable
from pctlib.data.people import People
from pctlib.metrics.coco import people_truth, sigmas_of
from pctlib.metrics.evaluation import Evaluation
from pctlib.metrics.matching import Detections, GroundTruth, KeypointEvaluation, extent_areas
from pctlib.metrics.pck import longer_sides, mean_error, pck
from pctlib.metrics.results import Results, count_inputs, detections, ground_truth, read_annotations
from pctlib.skeletons import COCO_WHOLEBODY, Skeleton

# Fields of a person in the order of the 133 keypoints, and the parts they are.
FIELDS = WHOLEBODY_FIELDS
PARTS = {
    "body": slice(0, 17),
    "foot": slice(17, 23),
    "face": slice(23, 91),
    "lefthand": slice(91, 112),
    "righthand": slice(112, 133),
    "wholebody": slice(0, 133),
}


def evaluate_wholebody(
    annotation_file: str | Path,
    results: Results,
    *,
    category: str | None = None,
    skip_invalid: bool = False,
) -> Evaluation:
    """Score results against a COCO-WholeBody v1.0 file, part by part.

    Each part is scored by itself: with its own keypoints and sigmas and its own score (`foot_score`,
    `face_score`, `lefthand_score`, `righthand_score`, `wholebody_score`; without it `score`; the body takes
    `score`). Persons with no labelled keypoint in the part are ignored, as crowd regions are; results with no
    positive confidence in the part are left out. OKS and size ranges use the area of the body for every part.

    Source: Jin et al. 2020, arXiv:2007.11858; `xtcocotools` 1.14.3, which mmpose uses.
    Implementations disagree: xtcocotools (followed) goes by flags above 0; `face_valid`, `lefthand_valid`,
    ... of the release are not looked at, as in mmpose. mmpose writes no part scores, so that there every
    part takes the score of the person.

    Args:
        annotation_file: COCO-WholeBody file; the 133 keypoints in five fields, or all in `keypoints`.
        results: path of a results file or its list, keypoints in either layout.
        category: name of the category of persons; None: the rule of `read_annotations`.
        skip_invalid: leave out and count persons with an empty box or area.

    Returns:
        One row a part with AP, AP50, AP75, APM, APL, AR, AR50, AR75, ARM, ARL, and the counts.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged or does not fit; names file, entry and field.
    """
    file = read_annotations(annotation_file, category=category)
    truth = ground_truth(file, fields=FIELDS, skip_invalid=skip_invalid)
    found, table = detections(results, file, fields=FIELDS)
    rows, counts = {}, count_inputs(truth, found)
    del counts["persons without keypoints ignored"], counts["annotated persons scored"]
    for part, columns in PARTS.items():
        part_truth = _part_of_truth(truth, columns)
        part_found = _part_of_detections(found, columns, _part_scores(table, part, found.scores))
        sigmas = COCO_WHOLEBODY.sigmas[columns]
        rows[part] = KeypointEvaluation(part_truth, part_found, sigmas=sigmas).run()
        counts[f"persons scored for {part}"] = int((~part_truth.ignored).sum())
        counts[f"persons without {part} keypoints ignored"] = int((part_truth.ignored & ~truth.crowd).sum())
        counts[f"results without {part} keypoints left out"] = len(found.scores) - len(part_found.scores)
    return Evaluation("COCO-WholeBody keypoints", rows, counts)


def parts_of(skeleton: Skeleton) -> dict[str, slice]:
    """Return the parts of a skeleton: those of COCO-WholeBody, or of any other the body alone."""
    return PARTS if skeleton == COCO_WHOLEBODY else {"body": slice(0, skeleton.num_keypoints)}


def part_ap(people: People, keypoints_image: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Return the AP of each part, given one prediction for each person: top-down with ground-truth boxes.

    As `evaluate_wholebody` scores results without part scores. The published tables have one column for both
    hands; here it is the mean of the left and the right.

    Args:
        people: N persons; of another skeleton than COCO-WholeBody's with sigmas.
        keypoints_image: [N, K, 2] predictions aligned with the rows of `people`, image pixels.
        scores: [N] of persons.

    Returns:
        part -> AP, 0 to 1, or -1 where no person has the part: body, foot, face, lefthand, righthand,
        wholebody, hand; of other skeletons body.
    """
    keypoints = np.asarray(keypoints_image, dtype=np.float64)
    truth, sigmas, values = people_truth(people), sigmas_of(people.skeleton), {}
    parts = parts_of(people.skeleton)
    found = Detections(
        image_ids=people.image_ids,
        keypoints=keypoints,
        confidences=np.ones(keypoints.shape[:2]),
        scores=np.asarray(scores, dtype=np.float64),
        areas=extent_areas(keypoints[:, parts["body"]]),
    )
    for part, columns in parts.items():
        part_found = _part_of_detections(found, columns, found.scores)
        evaluation = KeypointEvaluation(_part_of_truth(truth, columns), part_found, sigmas=sigmas[columns])
        values[part] = evaluation.run()["AP"]
    if "lefthand" in values:
        values["hand"] = (values["lefthand"] + values["righthand"]) / 2
    return values


def part_errors(
    people: People, keypoints_image: np.ndarray, *, threshold: float = 0.05
) -> dict[str, dict[str, float]]:
    """Return how far off each part is, where AP is still too strict to tell models apart.

    Args:
        people: N persons.
        keypoints_image: [N, K, 2] predictions aligned with the rows of `people`, image pixels.
        threshold: of the PCK, a share of the longer side of the box.

    Returns:
        part -> `NME` (mean error of labelled keypoints over the longer side of the box) and `PCK` (share of
        them within `threshold`); "hand" are both hands; NaN where no keypoint of a part is labelled.

    Raises:
        ValueError: as `pctlib.metrics.pck.pck`.
    """
    parts = {name: np.r_[columns] for name, columns in parts_of(people.skeleton).items()}
    if "lefthand" in parts:
        parts["hand"] = np.r_[parts["lefthand"], parts["righthand"]]
    lengths, values = longer_sides(people), {}
    for part, columns in parts.items():
        pair = (keypoints_image[:, columns], people.keypoints_image[:, columns])
        labelled = people.labelled[:, columns]
        share = pck(*pair, labelled, normalizer=lengths, threshold=threshold).pooled
        values[part] = {"NME": mean_error(*pair, labelled, normalizer=lengths), "PCK": share}
    return values


def _part_of_truth(truth: GroundTruth, columns: slice) -> GroundTruth:
    """Return the persons with the keypoints of one part."""
    visible = truth.visible[:, columns]
    return dataclasses.replace(
        truth,
        keypoints=truth.keypoints[:, columns],
        visible=visible,
        ignored=truth.crowd | ~(visible > 0).any(axis=1),
    )


def _part_of_detections(found: Detections, columns: slice, scores: np.ndarray) -> Detections:
    """Return the results that have the part, with its keypoints and its scores."""
    kept = (found.confidences[:, columns] > 0).any(axis=1)
    return Detections(
        image_ids=found.image_ids[kept],
        keypoints=found.keypoints[kept, columns],
        confidences=found.confidences[kept, columns],
        scores=scores[kept],
        areas=found.areas[kept],
    )


def _part_scores(table: EntryTable, part: str, scores: np.ndarray) -> np.ndarray:
    """Return [M] scores of the part; the body and results without the field keep the score of the person."""
    if part == "body":
        return scores
    name = f"{part}_score"
    values = [entry.get(name, score) for entry, score in zip(table.entries, scores.tolist(), strict=True)]
    for row, value in enumerate(values):
        if not isinstance(value, int | float) or not np.isfinite(value):
            raise table.error(row, f"field {name!r} must be a finite number, got {value!r}")
    return np.array(values, dtype=np.float64)
