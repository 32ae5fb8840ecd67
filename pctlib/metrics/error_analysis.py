"""What kind of errors predictions make, where, and on whom: beyond the averages."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pctlib.data.people import People
from pctlib.metrics.coco import sigmas_of
from pctlib.metrics.matching import KeypointEvaluation
from pctlib.metrics.pck import distances, longer_sides
from pctlib.metrics.results import Results, detections, ground_truth, read_annotations
from pctlib.skeletons import COCO, Skeleton

ERROR_TYPES = ("good", "jitter", "inversion", "swap", "miss")
GROUPINGS = ("joint", "visibility", "occlusion", "size")
SIZES = {"small": 32**2, "medium": 96**2, "large": np.inf}  # COCO's upper limits of the area, square pixels
OCCLUSION_LEVELS = {"none": 0.0, "to 25 %": 0.25, "to 50 %": 0.5, "over 50 %": 1.0}  # upper limits
_MISS_BELOW, _GOOD_FROM = 0.5, 0.85  # keypoint similarity


def keypoint_error_types(
    people: People, keypoints_image: np.ndarray, *, found: np.ndarray | None = None
) -> np.ndarray:
    """Return which of the COCO error types each predicted keypoint is.

    The similarity of a keypoint is its term of the OKS. Good: 0.85 or more with its own truth. Jitter: 0.5 to
    0.85. Inversion: nearer to the same joint of the other side of the same person. Swap: nearer to a
    keypoint of the same name, or of the other side, of another person in the image. Miss: below 0.5 with
    all of these.

    Source: Ronchi and Perona 2017, arXiv:1707.05388, section 3.1; `cocoanalyze.py` of
    github.com/matteorr/coco-analyze.
    Differs: a similarity of exactly 0.85 is good here; in coco-analyze it is of no type.

    Args:
        people: N persons; others of the same image must be among them for swaps to be seen.
        keypoints_image: [N, K, 2] predictions aligned with the rows of `people`, image pixels.
        found: [N] bool, persons that have a prediction; None for all.

    Returns:
        [N, K] int64 index into `ERROR_TYPES`; -1 where the keypoint is not labelled or the person not found.

    Raises:
        ValueError: if shapes disagree, a prediction is not finite or the skeleton has no sigmas.
    """
    N, K = people.visible.shape
    found = np.ones(N, dtype=bool) if found is None else found
    keypoints_image = np.asarray(keypoints_image, dtype=np.float64)
    distances(keypoints_image, people.keypoints_image)  # refuses what cannot be compared
    types = np.full((N, K), -1)
    for rows in _rows_by_image(people.image_ids):
        similarity = _similarity_by_origin(people, keypoints_image, rows)  # [G, 2 G, K]
        best, nearest = similarity.max(axis=1), similarity.argmax(axis=1)  # [G, K] each; the first wins a tie
        kinds = [best < _MISS_BELOW, nearest == 0, nearest == len(rows), nearest >= 0]
        miss, jitter, inversion, swap = (
            ERROR_TYPES.index(n) for n in ("miss", "jitter", "inversion", "swap")
        )
        kind = np.select(kinds, [miss, jitter, inversion, swap])
        kind[(nearest == 0) & (best >= _GOOD_FROM)] = ERROR_TYPES.index("good")
        types[rows] = np.where((people.visible[rows] > 0) & found[rows, None], kind, -1)
    return types


def _similarity_by_origin(people: People, keypoints_image: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return similarities [G, 2 G, K] of the G poses of an image with the truth that could have drawn them.

    Origins: the own person, the other persons, then the same with left and right exchanged; -1 if unlabelled.
    """
    G = len(rows)
    mirror = list(people.skeleton.flip_permutation)
    truth, visible = people.keypoints_image[rows].astype(np.float64), people.visible[rows]
    origins = np.concatenate([truth, truth[:, mirror]])  # [2 G, K, 2]
    labelled = np.concatenate([visible, visible[:, mirror]]) > 0
    areas = np.tile(people.areas[rows].astype(np.float64), 2)[:, None] + np.spacing(1)  # [2 G, 1]
    squared = ((keypoints_image[rows][:, None] - origins) ** 2).sum(axis=-1)  # [G, 2 G, K]
    variances = (2 * np.array(sigmas_of(people.skeleton))) ** 2
    values = np.where(labelled, np.exp(-squared / variances / areas / 2), -1.0)
    others = [[m for m in range(G) if m != g] for g in range(G)]
    order = np.array([[g, *rest, G + g, *(G + m for m in rest)] for g, rest in enumerate(others)])
    return np.take_along_axis(values, order[..., None], axis=1)


def error_table(
    people: People, keypoints_image: np.ndarray, *, found: np.ndarray | None = None
) -> pd.DataFrame:
    """Return one line for each labelled keypoint with its error and what it may depend on.

    Args:
        people: N persons.
        keypoints_image: [N, K, 2] predictions aligned with the rows of `people`, image pixels.
        found: [N] bool, persons that have a prediction; None for all.

    Returns:
        Columns `row`, `annotation_id`, `joint`, `visibility` (seen, hidden), `occlusion` (level of
        `OCCLUSION_LEVELS`: hidden share of the body, or of its labelled keypoints where the set does not
        say), `size` (COCO's small, medium, large), `error_px`, `error` (over the longer side of the box)
        and, if the skeleton has OKS sigmas, `type`.

    Raises:
        ValueError: if shapes disagree or a prediction is not finite; names the row.
    """
    errors = distances(keypoints_image, people.keypoints_image)  # [N, K]
    found = np.ones(len(people), dtype=bool) if found is None else np.asarray(found)
    rows, joints = np.nonzero((people.visible > 0) & found[:, None])
    columns = {
        "row": rows,
        "annotation_id": people.annotation_ids[rows],
        "joint": _categories(joints, people.skeleton.keypoint_names),
        "visibility": _categories((people.visible[rows, joints] == 1).astype(int), ("seen", "hidden")),
        "occlusion": _levels(_hidden_shares(people)[rows], OCCLUSION_LEVELS),
        "size": _levels(people.areas[rows], SIZES),
        "error_px": errors[rows, joints],
        "error": errors[rows, joints] / longer_sides(people)[rows],
    }
    if people.skeleton.sigmas is not None:
        types = keypoint_error_types(people, keypoints_image, found=found)
        columns["type"] = _categories(types[rows, joints], ERROR_TYPES)
    return pd.DataFrame(columns)


