"""Noticing boxes that are not x, y, width, height, by where the keypoints of their persons lie."""

import numpy as np

FORMATS = ("x y width height", "x1 y1 x2 y2", "centre x, centre y, width, height", "y1 x1 y2 x2")
_FEWEST = 3  # labelled keypoints that a person needs to tell
_INSIDE = 0.9  # share of the labelled keypoints that must be inside
_BETTER = 1.3  # how many times as well another format must fit


def odd_boxes(triples: np.ndarray, boxes: np.ndarray, image_sizes: np.ndarray) -> dict[str, int]:
    """Return a note with a count if the boxes of a file do not fit its keypoints as x, y, width, height.

    A format fits a person by the overlap (intersection over union) of the box with the extent of the labelled
    keypoints, if nearly all of these are inside the box, and the box is inside the image. The boxes are odd
    if another format fits clearly better on the average, or most labelled keypoints lie outside.

    Args:
        triples: [N, K, 3] x, y and flag.
        boxes: [N, 4] as they stand in the file.
        image_sizes: [N, 2] (height, width), 0 where unknown.

    Returns:
        {what is odd, in words: of how many persons}; empty where nothing is.
    """
    labelled = triples[..., 2] > 0
    told = labelled.sum(1) >= _FEWEST
    if not told.any():
        return {}
    points, labelled, given = triples[told, :, :2], labelled[told], boxes[told]
    corners = [_corners(given, name) for name in FORMATS]
    shares = [_inside_share(points, labelled, box) for box in corners]
    fits = [
        np.where((share >= _INSIDE) & _in_image(box, image_sizes[told]), _overlap(points, labelled, box), 0.0)
        for box, share in zip(corners, shares, strict=True)
    ]
    means = [fit.mean() for fit in fits]
    best = int(np.argmax(means))
    if best and means[best] > _BETTER * means[0] and (fits[best] > 0).mean() > 0.5:
        count = int((fits[best] > fits[0]).sum())
        return {f"boxes fit their keypoints better as {FORMATS[best]} than as {FORMATS[0]}": count}
    outside = shares[0] < 0.5
    if outside.mean() > 0.5:
        return {"boxes have most labelled keypoints outside, in whatever format": int(outside.sum())}
    return {}


def _corners(boxes: np.ndarray, name: str) -> np.ndarray:
    """Return [N, 4] x1, y1, x2, y2 of boxes read in a format."""
    a, b, c, d = boxes.T
    columns = {
        FORMATS[0]: (a, b, a + c, b + d),
        FORMATS[1]: (a, b, c, d),
        FORMATS[2]: (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
        FORMATS[3]: (b, a, d, c),
    }
    return np.stack(columns[name], axis=1)


def _inside_share(points: np.ndarray, labelled: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return the share of labelled keypoints in a box that is a twentieth larger on each side, [N]."""
    low, high = corners[:, None, :2], corners[:, None, 2:]  # [N, 1, 2]
    slack = np.maximum(0.05 * (high - low), 1.0)
    inside = ((points >= low - slack) & (points <= high + slack)).all(-1)
    return (inside & labelled).sum(1) / labelled.sum(1)


def _in_image(corners: np.ndarray, image_sizes: np.ndarray) -> np.ndarray:
    """Return whether boxes have an extent and lie in their image, give or take 2 % of it, [N]."""
    sizes = image_sizes[:, ::-1].astype(float)  # (width, height)
    known, slack = (sizes > 0).all(1), 0.02 * sizes + 1
    inside = (corners[:, :2] >= -slack).all(1) & (corners[:, 2:] <= sizes + slack).all(1)
    return (corners[:, 2:] > corners[:, :2]).all(1) & (inside | ~known)


def _overlap(points: np.ndarray, labelled: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return the intersection over union of boxes with the extents of their labelled keypoints, [N]."""
    low = np.where(labelled[..., None], points, np.inf).min(1)
    high = np.where(labelled[..., None], points, -np.inf).max(1)
    common = np.clip(np.minimum(high, corners[:, 2:]) - np.maximum(low, corners[:, :2]), 0, None).prod(1)
    areas = np.clip(high - low, 0, None).prod(1) + np.clip(corners[:, 2:] - corners[:, :2], 0, None).prod(1)
    return common / np.maximum(areas - common, 1e-9)
