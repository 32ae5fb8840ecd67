"""What hides people: things in front of them, sized to hide a set share of the body.

A thing is a star-shaped outline around an anchor on the body. Growing it about the anchor hides more and
more, so the size for a share is a quantile over the body's pixels, exact up to one pixel, and a higher share
hides everything that a lower one hides.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pctlib.data.procedural.mesh import Mesh
from pctlib.data.procedural.shading import OBJECT, ROW_LENGTH

Array = np.ndarray
Kind = Literal["none", "object", "person", "truncation", "mixed"]
KINDS: tuple[Kind, ...] = ("none", "object", "person", "truncation", "mixed")
_CORNERS = 48


@dataclass(frozen=True)
class Occlusion:
    """How much of the main person is hidden and by what.

    Args:
        kind: "object" (a thing in front), "person" (someone in front), "truncation" (cut by the frame),
            "none", or "mixed": one of these for each picture, with a level drawn between 0 and twice `level`.
        level: share 0..1 of the body's pixels that is hidden ("truncation": outside the frame); never more
            than 0.95 are.

    Raises:
        ValueError: if the kind is unknown or the level outside 0..1.
    """

    kind: Kind = "mixed"
    level: float = 0.25

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"occlusion kind should be one of {KINDS}, got {self.kind!r}")
        if not 0 <= self.level <= 1:
            raise ValueError(f"occlusion level should be within 0..1, got {self.level}")

    def resolve(self, rng: np.random.Generator) -> "Occlusion":
        """Return the occlusion of one picture: "mixed" is decided, the level is cut to 0.95."""
        kind = ("none", "object", "person", "truncation")[rng.choice(4, p=(0.28, 0.34, 0.2, 0.18))]
        share = rng.random()
        if self.kind != "mixed":
            return Occlusion(self.kind, 0.0 if self.kind == "none" else min(self.level, 0.95))
        return Occlusion(kind, 0.0 if kind == "none" else min(2 * self.level * share, 0.95))


def draw_object(
    rng: np.random.Generator, silhouette: Array, *, level: float, depth: float, to_world: Array
) -> Mesh:
    """Draw a thing that hides the share `level` of a body.

    Args:
        rng: where every draw comes from; the draws do not depend on `level`.
        silhouette: [n, 2] the body's pixels (x, y).
        level: share 0..1 of them that is to be covered.
        depth: metres from the camera plane at which it stands.
        to_world: [3, 3] camera -> world, for its normals.
    """
    kind = rng.choice(("box", "pole", "ball", "bush", "panel"), p=(0.3, 0.2, 0.12, 0.2, 0.18))
    anchor = silhouette[rng.integers(len(silhouette))].astype(float)
    angles = np.arange(_CORNERS) * (2 * np.pi / _CORNERS)
    radius = _outline(rng, kind, angles)
    offset = silhouette - anchor
    gauge = np.hypot(*offset.T) / np.interp(
        np.arctan2(offset[:, 1], offset[:, 0]), angles, radius, period=2 * np.pi
    )
    size = max(float(np.quantile(gauge, level)), 1e-3)
    outline = anchor + size * (radius * np.stack([np.cos(angles), np.sin(angles)])).T
    return _flat_mesh(rng, kind, anchor, outline, depth=depth, to_world=to_world)


def _outline(rng: np.random.Generator, kind: str, angles: Array) -> Array:
    """Return the distance [n] of the outline from the anchor at each angle, of mean size about 1."""
    turn = rng.normal(0, 0.12)
    aspect = {
        "box": rng.uniform(0.6, 1.8),
        "pole": rng.uniform(0.02, 0.12),
        "panel": rng.uniform(2.0, 7.0),
    }.get(kind, 1.0)
    cosine, sine = np.abs(np.cos(angles - turn)), np.abs(np.sin(angles - turn))
    rough = 1 + 0.16 * sum(np.sin(k * angles + rng.uniform(0, 6.28)) * rng.normal() for k in (3, 5, 8, 11))
    if kind in ("ball", "bush"):
        return np.ones_like(angles) if kind == "ball" else np.maximum(rough, 0.4)
    half_width, half_height = np.sqrt(aspect), 1 / np.sqrt(aspect)
    return 1 / np.maximum(np.maximum(cosine / half_width, sine / half_height), 1e-6)


def _flat_mesh(
    rng: np.random.Generator, kind: str, anchor: Array, outline: Array, *, depth: float, to_world: Array
) -> Mesh:
    """Return a fan around the anchor; its normals make it look flat, round like a pole, or like a ball."""
    pixels = np.concatenate([anchor[None], outline])
    local = pixels - anchor
    extent = np.maximum(np.abs(local).max(0), 1e-6)
    unit = local / extent
    bulge = {"ball": (1, 1), "bush": (0.8, 0.8), "pole": (1, 0), "box": (0.1, 0.1), "panel": (0, 0)}[kind]
    normals = np.stack(
        [0.95 * bulge[0] * unit[:, 0], 0.95 * bulge[1] * unit[:, 1], -0.35 - 0 * unit[:, 0]], 1
    )
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    row = np.zeros(ROW_LENGTH, np.float32)
    row[:6] = rng.uniform(0.03, 0.75, 3).repeat(2).reshape(3, 2).T.ravel()
    row[3:6] *= rng.uniform(0.2, 1.1)
    if kind == "bush":
        row[:6] = (0.05, 0.16, 0.03, 0.16, 0.34, 0.08)
    row[6:9] = (3 if kind == "bush" else rng.integers(4), rng.uniform(5, 30), rng.integers(1000))
    j = np.arange(_CORNERS)
    # clockwise on the screen with y down is a front face; the outline turns from x to y, so it is reversed
    faces = np.stack([np.zeros(_CORNERS), 1 + (j + 1) % _CORNERS, 1 + j], 1).astype(np.int32)
    return Mesh(
        pixels=np.concatenate([pixels, np.full((len(pixels), 1), depth)], 1).astype(np.float32),
        faces=faces,
        normals=(normals @ to_world.T).astype(np.float32),
        places=np.concatenate([local, np.zeros((len(local), 1))], 1).astype(np.float32),
        regions=np.full(len(faces), OBJECT, np.int32),
        row=row,
    )


def person_offset(front: Array, body: Array, *, level: float, side: int) -> tuple[int, float]:
    """Return how many cells to the right to move someone in front to hide a share of the body, and the share.

    The one in front comes in from the left (`side` -1) or the right (1); the first place where the share is
    reached counts, so a higher share is further in. If none reaches it, the place that hides most.

    Args:
        front: [H, W] bool, cells of the one in front.
        body: [H, W] bool, cells of the body.
        level: share 0..1 of the body's cells.
        side: -1 or 1.
    """
    W = body.shape[1]
    columns = np.flatnonzero(body.any(0))
    first, last = (columns[0], columns[-1] + 1) if len(columns) else (0, 0)
    shifts = np.arange(-W, W + 1)[::-side]
    shares = np.zeros(len(shifts))
    for i, shift in enumerate(shifts):
        a, b = max(first, shift), min(last, W + shift)
        if a < b:
            shares[i] = np.count_nonzero(front[:, a - shift : b - shift] & body[:, a:b])
    shares /= max(np.count_nonzero(body), 1)
    best = (shares >= level).argmax() if (shares >= level).any() else shares.argmax()
    return int(shifts[best]), float(shares[best])
