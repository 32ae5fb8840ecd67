"""Joint angles of the body: what they are called, how far they go, how they become rotations.

All angles are degrees and zero when a person stands upright with hanging arms, palms at the thighs. Joints
that bend in one plane have one angle, so a knee cannot bend forward. The shoulder follows the recommendation
of the International Society of Biomechanics (Wu et al. 2005, J. Biomech. 38: plane of elevation, elevation,
axial rotation): a swing of the hanging arm by `shoulder_elevation` in the vertical plane `shoulder_plane` (0
sideways, 90 forward,
-90 backward), before it an axial turn (positive inward).

Source of the limits: mean active ranges of Boone and Azen 1979 (J. Bone Joint Surg. 61-A, 756-759) and, for
the spine and fingers, of the American Academy of Orthopaedic Surgeons (Joint Motion, 1965), rounded to 5
degrees. The range of the spine is divided between its three joints, that of the neck between neck and head,
that of the turning forearm between elbow and wrist. `shoulder_elevation` backward is cut at 60 degrees
(extension), see `clamp`.
"""

from collections.abc import Mapping

import numba
import numpy as np

from pctlib.body_model import JOINT_NAMES

Array = np.ndarray

# angle -> (low, high) in degrees; the angles of limbs exist on both sides
_SPINE = {"flexion": (-10, 27), "bend": (-12, 12), "twist": (-15, 15)}
_NECK = {"flexion": (-25, 22), "bend": (-20, 20), "twist": (-35, 35)}
_LIMB = {
    "collar_elevation": (-5, 30),
    "collar_protraction": (-15, 20),
    "shoulder_plane": (-90, 130),
    "shoulder_elevation": (0, 170),
    "shoulder_axial": (-90, 70),
    "elbow_flexion": (0, 145),
    "elbow_pronation": (-40, 40),
    "wrist_pronation": (-40, 40),
    "wrist_flexion": (-70, 75),
    "wrist_deviation": (-20, 35),
    "hip_flexion": (-20, 120),
    "hip_abduction": (-25, 45),
    "hip_rotation": (-45, 45),
    "knee_flexion": (0, 145),
    "ankle_dorsiflexion": (-50, 20),
    "ankle_inversion": (-20, 35),
    "foot_extension": (-20, 50),
    "eye_yaw": (-25, 25),
    "eye_pitch": (-20, 20),
    "thumb1_flexion": (-15, 40),
    "thumb2_flexion": (0, 50),
    "thumb3_flexion": (-5, 75),
}
for _finger in ("index", "middle", "ring", "pinky"):
    _LIMB |= {f"{_finger}1_flexion": (-15, 90), f"{_finger}1_spread": (-12, 12)}
    _LIMB |= {f"{_finger}2_flexion": (0, 100), f"{_finger}3_flexion": (0, 70)}

LIMITS: dict[str, tuple[float, float]] = {
    **{
        f"{joint}_{angle}": limit
        for joint in ("spine1", "spine2", "spine3")
        for angle, limit in _SPINE.items()
    },
    **{f"{joint}_{angle}": limit for joint in ("neck", "head") for angle, limit in _NECK.items()},
    "jaw_opening": (0, 20),
    **{f"{side}_{angle}": limit for side in ("left", "right") for angle, limit in _LIMB.items()},
}
ANGLES = {name: i for i, name in enumerate(LIMITS)}
LOW, HIGH = (np.array(bounds, float) for bounds in zip(*LIMITS.values(), strict=True))

_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
_THUMB = (0.507, 0.862, 0.0)
# joint -> its rotation as a product of turns (axis, angle, factor) for the left side; a number is a fixed
# angle.
_TRUNK = {"flexion": (_X, 1), "bend": (_Z, 1), "twist": (_Y, 1)}
_TURNS: dict[str, list[tuple]] = {
    joint: [(_TRUNK[angle][0], f"{joint}_{angle}", 1) for angle in ("twist", "bend", "flexion")]
    for joint in ("spine1", "spine2", "spine3", "neck", "head")
}
_TURNS["jaw"] = [(_X, "jaw_opening", 1)]
_LEFT_TURNS: dict[str, list[tuple]] = {
    "collar": [(_Z, "collar_elevation", 1), (_Y, "collar_protraction", -1)],
    "shoulder": [
        (_Y, "shoulder_plane", -1),
        (_Z, "shoulder_elevation", 1),
        (_Y, "shoulder_plane", 1),
        (_Z, -90, 1),
        (_X, "shoulder_axial", 1),
    ],
    "elbow": [(_Y, "elbow_flexion", -1), (_X, "elbow_pronation", 1)],
    "wrist": [(_X, "wrist_pronation", 1), (_Z, "wrist_flexion", -1), (_Y, "wrist_deviation", 1)],
    "hip": [(_X, "hip_flexion", -1), (_Z, "hip_abduction", 1), (_Y, "hip_rotation", 1)],
    "knee": [(_X, "knee_flexion", 1)],
    "ankle": [(_X, "ankle_dorsiflexion", -1), (_Z, "ankle_inversion", 1)],
    "foot": [(_X, "foot_extension", -1)],
    "eye": [(_Y, "eye_yaw", 1), (_X, "eye_pitch", 1)],
}
for _finger in ("index", "middle", "ring", "pinky"):
    _LEFT_TURNS[f"{_finger}1"] = [(_Y, f"{_finger}1_spread", 1), (_Z, f"{_finger}1_flexion", -1)]
    _LEFT_TURNS |= {f"{_finger}{i}": [(_Z, f"{_finger}{i}_flexion", -1)] for i in (2, 3)}
