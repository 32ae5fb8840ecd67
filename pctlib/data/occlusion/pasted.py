"""What is pasted in front of people in photographs, and what the frame cuts off, level by level.

An object is an outline that grows about a point of the body; other people are cut out along their own poses
and gather in front; the frame moves in from one side. Each covers at a level all that it covered before, with
the same pixels.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from pctlib.data.occlusion.levels import SHARES, View, check_levels, hide, wanted_joints
from pctlib.skeletons import Skeleton

Array = np.ndarray
_SIDES, _SIDE_PROBABILITY = ("bottom", "top", "right", "left"), (0.55, 0.15, 0.15, 0.15)  # as the renderer
_PLACES = 96  # tried for each person that is pasted
_MOST_PEOPLE = 12  # pasted in front of one person
_TRUNK, _HEAD = ("shoulder", "hip", "neck", "thorax", "pelvis"), ("nose", "eye", "ear", "head")
_LIMB_RADIUS, _TRUNK_RADIUS, _HEAD_RADIUS = 0.045, 0.075, 0.085  # shares of the box's longer side


@dataclass(frozen=True)
class Donor:
    """Someone from another picture who can stand in front: cut out along the limbs of the pose.

    Attributes:
        image: uint8 [H, W, 3] RGB.
        keypoints_image: float32 [K, 2] pixels of `image`.
        labelled: bool [K].
        box_xywh: [4] pixels of `image`.
        skeleton: the keypoint set.
    """

    image: Array
    keypoints_image: Array
    labelled: Array
    box_xywh: Array
    skeleton: Skeleton

    @property
    def side(self) -> float:
        """The longer side of the box in pixels."""
        return float(max(self.box_xywh[2:]))

    @property
    def centre(self) -> Array:
        """The middle [2] of the box in pixels."""
        return np.asarray(self.box_xywh[:2] + self.box_xywh[2:] / 2, dtype=float)

    def covers(self, points: Array) -> Array:
        """Return which points [n, 2] of `image` lie on this person and within the picture, bool [n]."""
        on_body = np.zeros(len(points), bool)
        for first, second, radius in _body_parts(self.skeleton):
            if self.labelled[first] and self.labelled[second]:
                ends = self.keypoints_image[[first, second]].astype(float)
                reach = radius * self.side
                near = ((points > ends.min(0) - reach) & (points < ends.max(0) + reach)).all(1)
                on_body[near] |= _segment_distance(points[near], *ends) <= reach
        H, W = self.image.shape[:2]
        return on_body & ((points >= 0) & (points <= (W - 1, H - 1))).all(1)


def pasted_views(
    base: View,
    kind: str,
    *,
    rng: np.random.Generator,
    shares: Sequence[float] = SHARES,
    donors: Sequence[Donor] = (),
) -> list[View]:
    """Hide more and more of a person in a photograph.

    Args:
        base: the person at level 0.
        kind: "object", "person" or "truncation".
        rng: where every draw comes from.
        shares: of the joints seen at level 0; the first is 0.
        donors: people to paste, where the kind is "person".

    Returns:
        One view a level; the first is `base`.

    Raises:
        ValueError: as `check_levels`, if no joint is seen at level 0, or if there is no donor for a person.
    """
    check_levels(kind, shares)
    seen = base.visible == 2
    if not seen.any():
        raise ValueError("base: no joint is seen, so none can be hidden")
    counts = [wanted_joints(int(seen.sum()), share) for share in shares[1:]]
    if kind == "object":
        return [base, *_behind_object(base, counts, rng)]
    if kind == "truncation":
        return [base, *_cut_by_frame(base, counts, rng)]
    if not donors:
        raise ValueError("donors: expected at least one person to paste, got none")
    return [base, *_behind_people(base, counts, rng, donors)]


class _Object:
    """An outline about a point of the body, with a texture that does not change as it grows."""

    def __init__(self, rng: np.random.Generator, base: View) -> None:
        side = float(max(base.box_xywh[2:]))
        joint = rng.choice(np.flatnonzero(base.visible == 2))
        self.anchor = base.keypoints_image[joint] + rng.normal(0, 0.06 * side, 2)
        self.form = rng.choice(("box", "ball", "pole", "bush"), p=(0.35, 0.2, 0.2, 0.25))
        turn = rng.normal(0, 0.25)
        aspect = {"box": rng.uniform(0.5, 2.0), "pole": rng.uniform(0.08, 0.2)}.get(self.form, 1.0)
        turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        self.to_local = turned * np.array([[aspect**-0.5], [aspect**0.5]])  # [2, 2] to a square or circle
        self.waves = rng.normal(0, 0.09, 4), rng.uniform(0, 2 * np.pi, 4)
        self.colors = rng.uniform(15, 235, (2, 3)) * (0.7 + 0.3 * rng.random((2, 1)))
        self.pattern, self.cell = rng.choice(("plain", "stripes", "checks")), rng.uniform(0.04, 0.12) * side
        self.noise = rng.uniform(0.8, 1.2, (16, 16))

    def size_at(self, points: Array) -> Array:
        """Return the size [n] at which the object reaches points [n, 2]."""
        x, y = ((points - self.anchor) @ self.to_local.T).T
        if self.form in ("box", "pole"):
            return np.maximum(np.abs(x), np.abs(y))
        radius = np.hypot(x, y)
        if self.form == "ball":
            return radius
        angle = np.arctan2(y, x)
        amplitudes, phases = self.waves
        bumps = sum(
            a * np.sin(n * angle + p) for n, a, p in zip((3, 5, 8, 11), amplitudes, phases, strict=True)
        )
        return radius / np.maximum(1 + bumps, 0.5)

    def texture(self, points: Array) -> Array:
        """Return the colours, uint8 [n, 3], at points [n, 2]."""
        local = (points - self.anchor) / self.cell
        odd = {
            "plain": np.zeros(len(points)),
            "stripes": np.floor(local[:, 0]) % 2,
            "checks": np.floor(local).sum(1) % 2,
        }[self.pattern]
        grain = map_coordinates(self.noise, 3 * local.T, order=1, mode="grid-wrap")
        color = np.where(odd[:, None] > 0, self.colors[1], self.colors[0]) * grain[:, None]
        return np.clip(color, 0, 255).astype(np.uint8)


def _behind_object(base: View, counts: Sequence[int], rng: np.random.Generator) -> list[View]:
    """Return the views with an object that covers so many joints; its size is read off their order."""
    thing = _Object(rng, base)
    reached_at = thing.size_at(base.keypoints_image)
    sizes = np.sort(reached_at[base.visible == 2])
    pixels = _grid(base.image)
    gauge = thing.size_at(pixels)
    views = []
    for count in counts:
        if count == 0:
            views.append(base)
            continue
        last, following = sizes[count - 1], sizes[count] if count < len(sizes) else np.inf
        size = min(1.12 * last, (last + following) / 2)  # beyond the last joint, but short of the next
        covered = gauge <= size
        image = base.image.reshape(-1, 3).copy()
        image[covered] = thing.texture(pixels[covered])
        views.append(hide(base, reached_at <= size, image=image.reshape(base.image.shape)))
    return views


def _behind_people(
    base: View, counts: Sequence[int], rng: np.random.Generator, donors: Sequence[Donor]
) -> list[View]:
    """Return the views with people who gather in front until so many joints are covered."""
    seen = base.visible == 2
    image, taken = base.image.reshape(-1, 3).copy(), np.zeros(base.image.shape[:2], bool).ravel()
    hidden, pasted, views = np.zeros_like(seen), 0, []
    pixels = _grid(base.image)
    for count in counts:
        while (missing := count - int((hidden & seen).sum())) > 0 and pasted < _MOST_PEOPLE:
            place = _best_place(base, seen & ~hidden, missing, rng, donors)
            if place is None:
                break
            hidden = hidden | place.covers(base.keypoints_image)
            new = np.flatnonzero(~taken & place.may_cover(pixels))
            new = new[place.covers(pixels[new])]
            image[new], taken[new] = place.colors(pixels[new]), True
            pasted += 1
        views.append(hide(base, hidden, image=image.reshape(base.image.shape).copy()))
    return views


@dataclass(frozen=True)
class _Place:
    """Where a donor stands in another picture: scaled about the middle of the box, then moved."""

    donor: Donor
    centre: Array  # [2] of the donor's box, pixels of the other picture
    scale: float

    def _in_donor(self, points: Array) -> Array:
        return (points - self.centre) / self.scale + self.donor.centre

    def may_cover(self, points: Array) -> Array:
        """Return which points [n, 2] of the other picture lie in a rectangle around the donor, bool [n]."""
        pose = self.donor.keypoints_image[self.donor.labelled]
        room = _HEAD_RADIUS * self.donor.side
        low, high = (
            (end - self.donor.centre) * self.scale + self.centre
            for end in (pose.min(0) - room, pose.max(0) + room)
        )
        return ((points >= low) & (points <= high)).all(1)

    def covers(self, points: Array) -> Array:
        """Return which points [n, 2] of the other picture lie behind the donor, bool [n]."""
        return self.donor.covers(self._in_donor(points))

    def colors(self, points: Array) -> Array:
        """Return the donor's colours, uint8 [n, 3], at points [n, 2] of the other picture."""
        rows = self._in_donor(points)[:, ::-1].T
        channels = [map_coordinates(self.donor.image[..., c], rows, order=1) for c in range(3)]
        return np.stack(channels, axis=1)


