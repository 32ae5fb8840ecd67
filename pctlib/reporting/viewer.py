"""Figures in 3D that a reader can turn, in a report and in JupyterLab: lines or faces on a plain canvas.

Neither WebGL nor a library is needed; a picture inside stands where no script runs.
"""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

_SCRIPT = Path(__file__).parent / "templates" / "viewer.js"
_LARGEST = 10_000  # from the middle; larger numbers are another unit


@cache
def viewer_script() -> str:
    """Return the script that brings every scene of a page to life."""
    return _SCRIPT.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Scene:
    """Figures of one topology, each in several layers, such as the true pose and what a method found.

    Attributes:
        label: what is shown, for those who do not see it.
        figures: name -> layer -> points [P, 3], millimetres around the middle, x right, y down, z away. All
            figures have the same layers.
        colors: layer -> colour, as "#rrggbb".
        lines: pairs of points.
        faces: triples of points.
        picture: PNG that stands where no script runs.

    Raises:
        ValueError: if there is no figure, layers differ, or a point is not finite or too far from the middle.
    """

    label: str
    figures: Mapping[str, Mapping[str, np.ndarray]]
    colors: Mapping[str, str]
    lines: Sequence[tuple[int, int]] = ()
    faces: Sequence[tuple[int, int, int]] = ()
    picture: bytes = b""

    def __post_init__(self) -> None:
        if not self.figures:
            raise ValueError("figures: expected at least one, got none")
        largest = max((max(piece) for piece in (*self.lines, *self.faces)), default=-1)
        for name, layers in self.figures.items():
            if list(layers) != list(self.colors):
                raise ValueError(
                    f"figure {name!r}: expected the layers {list(self.colors)}, got {list(layers)}"
                )
            for layer, points in layers.items():
                _check_points(np.asarray(points), f"figure {name!r}, layer {layer!r}", largest)

    def data(self) -> str:
        """Return the scene as JSON, points in whole millimetres."""
        figures = [
            {"name": name, "layers": [self._layer(layer, points) for layer, points in layers.items()]}
            for name, layers in self.figures.items()
        ]
        flat = {key: np.ravel(getattr(self, key)).astype(int).tolist() for key in ("lines", "faces")}
        return json.dumps({"label": self.label, "figures": figures} | flat, separators=(",", ":"))

    def _layer(self, name: str, points: np.ndarray) -> dict[str, object]:
        flat = np.rint(points).astype(int).ravel().tolist()
        return {"name": name, "color": self.colors[name], "points": flat}

    def _repr_html_(self) -> str:
        """Return the element and its script; a report takes the script from its own page."""
        source = base64.b64encode(self.picture).decode()
        picture = (
            f'<img alt="{html.escape(self.label)}" src="data:image/png;base64,{source}">' if source else ""
        )
        scene = f'<div class="viewer" data-scene="{html.escape(self.data(), quote=True)}">{picture}</div>'
        return f"{scene}<script>{viewer_script()}</script>"


def _check_points(points: np.ndarray, where: str, largest: int) -> None:
    if points.ndim != 2 or points.shape[1] != 3 or len(points) <= largest:
        raise ValueError(f"{where}: expected points [{largest + 1} or more, 3], got {list(points.shape)}")
    if not np.isfinite(points).all() or np.abs(points).max(initial=0) > _LARGEST:
        raise ValueError(f"{where}: points must be finite and within {_LARGEST} mm of the middle")
