"""Keypoint sets that a user's file describes: names, flip pairs, limbs and sigmas, checked."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pctlib.io import read_json, read_yaml
from pctlib.skeletons import SKELETONS, Skeleton, limb_color

_FIELDS = ("name", "keypoints", "flip_pairs", "limbs", "limb_colors", "sigmas", "lower_body")
# Spellings of the same keypoint in other libraries' descriptions of the benchmarks here.
_SPELLINGS = {"top_head": "head_top"}
_OTHER_SIDE = {"left": "right", "right": "left", "l": "r", "r": "l"}
# A side is a word of its own (left_eye, eye-left, L_Eye, "right ear") or begins a word (leftEye, RightEar)
_SIDE = re.compile(r"(?i:(?<![a-z])(left|right|l|r)(?![a-z]))|(?:\b|_)(left|right|Left|Right)(?=[A-Z])")


def read_skeleton(path: str | Path) -> Skeleton:
    """Read a keypoint set from a small YAML or JSON file.

    Fields: `keypoints` (K names, in the order of the annotations), and where wanted `name` (else that of the
    file), `flip_pairs` (pairs of names or indices; else told from left and right in the names), `limbs`
    (pairs of names or indices), `limb_colors` ("#rrggbb" a limb; else by side), `sigmas` (K numbers, as in
    pycocotools) and `lower_body` (names or indices).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a field is unknown, missing or does not fit; names the file and the field.
    """
    path = Path(path)
    content = read_json(path) if path.suffix == ".json" else read_yaml(path)
    if not isinstance(content, Mapping) or not content.get("keypoints"):
        raise ValueError(f"{path}: expected a keypoint set, with the field 'keypoints': a list of names")
    unknown = [str(field) for field in content if field not in _FIELDS]
    if unknown:
        raise ValueError(f"{path}: unknown field {unknown[0]!r}; expected of {', '.join(_FIELDS)}")
    try:
        return make_skeleton(**{"name": path.stem, **content})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def choose_skeleton(name: str) -> Skeleton:
    """Return the keypoint set of a name of `SKELETONS`, or of a file.

    Raises:
        FileNotFoundError: if it looks like a file and is none.
        ValueError: if it is neither; lists the names.
    """
    known = name.replace("-", "_")
    if known in SKELETONS:
        return SKELETONS[known]
    if Path(name).suffix in (".json", ".yml", ".yaml"):
        return read_skeleton(name)
    names = ", ".join(SKELETONS)
    raise ValueError(f"skeleton: expected one of {names}, or a YAML or JSON file, got {name!r}")


def make_skeleton(
    name: str,
    keypoints: Sequence[str],
    *,
    flip_pairs: Sequence[Sequence[str | int]] | None = None,
    limbs: Sequence[Sequence[str | int]] = (),
    limb_colors: Sequence[str] | None = None,
    sigmas: Sequence[float] | None = None,
    lower_body: Sequence[str | int] | None = None,
) -> Skeleton:
    """Return a keypoint set from plain values; keypoints are given by name or by index from 0.

    Args:
        name: of the set.
        keypoints: K different names.
        flip_pairs: what changes places in a mirror image. None: told from the names, by left and right.
        limbs: between which keypoints a bone is drawn.
        limb_colors: "#rrggbb" of each limb. None: by side and part.
        sigmas: K standard deviations of the OKS, as in pycocotools.
        lower_body: keypoints of the lower body. None: hips, knees, ankles and feet, by their names.

    Raises:
        ValueError: if a value does not fit; names the field.
    """
    names = _names(keypoints)
    pairs = _pairs(flip_pairs, names, "flip_pairs") if flip_pairs is not None else _mirror_pairs(names)
    bones = _pairs(limbs, names, "limbs")
    lower = _lower_body(names) if lower_body is None else _indices(lower_body, names, "lower_body")
    return Skeleton(
        name=str(name),
        keypoint_names=names,
        flip_pairs=tuple(sorted({tuple(sorted(pair)) for pair in pairs})),
        limbs=bones,
        limb_colors=_colors(limb_colors, names, bones),
        sigmas=None if sigmas is None else _sigmas(sigmas),
        upper_body=tuple(k for k in range(len(names)) if k not in lower),
        lower_body=lower,
    )


def describe_skeleton(skeleton: Skeleton) -> dict[str, Any]:
    """Return the plain values from which `make_skeleton` makes a keypoint set like this one."""
    return {
        "name": skeleton.name,
        "keypoints": list(skeleton.keypoint_names),
        "flip_pairs": [list(pair) for pair in skeleton.flip_pairs],
        "limbs": [list(limb) for limb in skeleton.limbs],
        "limb_colors": list(skeleton.limb_colors),
        "sigmas": None if skeleton.sigmas is None else list(skeleton.sigmas),
        "lower_body": list(skeleton.lower_body),
    }


def known_skeleton(skeleton: Skeleton) -> Skeleton:
    """Return the set of `SKELETONS` that has the same keypoints in the same order, else the set itself."""
    own = _spelled(skeleton.keypoint_names)
    return next((s for s in SKELETONS.values() if _spelled(s.keypoint_names) == own), skeleton)


def _spelled(names: Sequence[str]) -> tuple[str, ...]:
    plain = [name.lower().replace("-", "_").replace(" ", "_") for name in names]
    return tuple(_SPELLINGS.get(name, name) for name in plain)


def _names(keypoints: Any) -> tuple[str, ...]:
    if isinstance(keypoints, str) or not isinstance(keypoints, Sequence) or not keypoints:
        raise ValueError(f"keypoints: expected a list of names, got {keypoints!r}")
    for index, entry in enumerate(keypoints):
        if not isinstance(entry, str) or not entry:
            raise ValueError(f"keypoints[{index}]: expected a name, got {entry!r}")
    twice = [entry for entry in keypoints if list(keypoints).count(entry) > 1]
    if twice:
        raise ValueError(f"keypoints: the name {twice[0]!r} is there twice")
    return tuple(keypoints)


def _pairs(values: Any, names: tuple[str, ...], field: str) -> tuple[tuple[int, int], ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ValueError(f"{field}: expected a list of pairs, got {values!r}")
    pairs = []
    for index, value in enumerate(values):
        if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
            raise ValueError(f"{field}[{index}]: expected a pair of keypoints, got {value!r}")
        first, second = _indices(value, names, f"{field}[{index}]")
        if first == second:
            raise ValueError(f"{field}[{index}]: names one keypoint twice, {names[first]!r}")
        pairs.append((first, second))
    return tuple(pairs)


def _indices(values: Any, names: tuple[str, ...], field: str) -> tuple[int, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ValueError(f"{field}: expected a list of keypoints, got {values!r}")
    for value in values:
        known = value in names if isinstance(value, str) else type(value) is int and 0 <= value < len(names)
        if not known:
            raise ValueError(f"{field}: expected a name or 0..{len(names) - 1}, got {value!r}")
    return tuple(names.index(value) if isinstance(value, str) else value for value in values)


def _mirror_pairs(names: tuple[str, ...]) -> list[tuple[int, int]]:
    pairs = [(name, _mirrored(name)) for name in names]
    return [(names.index(a), names.index(b)) for a, b in pairs if a != b and b in names]


def _mirrored(name: str) -> str:
    """Return the name of the keypoint on the other side, spelled as this one."""

    def swap(match: re.Match) -> str:
        other = _OTHER_SIDE[match[0].strip("_").lower()]
        found = match[0].strip("_")
        spelled = other.upper() if found.isupper() else other.capitalize() if found[0].isupper() else other
        return match[0].replace(found, spelled)

    return _SIDE.sub(swap, name, count=1)


def _lower_body(names: tuple[str, ...]) -> tuple[int, ...]:
    parts = ("hip", "knee", "ankle", "toe", "heel", "foot")
    return tuple(k for k, name in enumerate(names) if any(part in name.lower() for part in parts))


def _colors(colors: Any, names: tuple[str, ...], bones: tuple[tuple[int, int], ...]) -> tuple[str, ...]:
    if colors is None:
        return tuple(limb_color(names[a], names[b]) for a, b in bones)
    if isinstance(colors, str) or not isinstance(colors, Sequence) or len(colors) != len(bones):
        raise ValueError(f"limb_colors: expected one of each of {len(bones)} limbs, got {colors!r}")
    for index, color in enumerate(colors):
        if not isinstance(color, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
            raise ValueError(f"limb_colors[{index}]: expected '#rrggbb', got {color!r}")
    return tuple(color.lower() for color in colors)


def _sigmas(sigmas: Any) -> tuple[float, ...]:
    if isinstance(sigmas, str) or not isinstance(sigmas, Sequence):
        raise ValueError(f"sigmas: expected a list of numbers, got {sigmas!r}")
    for index, value in enumerate(sigmas):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise ValueError(f"sigmas[{index}]: expected a number above 0, got {value!r}")
    return tuple(float(value) for value in sigmas)
