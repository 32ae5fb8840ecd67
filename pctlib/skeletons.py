"""Keypoint sets: names, flip pairs, drawn limbs and OKS sigmas, each in the order of its benchmark.

Equal names mean the same place on the body, so that keypoints move between sets by name (`correspondence`).

Long, as it is a table of sets.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Skeleton:
    """A keypoint set of a benchmark, in the benchmark's own order.

    Attributes:
        name: name by which `SKELETONS` knows it.
        keypoint_names: K names; left and right are the person's own.
        flip_pairs: pairs of indices that change places in a mirror image, the smaller first.
        limbs: pairs of indices between which a bone is drawn.
        limb_colors: one "#rrggbb" a limb: left blue, right orange, trunk green, head grey; hands are paler.
        sigmas: K standard deviations of the OKS in the COCO convention (the OKS uses 2 sigma); None where the
            benchmark defines none.
        upper_body: indices that the half-body augmentation counts as upper.
        lower_body: indices that the half-body augmentation counts as lower.
    """

    name: str
    keypoint_names: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    limbs: tuple[tuple[int, int], ...]
    limb_colors: tuple[str, ...]
    sigmas: tuple[float, ...] | None
    upper_body: tuple[int, ...]
    lower_body: tuple[int, ...]

    def __post_init__(self) -> None:
        K = self.num_keypoints
        paired = [index for pair in self.flip_pairs for index in pair]
        used = {*paired, *self.upper_body, *self.lower_body, *itertools.chain(*self.limbs)}
        sigmas = (0.0,) * K if self.sigmas is None else self.sigmas
        problems = {
            "keypoint_names holds a name twice": len(set(self.keypoint_names)) != K,
            f"sigmas has {len(sigmas)} values, expected {K}": len(sigmas) != K,
            f"limb_colors has {len(self.limb_colors)} values, expected {len(self.limbs)}": (
                len(self.limb_colors) != len(self.limbs)
            ),
            "flip_pairs names a keypoint twice": len(set(paired)) != len(paired),
            f"indices {sorted(used - set(range(K)))} are outside 0..{K - 1}": not used <= set(range(K)),
        }
        for problem, found in problems.items():
            if found:
                raise ValueError(f"skeleton {self.name}: {problem}")

    @property
    def num_keypoints(self) -> int:
        """Return K."""
        return len(self.keypoint_names)

    @property
    def flip_permutation(self) -> tuple[int, ...]:
        """Return K indices: keypoint k of a mirror image is keypoint `flip_permutation[k]` of the image."""
        permutation = list(range(self.num_keypoints))
        for first, second in self.flip_pairs:
            permutation[first], permutation[second] = second, first
        return tuple(permutation)

    def index(self, name: str) -> int:
        """Return the index of the keypoint called `name`.

        Raises:
            ValueError: if this skeleton has no such keypoint.
        """
        if name not in self.keypoint_names:
            known = ", ".join(self.keypoint_names[:20]) + (", ..." if self.num_keypoints > 20 else "")
            raise ValueError(f"skeleton {self.name} has no keypoint {name!r}; it has {known}")
        return self.keypoint_names.index(name)


# Names that differ by benchmark although annotators marked the same place: MPII's `upper_neck` is the `neck`
# of LSP and CrowdPose (base of the skull), as in joint training on MPII and LSP by Insafutdinov et al. 2016,
# arXiv:1605.03170. Kept apart on purpose, as Kolotouros et al. 2019, arXiv:1909.12828, do: `thorax` (MPII and
# H36M, between the shoulders), H36M's `neck_nose` (near the jaw) and H36M's `head` (a motion capture site
# below the crown, so not `head_top`).
_SAME_PLACE = {"upper_neck": "neck"}


def correspondence(source: Skeleton, target: Skeleton) -> list[int | None]:
    """Return, for each keypoint of `target`, the index of the same place in `source`, or None if it has none.

    Nothing is interpolated: a pelvis is not made from two hips.
    """
    places = {_SAME_PLACE.get(name, name): index for index, name in enumerate(source.keypoint_names)}
    return [places.get(_SAME_PLACE.get(name, name)) for name in target.keypoint_names]


_SIDES = ("left", "right")
_BLUE, _ORANGE, _GREEN, _GREY = "#2f7fc4", "#f07f1d", "#3c9d5b", "#8c8c8c"
_PALE_BLUE, _PALE_ORANGE, _PALE_GREY = "#7db8e8", "#f9b87a", "#b5b5b5"
_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_HEAD = ("nose", "eye", "ear", "head")


def limb_color(first: str, second: str) -> str:
    """Return the colour of the limb between two keypoint names."""
    if first.startswith("face"):
        return _PALE_GREY
    left, right = (first.startswith(side) and second.startswith(side) for side in _SIDES)
    if any(finger in second for finger in _FINGERS):
        return _PALE_BLUE if left else _PALE_ORANGE
    parts = [name.removeprefix("left_").removeprefix("right_") for name in (first, second)]
    if any(part.startswith(_HEAD) for part in parts):
        return _GREY
    if set(parts) == {"shoulder", "hip"} or not (left or right):
        return _GREEN
    return _BLUE if left else _ORANGE


def _mirrored(name: str) -> str:
    """Return the name of the keypoint on the other side."""
    for side, other in (("left_", "right_"), ("right_", "left_")):
        if name.startswith(side):
            return other + name.removeprefix(side)
    return name


def _make(
    name: str,
    keypoint_names: Sequence[str],
    limbs: Sequence[tuple[str, str]],
    *,
    sigmas: Sequence[float] | None = None,
    lower: Sequence[str],
    neither: Sequence[str] = (),
    extra_pairs: Sequence[tuple[str, str]] = (),
) -> Skeleton:
    """Build a skeleton from names; the upper body is what is neither in `lower` nor in `neither`."""
    index = {keypoint: i for i, keypoint in enumerate(keypoint_names)}
    pairs = [(keypoint, _mirrored(keypoint)) for keypoint in keypoint_names] + list(extra_pairs)
    flip_pairs = sorted({tuple(sorted((index[a], index[b]))) for a, b in pairs if a != b})
    return Skeleton(
        name=name,
        keypoint_names=tuple(keypoint_names),
        flip_pairs=tuple(flip_pairs),
        limbs=tuple((index[a], index[b]) for a, b in limbs),
        limb_colors=tuple(limb_color(a, b) for a, b in limbs),
        sigmas=None if sigmas is None else tuple(sigmas),
        upper_body=tuple(i for keypoint, i in index.items() if keypoint not in {*lower, *neither}),
        lower_body=tuple(i for keypoint, i in index.items() if keypoint in lower),
    )


def _both(*pairs: tuple[str, str]) -> list[tuple[str, str]]:
    """Return each limb on the left side and on the right side."""
    return [(f"{side}_{a}", f"{side}_{b}") for a, b in pairs for side in _SIDES]


def _chain(*names: str) -> list[tuple[str, str]]:
    """Return the limbs that join each keypoint to the next."""
    return list(itertools.pairwise(names))


def _thousandths(values: str) -> tuple[float, ...]:
    """Return numbers written as thousandths, so that a long table stays a table."""
    return tuple(int(value) / 1000 for value in values.split())


_ARMS_AND_LEGS = _both(("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
_LEGS = tuple(f"{side}_{joint}" for joint in ("hip", "knee", "ankle") for side in _SIDES)
_COCO_NAMES = (
    "nose",
    *(f"{side}_{joint}" for joint in ("eye", "ear", "shoulder", "elbow", "wrist") for side in _SIDES),
    *_LEGS,
)
_COCO_LIMBS = [
    *_ARMS_AND_LEGS,
    ("left_hip", "right_hip"),
    *_both(("shoulder", "hip")),
    ("left_shoulder", "right_shoulder"),
    ("left_eye", "right_eye"),
    ("nose", "left_eye"),
    ("nose", "right_eye"),
    *_both(("eye", "ear"), ("ear", "shoulder")),
]
# Source: pycocotools.cocoeval.Params.setKpParams, kpt_oks_sigmas.
_COCO_SIGMAS = _thousandths("26 25 25 35 35 79 79 72 72 62 62 107 107 87 87 89 89")

# Source: Lin et al. 2014, arXiv:1405.0312; names, order and bones as the category of the annotation files.
COCO = _make("coco", _COCO_NAMES, _COCO_LIMBS, sigmas=_COCO_SIGMAS, lower=_LEGS)

_FEET = tuple(f"{side}_{part}" for side in _SIDES for part in ("big_toe", "small_toe", "heel"))
_FACE = tuple(f"face_{i}" for i in range(68))


def _hand(side: str) -> tuple[str, ...]:
    """Return the 21 keypoints of one hand: its root, then each finger from the palm to the tip."""
    return (f"{side}_hand_root", *(f"{side}_{finger}{i}" for finger in _FINGERS for i in range(1, 5)))


def _hand_limbs(side: str) -> list[tuple[str, str]]:
    """Return the bones of one hand, from the body's wrist (the hand root lies on it)."""
    fingers = [[f"{side}_{finger}{i}" for i in range(1, 5)] for finger in _FINGERS]
    return [limb for finger in fingers for limb in _chain(f"{side}_wrist", *finger)]


