"""The pieces of the low-poly body, as rings of hand-set sizes (metres; T pose, y up, facing +z, left is +x).

Sizes follow the mean adult of common anthropometric tables (stature 1.73 m, bideltoid breadth 0.46 m, hand
0.18 m, foot 0.25 m).

Long, as it is a table.
"""

import numpy as np

from pctlib.body_model import JOINT_NAMES
from pctlib.data.procedural.lofts import Array, Part, chain_weights, loft, ring, smoothstep

X, Y, Z = np.eye(3)
J = {name: i for i, name in enumerate(JOINT_NAMES)}

# name -> position of the joints of the trunk and the left side
JOINTS = {
    "pelvis": (0, 0.95, -0.01),
    "spine1": (0, 1.06, -0.02),
    "spine2": (0, 1.18, -0.02),
    "spine3": (0, 1.26, -0.015),
    "neck": (0, 1.455, -0.02),
    "head": (0, 1.535, 0.005),
    "jaw": (0, 1.565, 0.015),
    "left_eye": (0.032, 1.618, 0.070),
    "left_collar": (0.05, 1.385, -0.015),
    "left_shoulder": (0.172, 1.405, -0.02),
    "left_elbow": (0.435, 1.40, -0.025),
    "left_wrist": (0.685, 1.40, -0.02),
    "left_hip": (0.085, 0.885, -0.01),
    "left_knee": (0.10, 0.485, -0.005),
    "left_ankle": (0.105, 0.085, -0.02),
    "left_foot": (0.118, 0.025, 0.10),
}
# finger -> position of its first joint, its unit direction, the lengths of its three bones, radius at its
# root
_FINGERS = {
    "index": ((0.780, 1.399, 0.008), (0.995, -0.03, 0.09), (0.042, 0.025, 0.021), 0.0094),
    "middle": ((0.784, 1.400, -0.014), (1.0, -0.03, 0.01), (0.046, 0.029, 0.022), 0.0096),
    "ring": ((0.779, 1.399, -0.035), (0.996, -0.03, -0.06), (0.042, 0.027, 0.021), 0.0092),
    "pinky": ((0.769, 1.397, -0.054), (0.985, -0.03, -0.15), (0.033, 0.020, 0.018), 0.0082),
    "thumb": ((0.712, 1.392, 0.012), (0.66, -0.19, 0.73), (0.042, 0.033, 0.027), 0.0120),
}
for _name, (_root, _direction, _bones, _) in _FINGERS.items():
    _unit = np.asarray(_direction) / np.linalg.norm(_direction)
    for _i, _reach in enumerate(np.cumsum((0, *_bones[:2]))):
        JOINTS[f"left_{_name}{_i + 1}"] = tuple(np.asarray(_root) + _reach * _unit)
JOINTS |= {
    f"right_{name[5:]}": (-p[0], p[1], p[2]) for name, p in list(JOINTS.items()) if name.startswith("left_")
}
_OTHER = {"left": "right", "right": "left"}
JOINT_MIRROR = [
    J[
        f"{_OTHER[side]}_{rest}"
        if (side := name.split("_")[0]) in _OTHER and (rest := name.split("_", 1)[1])
        else name
    ]
    for name in JOINT_NAMES
]

