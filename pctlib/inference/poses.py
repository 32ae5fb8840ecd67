"""The people of one photograph: what a prediction returns, shown, drawn and written."""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pctlib.io import write_atomic
from pctlib.metrics.suppression import rescore, suppress_duplicates
from pctlib.skeletons import Skeleton
from pctlib.visualization.photographs import draw_poses

MIN_SCORE = 0.3
"""Joints that score less are not drawn, unless another limit is given."""

_OF_PEOPLE = (
    *("keypoints", "scores", "boxes_xyxy", "box_scores", "track_ids"),
    *("joints_3d", "vertices"),
)
_SHOWN_SIDE = 1024  # longest side of the picture in a notebook, pixels


@dataclass(frozen=True)
class PhotoPoses:
    """The poses found in one photograph.

    Attributes:
        image: uint8 [H, W, 3] RGB, as viewers show it.
        keypoints: float32 [N, K, 2] pixels of `image`, pixel centres at integers.
        scores: float32 [N, K], larger is more certain; probabilities where the network is calibrated.
        boxes_xyxy: float32 [N, 4] boxes that the poses were looked for in.
        box_scores: float32 [N] of the detector; 1 where none was asked.
        skeleton: the keypoint set.
        file: of the photograph; empty where there is none.
        track_ids: int64 [N], the same number for the same person of a video; None for single pictures.
        joints_3d: float32 [N, K3, 3] millimetres from the pelvis, in the frame of a camera that looks at the
            person: x to the right, y down, z away; None where the network finds none.
        skeleton_3d: of these joints.
        vertices: float32 [N, V, 3] of the surface, likewise; None where the network finds none.
        faces: int64 [F, 3] vertices of each triangle of the surface.
    """

    image: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    boxes_xyxy: np.ndarray
    box_scores: np.ndarray
    skeleton: Skeleton
    file: str = ""
    track_ids: np.ndarray | None = None
    joints_3d: np.ndarray | None = None
    skeleton_3d: Skeleton | None = None
    vertices: np.ndarray | None = None
    faces: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def person_scores(self) -> np.ndarray:
        """Return [N]: box score times the mean score of the joints above 0.2, as COCO results are ranked."""
        return rescore(self.box_scores, self.scores)

    def select(self, rows: np.ndarray) -> "PhotoPoses":
        """Return the people of some rows, in that order."""
        of_people = {name: getattr(self, name) for name in _OF_PEOPLE}
        return replace(self, **{name: v[rows] for name, v in of_people.items() if v is not None})

    def without_duplicates(self, *, threshold: float = 0.9) -> "PhotoPoses":
        """Return the people whose pose is not almost that of a better one (OKS above `threshold`).

        A keypoint set without standard deviations is compared with one of 0.08 for every joint.
        """
        sigmas = self.skeleton.sigmas or (0.08,) * self.skeleton.num_keypoints
        poses = np.concatenate([self.keypoints, self.scores[..., None]], axis=2)
        sides = self.boxes_xyxy[:, 2:] - self.boxes_xyxy[:, :2]
        kept = suppress_duplicates(
            poses, self.person_scores, areas=sides.prod(1), sigmas=sigmas, threshold=threshold
        )
        return self.select(np.sort(kept))

    def draw(self, file: str | Path | None = None, *, min_score: float = MIN_SCORE) -> Image.Image:
        """Return the photograph with the poses drawn, and write it to `file` if one is named.

        Raises:
            ValueError: if the ending of the file names no format of images.
            OSError: if it cannot be written.
        """
        labels = () if self.track_ids is None else [str(number) for number in self.track_ids]
        options = {"skeleton": self.skeleton, "min_score": min_score, "labels": labels}
        drawn = draw_poses(self.image, self.keypoints, self.scores, **options)
        if file is not None:
            save_picture(drawn, file)
        return drawn

    def _repr_png_(self) -> bytes:
        """Return the drawn photograph, as notebooks show it."""
        drawn, buffer = self.draw(), io.BytesIO()
        drawn.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
        drawn.save(buffer, "PNG")
        return buffer.getvalue()

    def coco_results(self, image_id: int, category_id: int = 1) -> list[dict[str, Any]]:
        """Return the people as entries of a COCO results file, with the box and, if known, track and joints.

        `joints_3d` are K3 times x, y, z in millimetres, as of the attribute.
        """
        entries = []
        for row, score in enumerate(self.person_scores.tolist()):
            left, top, right, bottom = (round(float(v), 2) for v in self.boxes_xyxy[row])
            joints = np.concatenate([self.keypoints[row], self.scores[row][:, None]], axis=1)
            entry = {
                "image_id": image_id,
                "category_id": category_id,
                "keypoints": [round(float(value), 4) for value in joints.ravel()],
                "score": round(score, 6),
                "bbox": [left, top, round(right - left, 2), round(bottom - top, 2)],
            }
            if self.joints_3d is not None:
                entry["joints_3d"] = [round(float(value), 1) for value in self.joints_3d[row].ravel()]
            if self.track_ids is not None:
                entry["track_id"] = int(self.track_ids[row])
            entries.append(entry)
        return entries


def save_picture(picture: Image.Image, file: str | Path) -> Path:
    """Write a picture, whole or not at all; JPEG without visible loss.

    Raises:
        ValueError: if the ending of the file names no format of images.
        OSError: if it cannot be written.
    """
    kind = Image.registered_extensions().get(Path(file).suffix.lower())
    if kind not in Image.SAVE:
        raise ValueError(f"{file}: the ending names no format of images; use .jpg, .png or .webp")
    options = {"quality": 90} if kind in ("JPEG", "WEBP") else {}
    return write_atomic(file, lambda temporary: picture.save(temporary, kind, **options), flush=False)
