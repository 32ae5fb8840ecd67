"""What people do: base poses of activities with correlated variation, cut to the joint limits.

An activity gives the legs and trunk, an arm style the arms, a hand style the fingers; they are drawn apart,
so that few tables make many poses. A value is (mean, standard deviation) in degrees; names without a side
mean both sides, `spine_` all three spine joints and `neck_` neck and head.

Long, as it is a table.
"""

from dataclasses import dataclass

import numpy as np

from pctlib.data.procedural.anatomy import ANGLES, HIGH, LOW, clamp

Array = np.ndarray
Table = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Activity:
    """One thing people do.

    Args:
        legs: legs and trunk.
        arms: names of arm styles; each side draws its own with `one_sided`, else both have the same.
        weight: how often, relative to the others.
        tilt: (pitch, roll) of the whole body in degrees; forward and to the left are positive.
        support: "feet" (the trunk leans so that the body is balanced over the foot that carries), "upright"
            (the trunk keeps its tilt, as in a step) or "body" (it lies or kneels on what is lowest). With the
            first two, the soles of carrying feet are flat on the ground if the ankles allow.
        lift: height above the ground, metres, at most.
        seat: whether something to sit on is under the pelvis.
        one_sided: whether the arms differ.
    """

    legs: Table
    arms: tuple[str, ...]
    weight: float = 1.0
    tilt: tuple[float, float] = (0.0, 0.0)
    support: str = "feet"
    lift: float = 0.0
    seat: bool = False
    one_sided: bool = False


@dataclass(frozen=True)
class Pose:
    """A drawn pose: joint angles [n] in degrees within the limits, and how the body stands in the world."""

    activity: str
    angles: Array
    tilt: tuple[float, float]
    support: str
    lift: float
    seat: bool


def _arm(plane: float, elevation: float, axial: float, elbow: float, spread: float = 10) -> Table:
    return {
        "shoulder_plane": (plane, 1.5 * spread),
        "shoulder_elevation": (elevation, spread),
        "shoulder_axial": (axial, 1.2 * spread),
        "elbow_flexion": (elbow, spread),
    }


ARMS: dict[str, Table] = {
    "hanging": _arm(20, 9, 5, 14, 6),
    "akimbo": _arm(-10, 45, 62, 88, 7),
    "crossed": _arm(50, 38, 50, 105, 6),
    "holding": _arm(60, 32, 20, 98, 12),
    "up": _arm(45, 148, 0, 15, 14),
    "forward": _arm(85, 82, 5, 15, 12),
    "sideways": _arm(8, 86, 0, 12, 11),
    "waving": _arm(22, 88, -78, 75, 12),
    "at_head": _arm(40, 82, -60, 132, 10),
    "guard": _arm(65, 48, 5, 122, 10),
    "punching": _arm(82, 84, 30, 12, 9),
    "behind": _arm(-60, 28, 30, 35, 12),
    "on_lap": _arm(70, 30, 12, 58, 9),
    "pumping_front": _arm(80, 38, 10, 92, 10),
    "pumping_back": _arm(-75, 42, 5, 85, 9),
    "down_forward": _arm(85, 70, 0, 14, 14),
    "under": _arm(85, 88, 0, 8, 7),
    "throwing": _arm(-5, 95, -82, 95, 10),
    "free": _arm(30, 75, -10, 55, 34),
}
HANDS: dict[str, tuple[float, float, float]] = {  # mean flexion of the finger joints 1, 2 and 3
    "relaxed": (22, 28, 15),
    "open": (2, 5, 3),
    "fist": (78, 92, 55),
    "gripping": (48, 60, 35),
    "pointing": (72, 88, 50),
}
_STANDING_ARMS = ("hanging", "hanging", "akimbo", "crossed", "holding", "behind", "at_head", "free")

