"""Reading an annotation file of the size of person_keypoints_train2017 beside plain pycocotools."""

import contextlib
import io
import json
import tempfile
from pathlib import Path

from benchmarks.bench_metrics import make_files
from benchmarks.common import Row, cpu_seconds, peak_mb
from pctlib.data.coco import read_coco

# The published file: 262,465 persons in 64,115 images, polygons of the segmentation included.
IMAGES, PEOPLE, POLYGON_POINTS = 64_115, 262_465, 24

_OURS = """
from pctlib.data.coco import read_coco
# measured
people = read_coco({path!r}, {folder!r})
"""
_PLAIN = """
import contextlib, io
from pycocotools.coco import COCO
# measured
with contextlib.redirect_stdout(io.StringIO()):
    coco = COCO({path!r})
"""


def benchmark(images: int = IMAGES, people: int = PEOPLE) -> list[Row]:
    """Return the row: the file to one validated table, against pycocotools' dictionaries of dictionaries."""
    with tempfile.TemporaryDirectory() as folder:
        path = make_annotations(Path(folder), images, people)
        places = {"path": str(path), "folder": folder}
        return [
            Row(
                f"read {people} annotations of {images} images, {path.stat().st_size / 1e6:.0f} MB",
                cpu_seconds(lambda: read_coco(path, folder), repeats=1),
                cpu_seconds(lambda: _plain(path), repeats=1),
                peak_mb(_OURS.format(**places)),
                peak_mb(_PLAIN.format(**places)),
                "pycocotools, which checks nothing and makes no arrays",
            )
        ]


def make_annotations(folder: Path, images: int, people: int) -> Path:
    """Write an annotation file to size, with a polygon a person as the published one has."""
    path, _ = make_files(folder, images, people)
    content = json.loads(path.read_text())
    for entry in content["annotations"]:
        x, y, width, height = entry["bbox"]
        steps = [i / POLYGON_POINTS for i in range(POLYGON_POINTS)]
        entry["segmentation"] = [[round(v, 2) for t in steps for v in (x + t * width, y + t * height)]]
    path.write_text(json.dumps(content))
    return path


def _plain(path: Path) -> object:
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))
