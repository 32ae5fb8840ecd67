"""Procedural people: how many a second one core makes, JPEG included."""

import tempfile

from benchmarks.common import Row, cpu_seconds
from pctlib.data.procedural.generate import generate

PICTURES = 96


def benchmark() -> list[Row]:
    """Return the row; there is no other implementation to compare with, 10 ms a picture is the goal."""
    with tempfile.TemporaryDirectory() as folder:
        generate(folder, split="warm", count=8, seed=1, progress=False)  # compile
        seconds = cpu_seconds(
            lambda: generate(folder, split="bench", count=PICTURES, seed=2, progress=False), repeats=1
        )
    return [
        Row(f"render and write {PICTURES} pictures of 256 px", seconds, 0.010 * PICTURES, note="10 ms each")
    ]