def _best_place(
    base: View, left: Array, missing: int, rng: np.random.Generator, donors: Sequence[Donor]
) -> _Place | None:
    """Return, of places drawn at random, the first that covers nearest to `missing` of the joints `left`."""
    side = float(max(base.box_xywh[2:]))
    middle = base.box_xywh[:2] + base.box_xywh[2:] / 2
    best, least = None, missing  # to cover nobody would be as good as this
    for _ in range(_PLACES):
        donor = donors[rng.integers(len(donors))]
        moved = middle + side * rng.uniform((-0.7, -0.3), (0.7, 0.3))
        place = _Place(donor, moved, side * rng.uniform(0.8, 1.25) / donor.side)
        distance = abs(int(place.covers(base.keypoints_image[left]).sum()) - missing)
        if distance < least:
            best, least = place, distance
        if distance == 0:
            break
    return best


def _cut_by_frame(base: View, counts: Sequence[int], rng: np.random.Generator) -> list[View]:
    """Return the views whose frame moves in from one side until so many joints are outside."""
    side = rng.choice(_SIDES, p=_SIDE_PROBABILITY)
    return [base if count == 0 else _cut(base, side, count) for count in counts]


def _cut(base: View, side: str, count: int) -> View:
    axis = 1 if side in ("bottom", "top") else 0  # of the keypoints
    far = side in ("bottom", "right")
    places, length = base.keypoints_image[:, axis], base.image.shape[1 - axis]
    edge = _edge(places[base.visible == 2], length, count, far=far)
    kept = slice(0, edge) if far else slice(edge, length)
    image = base.image[kept] if axis == 1 else base.image[:, kept]
    shift = np.zeros(2, np.float32)
    shift[axis] = 0 if far else -edge
    box = base.box_xywh + np.concatenate([shift, np.zeros(2, np.float32)])
    moved = {"keypoints_image": base.keypoints_image + shift, "box_xywh": box}
    return hide(base, _beyond(places, edge, far=far), image=np.ascontiguousarray(image), **moved)


