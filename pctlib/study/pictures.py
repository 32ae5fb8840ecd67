"""Pictures of people for reports: the crop of each person with its keypoints in the crop."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pctlib.data.crops import crop_affine, transform_points
from pctlib.data.patches import Patches
from pctlib.data.people import People
from pctlib.study.predictions import Predictions
from pctlib.visualization.galleries import GalleryRow

_GREY = 232


@dataclass(frozen=True)
class Pictures:
    """Crops of some people.

    Attributes:
        images: uint8 [H, W, 3] RGB each.
        keypoints: [K, 2] pixels of the crop each.
        visible: [K] COCO flags each.
        affines: [2, 3] image -> crop each.
        lengths: longer side of the box in pixels of the crop, each.
    """

    images: list[np.ndarray]
    keypoints: list[np.ndarray]
    visible: list[np.ndarray]
    affines: list[torch.Tensor]
    lengths: list[float]

    def columns(self) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
        """Return images, keypoints and flags, as `contact_sheet` takes them."""
        return self.images, self.keypoints, self.visible


def person_pictures(people: People, rows: Iterable[int], *, size: int = 256) -> Pictures:
    """Cut people out of their images; people without images stand on plain grey.

    Args:
        people: the table.
        rows: which, in this order.
        size: side of the square crop, pixels.

    Raises:
        FileNotFoundError: if an image is missing.
        ValueError: if an image is damaged.
    """
    chosen = people.select(list(rows))
    pictures = Pictures([], [], [], [], [])
    affines = crop_affine(torch.from_numpy(chosen.boxes_xywh), (size, size))
    keypoints = transform_points(affines, torch.from_numpy(chosen.keypoints_image))
    pictures.keypoints.extend(keypoints.numpy())
    pictures.visible.extend(chosen.visible)
    pictures.affines.extend(affines)
    pictures.lengths.extend((chosen.boxes_xywh[:, 2:].max(1) * affines[:, 0, 0].numpy()).tolist())
    if any(file == Path() for file in chosen.image_files):
        pictures.images.extend(np.full((len(chosen), size, size, 3), _GREY, dtype=np.uint8))
        return pictures
    patches = Patches(chosen, (size, size), margin=1.0)
    pictures.images.extend(patches[row]["patch"].permute(1, 2, 0).numpy() for row in range(len(chosen)))
    return pictures


def gallery_rows(
    people: People,
    chosen: Sequence[tuple[int, str]],
    predictions: Mapping[str, Predictions],
    *,
    size: int = 256,
) -> list[GalleryRow]:
    """Return the rows of a prediction gallery.

    Args:
        people: N people.
        chosen: (row, why it is shown).
        predictions: method -> predictions of all N people.
        size: side of the square crops, pixels.
    """
    pictures = person_pictures(people, [row for row, _ in chosen], size=size)
    rows = []
    for index, (row, why) in enumerate(chosen):
        found = {
            method: transform_points(
                pictures.affines[index][None], torch.from_numpy(p.keypoints_image[row])[None]
            )[0].numpy()
            for method, p in predictions.items()
        }
        rows.append(
            GalleryRow(
                image=pictures.images[index],
                truth=pictures.keypoints[index],
                visible=pictures.visible[index],
                predictions=found,
                length=pictures.lengths[index],
                label=why,
            )
        )
    return rows