def _face_limbs() -> list[tuple[str, str]]:
    """Return the contours of the 68 facial landmarks: jaw, brows, nose, eyes and lips."""
    runs = [range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36)]
    rings = [range(36, 42), range(42, 48), range(48, 60), range(60, 68)]
    contours = [list(run) for run in runs] + [[*ring, ring[0]] for ring in rings]
    return [limb for contour in contours for limb in _chain(*(_FACE[i] for i in contour))]


def _face_pairs() -> list[tuple[str, str]]:
    """Return the landmarks that change places in a mirror image; the midline is left out."""
    mirrored = [(range(8), 16), (range(17, 22), 43), (range(31, 33), 66)]  # landmark i <-> total - i
    mirrored += [(range(36, 40), 81), (range(40, 42), 87), (range(48, 51), 102), (range(55, 57), 114)]
    mirrored += [(range(60, 62), 124), (range(65, 66), 132)]
    return [(_FACE[i], _FACE[total - i]) for group, total in mirrored for i in group]


# Source: jin-s13/COCO-WholeBody, evaluation/myeval_wholebody.py, where left foot and right foot do differ.
_FOOT_SIGMAS = _thousandths("68 66 66 92 94 94")
_FACE_SIGMAS = _thousandths(
    "42 43 44 43 40 35 31 25 20 23 29 32 37 38 43 41 45 13 12 11 11 12 12 11 11 13 15 9 7 7 7 12 9 8 "
    "16 10 17 11 9 11 9 7 13 8 11 12 10 34 8 8 9 8 8 7 10 8 9 9 9 7 7 8 11 8 8 8 10 8"
)
_HAND_SIGMAS = _thousandths("29 22 35 37 47 26 25 24 35 18 24 22 26 17 21 21 32 20 19 22 31")