_LEFT_TURNS |= {f"thumb{i}": [(_THUMB, f"thumb{i}_flexion", 1)] for i in (1, 2, 3)}


def _turn_table() -> tuple[Array, ...]:
    """Return joint, axis, angle index (-1 for none), factor and fixed angle of every turn, each [n, ...]."""
    rows = [(joint, axis, angle, factor) for joint, turns in _TURNS.items() for axis, angle, factor in turns]
    for side, mirror in (("left", 1.0), ("right", -1.0)):
        for joint, turns in _LEFT_TURNS.items():
            for axis, angle, factor in turns:
                name = angle if isinstance(angle, int) else f"{side}_{angle}"
                # seen in a mirror the axis (x, y, z) of a rotation is (x, -y, -z)
                rows.append((f"{side}_{joint}", (axis[0], mirror * axis[1], mirror * axis[2]), name, factor))
    joints = np.array([JOINT_NAMES.index(joint) for joint, *_ in rows])
    axes = np.array([axis for _, axis, *_ in rows])
    indices = np.array([-1 if isinstance(angle, int) else ANGLES[angle] for *_, angle, _ in rows])
    factors = np.array([float(factor) for *_, factor in rows])
    fixed = np.array([float(angle) if isinstance(angle, int) else 0.0 for *_, angle, _ in rows])
    return joints, axes, indices, factors, fixed


_TABLE = _turn_table()


def angles_of(values: Mapping[str, float]) -> Array:
    """Return the angle vector [n] in degrees with the named values, zero elsewhere.

    Raises:
        ValueError: if a name is unknown.
    """
    angles = np.zeros(len(ANGLES))
    for name, value in values.items():
        if name not in ANGLES:
            raise ValueError(f"unknown joint angle {name!r}; known are {', '.join(ANGLES)}")
        angles[ANGLES[name]] = value
    return angles


def clamp(angles: Array) -> Array:
    """Return the angles [n] cut to their limits; the arm lifts less backward or across the chest."""
    angles = np.clip(angles, LOW, HIGH)
    for side in ("left", "right"):
        elevation = ANGLES[f"{side}_shoulder_elevation"]
        angles[elevation] = min(
            angles[elevation], max_shoulder_elevation(angles[ANGLES[f"{side}_shoulder_plane"]])
        )
    return angles


def max_shoulder_elevation(plane: float) -> float:
    """Return how far an arm lifts in a plane, degrees: 60 backward, 170 sideways and forward, 110 across."""
    return float(np.interp(plane, (-90, -30, 0, 90, 130), (60, 80, 170, 170, 110)))


def within_limits(angles: Array, *, tolerance: float = 1e-6) -> bool:
    """Return whether the angles [n] in degrees keep all limits."""
    return bool(np.abs(clamp(angles) - angles).max() <= tolerance)


def joint_rotations(angles: Array) -> Array:
    """Return the axis-angle vectors [55, 3] in radians of the joints; the root is not turned."""
    return _compose(np.deg2rad(angles), *_TABLE[:4], np.deg2rad(_TABLE[4]))


@numba.njit(cache=True)
def _compose(angles, joints, axes, indices, factors, fixed):
    """Multiply the turns of each joint as quaternions (w, x, y, z) and return axis-angle vectors."""
    quaternions = np.zeros((55, 4))
    for j in range(55):
        quaternions[j, 0] = 1
    for t in range(len(joints)):
        angle = fixed[t] if indices[t] < 0 else factors[t] * angles[indices[t]]
        w, sine = np.cos(angle / 2), np.sin(angle / 2)
        x, y, z = sine * axes[t, 0], sine * axes[t, 1], sine * axes[t, 2]
        q = joints[t]
        a, b, c, d = quaternions[q, 0], quaternions[q, 1], quaternions[q, 2], quaternions[q, 3]
        quaternions[q, 0] = a * w - b * x - c * y - d * z
        quaternions[q, 1] = a * x + b * w + c * z - d * y
        quaternions[q, 2] = a * y - b * z + c * w + d * x
        quaternions[q, 3] = a * z + b * y - c * x + d * w
    vectors = np.zeros((55, 3))
    for j in range(55):
        x, y, z = quaternions[j, 1], quaternions[j, 2], quaternions[j, 3]
        length = np.sqrt(x * x + y * y + z * z)
        if length > 1e-12:
            angle = 2 * np.arctan2(length, quaternions[j, 0])
            scale = (angle - 2 * np.pi if angle > np.pi else angle) / length
            vectors[j, 0], vectors[j, 1], vectors[j, 2] = scale * x, scale * y, scale * z
    return vectors
