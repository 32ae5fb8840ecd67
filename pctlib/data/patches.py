"""From image files to batches: each person becomes one small square of pixels that augmentation can work on.

Nothing in here is random: the order comes from the caller, augmentation happens later on the batch. So
workers need no seeding, and the batches are the same whatever their number.

Long, as reading, caching and loading share one form of sample.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from pctlib.data.crops import compose, crop_affine, invert_affine
from pctlib.data.images import explain_size, read_image, reduction_affine
from pctlib.data.people import People

Batch = dict[str, Tensor]


class Patches(Dataset):
    """The people of a table as square patches of pixels, one a person.

    A patch is the crop of the network input, at the same scale, with room around it, so that rotated, shifted
    and shrunk crops find pixels. Where the sizes allow it (H and W both even or both odd), the crop without
    augmentation is a part of the patch, pixel by pixel.

    Args:
        people: N people with image files.
        input_size: (H, W) of the network input the patches are for, pixels.
        padding: factor on the box, as in `crop_affine`.
        margin: side of the patch / longer side of the input; 1.25 lets an unshrunk crop turn freely at 3:4.
        skip_broken: leave out people whose image cannot be read, and list the files in `broken`; else such an
            image is an error.
        read: the function that reads an image; called with the file and `min_scale`, as `read_image`.

    Raises:
        ValueError: if a person has no image file, or `margin` is below 1.
    """

    def __init__(
        self,
        people: People,
        input_size: tuple[int, int],
        *,
        padding: float = 1.25,
        margin: float = 1.25,
        skip_broken: bool = False,
        read: Callable[..., tuple[np.ndarray, float]] = read_image,
    ) -> None:
        if margin < 1:
            raise ValueError(f"margin must be at least 1, got {margin}")
        without = [row for row, file in enumerate(people.image_files) if file == Path()]
        if without:
            raise ValueError(f"{people.source or 'people'}: row {without[0]} has no image file")
        self.people, self.input_size, self.skip_broken, self.read = people, input_size, skip_broken, read
        self.patch_size = _patch_size(input_size, margin)
        self.broken: list[tuple[Path, str]] = []
        self.columns = {
            "keypoints_image": torch.from_numpy(people.keypoints_image),  # [N, K, 2]
            "visible": torch.from_numpy(people.visible),  # [N, K]
            "boxes_xywh": torch.from_numpy(people.boxes_xywh),  # [N, 4]
            "area": torch.from_numpy(people.areas),  # [N]
        }
        if people.keypoints_3d is not None:
            self.columns["keypoints_3d"] = torch.from_numpy(people.keypoints_3d)  # [N, K3, 3]
        joints_image = people.joints_image
        if joints_image is not None:
            self.columns["joints_image"] = torch.from_numpy(joints_image)  # [N, K3, 2]
        self.affines = self._affines(padding)  # [N, 2, 3] image -> patch
        self._min_scales = self._scales_by_file()
        self._last: tuple[Path | None, Any] = (None, None)  # persons of one image tend to follow each other
        self._cache: Tensor | None = None
        self._usable = np.ones(len(people), bool)

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return one person.

        Returns:
            patch: uint8 [3, P, P] RGB; affine: [2, 3] image -> patch; index: row in `people`; and the row's
            keypoints_image [K, 2], visible [K], boxes_xywh [4], area and, if there are 3D joints,
            keypoints_3d [K3, 3] and joints_image [K3, 2].

        Raises:
            FileNotFoundError: if the image is missing.
            ValueError: if the image is damaged, or has another size than the table says.
        """
        patch = self._cut(index) if self._cache is None else self._cache[index]
        row = {name: column[index] for name, column in self.columns.items()}
        return {"patch": patch, "affine": self.affines[index], "index": torch.tensor(index), **row}

    @property
    def is_cached(self) -> bool:
        """Return whether the patches are in memory."""
        return self._cache is not None

    def batch(self, indices: Sequence[int]) -> Batch | None:
        """Return several people as one batch, each of their images decoded once.

        With `skip_broken` the batch may be smaller than asked for, and None if nobody is left.
        """
        rows = [int(index) for index in indices if self._usable[index]]
        if self._cache is not None:
            return self._gather(rows) if rows else None
        items: dict[int, dict[str, Tensor]] = {}
        files = [self.people.image_files[row] for row in rows]
        for row in sorted(rows, key=lambda row: files.index(self.people.image_files[row])):
            try:
                items[row] = self[row]
            except (FileNotFoundError, ValueError) as error:
                if not self.skip_broken:
                    raise
                self.mark_broken(self.people.image_files[row], str(error))
        kept = [items[row] for row in rows if row in items]
        return collate(kept) if kept else None

    def cached(self, max_bytes: int) -> "Patches":
        """Return the same patches held in one uint8 tensor [N, 3, P, P]; every image is decoded once, here.

        Raises:
            ValueError: if that needs more than `max_bytes`; says how much it needs.
            FileNotFoundError: if an image is missing and `skip_broken` is off.
        """
        needed = len(self) * 3 * self.patch_size**2
        if needed > max_bytes:
            raise ValueError(
                f"{len(self)} patches of {self.patch_size} x {self.patch_size} need {needed / 1e6:.1f} MB, "
                f"more than max_bytes, {max_bytes / 1e6:.1f} MB"
            )
        result = copy.copy(self)
        result.broken, result._usable = list(self.broken), self._usable.copy()
        cache = torch.zeros(len(self), 3, self.patch_size, self.patch_size, dtype=torch.uint8)
        order = np.argsort([str(file) for file in self.people.image_files], kind="stable")
        for row in tqdm(order.tolist(), desc="reading images", unit="person", leave=False):
            one = result.batch([row])
            if one is not None:
                cache[row] = one["patch"][0]
        return result.holding(cache)

    def holding(self, pixels: Tensor) -> "Patches":
        """Return the same patches, whose pixels are already cut; nothing is read any more.

        Args:
            pixels: uint8 [N, 3, P, P], on any device; batches are then made there.

        Raises:
            ValueError: if they are not of these people at this size.
        """
        expected = (len(self), 3, self.patch_size, self.patch_size)
        if tuple(pixels.shape) != expected or pixels.dtype != torch.uint8:
            got = f"{pixels.dtype} {list(pixels.shape)}"
            raise ValueError(f"expected the patches as torch.uint8 {list(expected)}, got {got}")
        result = copy.copy(self)
        result._cache, result._last = pixels, (None, None)
        result.columns = {name: column.to(pixels.device) for name, column in self.columns.items()}
        result.affines = self.affines.to(pixels.device)
        return result

    def on(self, device: torch.device) -> "Patches":
        """Return the patches on an accelerator if they are in memory and fill less than half of it.

        A batch is then gathered there, instead of being copied over at every step.
        """
        if self._cache is None or device.type != "cuda" or self._cache.device.type == "cuda":
            return self
        free, _ = torch.cuda.mem_get_info(device)
        return self.holding(self._cache.to(device)) if self._cache.numel() < free / 2 else self

    def mark_broken(self, file: Path, reason: str) -> None:
        """List a file as broken and leave out its people from now on."""
        if all(file != known for known, _ in self.broken):
            self.broken.append((file, reason))
            self._usable &= np.array([other != file for other in self.people.image_files], bool)

    def _affines(self, padding: float) -> Tensor:
        """Return [N, 2, 3] image -> patch: the crop of the input, moved to the middle of the patch."""
        H, W = self.input_size
        move = torch.eye(2, 3)
        move[:, 2] = torch.tensor([(self.patch_size - W) / 2, (self.patch_size - H) / 2])
        return compose(move, crop_affine(self.columns["boxes_xywh"], self.input_size, padding=padding))

    def _scales_by_file(self) -> dict[Path, float]:
        """Return, for each image, the scale that serves all of its people, so that one decoding does."""
        scales: dict[Path, float] = {}
        for file, scale in zip(self.people.image_files, self.affines[:, 0, 0].tolist(), strict=True):
            scales[file] = max(scale, scales.get(file, 0.0))
        return scales

    def _decode(self, row: int) -> tuple[Image.Image, float]:
        """Return the image of a person and its scale, from memory if it was the last one."""
        file = self.people.image_files[row]
        if self._last[0] != file:
            pixels, scale = self.read(file, min_scale=self._min_scales[file])
            expected = np.ceil(self.people.image_sizes[row] * scale)
            if (expected > 0).all() and (expected != pixels.shape[:2]).any():
                stored = [round(side / scale) for side in pixels.shape[:2]]
                said = self.people.image_sizes[row].tolist()
                why = explain_size(file, said)
                raise ValueError(
                    f"{file}: the image is {stored} (height, width), its annotation says {said}"
                    + (f": {why}" if why else "")
                )
            self._last = (file, (Image.fromarray(pixels), scale))
        return self._last[1]

    def _cut(self, row: int) -> Tensor:
        """Return the patch of a person, uint8 [3, P, P]."""
        image, scale = self._decode(row)
        wanted = float(self.affines[row, 0, 0])
        extra = next((n for n in (8, 4, 2) if scale / n >= wanted), 1)  # a smaller person needed more pixels
        if extra > 1:
            image, scale = image.reduce(extra), scale / extra
        to_patch = compose(self.affines[row], invert_affine(reduction_affine(scale)[None])[0])
        pixels = sample_image(image, to_patch, (self.patch_size, self.patch_size))
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()

    def _gather(self, rows: list[int]) -> Batch:
        """Return a batch of the cache."""
        index = torch.tensor(rows, device=self._cache.device)
        columns = {name: column[index] for name, column in self.columns.items()}
        return {"patch": self._cache[index], "affine": self.affines[index], "index": index, **columns}


