"""Pictures of people for reports: the crop of each person with its keypoints in the crop."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pctlib.data.crops import transform_points
from pctlib.data.patches import Patches
from pctlib.data.people import People
from pctlib.study.predictions import Predictions
from pctlib.visualization.galleries import GalleryRow


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
    """Cut people out of their images.

    Args:
        people: the table.
        rows: which, in this order.
        size: side of the square crop, pixels.

    Raises:
        FileNotFoundError: if an image is missing.
        ValueError: if an image is damaged.
    """
    rows = list(rows)
    chosen = people.select(rows)
    patches = Patches(chosen, (size, size), margin=1.0)
    pictures = Pictures([], [], [], [], [])
    for index in range(len(chosen)):
        item = patches[index]
        keypoints = transform_points(item["affine"][None], item["keypoints_image"][None])[0]
        pictures.images.append(item["patch"].permute(1, 2, 0).numpy())
        pictures.keypoints.append(keypoints.numpy())
        pictures.visible.append(chosen.visible[index])
        pictures.affines.append(item["affine"])
        pictures.lengths.append(float(chosen.boxes_xywh[index, 2:].max() * item["affine"][0, 0]))
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
