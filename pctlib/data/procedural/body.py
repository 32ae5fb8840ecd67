"""The embedded low-poly body, written in the SMPL-X file format.

Geometry comes from `parts`; here it gets what a body model needs besides: shape and expression directions, a
joint regressor, face landmarks and contour, named vertices.
"""

import functools
from pathlib import Path

import numpy as np

from pctlib.body_model import JOINT_NAMES, NAMED_VERTICES, BodyModel
from pctlib.data.procedural.lofts import Array, smoothstep, vertex_normals
from pctlib.data.procedural.parts import EAR, EYE, JOINTS, NOSE_TIP, all_parts
from pctlib.io import write_atomic

PARENTS = (
    *(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15),
    *(
        p
        for wrist, first in ((20, 25), (21, 40))
        for f in range(5)
        for p in (wrist, first + 3 * f, first + 3 * f + 1)
    ),
)
MOUTH_Y = 1.553
# What one standard deviation of each shape coefficient does.
SHAPE_NAMES = (
    *("stature", "girth", "leg_length", "arm_length", "shoulder_breadth"),
    *("hip_breadth", "belly", "chest", "limb_girth", "head_size"),
)
EXPRESSION_NAMES = (
    *("mouth_open", "smile", "brows_up", "brows_down", "cheeks"),
    *("lips_forward", "chin_forward", "nose_up", "jaw_left", "face_wide"),
)


def build_body() -> dict[str, Array]:
    """Return the fields of the embedded body: about 2500 vertices in T pose, metres, soles at y = 0.

    The extra fields are `named_vertex_ids` [21] (`pctlib.body_model.NAMED_VERTICES`), `part_names` and
    `part_ids` [V] (which piece of the body a vertex belongs to).
    """
    parts = all_parts()
    vertices = np.concatenate([part.vertices for part in parts.values()])
    starts = dict(zip(parts, np.cumsum([0, *(len(part.vertices) for part in parts.values())]), strict=False))
    faces = np.concatenate([part.faces + starts[name] for name, part in parts.items()])
    part_ids = np.concatenate([np.full(len(part.vertices), i) for i, part in enumerate(parts.values())])
    landmark_faces, landmark_weights = _on_surface(_landmark_rays(), vertices, faces, starts)
    contour_faces, contour_weights = _on_surface(_contour_rays(), vertices, faces, starts)
    shape = _shape_directions(vertices, vertex_normals(vertices, faces), part_ids, list(parts))
    fields = {
        "v_template": vertices,
        "f": faces.astype(np.int32),
        "shapedirs": np.concatenate([shape, _expression_directions(vertices, part_ids, list(parts))], axis=2),
        "posedirs": np.zeros((len(vertices), 3, 486), np.float32),
        "J_regressor": _joint_regressor(vertices, part_ids, list(parts)),
        "weights": np.concatenate([part.weights for part in parts.values()]),
        "kintree_table": np.stack([PARENTS, np.arange(55)]),
        "lmk_faces_idx": landmark_faces,
        "lmk_bary_coords": landmark_weights,
        "dynamic_lmk_faces_idx": contour_faces.reshape(79, 17),
        "dynamic_lmk_bary_coords": contour_weights.reshape(79, 17, 3),
        "named_vertex_ids": _named_vertices(parts, starts),
        "part_ids": part_ids,
        "part_names": np.array(list(parts)),
    }
    for side in "lr":
        fields[f"hands_components{side}"] = np.eye(45)
        fields[f"hands_mean{side}"] = np.zeros(45)
    return {name: v.astype(np.float32) if v.dtype == np.float64 else v for name, v in fields.items()}


def write_body(path: str | Path) -> Path:
    """Write the embedded body as an SMPL-X npz file; the same bytes every time."""
    fields = build_body()

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:  # a stream: np.savez would add .npz to the temporary name
            np.savez_compressed(stream, **fields)

    return write_atomic(path, write)


@functools.cache
def embedded_body() -> BodyModel:
    """Return the embedded body as a model with flat hands; made once per process."""
    return BodyModel(build_body(), flat_hand=True, source="embedded body")


def _joint_regressor(vertices: Array, part_ids: Array, names: list[str]) -> Array:
    """Return [55, V]: each joint as the affine combination of near vertices with the smallest weights.

    Rings around a joint move with the shape, and so does the joint.
    """
    regressor = np.zeros((len(JOINT_NAMES), len(vertices)))
    for row, joint in zip(regressor, JOINT_NAMES, strict=True):
        position = np.array(JOINTS[joint])
        part, count = _part_of(joint)
        members = np.flatnonzero(part_ids == names.index(part))
        distance = np.linalg.norm(vertices[members] - position, axis=1)
        near = members[np.argsort(distance, kind="stable")[:count]]
        system = np.vstack([vertices[near].T, np.ones(len(near))])  # [4, n]
        row[near] = np.linalg.pinv(system) @ np.append(position, 1)
    return regressor


