"""From photographs to poses: boxes, crops, the network, and back into the photograph."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from pctlib.data.crops import compose, crop_affine, invert_affine, transform_points, udp_affine
from pctlib.data.images import read_photograph, reduction_affine
from pctlib.data.patches import sample_image
from pctlib.inference.boxes import Boxes, box_of_image, check_boxes
from pctlib.inference.network import PoseNetwork
from pctlib.inference.poses import PhotoPoses
from pctlib.inference.weights import load_network
from pctlib.skeletons import Skeleton
from pctlib.training.device import choose_device

Photograph = str | Path | Image.Image | np.ndarray


class Predictor:
    """Find the people of photographs and their poses.

        predictor = pctlib.Predictor("vitpose-b.pth")
        people = predictor("photo.jpg")
        people.draw("out.jpg")

    Args:
        weights: official file, folder of Hugging Face, run folder of the study, ONNX file of
            `pctlib export`, or a `PoseNetwork`.
        detector: what finds the boxes where none are given: "auto" or the name of a detector of torchvision,
            whose weights are fetched once; or a function from uint8 [H, W, 3] RGB to boxes [N, 4] or [N, 5].
        min_box_score: boxes of torchvision's detectors that score less are left out.
        skeleton: keypoints of the weights; None: what they say, else what they are published for.
        dataset_index: which data set of a published ViTPose+; 0 is COCO.
        padding: factor on the box; None: that of the weights' own tests.
        udp: crops by the unbiased affine; None: as the weights' own tests.
        flip_test: merge with the mirrored crops: a little more exact, half as fast.
        batch_size: crops that the network sees at once.
        device: "auto", "cpu" or "cuda".
        compiled: compile the network; worth its minute or two from some hundred people on.

    Raises:
        FileNotFoundError: if there are no such weights.
        ValueError: if they cannot be read, or do not fit the skeleton.
    """

    def __init__(
        self,
        weights: str | Path | PoseNetwork,
        *,
        detector: str | Callable[[np.ndarray], np.ndarray] = "auto",
        min_box_score: float = 0.5,
        skeleton: Skeleton | None = None,
        dataset_index: int | None = None,
        padding: float | None = None,
        udp: bool | None = None,
        flip_test: bool = False,
        batch_size: int = 16,
        device: str = "auto",
        compiled: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        self.device = choose_device(device)
        network = weights
        if not isinstance(network, PoseNetwork):
            network = load_network(
                weights,
                skeleton=skeleton,
                dataset_index=dataset_index,
                flip_test=flip_test,
                device=self.device,
                compiled=compiled,
            )
        crops = {"padding": padding, "udp": udp}
        self.network = replace(network, **{name: v for name, v in crops.items() if v is not None})
        self.batch_size, self.min_box_score, self._detector = batch_size, min_box_score, detector

    @property
    def skeleton(self) -> Skeleton:
        """Return the keypoint set of the poses."""
        return self.network.skeleton

    def __call__(
        self, photographs: Photograph | Sequence[Photograph], *, boxes: Any = None, whole_image: bool = False
    ) -> PhotoPoses | list[PhotoPoses]:
        """Return the poses of one photograph, or of each of a list.

        Args:
            photographs: file, image of Pillow, or array uint8 [H, W, 3] RGB; or a list of these.
            boxes: of the people: [N, 4] left, top, right, bottom, image pixels, or [N, 5] with a score; for
                a list, one such array a photograph. None: the detector finds them.
            whole_image: take each photograph as the box of one person who fills it.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if a photograph cannot be read, a box does not fit it, or there is no detector.
        """
        single = isinstance(photographs, str | Path | Image.Image | np.ndarray)
        listed = [photographs] if single else list(photographs)
        given = [boxes] if single else [None] * len(listed) if boxes is None else list(boxes)
        if len(given) != len(listed):
            raise ValueError(f"boxes: expected one array a photograph, {len(listed)}, got {len(given)}")
        cuts = (self.cut(*each, whole_image=whole_image) for each in zip(listed, given, strict=True))
        found = list(self.stream(cuts))
        return found[0] if single else found

    def cut(
        self, photograph: Photograph, boxes: Any = None, *, whole_image: bool = False, file: str = ""
    ) -> "Cut":
        """Read a photograph, find its boxes where none are given, and cut them out; errors as in a call."""
        image = read_photograph(photograph)
        file = file or (str(photograph) if isinstance(photograph, str | Path) else "")
        size = (image.shape[0], image.shape[1])
        if whole_image and boxes is not None:
            raise ValueError(f"{file or 'photograph'}: give boxes or take the whole image, not both")
        if whole_image:
            checked = box_of_image(size)
        else:
            found = self.detect(image) if boxes is None else boxes
            checked = check_boxes(found, size, file or "photograph")
        return cut_out(image, checked, self.network, file=file)

    def detect(self, image: np.ndarray) -> np.ndarray:
        """Return boxes [N, 4] or [N, 5] of the people in an image, uint8 [H, W, 3] RGB.

        Raises:
            ValueError: if the weights of the detector are not here and cannot be fetched.
        """
        self.prepare_detector()
        return self._detector(image)

    def prepare_detector(self) -> None:
        """Load the detector, if it is not there yet; errors as in `detect`."""
        if isinstance(self._detector, str):
            from pctlib.inference.detector import load_detector  # torchvision is needed nowhere else

            self._detector = load_detector(self._detector, device=self.device, min_score=self.min_box_score)

    def stream(self, cuts: Iterable["Cut"]) -> Iterator[PhotoPoses]:
        """Return the poses of photographs in their order; crops of several pass the network together."""
        waiting: list[Cut] = []
        for cut in cuts:
            waiting.append(cut)
            if sum(len(each.crops) for each in waiting) >= self.batch_size:
                yield from self._poses(waiting)
                waiting = []
        yield from self._poses(waiting)

    def _poses(self, cuts: list["Cut"]) -> Iterator[PhotoPoses]:
        found = self._find(list(chain.from_iterable(cut.crops for cut in cuts)))
        start = 0
        for cut in cuts:
            rows = slice(start, start + len(cut.crops))
            start = rows.stop
            keypoints, scores, joints, vertices = (None if part is None else part[rows] for part in found)
            people = PhotoPoses(
                cut.image,
                to_photograph(keypoints, cut.affines),
                scores,
                cut.boxes.xyxy,
                cut.boxes.scores,
                self.skeleton,
                cut.file,
            )
            if self.network.solid is not None:
                surface = {"vertices": vertices, "faces": self.network.solid.faces}
                people = replace(people, joints_3d=joints, skeleton_3d=self.network.solid.skeleton, **surface)
            yield people.without_duplicates()

    def _find(self, crops: list[np.ndarray]) -> tuple[np.ndarray | None, ...]:
        """Return keypoints, scores, joints and vertices of N crops, the last two None in two dimensions."""
        K, solid = self.skeleton.num_keypoints, self.network.solid
        batches = [crops[start : start + self.batch_size] for start in range(0, len(crops), self.batch_size)]
        find = self.network.find if solid is None else solid.find
        parts = [find(np.stack(batch)) for batch in batches]
        if not parts:
            return np.zeros((0, K, 2), np.float32), np.zeros((0, K), np.float32), None, None
        joined = [
            None if column[0] is None else np.concatenate(column) for column in zip(*parts, strict=True)
        ]
        return tuple(joined) if solid is not None else (*joined, None, None)


class Cut(NamedTuple):
    """A photograph and its people as crops.

    image: uint8 [h, w, 3]; crops: N of uint8 [H, W, 3]; affines: float32 [N, 2, 3] image -> input; boxes: N;
    file: of the photograph.
    """

    image: np.ndarray
    crops: list[np.ndarray]
    affines: torch.Tensor
    boxes: Boxes
    file: str


def cut_out(image: np.ndarray, boxes: Boxes, network: PoseNetwork, *, file: str = "") -> Cut:
    """Return the crops of boxes as the network expects them."""
    xywh = torch.from_numpy(np.concatenate([boxes.xyxy[:, :2], boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]], 1))
    make = udp_affine if network.udp else crop_affine
    affines = make(xywh, network.input_size, padding=network.padding)
    picture = Image.fromarray(image)
    crops = [_crop(picture, affine, network.input_size) for affine in affines]
    return Cut(image, crops, affines, boxes, file)


def _crop(picture: Image.Image, affine: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """Return uint8 [H, W, 3]: a large person is scaled down by 2, 4 or 8 first, free of aliasing."""
    n = next((n for n in (8, 4, 2) if 1 / n >= affine[0, 0]), 1)
    if n == 1:
        return sample_image(picture, affine, size)
    corners = torch.tensor([[0.0, 0.0], [size[1], size[0]]])
    low, high = transform_points(invert_affine(affine[None]), corners[None])[0].tolist()
    left, top = (max(int(value) // n * n - 2 * n, 0) for value in low)
    right, bottom = (min(int(v) + 3 * n, side) for v, side in zip(high, picture.size, strict=True))
    reduced = picture.reduce(n, (left, top, right, bottom))
    to_reduced = reduction_affine(1 / n) @ torch.tensor([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]])
    return sample_image(reduced, compose(affine, invert_affine(to_reduced[None])[0]), size)


def to_photograph(keypoints: np.ndarray, affines: torch.Tensor) -> np.ndarray:
    """Return input keypoints [N, K, 2] in pixels of the photograph, given affines image -> input."""
    return transform_points(invert_affine(affines), torch.from_numpy(keypoints)).numpy()