def _edge(places: Array, length: int, count: int, *, far: bool) -> int:
    """Return up to which pixel (`far`), or from which, the picture stays so that about `count` places go."""
    edges = np.arange(1, length)
    cut = _beyond(places[:, None], edges, far=far).sum(axis=0)  # [edges]
    nearest = min(set(cut.tolist()), key=lambda number: (abs(number - count), number))
    same = np.flatnonzero(cut == nearest)
    return int(edges[same[len(same) // 2]])


def _beyond(places: Array, edge: Array | int, *, far: bool) -> Array:
    """Return which places lie beyond the edge; pixel centres are at integers, so it is at `edge` - 0.5."""
    return places >= edge - 0.5 if far else places < edge - 0.5


def _grid(image: Array) -> Array:
    """Return the pixel centres [H W, 2] (x, y) of an image, row by row."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(float)


def _body_parts(skeleton: Skeleton) -> list[tuple[int, int, float]]:
    """Return pairs of keypoints with the radius of the body between them, as a share of the box."""
    names = skeleton.keypoint_names
    trunk = [k for k, name in enumerate(names) if name.endswith(_TRUNK)]
    parts = [(first, second, _TRUNK_RADIUS) for first, second in itertools.combinations(trunk, 2)]
    for first, second in skeleton.limbs:
        if first not in trunk or second not in trunk:
            is_head = any(part in names[k] for k in (first, second) for part in _HEAD)
            parts.append((first, second, _HEAD_RADIUS if is_head else _LIMB_RADIUS))
    return parts


def _segment_distance(points: Array, start: Array, end: Array) -> Array:
    """Return the distance [n] of points [n, 2] from a line segment."""
    along = end - start
    part = np.clip((points - start) @ along / max(float(along @ along), 1e-9), 0, 1)
    return np.linalg.norm(points - start - part[:, None] * along, axis=1)