_STAND: Table = {
    "hip_abduction": (4, 4),
    "hip_rotation": (7, 7),
    "knee_flexion": (4, 4),
    "spine_flexion": (2, 3),
}
ACTIVITIES: dict[str, Activity] = {
    "standing": Activity(_STAND | {"hip_flexion": (3, 4)}, _STANDING_ARMS, weight=3.0, one_sided=True),
    "waving": Activity(_STAND | {"hip_flexion": (3, 4)}, ("waving", "hanging", "up"), one_sided=True),
    "reaching": Activity(
        _STAND | {"hip_flexion": (8, 8), "spine_flexion": (0, 6), "ankle_dorsiflexion": (-12, 10)},
        ("up", "forward", "sideways", "down_forward"),
        weight=1.5,
        one_sided=True,
    ),
    "walking": Activity(
        {
            **{"left_hip_flexion": (24, 8), "left_knee_flexion": (10, 7), "right_hip_flexion": (-12, 5)},
            **{"right_knee_flexion": (24, 12), "spine_flexion": (2, 2), "right_ankle_dorsiflexion": (-8, 8)},
        },
        ("pumping_back", "hanging"),
        weight=2.0,
        support="upright",
        tilt=(3, 0),
    ),
    "running": Activity(
        {
            **{"left_hip_flexion": (62, 16), "left_knee_flexion": (78, 22), "right_hip_flexion": (-12, 7)},
            **{
                "right_knee_flexion": (28, 24),
                "spine_flexion": (6, 3),
                "right_ankle_dorsiflexion": (-25, 10),
            },
        },
        ("pumping_back",),
        weight=1.7,
        tilt=(10, 0),
        lift=0.12,
        support="upright",
    ),
    "sitting": Activity(
        {"hip_flexion": (86, 8), "hip_abduction": (9, 8), "knee_flexion": (82, 14), "spine_flexion": (5, 6)},
        ("on_lap", "on_lap", "holding", "crossed", "at_head", "forward", "free"),
        weight=2.0,
        support="body",
        seat=True,
        one_sided=True,
    ),
    "sitting_on_floor": Activity(
        {
            **{"hip_flexion": (95, 15), "hip_abduction": (28, 12), "hip_rotation": (28, 14)},
            **{"knee_flexion": (105, 24), "spine_flexion": (10, 6)},
        },
        ("on_lap", "holding", "behind", "on_lap"),
        weight=0.8,
        tilt=(-8, 0),
        support="body",
        one_sided=True,
    ),
    "squatting": Activity(
        {
            **{"hip_flexion": (100, 14), "hip_abduction": (18, 9), "hip_rotation": (14, 9)},
            **{"knee_flexion": (112, 20), "spine_flexion": (10, 6), "ankle_dorsiflexion": (15, 5)},
        },
        ("forward", "holding", "on_lap", "down_forward"),
        weight=1.0,
    ),
    "bending": Activity(
        {
            "hip_flexion": (62, 20),
            "knee_flexion": (24, 18),
            "spine_flexion": (15, 6),
            "neck_flexion": (-5, 8),
        },
        ("down_forward", "hanging", "holding"),
        weight=1.2,
    ),
    "kneeling": Activity(
        {
            "hip_flexion": (14, 14),
            "hip_abduction": (8, 5),
            "knee_flexion": (104, 10),
            "ankle_dorsiflexion": (-42, 8),
        },
        ("holding", "on_lap", "forward", "hanging", "up"),
        weight=0.7,
        support="body",
        tilt=(4, 0),
        one_sided=True,
    ),
    "half_kneeling": Activity(
        {
            **{"left_hip_flexion": (88, 8), "left_knee_flexion": (90, 8), "right_hip_flexion": (0, 6)},
            **{"right_knee_flexion": (92, 6), "right_ankle_dorsiflexion": (0, 8), "spine_flexion": (5, 5)},
            **{"right_foot_extension": (35, 8)},
        },
        ("holding", "on_lap", "forward", "hanging"),
        weight=0.7,
        support="body",
        one_sided=True,
    ),
    "lunging": Activity(
        {
            **{"left_hip_flexion": (60, 8), "left_knee_flexion": (55, 8), "right_hip_flexion": (-18, 2)},
            **{"right_knee_flexion": (40, 8), "right_foot_extension": (30, 10), "spine_flexion": (2, 4)},
        },
        ("akimbo", "sideways", "forward", "up", "guard"),
        weight=0.8,
        support="upright",
        tilt=(3, 0),
    ),
    "boxing": Activity(
        {
            **{"hip_flexion": (24, 8), "hip_abduction": (14, 6), "knee_flexion": (30, 10)},
            **{"spine_flexion": (6, 4), "spine_twist": (0, 9), "neck_flexion": (4, 5)},
        },
        ("guard", "guard", "punching"),
        weight=1.0,
        one_sided=True,
    ),
    "kicking": Activity(
        {
            **{"left_hip_flexion": (82, 18), "left_knee_flexion": (24, 20), "left_hip_abduction": (14, 12)},
            **{"right_knee_flexion": (12, 8), "spine_flexion": (0, 6), "spine_twist": (0, 7)},
        },
        ("guard", "sideways", "free"),
        weight=0.9,
        one_sided=True,
    ),
    "dancing": Activity(
        {
            **{"hip_flexion": (22, 24), "hip_abduction": (16, 16), "hip_rotation": (12, 16)},
            **{
                "knee_flexion": (30, 26),
                "spine_flexion": (0, 7),
                "spine_bend": (0, 7),
                "spine_twist": (0, 8),
            },
        },
        ("free", "free", "up", "sideways", "akimbo", "waving"),
        weight=1.5,
        one_sided=True,
    ),
    "jumping": Activity(
        {
            **{"hip_flexion": (34, 30), "hip_abduction": (12, 10), "knee_flexion": (50, 34)},
            **{"ankle_dorsiflexion": (-28, 10), "spine_flexion": (0, 7)},
        },
        ("up", "sideways", "free", "pumping_front"),
        weight=0.9,
        lift=0.45,
        support="body",
    ),
    "throwing": Activity(
        {
            **{"left_hip_flexion": (34, 14), "left_knee_flexion": (22, 12), "right_hip_flexion": (-6, 8)},
            **{"right_knee_flexion": (24, 12), "spine_twist": (-8, 5), "hip_abduction": (9, 6)},
        },
        ("throwing", "forward", "free"),
        weight=0.9,
        one_sided=True,
        support="upright",
    ),
    "balancing": Activity(
        {
            **{"left_hip_flexion": (58, 26), "left_hip_abduction": (26, 14), "left_hip_rotation": (24, 14)},
            **{"left_knee_flexion": (96, 30), "right_knee_flexion": (4, 4), "spine_bend": (0, 4)},
        },
        ("up", "sideways", "akimbo", "guard"),
        weight=0.6,
    ),
    "crawling": Activity(
        {
            "hip_flexion": (84, 12),
            "knee_flexion": (88, 12),
            "ankle_dorsiflexion": (-35, 9),
            "neck_flexion": (-15, 7),
        },
        ("under",),
        weight=0.6,
        tilt=(82, 0),
        support="body",
    ),
    "lying_on_back": Activity(
        {
            "hip_flexion": (16, 20),
            "hip_abduction": (9, 8),
            "hip_rotation": (14, 12),
            "knee_flexion": (24, 26),
        },
        ("hanging", "sideways", "at_head", "up", "free"),
        weight=0.7,
        tilt=(-90, 0),
        support="body",
        one_sided=True,
    ),
    "lying_on_front": Activity(
        {
            "hip_abduction": (10, 8),
            "knee_flexion": (16, 20),
            "ankle_dorsiflexion": (-40, 8),
            "neck_flexion": (-12, 7),
        },
        ("up", "sideways", "hanging"),
        weight=0.5,
        tilt=(90, 0),
        support="body",
    ),
    "lying_on_side": Activity(
        {"hip_flexion": (45, 20), "knee_flexion": (60, 24), "hip_abduction": (0, 6), "spine_flexion": (6, 5)},
        ("forward", "holding", "at_head"),
        weight=0.5,
        tilt=(0, 86),
        support="body",
        one_sided=True,
    ),
}
_ALTERNATING = ("walking", "running")  # the arm swings against the leg of its side