def collate(items: Sequence[dict[str, Tensor]]) -> Batch:
    """Return the items of `Patches` as one batch.

    Returns:
        patch: uint8 [B, 3, P, P]; affine: [B, 2, 3] image -> patch; keypoints_image: [B, K, 2];
        visible: [B, K]; boxes_xywh: [B, 4]; area: [B]; index: [B], rows in the table of people; keypoints_3d:
        [B, K3, 3] and joints_image [B, K3, 2], their pixels, if there are 3D joints.
    """
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


class PatchLoader:
    """The batches of an epoch in the order the caller chose, see `make_loader`."""

    def __init__(self, patches: Patches, batches: Sequence[Sequence[int]], workers: int) -> None:
        self.patches, self.batches, self.workers = patches, batches, workers

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        for batch, broken in self._results():
            for file, reason in broken:  # found in another process
                self.patches.mark_broken(file, reason)
            if batch is not None:
                yield batch

    def _results(self) -> Iterator[tuple[Batch | None, list[tuple[Path, str]]]]:
        source: Iterable[Any] = _BatchList(self.patches, self.batches)
        if self.workers and not self.patches.is_cached:
            source = DataLoader(source, batch_size=None, num_workers=self.workers, collate_fn=_as_it_is)
        for item in source:
            if isinstance(item, Exception):
                raise item
            yield item