def summarize_errors(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return the mean errors and the shares of the error types in each group of keypoints.

    Args:
        table: from `error_table`.
        by: one of `GROUPINGS`.

    Returns:
        One row a group that occurs, and "all"; columns `keypoints` (count), `error_px`, `error`, `PCK@0.2`
        and the share of each of `ERROR_TYPES` if the table has types.

    Raises:
        ValueError: if `by` is none of the groupings.
    """
    if by not in GROUPINGS:
        raise ValueError(f"by: expected one of {', '.join(GROUPINGS)}, got {by!r}")
    groups = {str(name): part for name, part in table.groupby(by, observed=True)}
    return pd.DataFrame.from_dict(
        {name: _summary(part) for name, part in {**groups, "all": table}.items()}, orient="index"
    ).rename_axis(by)


def _summary(part: pd.DataFrame) -> dict[str, float]:
    """Return one row of `summarize_errors`."""
    row = {
        "keypoints": len(part),
        "error_px": part["error_px"].mean(),
        "error": part["error"].mean(),
        "PCK@0.2": (part["error"] < 0.2).mean(),
    }
    if "type" in part:
        row |= {name: (part["type"] == name).mean() for name in ERROR_TYPES}
    return row


def match_results(
    annotation_file: str | Path,
    results: Results,
    *,
    skeleton: Skeleton = COCO,
    fields: Mapping[str, int] | None = None,
    box_fill: float | None = None,
    threshold: float = 0.1,
    category: str | None = None,
    skip_invalid: bool = False,
) -> tuple[People, np.ndarray, np.ndarray, dict[str, int]]:
    """Give each annotated person of a COCO file the result that COCO's matching finds for it.

    Source: Ronchi and Perona 2017, arXiv:1707.05388, who match at an OKS of 0.1, low enough to keep bad
    poses.

    Args:
        annotation_file: COCO annotation file.
        results: path of a results file or its list.
        skeleton: keypoint set of both.
        fields: keypoint fields with their numbers of keypoints; None for all in `keypoints`.
        box_fill: areas are this share of the box; None takes the field `area`.
        threshold: OKS from which a result is taken for the person.
        category: name of the category of persons; None: the rule of `read_annotations`.
        skip_invalid: leave out persons with an empty box or area instead of refusing the file.

    Returns:
        The N persons that count; predictions [N, K, 2], the truth itself where nothing was found; which
        persons were found, [N] bool; and in words how many persons and results stay without a partner.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged or does not fit; names file, entry and field.
    """
    fields = fields or {"keypoints": skeleton.num_keypoints}
    file = read_annotations(
        annotation_file, category=category, num_keypoints=0 if len(fields) > 1 else skeleton.num_keypoints
    )
    truth = ground_truth(file, fields=fields, box_fill=box_fill, skip_invalid=skip_invalid)
    arrays, _ = detections(results, file, fields=fields)
    matches = KeypointEvaluation(truth, arrays, sigmas=sigmas_of(skeleton)).best_matches(threshold)
    kept = np.flatnonzero(~truth.ignored)
    found = matches[kept] >= 0
    people = People(
        skeleton=skeleton,
        image_files=[Path()] * len(kept),
        image_ids=truth.person_image_ids[kept],
        annotation_ids=truth.annotation_ids[kept],
        boxes_xywh=truth.boxes_xywh[kept],
        areas=truth.areas[kept],
        keypoints_image=truth.keypoints[kept],
        visible=truth.visible[kept],
        image_sizes=np.zeros((len(kept), 2)),
        source=str(annotation_file),
    )
    predicted = people.keypoints_image.astype(np.float64)
    predicted[found] = arrays.keypoints[matches[kept][found]]
    counts = {
        "persons matched": int(found.sum()),
        f"persons without a result of OKS {threshold:g} or more left out": int((~found).sum()),
        "results without a person left out": len(arrays.scores) - int(found.sum()),
    }
    return people, predicted, found, counts


def _rows_by_image(image_ids: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each image."""
    order = np.argsort(image_ids, kind="stable")
    starts = np.flatnonzero(np.diff(image_ids[order])) + 1
    return np.split(order, starts) if len(order) else []


def _hidden_shares(people: People) -> np.ndarray:
    """Return [N] the hidden share of each person, from the set or from the flags."""
    if people.occlusion is not None:
        return people.occlusion
    hidden, labelled = (people.visible == 1).sum(axis=1), (people.visible > 0).sum(axis=1)
    return hidden / np.maximum(labelled, 1)


def _levels(values: np.ndarray, upper_limits: dict[str, float]) -> pd.Categorical:
    """Return the first level whose upper limit is not exceeded."""
    return _categories(np.searchsorted(list(upper_limits.values()), values), upper_limits)


def _categories(codes: np.ndarray, names: "tuple[str, ...] | dict[str, float]") -> pd.Categorical:
    """Return codes as named categories in their order."""
    return pd.Categorical.from_codes(codes, categories=list(names), ordered=True)