def draw_pose(rng: np.random.Generator, *, activity: str | None = None) -> Pose:
    """Draw a pose.

    Args:
        rng: where every draw comes from.
        activity: a name of ACTIVITIES; drawn by weight if None.

    Raises:
        ValueError: if the activity is unknown.
    """
    if activity is None:
        weights = np.array([kind.weight for kind in ACTIVITIES.values()])
        activity = list(ACTIVITIES)[rng.choice(len(weights), p=weights / weights.sum())]
    if activity not in ACTIVITIES:
        raise ValueError(f"unknown activity {activity!r}; known are {', '.join(ACTIVITIES)}")
    kind = ACTIVITIES[activity]
    means, spreads = _base(rng, activity)
    angles = clamp(means + spreads * _correlated_noise(rng))
    if rng.random() < 0.5:
        angles = mirror_angles(angles)
    sway = rng.normal(size=2) * (6.0 if activity.startswith("lying") else 3.0)
    tilt = (kind.tilt[0] + sway[0], kind.tilt[1] * rng.choice((-1, 1)) + sway[1])
    return Pose(activity, angles, tilt, kind.support, kind.lift * rng.random(), kind.seat)


def mirror_angles(angles: Array) -> Array:
    """Return the angles [n] of the mirrored pose."""
    mirrored = angles[_MIRROR].copy()
    mirrored[_SIGNED] *= -1
    return mirrored


