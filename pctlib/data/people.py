"""The one table of annotated people that every reader returns and everything downstream takes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from pctlib.data.camera_space import Lenses
from pctlib.skeletons import H36M, Skeleton, correspondence

# COCO area of a person / area of the box, where a set has no segment: the factor of crowdposetools and
# mmpose.
BOX_AREA_SHARE = 0.53

_OPTIONAL = ("keypoints_3d", "occlusion", "box_scores", "actions", "focal", "principal_point", "distortion")


@dataclass
class People:
    """Annotated people, one row a person.

    Attributes:
        skeleton: keypoint set of K keypoints.
        image_files: N image files, absolute or relative to the working folder; `Path()` where a set has none.
        image_ids: int64 [N]; persons of one image share it.
        annotation_ids: int64 [N], unique.
        boxes_xywh: float32 [N, 4] x, y, width, height, image pixels; width and height above 0.
        areas: float32 [N] COCO area in square pixels, above 0; readers say what it is where a set has none.
        keypoints_image: float32 [N, K, 2] image pixels, pixel centres at integers, from 0; finite.
        visible: uint8 [N, K] COCO flag: 0 not labelled, 1 labelled but hidden, 2 visible.
        image_sizes: int32 [N, 2] (height, width); 0 where unknown.
        keypoints_3d: float32 [N, K3, 3] millimetres, camera frame; or None.
        occlusion: float32 [N] share of the body inside the image that is hidden, 0 to 1; or None.
        box_scores: float32 [N] confidence of boxes that a detector found, any finite number; None for
            annotated boxes.
        actions: text [N], what the person is doing, by which 3D errors are listed; or None.
        focal: float32 [N, 2] focal lengths of the camera, pixels, above 0; or None.
        principal_point: float32 [N, 2] pixels; or None.
        distortion: float32 [N, 5] of the lens, see `Lenses`; None where it has none.
        skeleton_3d: keypoint set of `keypoints_3d`.
        source: file or folder it was read from, for messages.
        excluded: why -> how many persons the reader left out by protocol.
        notes: what the reader filled in, or what looks odd -> for how many persons.
        category_id: of persons in the file, which results for it carry.

    Raises:
        ValueError: if an array has another shape than stated, or holds a value that is not allowed; names the
            source, the field, and the row and annotation id where there is one.
    """

    skeleton: Skeleton
    image_files: list[Path]
    image_ids: np.ndarray
    annotation_ids: np.ndarray
    boxes_xywh: np.ndarray
    areas: np.ndarray
    keypoints_image: np.ndarray
    visible: np.ndarray
    image_sizes: np.ndarray
    keypoints_3d: np.ndarray | None = None
    occlusion: np.ndarray | None = None
    box_scores: np.ndarray | None = None
    actions: np.ndarray | None = None
    focal: np.ndarray | None = None
    principal_point: np.ndarray | None = None
    distortion: np.ndarray | None = None
    skeleton_3d: Skeleton = H36M
    source: str = ""
    excluded: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    category_id: int = 1

    def __post_init__(self) -> None:
        self._check_shapes()
        self._check_values()

    def __len__(self) -> int:
        return len(self.annotation_ids)

    @property
    def labelled(self) -> np.ndarray:
        """Return the bool mask [N, K] of keypoints that are labelled, hidden or not."""
        return self.visible > 0

    def select(self, indices: Sequence[int] | np.ndarray) -> "People":
        """Return the people of the given rows, in that order; a bool mask [N] selects too."""
        rows = np.asarray(indices)
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise ValueError(f"{self._name}: a mask needs shape [{len(self)}], got {list(rows.shape)}")
            rows = np.flatnonzero(rows)
        rows = rows.astype(np.int64)
        values = {name: getattr(self, name)[rows] for name in _ARRAYS if getattr(self, name) is not None}
        image_files = [self.image_files[row] for row in rows]
        return People(
            skeleton=self.skeleton,
            skeleton_3d=self.skeleton_3d,
            image_files=image_files,
            source=self.source,
            excluded=self.excluded,
            notes=self.notes,
            category_id=self.category_id,
            **values,
        )

    def split(self, fraction: float, seed: int) -> tuple["People", "People"]:
        """Split by image, so that no image gives persons to both parts.

        Args:
            fraction: share of the images, 0 to 1, that goes to the first part; rounded to whole images.
            seed: the same seed always gives the same split.

        Returns:
            The two parts, rows in their old order.

        Raises:
            ValueError: if `fraction` is outside 0..1.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction must be in 0..1, got {fraction}")
        images = np.random.default_rng(seed).permutation(np.unique(self.image_ids))
        first = np.isin(self.image_ids, images[: round(fraction * len(images))])
        return self.select(first), self.select(~first)

    @property
    def lenses(self) -> Lenses | None:
        """Return the cameras, None where they are not known."""
        if self.focal is None or self.principal_point is None:
            return None
        none = np.zeros((len(self), 5), np.float32)
        return Lenses(self.focal, self.principal_point, none if self.distortion is None else self.distortion)

    @property
    def joints_image(self) -> np.ndarray | None:
        """Return where the 3D joints appear, float32 [N, K3, 2] image pixels; None where nothing says it."""
        if self.keypoints_3d is None:
            return None
        if self.lenses is not None:
            return self.lenses.project(self.keypoints_3d).astype(np.float32)
        return self.keypoints_image if self.skeleton == self.skeleton_3d else None

    @property
    def _name(self) -> str:
        return self.source or "people"

    def _row(self, row: int) -> str:
        return f"row {row} (annotation {self.annotation_ids[row]}, image {self.image_ids[row]})"

    def _check_shapes(self) -> None:
        N, K = len(self.image_files), self.skeleton.num_keypoints
        for name, (dtype, shape) in _ARRAYS.items():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            value = np.asarray(value)
            expected = [N if size == "N" else K if size == "K" else size for size in shape]
            fits = value.ndim == len(expected) and all(
                want == "K3" or want == got for want, got in zip(expected, value.shape, strict=True)
            )
            if not fits:
                raise ValueError(f"{self._name}: {name} needs shape {expected}, got {list(value.shape)}")
            setattr(self, name, np.ascontiguousarray(value, dtype=dtype))

    def _check_values(self) -> None:
        ids, counts = np.unique(self.annotation_ids, return_counts=True)
        if (counts > 1).any():
            raise ValueError(
                f"{self._name}: annotation_ids must be unique, {ids[counts > 1][0]} is there twice"
            )
        sizes = self.boxes_xywh[:, 2:]
        self._refuse("boxes_xywh", ~np.isfinite(self.boxes_xywh).all(1), "must be finite numbers")
        self._refuse("boxes_xywh", (sizes <= 0).any(1), "needs width and height above 0")
        self._refuse("areas", ~(np.isfinite(self.areas) & (self.areas > 0)), "must be above 0")
        finite = np.isfinite(self.keypoints_image).all((1, 2))
        self._refuse("keypoints_image", ~finite, "must be finite numbers")
        self._refuse("visible", (self.visible > 2).any(1), "must be 0, 1 or 2")
        self._refuse("image_sizes", (self.image_sizes < 0).any(1), "must not be negative")
        if self.keypoints_3d is not None:
            finite = np.isfinite(self.keypoints_3d).all((1, 2))
            self._refuse("keypoints_3d", ~finite, "must be finite numbers")
        if self.occlusion is not None:
            self._refuse("occlusion", ~((self.occlusion >= 0) & (self.occlusion <= 1)), "must be in 0..1")
        if self.box_scores is not None:
            self._refuse("box_scores", ~np.isfinite(self.box_scores), "must be a finite number")
        if self.focal is not None:
            self._refuse("focal", ~(self.focal > 0).all(1), "must be above 0")

    def _refuse(self, name: str, bad: np.ndarray, rule: str) -> None:
        """Raise for the first row [N] that is bad."""
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            value = np.array2string(getattr(self, name)[row], threshold=12, precision=6)
            raise ValueError(f"{self._name}: {name} of {self._row(row)} {rule}, got {value}")