# Source: Jin et al. 2020, arXiv:2007.11858; 17 body, 6 foot, 68 face and 2 x 21 hand keypoints in this order.
COCO_WHOLEBODY = _make(
    "coco_wholebody",
    (*_COCO_NAMES, *_FEET, *_FACE, *_hand("left"), *_hand("right")),
    [
        *_COCO_LIMBS,
        *_both(("ankle", "big_toe"), ("ankle", "small_toe"), ("ankle", "heel")),
        *_face_limbs(),
        *_hand_limbs("left"),
        *_hand_limbs("right"),
    ],
    sigmas=(*_COCO_SIGMAS, *_FOOT_SIGMAS, *_FACE_SIGMAS, *_HAND_SIGMAS, *_HAND_SIGMAS),
    lower=(*_LEGS, *_FEET),
    neither=(*_FACE, *_hand("left"), *_hand("right")),
    extra_pairs=_face_pairs(),
)

_RIGHT_LEG_FIRST = ("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle")
_RIGHT_ARM_FIRST = (
    *("right_wrist", "right_elbow", "right_shoulder"),
    *("left_shoulder", "left_elbow", "left_wrist"),
)

# Source: Andriluka et al. 2014, "2D Human Pose Estimation: New Benchmark and State of the Art Analysis".
MPII = _make(
    "mpii",
    (*_RIGHT_LEG_FIRST, "pelvis", "thorax", "upper_neck", "head_top", *_RIGHT_ARM_FIRST),
    [
        *_ARMS_AND_LEGS,
        *(("pelvis", f"{side}_hip") for side in _SIDES),
        *(("thorax", f"{side}_shoulder") for side in _SIDES),
        *_chain("pelvis", "thorax", "upper_neck", "head_top"),
    ],
    lower=(*_LEGS, "pelvis"),
)