def _base(rng: np.random.Generator, activity: str) -> tuple[Array, Array]:
    """Return mean and spread [n] of the angles of an activity with drawn arm, hand and head styles."""
    kind = ACTIVITIES[activity]
    styles = rng.choice(kind.arms, size=2)
    left, right = styles if kind.one_sided else (styles[0], styles[0])
    if activity in _ALTERNATING:
        left, right = "pumping_back", "pumping_front"
        if activity == "walking" and rng.random() < 0.3:
            left = right = "hanging"
    means, spreads = np.zeros(len(LOW)), 0.05 * (HIGH - LOW)
    tables = [("", kind.legs), ("left_", ARMS[left]), ("right_", ARMS[right])]
    for prefix, table in tables:
        for name, (mean, spread) in table.items():
            indices = _expand(prefix + name)
            means[indices], spreads[indices] = mean, spread
    if activity == "walking":  # the arms swing less than those of a runner
        for side in ("left", "right"):
            means[ANGLES[f"{side}_elbow_flexion"]] *= 0.35
            means[ANGLES[f"{side}_shoulder_elevation"]] *= 0.7
    for side, style in (("left", left), ("right", right)):
        _set_hand(rng, means, side, "fist" if style in ("guard", "punching") else None)
        lift = max(means[ANGLES[f"{side}_shoulder_elevation"]] - 60, 0)
        means[ANGLES[f"{side}_collar_elevation"]] = 0.22 * lift  # the shoulder blade follows a lifted arm
    for name, spread in (("neck_twist", 16), ("neck_flexion", 8), ("neck_bend", 5)):
        spreads[_expand(name)] = np.maximum(spreads[_expand(name)], spread / 2)
    return means, spreads


def _set_hand(rng: np.random.Generator, means: Array, side: str, style: str | None) -> None:
    style = style or list(HANDS)[rng.choice(len(HANDS), p=(0.45, 0.2, 0.1, 0.15, 0.1))]
    for finger in ("index", "middle", "ring", "pinky"):
        flexions = HANDS["open" if style == "pointing" and finger == "index" else style]
        for i, flexion in enumerate(flexions, start=1):
            means[ANGLES[f"{side}_{finger}{i}_flexion"]] = flexion
    for i, flexion in enumerate(HANDS[style], start=1):
        means[ANGLES[f"{side}_thumb{i}_flexion"]] = 0.4 * flexion


def _correlated_noise(rng: np.random.Generator) -> Array:
    """Return unit noise [n]: a part common to both sides and a part of its own for each angle.

    The fingers of a hand move together.
    """
    own, common = rng.normal(size=(2, len(LOW)))
    noise = 0.75 * own + 0.66 * common[np.minimum(_MIRROR, np.arange(len(LOW)))]
    for fingers in _FINGERS:
        noise[fingers] = 0.5 * noise[fingers] + 1.6 * rng.normal()
    return np.clip(noise, -2.5, 2.5)


def _expand(name: str) -> list[int]:
    """Return the indices of the angles that a short name means."""
    if name in ANGLES:
        return [ANGLES[name]]
    start, _, rest = name.partition("_")
    joints = {"spine": ("spine1", "spine2", "spine3"), "neck": ("neck", "head")}.get(start)
    names = [f"{joint}_{rest}" for joint in joints] if joints else [f"left_{name}", f"right_{name}"]
    return [ANGLES[n] for n in names]


_FINGER_NAMES = ("index", "middle", "ring", "pinky", "thumb")
_FINGERS = [
    [i for n, i in ANGLES.items() if n.startswith(side) and n.split("_")[1][:-1] in _FINGER_NAMES]
    for side in ("left", "right")
]
_OTHER = {"left": "right", "right": "left"}
_MIRROR = np.array(
    [
        ANGLES[f"{_OTHER[n.split('_')[0]]}_{n.split('_', 1)[1]}" if n.split("_")[0] in _OTHER else n]
        for n in ANGLES
    ]
)
_SIGNED = np.array(
    [i for n, i in ANGLES.items() if n.split("_")[0] not in _OTHER and n.endswith(("bend", "twist"))]
)