# Field -> (type, shape). K3 stands for any number: 3D poses have a keypoint set of their own.
_ARRAYS: dict[str, tuple[type, tuple[int | str, ...]]] = {
    "image_ids": (np.int64, ("N",)),
    "annotation_ids": (np.int64, ("N",)),
    "boxes_xywh": (np.float32, ("N", 4)),
    "areas": (np.float32, ("N",)),
    "keypoints_image": (np.float32, ("N", "K", 2)),
    "visible": (np.uint8, ("N", "K")),
    "image_sizes": (np.int32, ("N", 2)),
    "keypoints_3d": (np.float32, ("N", "K3", 3)),
    "occlusion": (np.float32, ("N",)),
    "box_scores": (np.float32, ("N",)),
    "actions": (np.str_, ("N",)),
    "focal": (np.float32, ("N", 2)),
    "principal_point": (np.float32, ("N", 2)),
    "distortion": (np.float32, ("N", 5)),
}


def concatenate(parts: list[People]) -> People:
    """Return the people of all parts in one table.

    Ids are unique within a set only: where two parts share one, the ids of each part are raised above those
    of the parts before it. An optional field that not every part has is left out.

    Raises:
        ValueError: if there is no part, or the parts have different skeletons.
    """
    if not parts:
        raise ValueError("concatenate needs at least one part, got none")
    names = sorted({part.skeleton.name for part in parts})
    if any((part.skeleton, part.skeleton_3d) != (parts[0].skeleton, parts[0].skeleton_3d) for part in parts):
        raise ValueError(f"concatenate needs one skeleton, got {names}; convert() the parts first")
    values = {}
    for name in _ARRAYS:
        arrays = [getattr(part, name) for part in parts]
        values[name] = None if any(array is None for array in arrays) else np.concatenate(arrays)
    for name in ("image_ids", "annotation_ids"):
        values[name] = _made_distinct([getattr(part, name) for part in parts])
    return People(
        skeleton=parts[0].skeleton,
        skeleton_3d=parts[0].skeleton_3d,
        image_files=[file for part in parts for file in part.image_files],
        source=", ".join(dict.fromkeys(part.source for part in parts if part.source)),
        excluded=_sums([part.excluded for part in parts]),
        notes=_sums([part.notes for part in parts]),
        **values,
    )