def make_loader(patches: Patches, batches: Sequence[Sequence[int]], *, workers: int = 0) -> PatchLoader:
    """Return an iterable over batches of patches.

    Args:
        patches: the people.
        batches: the rows of each batch, in order; the caller owns the order and can resume in its middle.
        workers: processes that decode ahead; 0 decodes in this one. Cached patches need none and use none.

    Returns:
        An iterable of batches as made by `collate`, in the given order whatever the number of workers. With
        `skip_broken`, batches get smaller or are left out, and `patches.broken` lists the files.

    Raises:
        ValueError: if `workers` is negative, or a batch names a row that is not there.
    """
    if workers < 0:
        raise ValueError(f"workers must not be negative, got {workers}")
    for number, rows in enumerate(batches):
        if len(rows) == 0 or min(rows) < 0 or max(rows) >= len(patches):
            raise ValueError(f"batch {number} must name rows in 0..{len(patches) - 1}, got {list(rows)[:8]}")
    return PatchLoader(patches, batches, workers)


class _BatchList(Dataset):
    """Batches as the items of a data set, each with the files found broken on the way."""

    def __init__(self, patches: Patches, batches: Sequence[Sequence[int]]) -> None:
        self.patches, self.batches = patches, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> tuple[Batch | None, list[tuple[Path, str]]] | Exception:
        if number >= len(self.batches):
            raise IndexError(number)  # which ends an iteration
        try:
            batch = self.patches.batch(self.batches[number])
        except (ValueError, OSError) as error:
            return error  # raised in a worker, it would come as the text of a traceback
        return batch, list(self.patches.broken)


def _as_it_is(value: Any) -> Any:
    """Keep what a worker made; the default would rebuild it."""
    return value


def _patch_size(input_size: tuple[int, int], margin: float) -> int:
    """Return the smallest side P with room for the margin and whole pixels on both sides of the input."""
    longer = max(input_size)
    size = int(np.ceil(longer * margin))
    return size + (size - longer) % 2


def sample_image(image: Image.Image, affine: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Return uint8 [H, W, 3] of `size` (H, W): the image under `affine` [2, 3], bilinear, black outside."""
    inverse = invert_affine(affine[None].double())[0]
    linear = inverse[:, :2]
    # Pillow counts from the edge of the first pixel, not from its centre.
    offset = inverse[:, 2] + 0.5 - linear.sum(1) / 2
    coefficients = torch.cat([linear, offset[:, None]], dim=1).flatten().tolist()
    return np.array(
        image.transform(size[::-1], Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    )