# y, half width, front z, back z, power of the superellipse
_TORSO = (
    (0.805, 0.040, 0.040, -0.050, 2.0),
    (0.825, 0.085, 0.068, -0.090, 2.1),
    (0.855, 0.132, 0.088, -0.122, 2.2),
    (0.890, 0.160, 0.097, -0.135, 2.3),
    (0.930, 0.168, 0.101, -0.134, 2.3),
    (0.970, 0.163, 0.102, -0.124, 2.3),
    (1.015, 0.151, 0.101, -0.112, 2.3),
    (1.060, 0.140, 0.099, -0.104, 2.3),
    (1.105, 0.135, 0.097, -0.102, 2.3),
    (1.150, 0.138, 0.098, -0.106, 2.3),
    (1.195, 0.147, 0.103, -0.114, 2.3),
    (1.240, 0.157, 0.109, -0.121, 2.3),
    (1.280, 0.165, 0.112, -0.126, 2.3),
    (1.320, 0.170, 0.108, -0.128, 2.3),
    (1.355, 0.172, 0.098, -0.127, 2.3),
    (1.390, 0.164, 0.082, -0.119, 2.2),
    (1.420, 0.140, 0.062, -0.106, 2.1),
    (1.443, 0.103, 0.046, -0.092, 2.0),
    (1.462, 0.073, 0.038, -0.080, 2.0),
    (1.485, 0.057, 0.037, -0.068, 2.0),
    (1.515, 0.052, 0.042, -0.062, 2.0),
    (1.550, 0.051, 0.044, -0.060, 2.0),
)
# x, half height, half depth, centre y, centre z
_ARM = (
    (0.095, 0.030, 0.032, 1.392, -0.02),
    (0.125, 0.054, 0.052, 1.392, -0.02),
    (0.155, 0.064, 0.060, 1.393, -0.02),
    (0.185, 0.064, 0.061, 1.394, -0.02),
    (0.215, 0.058, 0.057, 1.396, -0.021),
    (0.250, 0.052, 0.053, 1.397, -0.021),
    (0.300, 0.049, 0.051, 1.397, -0.022),
    (0.350, 0.047, 0.049, 1.398, -0.023),
    (0.395, 0.042, 0.044, 1.399, -0.024),
    (0.435, 0.039, 0.042, 1.400, -0.026),
    (0.475, 0.041, 0.044, 1.400, -0.023),
    (0.520, 0.041, 0.043, 1.400, -0.021),
    (0.570, 0.036, 0.038, 1.400, -0.020),
    (0.620, 0.029, 0.032, 1.400, -0.020),
    (0.660, 0.024, 0.028, 1.400, -0.020),
    (0.690, 0.021, 0.028, 1.400, -0.020),
    (0.715, 0.019, 0.034, 1.400, -0.019),
    (0.740, 0.018, 0.041, 1.400, -0.020),
    (0.765, 0.016, 0.043, 1.400, -0.022),
    (0.785, 0.013, 0.041, 1.400, -0.023),
)
# y, half width, half depth, centre x, centre z
_LEG = (
    (0.935, 0.050, 0.060, 0.082, -0.012),
    (0.905, 0.075, 0.088, 0.086, -0.014),
    (0.870, 0.086, 0.100, 0.090, -0.016),
    (0.825, 0.089, 0.102, 0.092, -0.015),
    (0.775, 0.086, 0.097, 0.094, -0.010),
    (0.715, 0.080, 0.089, 0.096, -0.005),
    (0.655, 0.073, 0.081, 0.098, 0.000),
    (0.595, 0.066, 0.073, 0.099, 0.002),
    (0.540, 0.060, 0.066, 0.100, 0.001),
    (0.500, 0.057, 0.063, 0.100, 0.002),
    (0.465, 0.055, 0.060, 0.100, -0.003),
    (0.425, 0.053, 0.058, 0.101, -0.012),
    (0.375, 0.054, 0.060, 0.102, -0.020),
    (0.325, 0.052, 0.058, 0.103, -0.024),
    (0.265, 0.045, 0.050, 0.104, -0.023),
    (0.205, 0.037, 0.041, 0.105, -0.021),
    (0.150, 0.033, 0.037, 0.105, -0.020),
    (0.105, 0.034, 0.041, 0.105, -0.018),
    (0.070, 0.034, 0.046, 0.105, -0.014),
)
# z, half width, half height, centre y, centre x
_FOOT = (
    (-0.072, 0.020, 0.024, 0.032, 0.104),
    (-0.060, 0.029, 0.036, 0.040, 0.104),
    (-0.035, 0.034, 0.048, 0.050, 0.105),
    (0.000, 0.036, 0.050, 0.052, 0.107),
    (0.035, 0.039, 0.043, 0.044, 0.110),
    (0.070, 0.044, 0.033, 0.034, 0.114),
    (0.105, 0.047, 0.025, 0.026, 0.118),
    (0.135, 0.044, 0.020, 0.021, 0.120),
    (0.160, 0.034, 0.016, 0.017, 0.119),
    (0.172, 0.018, 0.010, 0.013, 0.117),
)
# y, half width, front z, back z
_HEAD = (
    (1.500, 0.020, 0.072, 0.020),
    (1.506, 0.035, 0.084, -0.005),
    (1.518, 0.047, 0.091, -0.030),
    (1.534, 0.056, 0.092, -0.052),
    (1.552, 0.062, 0.092, -0.068),
    (1.570, 0.067, 0.092, -0.079),
    (1.590, 0.071, 0.091, -0.087),
    (1.608, 0.073, 0.088, -0.092),
    (1.624, 0.0745, 0.088, -0.095),
    (1.640, 0.0755, 0.094, -0.097),
    (1.660, 0.0755, 0.092, -0.097),
    (1.680, 0.073, 0.085, -0.093),
    (1.700, 0.066, 0.072, -0.083),
    (1.716, 0.053, 0.053, -0.066),
    (1.727, 0.034, 0.029, -0.043),
)
NOSE_TIP = np.array([0, 1.586, 0.117])
EYE = np.array(JOINTS["left_eye"])
EAR = np.array([0.076, 1.605, -0.012])


