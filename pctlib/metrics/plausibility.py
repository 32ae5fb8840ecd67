"""Whether a pose can be a body's: bone lengths and joint angles against those of a set of poses.

There is no absolute limit on a bone in a picture, since it may point at the camera; but how much longer than
the others it can look, and how far a joint can bend, is limited, and a set of poses shows the limits.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from pctlib.data.people import People
from pctlib.skeletons import Skeleton

_HEAD = ("nose", "eye", "ear", "head")
_LEAST_BONES = 4  # to know a pose's size by


@dataclass(frozen=True)
class PoseLimits:
    """The range of bone lengths and joint angles in a set of poses.

    The length of a bone is told in the size of its pose: the median, over the bones of the pose, of length /
    typical length of that bone. So one wrong joint does not change the measure of the others.

    Attributes:
        bones: pairs of keypoints.
        angles: triples of keypoints (end, joint, end).
        typical: [bones] median length, as a share of the extent of a pose.
        low: [bones + angles] least value allowed: relative lengths, then degrees.
        high: [bones + angles] largest value allowed.
    """

    bones: tuple[tuple[int, int], ...]
    angles: tuple[tuple[int, int, int], ...]
    typical: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, people: People, *, tail: float = 0.5, margin: float = 0.1) -> "PoseLimits":
        """Measure the limits on a set of poses.

        Args:
            people: whose labelled keypoints count.
            tail: per cent of the values cut off at either end of each range.
            margin: by how much of its width a range is widened at either end, so that few true poses fall
                outside.

        Raises:
            ValueError: if a tail or margin is out of range, or no pose shows a bone or angle.
        """
        if not 0 <= tail < 50 or margin < 0:
            raise ValueError(f"expected 0 <= tail < 50 and margin >= 0, got {tail} and {margin}")
        bones, angles = body_bones(people.skeleton), body_angles(people.skeleton)
        poses = _known(people)[people.labelled.any(axis=1)]
        lengths = _lengths(poses, bones)
        _check_seen(lengths, bones, people)
        with np.errstate(invalid="ignore", divide="ignore"):
            extents = np.nanmax(poses, axis=1) - np.nanmin(poses, axis=1)  # [N, 2]
            typical = np.nanmedian(lengths / extents.max(1)[:, None], axis=0)
        limits = cls(bones, angles, typical, np.array([]), np.array([]))
        low, high = np.nanpercentile(limits.values(poses), (tail, 100 - tail), axis=0)
        room = margin * (high - low)
        return cls(bones, angles, typical, low - room, high + room)

    def values(self, poses: np.ndarray) -> np.ndarray:
        """Return relative bone lengths and joint angles in degrees, [N, bones + angles].

        Args:
            poses: [N, K, 2] pixels; NaN where a joint is not known. What depends on it is NaN, and so is
                everything of a pose that shows fewer than four bones.
        """
        lengths = _lengths(poses, self.bones) / self.typical  # [N, bones]
        known = np.isfinite(lengths).sum(axis=1) >= _LEAST_BONES
        size = np.full(len(poses), np.nan)
        size[known] = np.nanmedian(lengths[known], axis=1)
        first, joint, second = (poses[:, list(column)] for column in zip(*self.angles, strict=True))
        angles = np.where(known[:, None], _angle_deg(first - joint, second - joint), np.nan)
        relative = lengths / np.where(size > 0, size, np.nan)[:, None]
        return np.concatenate([relative, angles], axis=1)

    def violations(self, poses: np.ndarray) -> np.ndarray:
        """Return which values of `values` are outside their range, bool [N, bones + angles]."""
        values = self.values(np.asarray(poses, dtype=float))
        return (values < self.low) | (values > self.high)  # not so where a value is NaN

    def implausible(self, poses: np.ndarray) -> np.ndarray:
        """Return which poses [N, K, 2] have a bone or an angle out of range, bool [N]."""
        return self.violations(poses).any(axis=1)


def body_bones(skeleton: Skeleton) -> tuple[tuple[int, int], ...]:
    """Return the limbs of a skeleton without those within the head, face and hands."""
    body = {*skeleton.upper_body, *skeleton.lower_body}
    head = {k for k, name in enumerate(skeleton.keypoint_names) if any(part in name for part in _HEAD)}
    return tuple(limb for limb in skeleton.limbs if set(limb) <= body and not set(limb) <= head)


def body_angles(skeleton: Skeleton) -> tuple[tuple[int, int, int], ...]:
    """Return (end, joint, end) of every two bones that share a joint."""
    triples = []
    for first, second in itertools.combinations(body_bones(skeleton), 2):
        shared = set(first) & set(second)
        if shared:
            joint = shared.pop()
            triples.append((sum(first) - joint, joint, sum(second) - joint))
    return tuple(triples)


def plausibility_check(limits: PoseLimits, people: People, *, rng: np.random.Generator) -> dict[str, float]:
    """Return how often the rule speaks on true poses, and on true poses of which one joint was moved.

    Args:
        limits: of other people.
        people: whose poses are true.
        rng: draws one labelled joint a person and where in the person's box it goes.

    Returns:
        `false alarms` and `one joint moved`, shares of the people.
    """
    poses = _known(people)
    moved = poses.copy()
    for row in np.flatnonzero(people.labelled.any(axis=1)):
        joint = rng.choice(np.flatnonzero(people.labelled[row]))
        moved[row, joint] = people.boxes_xywh[row, :2] + people.boxes_xywh[row, 2:] * rng.random(2)
    return {
        "false alarms": float(limits.implausible(poses).mean()),
        "one joint moved": float(limits.implausible(moved).mean()),
    }


def _known(people: People) -> np.ndarray:
    """Return the poses [N, K, 2], NaN where a joint is not labelled."""
    return np.where(people.labelled[..., None], people.keypoints_image, np.nan).astype(float)


def _check_seen(lengths: np.ndarray, bones: tuple[tuple[int, int], ...], people: People) -> None:
    seen = np.isfinite(lengths).any(axis=0)
    if not seen.all():
        names = [people.skeleton.keypoint_names[k] for k in bones[int((~seen).argmax())]]
        raise ValueError(f"{people.source or 'people'}: no pose shows the bone between {' and '.join(names)}")


def _lengths(poses: np.ndarray, bones: tuple[tuple[int, int], ...]) -> np.ndarray:
    starts, ends = (list(column) for column in zip(*bones, strict=True))
    return np.linalg.norm(poses[:, ends] - poses[:, starts], axis=-1)  # [N, bones]


def _angle_deg(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the angle between vectors [..., 2], 0 to 180 degrees."""
    cross = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    return np.degrees(np.abs(np.arctan2(cross, (first * second).sum(axis=-1))))
