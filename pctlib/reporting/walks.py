"""Poses to play with in a page: choose a token and an entry, and the pose moves as the decoder moves it.

A page cannot decode, so what the decoder says of every choice is in the page: whole numbers of two bytes.
"""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from pctlib.reporting.images import webp_uri
from pctlib.skeletons import Skeleton

_SCRIPT = Path(__file__).parent / "templates" / "walks.js"
SIDE = 1000  # whole numbers along a side of the frame
_ROOM = 0.65  # half the frame, per extent of the pose
_LARGEST = np.iinfo(np.int16).max
_MISSING = -_LARGEST - 1  # in place of a joint that is not known


@cache
def walks_script() -> str:
    """Return the script that brings every explorer of a page to life."""
    return _SCRIPT.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Walk:
    """What becomes of a pose step by step, such as with each entry of one token.

    Attributes:
        name: of the token, or of what else steps.
        entries: what each step is called, the pose itself first.
        keypoints: [steps, K, 2] what the decoder gives, x right, y down, the pose itself first; NaN where a
            joint is not known.
    """

    name: str
    entries: Sequence[str]
    keypoints: np.ndarray


@dataclass(frozen=True)
class Backdrop:
    """Square pictures behind a pose, one for each step after the pose itself.

    Attributes:
        images: [steps - 1, S, S, 3] uint8 RGB.
        scale: length of a pixel, in the unit of the keypoints, which are 0 at the centre of the first one.
    """

    images: np.ndarray
    scale: float = 1.0


@dataclass(frozen=True)
class WalkExplorer:
    """Poses that a reader changes by two choices and a slider, in a report and in JupyterLab.

    Attributes:
        label: what is shown, for those who do not see it.
        poses: name -> its walks.
        skeleton: the keypoint set.
        unit: of the keypoints.
        controls: what pose, walk and step are called.
        backdrops: name of a pose -> its pictures.

    Raises:
        ValueError: if there is no pose or walk, a walk has not [steps, K, 2] keypoints, or a pose has not a
            picture for each step.
    """

    label: str
    poses: Mapping[str, Sequence[Walk]]
    skeleton: Skeleton
    unit: str = "px"
    controls: tuple[str, str, str] = ("Pose", "Token", "Entry")
    backdrops: Mapping[str, Backdrop] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.poses or not all(self.poses.values()):
            raise ValueError("poses: expected at least one, each with at least one walk")
        for pose, walks in self.poses.items():
            for walk in walks:
                expected = (len(walk.entries), self.skeleton.num_keypoints, 2)
                where = f"pose {pose!r}, {walk.name!r}"
                if walk.keypoints.shape != expected or not len(walk.entries):
                    raise ValueError(f"{where}: expected {expected}, got {walk.keypoints.shape}")
                if np.isinf(walk.keypoints).any() or np.isnan(walk.keypoints).all():
                    raise ValueError(f"{where}: keypoints must be finite, or NaN where one is not known")
                behind = self.backdrops.get(pose)
                if behind is not None and len(behind.images) != len(walk.entries) - 1:
                    raise ValueError(
                        f"{where}: expected {len(walk.entries) - 1} pictures, got {len(behind.images)}"
                    )

    def data(self) -> str:
        """Return all as JSON; keypoints are base64 of little-endian int16, in the frame of their pose."""
        limbs = [
            [*limb, color] for limb, color in zip(self.skeleton.limbs, self.skeleton.limb_colors, strict=True)
        ]
        joints = [name.replace("_", " ") for name in self.skeleton.keypoint_names]
        poses = [_pose_data(name, walks, self.backdrops.get(name)) for name, walks in self.poses.items()]
        known = {
            "label": self.label,
            "controls": self.controls,
            "unit": self.unit,
            "side": SIDE,
            "joints": joints,
            "limbs": limbs,
        }
        return json.dumps(known | {"poses": poses}, separators=(",", ":"))

    def _repr_html_(self) -> str:
        """Return the element and its script; a report takes the script from its own page."""
        element = (
            f'<div class="walks" data-walks="{html.escape(self.data(), quote=True)}">'
            f"<noscript>{html.escape(self.label)}: this needs JavaScript.</noscript></div>"
        )
        return f"{element}<script>{walks_script()}</script>"


def _pose_data(name: str, walks: Sequence[Walk], backdrop: Backdrop | None) -> dict[str, object]:
    """Return a pose in its frame, which stands still whatever moves; `step` is the length of one number."""
    centre, reach = _pose_frame(walks[0].keypoints[0]) if backdrop is None else _picture_frame(backdrop)
    step = 2 * reach / SIDE
    points = np.concatenate([walk.keypoints for walk in walks])
    whole = np.rint((points - centre + reach) / step).clip(-_LARGEST, _LARGEST)
    whole = np.where(np.isnan(points), _MISSING, whole).astype("<i2")
    tokens = [{"name": walk.name, "entries": list(walk.entries)} for walk in walks]
    return {
        "name": name,
        "step": float(f"{step:.6g}"),
        "tokens": tokens,
        "points": base64.b64encode(whole.tobytes()).decode("ascii"),
        "pictures": [] if backdrop is None else [webp_uri(image) for image in backdrop.images],
    }


def _pose_frame(own: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the centre [2] of the frame around a pose [K, 2], and half its side."""
    low, high = np.nanmin(own, axis=0), np.nanmax(own, axis=0)
    return (low + high) / 2, _ROOM * max(1e-6, float((high - low).max()))


def _picture_frame(backdrop: Backdrop) -> tuple[np.ndarray, float]:
    """Return the centre [2] of square pictures, whose first pixel is centred at 0, and half a side."""
    side = backdrop.images.shape[1]
    return np.full(2, (side - 1) / 2 * backdrop.scale), side / 2 * backdrop.scale