def torso() -> Part:
    """Return trunk and neck: 20 points a ring, rigid parts blended along y and towards the collar bones."""
    rings = []
    for y, half_width, front, back, power in _TORSO:
        center = np.array([0, y, (front + back) / 2])
        rings.append(ring(center, Z, X, (front - back) / 2, half_width, count=20, power=power))
    vertices, faces = loft(np.stack(rings))
    joints = [J[name] for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")]
    weights = chain_weights(
        vertices[:, 1], joints, (1.06, 1.18, 1.26, 1.452, 1.53), (0.06, 0.05, 0.04, 0.03, 0.025)
    )
    for side, sign in (("left", 1), ("right", -1)):
        share = (
            0.75
            * smoothstep((sign * vertices[:, 0] - 0.05) / 0.10)
            * smoothstep((vertices[:, 1] - 1.30) / 0.10)
        )
        weights *= 1 - share[:, None]
        weights[:, J[f"{side}_collar"]] += share
    return Part(vertices, faces, weights)


def left_arm() -> Part:
    """Return arm and palm, 12 points a ring."""
    rings = [
        ring(np.array([x, y, z]), Y, Z, h, d, count=12, power=2.3 if x > 0.7 else 2.0)
        for x, h, d, y, z in _ARM
    ]
    vertices, faces = loft(np.stack(rings), end_tip=np.array([0.792, 1.4, -0.023]))
    joints = [J[f"left_{name}"] for name in ("collar", "shoulder", "elbow", "wrist")]
    return Part(
        vertices, faces, chain_weights(vertices[:, 0], joints, (0.155, 0.435, 0.685), (0.045, 0.04, 0.03))
    )


def left_leg() -> Part:
    """Return the leg without the foot, 14 points a ring."""
    rings = [ring(np.array([x, y, z]), X, Z, w, d, count=14) for y, w, d, x, z in _LEG]
    vertices, faces = loft(np.stack(rings))
    joints = [J["pelvis"], *(J[f"left_{name}"] for name in ("hip", "knee", "ankle"))]
    weights = chain_weights(-vertices[:, 1], joints, (-0.905, -0.485, -0.09), (0.05, 0.05, 0.03))
    return Part(vertices, faces, weights)


def left_foot() -> Part:
    """Return the foot, 10 points a ring, with a flat sole at y = 0."""
    rings = [ring(np.array([x, y, z]), X, Y, w, h, count=10, power=2.4) for z, w, h, y, x in _FOOT]
    vertices, faces = loft(np.stack(rings))
    vertices[:, 1] = np.maximum(vertices[:, 1], 0)
    joints = [J["left_ankle"], J["left_foot"]]
    return Part(vertices, faces, chain_weights(vertices[:, 2], joints, (0.10,), (0.03,)))


def head() -> Part:
    """Return the skull and face, 24 points a ring; chin and lower lip follow the jaw."""
    rings = []
    for y, half_width, front, back in _HEAD:
        middle = 0.35 * front + 0.65 * back  # the widest place is behind the ears
        points = ring(np.array([0, y, middle]), Z, X, 1.0, half_width, count=24, power=2.15)
        depth = points[:, 2] - middle
        points[:, 2] = middle + depth * np.where(depth > 0, front - middle, middle - back)
        rings.append(points)
    vertices, faces = loft(
        np.stack(rings), start_tip=np.array([0, 1.497, 0.045]), end_tip=np.array([0, 1.731, -0.008])
    )
    weights = np.zeros((len(vertices), 55))
    jaw = smoothstep((1.560 - vertices[:, 1]) / 0.02) * smoothstep((vertices[:, 2] - 0.0) / 0.05)
    weights[:, J["jaw"]], weights[:, J["head"]] = jaw, 1 - jaw
    return Part(vertices, faces, weights)


def nose() -> Part:
    """Return the wedge of the nose; vertex 1 is its tip."""
    vertices = np.array(
        [(0, 1.632, 0.088), NOSE_TIP, (0.018, 1.578, 0.086), (-0.018, 1.578, 0.086), (0, 1.573, 0.093)]
    )
    faces = np.array([(0, 1, 2), (0, 3, 1), (2, 1, 4), (4, 1, 3)])
    return Part(vertices, faces, _rigid(len(vertices), "head"))


def left_ear() -> Part:
    """Return a flat shell at the side of the head, leaning back."""
    rings = [
        ring(EAR + np.array([dx, 0, dz]), Y, Z, 0.031 * s, 0.017 * s, count=8)
        for dx, dz, s in ((-0.012, 0.004, 0.8), (0, 0, 1.0), (0.011, -0.006, 0.9))
    ]
    vertices, faces = loft(np.stack(rings))
    return Part(vertices, faces, _rigid(len(vertices), "head"))


def left_eye() -> Part:
    """Return the front of the eyeball; its last vertex is the pupil."""
    radius = 0.0145
    rings = [
        ring(EYE + radius * np.cos(a) * Z, X, Y, radius * np.sin(a), radius * np.sin(a), count=6)
        for a in (1.3, 0.85, 0.4)
    ]
    vertices, faces = loft(np.stack(rings), start_tip=EYE, end_tip=EYE + radius * Z)
    return Part(vertices, faces, _rigid(len(vertices), "left_eye"))


def left_finger(name: str) -> Part:
    """Return one finger, 6 points a ring; its last vertex is the tip."""
    root, direction, bones, radius = _FINGERS[name]
    along = np.asarray(direction) / np.linalg.norm(direction)
    v = np.cross(along, Y)
    v /= np.linalg.norm(v)
    u = np.cross(v, along)
    ends = np.cumsum(bones)
    places = (-0.018, 0.0, ends[0] * 0.5, ends[0], ends[1], ends[2] - 0.006)
    rings = []
    for place in places:
        size = radius * (1 - 0.28 * max(place, 0) / ends[2]) * (0.7 if place > ends[1] else 1.0)
        rings.append(ring(np.asarray(root) + place * along, v, -u, size, size * 0.95, count=6))
    vertices, faces = loft(np.stack(rings), end_tip=np.asarray(root) + ends[2] * along)
    reach = (vertices - root) @ along
    joints = [J["left_wrist"], *(J[f"left_{name}{i}"] for i in (1, 2, 3))]
    weights = chain_weights(reach, joints, (0.0, ends[0], ends[1]), (0.012, 0.007, 0.006))
    return Part(vertices, faces, weights)


def all_parts() -> dict[str, Part]:
    """Return every piece by name, the right side mirrored from the left."""
    parts = {"torso": torso(), "head": head(), "nose": nose()}
    left = {"arm": left_arm(), "leg": left_leg(), "foot": left_foot(), "ear": left_ear(), "eye": left_eye()}
    left |= {name: left_finger(name) for name in _FINGERS}
    for name, part in left.items():
        parts[f"left_{name}"] = part
        parts[f"right_{name}"] = part.mirrored(JOINT_MIRROR)
    return parts


def _rigid(count: int, joint: str) -> Array:
    weights = np.zeros((count, 55))
    weights[:, J[joint]] = 1
    return weights