def _part_of(joint: str) -> tuple[str, int]:
    """Return the piece a joint is regressed from and the number of vertices."""
    side, _, rest = joint.partition("_")
    if rest in ("shoulder", "elbow", "wrist"):
        return f"{side}_arm", 36
    if rest in ("hip", "knee", "ankle"):
        return f"{side}_leg", 42
    if rest == "eye":
        return f"{side}_eye", 20
    if rest == "foot":
        return f"{side}_foot", 30
    if joint in ("head", "jaw"):
        return "head", 96
    if rest[:-1] in ("index", "middle", "ring", "pinky", "thumb"):
        return f"{side}_{rest[:-1]}", 18
    return "torso", 80


def _shape_directions(vertices: Array, normals: Array, part_ids: Array, names: list[str]) -> Array:
    """Return [V, 3, 10]: displacements in metres for one unit of each of SHAPE_NAMES."""
    x, y, _ = vertices.T
    kind = np.array([name.split("_")[-1] for name in names])[part_ids]
    arm = np.isin(kind, ("arm", "index", "middle", "ring", "pinky", "thumb"))
    leg, foot, head = kind == "leg", kind == "foot", np.isin(kind, ("head", "nose", "ear", "eye"))
    trunk = (kind == "torso") * smoothstep((1.49 - y) / 0.05)
    outward = normals * np.array([1, 0.2, 1])
    zero, side = np.zeros_like(x), np.sign(x)
    fat = trunk + 0.5 * leg * smoothstep((y - 0.1) / 0.4) + 0.35 * arm * smoothstep((0.66 - abs(x)) / 0.2)
    limb = leg * smoothstep((y - 0.08) / 0.1) + arm * smoothstep((0.68 - abs(x)) / 0.06)
    below_hip = np.minimum(y - 0.90, 0) * (1.0 * leg + foot)
    beyond = np.maximum(abs(x) - 0.19, 0) * arm
    shoulders = side * (arm + (kind == "torso") * smoothstep((y - 1.22) / 0.1) * smoothstep(abs(x) / 0.12))
    hips = side * ((leg + foot) + trunk * smoothstep((1.10 - y) / 0.15) * smoothstep(abs(x) / 0.1))
    front = np.maximum(normals[:, 2], 0) * (kind == "torso")
    center = np.array([0, 1.55, 0])
    directions = [
        0.038 * (vertices - (0, 0.95, 0)),
        0.014 * fat[:, None] * outward,
        0.035 * np.stack([zero, below_hip, zero], 1),
        0.035 * np.stack([side * beyond, zero, zero], 1),
        0.009 * np.stack([shoulders, zero, zero], 1),
        0.008 * np.stack([hips, zero, zero], 1),
        0.016 * np.stack([zero, zero, front * np.exp(-(((y - 1.08) / 0.09) ** 2))], 1),
        0.013 * np.stack([zero, zero, front * np.exp(-(((y - 1.29) / 0.06) ** 2))], 1),
        0.0045 * limb[:, None] * outward,
        0.030 * head[:, None] * (vertices - center),
    ]
    return np.stack(directions, axis=2)


def _expression_directions(vertices: Array, part_ids: Array, names: list[str]) -> Array:
    """Return [V, 3, 10]: displacements of the face in metres for one unit of each of EXPRESSION_NAMES."""
    x, y, z = vertices.T
    face = (part_ids == names.index("head")) * smoothstep((z - 0.03) / 0.03)
    zero = np.zeros_like(x)

    def bump(at_x: float, at_y: float, width: float) -> Array:
        return face * np.exp(-(((abs(x) - at_x) ** 2 + (y - at_y) ** 2) / width**2))

    nose = 1.0 * (part_ids == names.index("nose"))
    lower = face * smoothstep((MOUTH_Y - y) / 0.015)
    side = np.sign(x)
    directions = [
        0.006 * np.stack([zero, -lower, zero], 1),
        0.003 * np.stack([side * bump(0.03, MOUTH_Y, 0.02), bump(0.03, MOUTH_Y, 0.02), zero], 1),
        0.003 * np.stack([zero, bump(0.03, 1.643, 0.02), zero], 1),
        -0.003 * np.stack([zero, bump(0.015, 1.643, 0.02), zero], 1),
        0.004 * np.stack([zero, zero, bump(0.045, 1.58, 0.025)], 1),
        0.004 * np.stack([zero, zero, bump(0.0, MOUTH_Y, 0.02)], 1),
        0.005 * np.stack([zero, zero, lower], 1),
        0.003 * np.stack([zero, nose, zero], 1),
        0.004 * np.stack([lower, zero, zero], 1),
        0.003 * np.stack([side * bump(0.05, 1.58, 0.04), zero, zero], 1),
    ]
    return np.stack(directions, axis=2)


