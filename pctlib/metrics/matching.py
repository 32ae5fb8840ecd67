"""COCO's keypoint evaluation on arrays: pycocotools' curves on similarities computed all at once."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools.cocoeval import COCOeval

MAX_PER_IMAGE = 20  # detections COCO looks at in one image
COCO_KEYS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
_PAIRS_AT_ONCE = 8192  # bounds the memory of a chunk of similarities


@dataclass(frozen=True)
class GroundTruth:
    """Annotated persons of a set, one row a person, in image pixels.

    Attributes:
        image_ids: [I] every image that is evaluated, also those without a person.
        person_image_ids: [N] image of each person.
        keypoints: [N, K, 2].
        visible: [N, K] above 0 where labelled.
        areas: [N] area the OKS and the size ranges use, square pixels.
        boxes_xywh: [N, 4]; only used where no keypoint is labelled.
        crowd: [N] bool; a crowd region may take several detections.
        ignored: [N] bool; neither found nor missed counts.
        annotation_ids: [N] as in the annotation file.
        notes: what was left out or filled in, each in words and with its number.
    """

    image_ids: np.ndarray
    person_image_ids: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    areas: np.ndarray
    boxes_xywh: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray
    annotation_ids: np.ndarray
    notes: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Detections:
    """Predicted persons, one row a person, in image pixels.

    Attributes:
        image_ids: [M] image of each person.
        keypoints: [M, K, 2].
        confidences: [M, K] third number of each keypoint of a results file.
        scores: [M].
        areas: [M] square pixels, for the size ranges.
        notes: what was left out or translated, each in words and with its number.
    """

    image_ids: np.ndarray
    keypoints: np.ndarray
    confidences: np.ndarray
    scores: np.ndarray
    areas: np.ndarray
    notes: tuple[tuple[str, int], ...] = ()


def extent_areas(keypoints: np.ndarray) -> np.ndarray:
    """Return the area of the upright box around the keypoints, as COCO gives it to a detection.

    Args:
        keypoints: [M, K, 2] image pixels.

    Returns:
        [M] square pixels.
    """
    return np.ptp(keypoints, axis=1).prod(axis=1)


def oks(
    keypoints: np.ndarray,
    truth: np.ndarray,
    visible: np.ndarray,
    *,
    areas: np.ndarray,
    boxes_xywh: np.ndarray,
    sigmas: Sequence[float],
) -> np.ndarray:
    """Return the object keypoint similarity of predictions and persons, pair by pair.

    The mean over labelled keypoints of exp(-d^2 / (2 area (2 sigma)^2)). For a person without labelled
    keypoints, d is the distance to the person's box enlarged by its own size on each side, and all
    keypoints count.

    Source: COCO keypoint evaluation, https://cocodataset.org/#keypoints-eval; `COCOeval.computeOks`.

    Args:
        keypoints: [P, K, 2] predictions, image pixels; P may also be several axes.
        truth: [P, K, 2] annotated keypoints, same space.
        visible: [P, K] above 0 where labelled.
        areas: [P] areas of the persons, square pixels.
        boxes_xywh: [P, 4] boxes of the persons.
        sigmas: K standard deviations.

    Returns:
        [P] float64, 0 to 1.

    Raises:
        ValueError: if K of the arrays and of `sigmas` disagree.
    """
    K = len(sigmas)
    if not keypoints.shape[-2:] == truth.shape[-2:] == (K, 2) or visible.shape[-1] != K:
        got = (keypoints.shape, truth.shape, visible.shape)
        raise ValueError(f"expected keypoints and truth [..., {K}, 2] and visible [..., {K}], got {got}")
    labelled = np.asarray(visible) > 0  # [P, K]
    unlabelled_person = ~labelled.any(axis=-1, keepdims=True)  # [P, 1]
    corner, size = boxes_xywh[..., None, :2], boxes_xywh[..., None, 2:]  # [P, 1, 2] each
    outside = np.maximum(0, corner - size - keypoints) + np.maximum(0, keypoints - corner - 2 * size)
    offset = np.where(unlabelled_person[..., None], outside, keypoints - truth)  # [P, K, 2]
    variances = (2 * np.asarray(sigmas, dtype=np.float64)) ** 2
    exponent = (offset**2).sum(axis=-1) / variances / (areas[..., None] + np.spacing(1)) / 2  # [P, K]
    counted = labelled | unlabelled_person
    return np.where(counted, np.exp(-exponent), 0).sum(axis=-1) / counted.sum(axis=-1)


class KeypointEvaluation(COCOeval):
    """`COCOeval` for keypoints that takes arrays in place of COCO objects and prints nothing.

    Precision, recall and their summary are pycocotools' own code; similarities are computed for all pairs of
    all images at once, and the matching skips pairs below the lowest threshold.

    Differs: COCOeval takes a match with the annotation whose id is 0 for no match; here rows are matched, not
    ids, so that id 0 is like any other.

    Args:
        truth: the annotated persons.
        detections: the predicted persons; all image ids must be among `truth.image_ids`.
        sigmas: K standard deviations of the OKS.
    """

    def __init__(self, truth: GroundTruth, detections: Detections, *, sigmas: Sequence[float]) -> None:
        super().__init__(iouType="keypoints")
        self.truth, self.detections = truth, detections
        self.params.imgIds, self.params.catIds = truth.image_ids.tolist(), [1]
        self.params.kpt_oks_sigmas = np.asarray(sigmas, dtype=np.float64)
        self._rows_of_truth = _rows_by_image(truth.person_image_ids)
        self._rows_of_detections = _rows_by_image(detections.image_ids, detections.scores)
        self._similarities: dict[int, np.ndarray] = {}

    def run(self, image_ids: np.ndarray | None = None) -> dict[str, float]:
        """Return AP and AR by COCO's names, of all images or of a part of them; -1 where no person counts."""
        if image_ids is not None:
            self.params.imgIds = image_ids.tolist()
        if not self.params.imgIds:
            return dict.fromkeys(COCO_KEYS, -1.0)
        with contextlib.redirect_stdout(io.StringIO()):
            self.evaluate()
            self.accumulate()
            self.summarize()
        return dict(zip(COCO_KEYS, map(float, self.stats), strict=True))

    def best_matches(self, threshold: float) -> np.ndarray:
        """Return the detection row matched with each person at one OKS threshold, [N]; -1 where none is.

        Persons that are ignored keep -1, though they take detections as in the evaluation.
        """
        self._prepare()
        rows = np.full(len(self.truth.ignored), -1)
        for image, values in self._similarities.items():
            persons, detections = self._rows_of_truth[image], self._rows_of_detections[image]
            order = np.argsort(self.truth.ignored[persons], kind="stable")
            persons = persons[order]
            ignored, crowd = self.truth.ignored[persons], self.truth.crowd[persons]
            matches = np.full((1, len(detections)), -1)
            greedy_match(values[:, order], ignored, crowd, thresholds=np.array([threshold]), matches=matches)
            taken = np.flatnonzero(matches[0] >= 0)
            rows[persons[matches[0, taken]]] = detections[taken]
        return np.where(self.truth.ignored, -1, rows)

    def _prepare(self) -> None:
        """Compute the similarities of every detection with every person of its image."""
        if self._similarities:
            return
        shapes, left, right = [], [], []
        for image, detections in self._rows_of_detections.items():
            persons = self._rows_of_truth.get(image)
            if persons is not None:
                shapes.append((image, len(detections), len(persons)))
                left.append(np.repeat(detections, len(persons)))
                right.append(np.tile(persons, len(detections)))
        if not shapes:
            return
        values = self._pair_similarities(np.concatenate(left), np.concatenate(right))
        ends = np.cumsum([D * G for _, D, G in shapes])
        for (image, D, G), block in zip(shapes, np.split(values, ends[:-1]), strict=True):
            self._similarities[image] = block.reshape(D, G)

    def _pair_similarities(self, detections: np.ndarray, persons: np.ndarray) -> np.ndarray:
        """Return the OKS [P] of pairs of rows."""
        truth, values = self.truth, np.empty(len(detections))
        for start in range(0, len(values), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            rows = persons[part]
            values[part] = oks(
                self.detections.keypoints[detections[part]],
                truth.keypoints[rows],
                truth.visible[rows],
                areas=truth.areas[rows],
                boxes_xywh=truth.boxes_xywh[rows],
                sigmas=self.params.kpt_oks_sigmas,
            )
        return values

    def computeOks(self, imgId: int, catId: int) -> np.ndarray:  # noqa: N802 (names of the base class)
        """Return the similarities [D, G] of one image; detections by falling score."""
        return self._similarities.get(imgId, np.zeros((0, 0)))

    def evaluateImg(self, imgId: int, catId: int, aRng: list, maxDet: int) -> dict | None:  # noqa: N802
        """Match the detections of one image with its persons in one area range; rows are pycocotools' own."""
        none = np.zeros(0, dtype=np.int64)
        persons = self._rows_of_truth.get(imgId, none)
        detections = self._rows_of_detections.get(imgId, none)[:maxDet]
        if not len(persons) and not len(detections):
            return None
        low, high = aRng
        areas = self.truth.areas[persons]
        ignored = self.truth.ignored[persons] | (areas < low) | (areas > high)
        order = np.argsort(ignored, kind="stable")  # ignored persons last
        ignored, crowd = ignored[order], self.truth.crowd[persons[order]]
        matches = np.full((len(self.params.iouThrs), len(detections)), -1)
        if len(persons) and len(detections):
            values = self.computeOks(imgId, catId)[: len(detections), order]
            greedy_match(values, ignored, crowd, thresholds=self.params.iouThrs, matches=matches)
        sizes = self.detections.areas[detections]
        outside = (sizes < low) | (sizes > high)
        matched = matches >= 0
        taken_by_ignored = matched & ignored[matches] if len(persons) else matched
        return {
            "dtScores": self.detections.scores[detections],
            "dtMatches": matched,
            "dtIgnore": taken_by_ignored | (~matched & outside),
            "gtIgnore": ignored,
        }


def greedy_match(
    similarities: np.ndarray,
    ignored: np.ndarray,
    crowd: np.ndarray,
    *,
    thresholds: np.ndarray,
    matches: np.ndarray,
) -> None:
    """Give each detection, best score first, the most similar person that is still free, at each threshold.

    A person that counts goes before an ignored one; a crowd region is never used up.

    Source: `COCOeval.evaluateImg`, of which this is the inner loop.

    Args:
        similarities: [D, G]; detections by falling score, ignored persons last.
        ignored: [G] bool.
        crowd: [G] bool.
        thresholds: [T] rising.
        matches: [T, D] of -1; column of the person is written where one is found.
    """
    bounds = np.minimum(thresholds, 1 - 1e-10).tolist()
    skipped, reusable = ignored.tolist(), crowd.tolist()  # lists are faster than arrays, item by item
    taken = [[False] * len(skipped) for _ in bounds]
    for d, row in enumerate(similarities.tolist()):
        candidates = [g for g, value in enumerate(row) if value >= bounds[0]]
        highest = max((row[g] for g in candidates), default=-1.0)
        for t, bound in enumerate(bounds):
            if bound > highest:
                break
            best, match = bound, -1
            for g in candidates:
                if taken[t][g] and not reusable[g]:
                    continue
                if match > -1 and not skipped[match] and skipped[g]:
                    break
                if row[g] >= best:
                    best, match = row[g], g
            if match > -1:
                matches[t, d], taken[t][match] = match, True


def _rows_by_image(image_ids: np.ndarray, scores: np.ndarray | None = None) -> dict[int, np.ndarray]:
    """Return the rows of each image, by falling score if there are scores; ties keep their order."""
    keys = (image_ids,) if scores is None else (-scores, image_ids)
    order = np.lexsort(keys)
    found, starts = np.unique(image_ids[order], return_index=True)
    groups = np.split(order, starts[1:])
    limit = None if scores is None else MAX_PER_IMAGE
    return {int(image): rows[:limit] for image, rows in zip(found, groups, strict=False)}
