"""Seeded damage to files: of their bytes, and of what they hold."""

import copy
import random
from typing import Any

# What stands where a number, a list or a text should: from exports, scripts and hands.
ODD = (
    None, True, False, 0, -1, 1, 2, 0.5, -0.0, 17, 10**6, 2**31, 2**63, 2**64, 2**70, -(2**70), 10**400,
    1e308, -1e308, 1e30, 5e-324, float("nan"), float("inf"), float("-inf"), "", " ", "1", "-3.5", "nan",
    "person", "a/b.jpg", "..", "../x", "\0", "\ud800", "é", "e\u0301", "a" * 3000, [], {}, [[]], [None], [1],
    [1, 2], [1, 2, 3], [1, 2, 3, 4], [[1, 2, 3]], ["a"], {"id": 1}, {"a": {}}, [1] * 51, [0.5] * 51,
    [[0, 0, 0]] * 17,
)  # fmt: skip


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to three faults: changed, cut, taken out, repeated, put in or overwritten."""
    result = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _damage(result, rng)
    return bytes(result)


def _damage(content: bytearray, rng: random.Random) -> None:
    size = len(content)
    place = rng.randrange(size + 1)
    # the beginning and the end hold what tells a reader where the rest is
    place = min(place, rng.choice((place, 64, 512))) if rng.random() < 0.5 else max(place, size - 512)
    place = min(max(place, 0), size)
    length = rng.choice((1, 1, 2, 4, 8, 64, 1000))
    kind = rng.choice(("change", "flip", "cut", "take", "repeat", "insert", "zero", "overwrite"))
    if kind == "change" and place < size:
        content[place] = rng.randrange(256)
    elif kind == "flip" and place < size:
        content[place] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del content[place:]
    elif kind == "take":
        del content[place : place + length]
    elif kind == "repeat":
        content[place:place] = content[place : place + length]
    elif kind == "insert":
        content[place:place] = rng.randbytes(length)
    elif kind == "zero":
        content[place : place + length] = bytes(len(content[place : place + length]))
    elif kind == "overwrite":
        content[place : place + length] = rng.randbytes(len(content[place : place + length]))


def damaged_value(value: Any, rng: random.Random) -> Any:
    """Return a copy of nested dicts and lists with one to three entries odd, missing, moved or repeated."""
    result = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        holder, key = _place(result, rng)
        if holder is None:
            return copy.deepcopy(rng.choice(ODD))
        _spoil(holder, key, rng)
    return result


def _place(value: Any, rng: random.Random) -> tuple[Any, Any]:
    """Return a dict or list inside `value` and a key in it; (None, None) now and then for the whole."""
    holder = key = None
    while isinstance(value, dict | list) and value and rng.random() > 0.06:
        holder, key = value, rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        value = holder[key]
        if rng.random() < 0.12:
            break
    return holder, key


def _spoil(holder: dict | list, key: Any, rng: random.Random) -> None:
    kind = rng.choice(("odd", "odd", "odd", "remove", "repeat", "rename", "wrap", "text"))
    if kind == "remove":
        del holder[key]
    elif kind == "repeat" and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif kind == "rename" and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    elif kind == "wrap":
        holder[key] = rng.choice(([holder[key]], {"value": holder[key]}))
    elif kind == "text":
        holder[key] = str(holder[key])
    else:
        holder[key] = copy.deepcopy(rng.choice(ODD))