# Source: Li et al. 2018, arXiv:1812.00324; sigmas of the authors' crowdposetools. Its "head" is `head_top`.
CROWDPOSE = _make(
    "crowdpose",
    (*_COCO_NAMES[5:], "head_top", "neck"),
    [
        *_ARMS_AND_LEGS,
        ("left_hip", "right_hip"),
        *_both(("shoulder", "hip")),
        *(("neck", f"{side}_shoulder") for side in _SIDES),
        ("neck", "head_top"),
    ],
    sigmas=(*_COCO_SIGMAS[5:], 0.079, 0.079),
    lower=_LEGS,
)

# Source: Johnson and Everingham 2010 and 2011, "Leeds Sports Pose" and its extended training set.
LSP = _make(
    "lsp",
    (*_RIGHT_LEG_FIRST, *_RIGHT_ARM_FIRST, "neck", "head_top"),
    [
        *_ARMS_AND_LEGS,
        ("left_hip", "right_hip"),
        *_both(("shoulder", "hip")),
        *(("neck", f"{side}_shoulder") for side in _SIDES),
        ("neck", "head_top"),
    ],
    lower=_LEGS,
)

# Source: Ionescu et al. 2014, "Human3.6M", in the 17-joint order of Martinez et al. 2017, arXiv:1705.03098.
H36M = _make(
    "h36m",
    (
        "pelvis",
        *(f"{side}_{joint}" for side in ("right", "left") for joint in ("hip", "knee", "ankle")),
        *("spine", "thorax", "neck_nose", "head"),
        *(f"{side}_{joint}" for side in _SIDES for joint in ("shoulder", "elbow", "wrist")),
    ),
    [
        *_ARMS_AND_LEGS,
        *(("pelvis", f"{side}_hip") for side in _SIDES),
        *(("thorax", f"{side}_shoulder") for side in _SIDES),
        *_chain("pelvis", "spine", "thorax", "neck_nose", "head"),
    ],
    lower=(*_LEGS, "pelvis"),
)

# Source: Loper et al. 2015, "SMPL": the joints of the model, in its order, which 3DPW gives in 3D.
SMPL = _make(
    "smpl",
    (
        *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle"),
        *("right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head"),
        *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
        *("left_hand", "right_hand"),
    ),
    [
        *_ARMS_AND_LEGS,
        *_both(("ankle", "foot"), ("wrist", "hand"), ("collar", "shoulder")),
        *(("pelvis", f"{side}_hip") for side in _SIDES),
        *(("spine3", f"{side}_collar") for side in _SIDES),
        *_chain("pelvis", "spine1", "spine2", "spine3", "neck", "head"),
    ],
    lower=(*_LEGS, "pelvis", *(f"{side}_foot" for side in _SIDES)),
)

SKELETONS: dict[str, Skeleton] = {s.name: s for s in (COCO, COCO_WHOLEBODY, MPII, CROWDPOSE, LSP, H36M, SMPL)}