def _sums(counts: list[dict[str, int]]) -> dict[str, int]:
    """Return the sum of every count."""
    names = dict.fromkeys(name for each in counts for name in each)
    return {name: sum(each.get(name, 0) for each in counts) for name in names}


def _made_distinct(ids: list[np.ndarray]) -> np.ndarray:
    """Return the ids of all parts, shifted part by part only if two parts share one."""
    distinct = [np.unique(part) for part in ids]
    together = np.concatenate(distinct)
    if len(np.unique(together)) == len(together):
        return np.concatenate(ids)
    shifted, start = [], 0
    for part in ids:
        shifted.append(part - part.min(initial=0) + start)
        start = int(shifted[-1].max(initial=start - 1)) + 1
    return np.concatenate(shifted)


def convert(people: People, target: Skeleton) -> People:
    """Return the same people with the keypoints of another skeleton.

    A keypoint that `people` does not have becomes unlabelled, at (0, 0).
    """
    sources = correspondence(people.skeleton, target)
    known = [k for k, source in enumerate(sources) if source is not None]
    taken = [sources[k] for k in known]
    N, K = len(people), target.num_keypoints
    keypoints_image, visible = np.zeros((N, K, 2), np.float32), np.zeros((N, K), np.uint8)
    keypoints_image[:, known], visible[:, known] = people.keypoints_image[:, taken], people.visible[:, taken]
    values = {f.name: getattr(people, f.name) for f in fields(people)}
    return People(**{**values, "skeleton": target, "keypoints_image": keypoints_image, "visible": visible})
