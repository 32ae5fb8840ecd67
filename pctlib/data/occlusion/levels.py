"""Occlusion, level by level: one person seen whole, and then with more and more joints hidden.

A level is a share of the joints that are seen at level 0: so many of them are hidden by an object, by other
people, or by the frame. Everything is drawn from (seed, person, kind), so the same level of the same person
always has the same pixels. What an object or the frame hides at a level, it hides at the next one too;
rendered people move in front of each other, and may bare a joint again.

Procedural people are rendered anew at each level (this module); people in photographs get occluders pasted
(`pctlib.data.occlusion.pasted`). Both give `View`s.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pctlib.data.procedural.annotate import keypoints_world
from pctlib.data.procedural.occluders import Occlusion
from pctlib.data.procedural.scene import render_person
from pctlib.skeletons import COCO

KINDS = {"object": "objects", "person": "other people", "truncation": "truncation"}
SHARES = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75)
"""Share of the joints seen at level 0 that levels 0 to 5 hide."""

_TRIES = 4  # pictures rendered in search of one level
_MOST = 0.95  # share of the pixels that the renderer hides at most


@dataclass(frozen=True)
class View:
    """One person at one level of occlusion.

    Attributes:
        image: uint8 [H, W, 3] RGB.
        keypoints_image: float32 [K, 2] pixels of `image`; outside of it where the frame cuts a joint off.
        visible: uint8 [K] 0 not labelled, 1 hidden (also by the frame), 2 seen.
        box_xywh: float32 [4] pixels of `image`, around the same pixels of the person at every level.
        share: hidden joints among those that are seen at level 0.
    """

    image: np.ndarray
    keypoints_image: np.ndarray
    visible: np.ndarray
    box_xywh: np.ndarray
    share: float = 0.0


def check_levels(kind: str, shares: Sequence[float]) -> None:
    """Refuse a kind that does not exist and shares that are not levels.

    Raises:
        ValueError: if the kind is none of `KINDS`, or the shares do not rise from 0 and stay below 1.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    rising = all(low < high for low, high in itertools.pairwise((*shares, 1)))
    if not shares or shares[0] != 0 or not rising:
        raise ValueError(f"shares: expected numbers that rise from 0 and stay below 1, got {list(shares)}")


def wanted_joints(count: int, share: float) -> int:
    """Return how many of `count` joints a share of them is, halves rounded up."""
    return math.floor(count * share + 0.5)


def hide(base: View, hidden: np.ndarray, **changes: np.ndarray) -> View:
    """Return a view in which more joints are hidden.

    Args:
        base: the view at level 0.
        hidden: bool [K] joints that something hides; those without a label are left as they are.
        changes: other fields of the view, such as its image.
    """
    seen = base.visible == 2
    visible = np.where(seen & hidden, 1, base.visible).astype(np.uint8)
    return replace(base, visible=visible, share=float((seen & hidden).sum() / max(1, seen.sum())), **changes)


def procedural_views(
    seed: int, index: int, kind: str, *, shares: Sequence[float] = SHARES, image_size: int = 256
) -> list[View]:
    """Render one procedural person at each level, COCO-17.

    The renderer hides shares of the body's pixels; the share of pixels that hides the wanted joints is
    searched for. Someone in front who is too small to hide so many hides as many as possible. The truth of
    joints outside the frame is known too. The box is that of level 0, moved with the picture where the frame
    cuts, so that nothing but the hidden pixels differs between levels.

    Args:
        seed: which endless set of people; training and validation use 1 and 2.
        index: which person of it.
        kind: "object", "person" or "truncation".
        shares: of the joints seen at level 0; the first is 0.
        image_size: height and width, pixels.

    Returns:
        One view a level.

    Raises:
        ValueError: as `check_levels` and `render_person`.
    """
    check_levels(kind, shares)
    person = _Procedural(seed, index, kind, image_size)
    levels = [0.0]
    for share in shares[1:]:
        levels.append(person.find(share, above=levels[-1]))
    return [person.views[level] for level in levels]


class _Procedural:
    """One procedural person and one kind of occlusion: the views rendered so far, by share of pixels."""

    def __init__(self, seed: int, index: int, kind: str, image_size: int) -> None:
        self.seed, self.index, self.kind, self.image_size = seed, index, kind, image_size
        sample = self._render("none", 0.0)
        main = sample.people[0]
        self.origin = np.array(sample.camera.principal_point)
        points = sample.camera.project(keypoints_world(main.person))[: COCO.num_keypoints, :2]
        visible = np.where(main.visible[: COCO.num_keypoints] == 2, 2, 1).astype(np.uint8)
        base = View(sample.image, points.astype(np.float32), visible, main.box_xywh)
        self.views: dict[float, View] = {0.0: base}

    def _render(self, kind: str, level: float):
        occlusion = Occlusion(kind, level)
        return render_person(self.seed, self.index, occlusion=occlusion, image_size=self.image_size)

    def find(self, share: float, *, above: float) -> float:
        """Return the share of pixels, not below `above`, that comes nearest to hiding a share of joints."""
        joints = int((self.views[0.0].visible == 2).sum())
        for _ in range(_TRIES):
            nearest = self._nearest(share, above)
            # less than a joint away is as near as rounding would be
            if abs(self.views[nearest].share - share) * joints < 0.75 or above >= _MOST:
                return nearest
            guess = self._guess(share)
            if guess in self.views:
                return nearest
            self.views[guess] = self._view(guess)
        return self._nearest(share, above)

    def _nearest(self, share: float, above: float) -> float:
        return min(
            (level for level in self.views if level >= above),
            key=lambda level: (abs(self.views[level].share - share), level),
        )

    def _guess(self, share: float) -> float:
        """Return where, between the levels rendered so far, the share should be reached."""
        reached = [level for level, view in self.views.items() if view.share >= share]
        high = min(reached, default=_MOST)
        low = max((level for level in self.views if level < high), default=0.0)
        ends = self.views[low].share, self.views[high].share if reached else 1.0
        part = (share - ends[0]) / max(ends[1] - ends[0], 1e-6)
        return low + (high - low) * min(max(part, 0.15), 0.85)

    def _view(self, level: float) -> View:
        sample, base = self._render(self.kind, level), self.views[0.0]
        hidden = sample.people[0].visible[: COCO.num_keypoints] != 2
        shift = (np.array(sample.camera.principal_point) - self.origin).astype(np.float32)
        box = base.box_xywh + np.concatenate([shift, np.zeros(2, np.float32)])
        moved = {"keypoints_image": base.keypoints_image + shift, "box_xywh": box}
        return hide(base, hidden, image=sample.image, **moved)