def _named_vertices(parts: dict, starts: dict[str, int]) -> Array:
    """Return the ids [21] of NAMED_VERTICES."""
    ids = []
    for name in NAMED_VERTICES:
        side, _, rest = name.partition("_")
        sign = -1 if side == "right" else 1
        if name == "nose":
            part, target = "nose", NOSE_TIP
        elif rest.endswith("tip"):
            ids.append(starts[f"{side}_{rest[:-4]}"] + len(parts[f"{side}_{rest[:-4]}"].vertices) - 1)
            continue
        else:
            place = {
                "eye": EYE + np.array([0, 0, 0.0145]),
                "ear": EAR + np.array([0.012, 0, -0.006]),
                "big_toe": np.array([0.099, 0.018, 0.165]),
                "small_toe": np.array([0.160, 0.018, 0.125]),
                "heel": np.array([0.104, 0.025, -0.08]),
            }
            part = f"{side}_{rest if rest in ('eye', 'ear') else 'foot'}"
            target = place[rest] * (sign, 1, 1)
        distance = np.linalg.norm(parts[part].vertices - target, axis=1)
        ids.append(starts[part] + int(distance.argmin()))
    return np.array(ids)


def _landmark_rays() -> tuple[Array, Array]:
    """Return origins and directions [51, 3] that hit the face at the iBUG landmarks 17-67."""
    brow = [(0.056, 1.632), (0.048, 1.641), (0.037, 1.645), (0.026, 1.643), (0.015, 1.638)]
    places = [(-x, y) for x, y in brow] + brow[::-1]
    places += [(0, 1.628), (0, 1.614), (0, 1.601), (0, 1.588)]
    places += [(-0.014, 1.580), (-0.007, 1.577), (0, 1.5755), (0.007, 1.577), (0.014, 1.580)]
    eye = [(0.046, 1.618), (0.037, 1.623), (0.027, 1.623), (0.018, 1.617), (0.027, 1.613), (0.037, 1.613)]
    places += [(-x, y) for x, y in eye]
    places += [eye[i] for i in (3, 2, 1, 0, 5, 4)]
    outer = [
        (-0.026, 0),
        (-0.017, 0.006),
        (-0.007, 0.009),
        (0, 0.008),
        (0.007, 0.009),
        (0.017, 0.006),
        (0.026, 0),
    ]
    outer += [(0.016, -0.008), (0.008, -0.011), (0, -0.012), (-0.008, -0.011), (-0.016, -0.008)]
    inner = [
        (-0.021, 0),
        (-0.008, 0.003),
        (0, 0.003),
        (0.008, 0.003),
        (0.021, 0),
        (0.008, -0.004),
        (0, -0.004),
    ]
    places += [(x, MOUTH_Y + y) for x, y in (*outer, *inner, (-0.008, -0.004))]
    origins = np.array([(x, y, 0.0) for x, y in places])
    return origins, np.broadcast_to([0.0, 0.0, 1.0], origins.shape)


def _contour_rays() -> tuple[Array, Array]:
    """Return origins and directions [79 * 17, 3] from the head's axis to the outline of the face.

    Row r < 40 belongs to a neck turned r degrees to its right, so the outline moves to the person's left.
    """
    step = np.arange(17)
    height = 1.503 + 0.107 * (np.abs(step - 8) / 8) ** 1.4
    azimuth = (
        np.sign(step - 8) * 86 * (np.abs(step - 8) / 8) ** 0.55
    )  # degrees; negative is the person's right
    rows = np.array([*range(40), *range(-1, -40, -1)])
    turned = np.deg2rad(azimuth[None] + rows[:, None] * np.minimum(np.abs(step - 8) / 3, 1))  # [79, 17]
    origins = np.stack([np.zeros(17), height, np.full(17, 0.045)], 1)
    origins[np.abs(step - 8) > 3, 2] = 0.0
    directions = np.stack([np.sin(turned), np.zeros_like(turned), np.cos(turned)], -1)
    return np.tile(origins, (79, 1)), directions.reshape(-1, 3)


def _on_surface(
    rays: tuple[Array, Array], vertices: Array, faces: Array, starts: dict
) -> tuple[Array, Array]:
    """Return the face [n] and barycentric weights [n, 3] where each ray leaves the head and nose."""
    head = np.flatnonzero((faces[:, 0] >= starts["head"]) & (faces[:, 0] < starts["left_arm"]))
    a, b, c = np.moveaxis(vertices[faces[head]], 1, 0)  # each [m, 3]
    hits, weights = [], []
    for origin, direction in zip(*rays, strict=True):
        across = np.cross(direction, c - a)
        determinant = np.einsum("md,md->m", b - a, across)
        safe = np.where(np.abs(determinant) < 1e-12, np.inf, determinant)
        u = np.einsum("md,md->m", origin - a, across) / safe
        turned = np.cross(origin - a, b - a)
        v = turned @ direction / safe
        distance = np.einsum("md,md->m", c - a, turned) / safe
        inside = (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9) & (distance > 0)
        assert inside.any(), (origin, direction)
        face = np.where(inside, distance, -1).argmax()
        hits.append(head[face])
        weights.append((1 - u[face] - v[face], u[face], v[face]))
    return np.array(hits), np.array(weights)
