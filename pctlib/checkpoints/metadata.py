"""What mmengine writes beside the weights: kept as data, never built; the keypoint set is read from it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pctlib.skeleton_files import known_skeleton, make_skeleton
from pctlib.skeletons import Skeleton

# Metrics as numpy numbers and arrays, logs of the run. The call of getattr fetches the methods of such a log.
IGNORED = (
    "builtins.getattr",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
)


class Recorded:
    """Stands for anything of `IGNORED` in a file: notes what is given and builds nothing of it."""

    def __init__(self, *args: object) -> None:
        self.args, self.state = args, None

    def __setstate__(self, state: object) -> None:
        self.state = state


def plain_numbers(value: Any) -> Any:
    """Return a recorded numpy array of numbers as a list, anything else as it is.

    An array is (version, shape, type, order, bytes) in a pickle, its type ("f8", ...) with (version, byte
    order, ...).
    """
    if not isinstance(value, Recorded) or not isinstance(value.state, tuple) or len(value.state) != 5:
        return value
    _, shape, dtype, fortran, content = value.state
    if not isinstance(dtype, Recorded) or not dtype.args or not isinstance(content, bytes | str):
        return value
    content = content.encode("latin-1") if isinstance(content, str) else content
    order = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "|"
    code = str(dtype.args[0])
    if code[:1] not in "iuf" or order not in ("<", ">", "=", "|"):
        return value
    try:
        array = np.frombuffer(content, np.dtype(order.replace("=", _NATIVE) + code))
        return array.reshape(shape, order="F" if fortran else "C").tolist()
    except (TypeError, ValueError):
        return value


_NATIVE = "<" if sys.byteorder == "little" else ">"


def _pairs(flipped: Any, K: int, place: str) -> list[tuple[int, int]]:
    """Return the pairs of keypoints that a permutation of 0..K - 1 exchanges."""
    whole = isinstance(flipped, list) and all(type(index) is int for index in flipped)
    if not whole or sorted(flipped) != list(range(K)):
        raise ValueError(f"{place}: flip_indices: expected each of 0..{K - 1} once, got {flipped!r}")
    return [(a, b) for a, b in enumerate(flipped) if a < b]


def skeleton_of(described: Any, file: str | Path) -> Skeleton:
    """Return the keypoint set that `dataset_meta` of mmpose 1.x describes.

    Raises:
        ValueError: if it lacks the names, or a field does not fit; names the file and the field.
    """
    place = f"{file}: meta.dataset_meta"
    if not isinstance(described, Mapping):
        raise ValueError(f"{place}: expected fields such as 'keypoint_id2name', got {described!r}")
    names = described.get("keypoint_id2name")
    if not isinstance(names, Mapping) or set(names) != set(range(len(names))):
        raise ValueError(
            f"{place}: keypoint_id2name: expected a name for each of 0, 1, 2, ..., got {names!r}"
        )
    ordered = [names[index] for index in range(len(names))]
    flipped = plain_numbers(described.get("flip_indices"))
    pairs = None if flipped is None else _pairs(flipped, len(names), place)
    try:
        return known_skeleton(
            make_skeleton(
                str(described.get("dataset_name") or "own"),
                ordered,
                flip_pairs=pairs,
                limbs=plain_numbers(described.get("skeleton_links")) or (),
                sigmas=plain_numbers(described.get("sigmas")),
                lower_body=plain_numbers(described.get("lower_body_ids")) or None,
            )
        )
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
