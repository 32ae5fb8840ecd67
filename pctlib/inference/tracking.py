"""The same number for the same person from frame to frame, and keypoints that do not tremble."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from pctlib.inference.poses import PhotoPoses
from pctlib.metrics.suppression import pose_similarity


@dataclass
class Tracker:
    """Give people the number of the person of the frames before that they resemble most.

    Resemblance is the mean of the overlap of boxes (IoU) and the similarity of poses (OKS); pairs are chosen
    together, so that their sum is largest (Hungarian method). Who is not found again waits some frames.

    Attributes:
        min_resemblance: pairs below it are different people.
        patience: frames after which a person who is not found again is forgotten.
    """

    min_resemblance: float = 0.3
    patience: int = 30
    _known: dict[int, tuple[PhotoPoses, int]] = field(default_factory=dict)  # one person, last frame
    _frame: int = 0
    _next: int = 1

    def __call__(self, people: PhotoPoses) -> PhotoPoses:
        """Return the people of the next frame with `track_ids`."""
        numbers = sorted(self._known)
        values = np.zeros((len(people), len(numbers)))
        for column, number in enumerate(numbers):
            values[:, column] = resemblance(people, self._known[number][0])
        ids = np.zeros(len(people), np.int64)
        for row, column in zip(*linear_sum_assignment(-values), strict=True):
            if values[row, column] >= self.min_resemblance:
                ids[row] = numbers[column]
        for row in np.flatnonzero(ids == 0):
            ids[row], self._next = self._next, self._next + 1
        self._remember(people, ids)
        return replace(people, track_ids=ids)

    def _remember(self, people: PhotoPoses, ids: np.ndarray) -> None:
        for row, number in enumerate(ids.tolist()):
            person = people.select(np.array([row]))
            self._known[number] = (replace(person, image=person.image[:0]), self._frame)  # not the pixels
        self._known = {
            number: (person, frame)
            for number, (person, frame) in self._known.items()
            if self._frame - frame < self.patience
        }
        self._frame += 1


def resemblance(people: PhotoPoses, person: PhotoPoses) -> np.ndarray:
    """Return [N] in 0..1: the mean of IoU of boxes and OKS of poses of N people and one."""
    sigmas = people.skeleton.sigmas or (0.08,) * people.skeleton.num_keypoints
    poses = [np.concatenate([each.keypoints, each.scores[..., None]], 2) for each in (people, person)]
    areas = [np.prod(each.boxes_xyxy[:, 2:] - each.boxes_xyxy[:, :2], axis=1) for each in (people, person)]
    similar = pose_similarity(poses[1][0], poses[0], area=areas[1][0], other_areas=areas[0], sigmas=sigmas)
    low = np.maximum(people.boxes_xyxy[:, :2], person.boxes_xyxy[:, :2])
    high = np.minimum(people.boxes_xyxy[:, 2:], person.boxes_xyxy[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    return (similar + shared / (areas[0] + areas[1] - shared)) / 2


@dataclass
class OneEuro:
    """Smooth keypoints of tracked people: strongly at rest, hardly in fast movement.

    Source: Casiez, Roussel and Vogel 2012, "1 Euro Filter", CHI, doi:10.1145/2207676.2208639.

    Attributes:
        min_cutoff: of the low-pass at rest, Hz; less is smoother.
        beta: rise of the cutoff with speed, Hz per box side a second (the paper: per unit of the signal);
            more lags less.
        speed_cutoff: of the low-pass of the speed, Hz.
    """

    min_cutoff: float = 1.0
    beta: float = 2.0
    speed_cutoff: float = 1.0
    _known: dict[int, tuple[float, np.ndarray, np.ndarray]] = field(default_factory=dict)

    def __call__(self, people: PhotoPoses, seconds: float) -> PhotoPoses:
        """Return the people of the frame at a time, smoothed; they must be tracked.

        Raises:
            ValueError: if they have no track ids.
        """
        if people.track_ids is None:
            raise ValueError("smoothing needs track ids: pass the people through a Tracker first")
        smooth = people.keypoints.astype(np.float64)
        sides = np.sqrt(np.prod(people.boxes_xyxy[:, 2:] - people.boxes_xyxy[:, :2], axis=1))
        for row, number in enumerate(people.track_ids.tolist()):
            speed = np.zeros_like(smooth[row])
            if number in self._known and seconds > self._known[number][0]:
                last, position, speed = self._known[number]
                step = seconds - last
                speed = speed + _gain(self.speed_cutoff, step) * ((smooth[row] - position) / step - speed)
                cutoff = self.min_cutoff + self.beta * np.abs(speed) / sides[row]
                smooth[row] = position + _gain(cutoff, step) * (smooth[row] - position)
            self._known[number] = (seconds, smooth[row], speed)
        return replace(people, keypoints=smooth.astype(np.float32))


def _gain(cutoff: float | np.ndarray, step: float) -> float | np.ndarray:
    """Return the weight of the new value in a first-order low-pass of a cutoff in Hz."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * step))
