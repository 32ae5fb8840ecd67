"""Write procedural people as a data set in the COCO formats.

```
<root>/procedural_<split>.json                      the settings, so that a folder is never mixed from two
runs <root>/<split>/000000000001.jpg ...                 pictures
<root>/annotations/person_keypoints_<split>.json    COCO keypoints
<root>/annotations/coco_wholebody_<split>.json      COCO-WholeBody v1.0
<root>/annotations/person_3d_<split>.npz            3D joints, body parameters, cameras, occlusion (`load_3d`)
```

A picture depends on the seed and its number only, so the files are the same whatever the number of processes,
and a run that was stopped goes on where it was.
"""

import io
import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from pctlib import __version__
from pctlib.body_model import BodyModel
from pctlib.data.procedural.annotate import PersonAnnotation
from pctlib.data.procedural.occluders import Occlusion
from pctlib.data.procedural.scene import Sample, render_person
from pctlib.io import existing_file, read_json, write_atomic, write_json
from pctlib.skeletons import COCO

Array = np.ndarray
_JPEG_QUALITY = 92
_CHUNK = 32  # pictures a task; also what a stopped run may lose
FORMAT = 1  # raised when the same settings would give other pictures
_body: BodyModel | None = None  # of a worker process


def generate(
    root: str | Path,
    *,
    split: str,
    count: int,
    seed: int,
    image_size: int = 256,
    occlusion: Occlusion | float | None = None,
    crowd: float = 0.4,
    body_model: str | Path | None = None,
    workers: int = 1,
    progress: bool = True,
) -> Path:
    """Write `count` pictures of procedural people with their annotations; what is there already is kept.

    Args:
        root: folder of the data set.
        split: name of the part, as in "train".
        count: pictures; people are a little more.
        seed: which people; give splits different seeds.
        image_size: height and width of the pictures, pixels.
        occlusion: how the main person of each picture is hidden; `Occlusion()` if None, and a number is
            the level of a mixed one.
        crowd: probability of other people behind the main person.
        body_model: an SMPL-X npz file; the embedded body if None.
        workers: processes; 1 renders in this one. The files do not depend on it.
        progress: whether to show a bar.

    Returns:
        `<root>/annotations/person_keypoints_<split>.json`.

    Raises:
        ValueError: if an argument is out of range, or the folder holds this split with other settings.
    """
    root = Path(root)
    if not isinstance(occlusion, Occlusion):
        occlusion = Occlusion() if occlusion is None else Occlusion("mixed", float(occlusion))
    if count < 1 or workers < 1 or not split or "/" in split:
        raise ValueError(
            f"expected count >= 1, workers >= 1 and a plain split name, got {count}, {workers}, {split!r}"
        )
    if body_model is not None:
        existing_file(body_model)
    settings = {
        "format": FORMAT,
        "seed": seed,
        "image_size": image_size,
        "occlusion": {"kind": occlusion.kind, "level": occlusion.level},
        "crowd": crowd,
        "body_model": None if body_model is None else str(body_model),
    }
    _check_settings(root / f"procedural_{split}.json", settings)
    tasks = [(root, split, start, min(start + _CHUNK, count), settings) for start in range(0, count, _CHUNK)]
    missing = [task for task in tasks if not _is_rendered(task)]
    written = root / "annotations" / f"person_keypoints_{split}.json"
    if not missing and written.exists() and len(read_json(written)["images"]) == count:
        return written
    with tqdm(total=count, unit="picture", disable=not progress, desc=f"people ({split})") as bar:
        bar.update(count - sum(task[3] - task[2] for task in missing))
        for task, _ in zip(missing, _run(missing, body_model, workers), strict=True):
            bar.update(task[3] - task[2])
    return _write_annotations(root, split, tasks, settings)


def load_3d(root: str | Path, split: str) -> dict[str, Array]:
    """Read the 3D part of a split: one row a person, in the order of the COCO file's annotations.

    Returns:
        annotation_ids [N]; joints_3d [N, 17, 3] float32 millimetres, camera frame, Human3.6M order; occlusion
        and truncation [N] in 0..1; activity [N] text; shape [N, 10], expression [N, 10], pose [N, 55, 3]
        axis-angle (radians, root first), translation [N, 3] metres: body model parameters in the world frame;
        camera_rotation [N, 3, 3] world -> camera, camera_position [N, 3] metres, focal [N] pixels,
        principal_point [N, 2] pixels; is_main [N] bool.
    """
    with np.load(Path(root) / "annotations" / f"person_3d_{split}.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    """Write the settings, or compare them with those of an earlier run."""
    if not path.exists():
        write_json(path, settings)
        return
    earlier = read_json(path)
    different = {
        name: (earlier.get(name), value) for name, value in settings.items() if earlier.get(name) != value
    }
    if different:
        what = "; ".join(f"{name} was {old!r}, now {new!r}" for name, (old, new) in different.items())
        raise ValueError(
            f"{path}: the folder holds this split with other settings ({what}); choose another folder"
        )


def _run(tasks: list[tuple], body_model: str | Path | None, workers: int) -> Iterator[None]:
    """Render the tasks in order, here or in other processes."""
    if workers == 1 or len(tasks) <= 1:
        _start_worker(body_model)
        yield from map(_render_chunk, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (body_model,)) as pool:
        yield from pool.map(_render_chunk, tasks)


def _start_worker(body_model: str | Path | None) -> None:
    """Load the body of this process."""
    global _body
    _body = None if body_model is None else BodyModel.from_npz(body_model, flat_hand=True)


def _chunk_path(root: Path, split: str, start: int, stop: int) -> Path:
    return root / "annotations" / f".{split}_parts" / f"{start:09d}_{stop:09d}.json"


def _pictures(task: tuple) -> list[Path]:
    """Return the picture files of a task."""
    root, split, start, stop, _ = task
    return [root / split / f"{index + 1:012d}.jpg" for index in range(start, stop)]


def _is_rendered(task: tuple) -> bool:
    """Whether the pictures of a task and their annotations are there."""
    return _chunk_path(*task[:4]).exists() and all(picture.exists() for picture in _pictures(task))


def _render_chunk(task: tuple) -> None:
    """Write the pictures start..stop and their annotations."""
    root, split, start, stop, settings = task
    path, pictures = _chunk_path(root, split, start, stop), _pictures(task)
    rows = []
    for index, picture in zip(range(start, stop), pictures, strict=True):
        sample = render_person(
            settings["seed"],
            index,
            occlusion=Occlusion(**settings["occlusion"]),
            image_size=settings["image_size"],
            crowd=settings["crowd"],
            body=_body,
        )
        data = io.BytesIO()
        Image.fromarray(sample.image).save(data, "JPEG", quality=_JPEG_QUALITY)
        write_atomic(picture, lambda file, data=data: file.write_bytes(data.getvalue()), flush=False)
        rows += [_row(sample, person, index + 1, i == 0) for i, person in enumerate(sample.people)]
    write_json(path, rows, indent=None)


def _row(sample: Sample, found: PersonAnnotation, image_id: int, is_main: bool) -> dict[str, Any]:
    """Return everything known of one person as plain lists."""
    camera, person = sample.camera, found.person
    return {
        "image_id": image_id,
        "keypoints_image": _rounded(found.keypoints_image, 2),
        "visible": found.visible.tolist(),
        "box": _rounded(found.box_xywh, 2),
        "area": found.area,
        "is_main": is_main,
        "activity": found.activity,
        "occlusion": round(found.occlusion, 4),
        "truncation": round(found.truncation, 4),
        "joints_3d": _rounded(found.joints_3d, 2),
        "shape": _rounded(person.shape, 5),
        "expression": _rounded(person.expression, 5),
        "pose": _rounded(person.axis_angle, 5),
        "translation": _rounded(person.translation, 5),
        "camera_rotation": _rounded(camera.rotation, 7),
        "camera_position": _rounded(camera.position, 5),
        "focal": camera.focal,
        "principal_point": list(camera.principal_point),
    }


def _rounded(values: Array, digits: int) -> list:
    return np.round(np.asarray(values, np.float64), digits).tolist()


def _write_annotations(root: Path, split: str, tasks: list[tuple], settings: dict[str, Any]) -> Path:
    """Join the parts into the three annotation files."""
    rows = [row for task in tasks for row in read_json(_chunk_path(root, split, task[2], task[3]))]
    folder = root / "annotations"
    arrays = {"annotation_ids": np.arange(1, len(rows) + 1)}
    for name in ("joints_3d", "occlusion", "truncation", "shape", "expression", "pose", "translation"):
        arrays[name] = np.array([row[name] for row in rows], np.float32)
    for name in ("camera_rotation", "camera_position", "focal", "principal_point"):
        arrays[name] = np.array([row[name] for row in rows], np.float32)
    arrays["activity"] = np.array([row["activity"] for row in rows])
    arrays["is_main"] = np.array([row["is_main"] for row in rows])

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:
            np.savez(stream, **arrays)

    write_atomic(folder / f"person_3d_{split}.npz", write)
    size, count = settings["image_size"], tasks[-1][3]
    head = {
        "info": {
            "description": "procedural people",
            "version": __version__,
            "settings": json.dumps(settings),
        },
        "licenses": [
            {"id": 1, "name": "CC0-1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}
        ],
        "images": [
            {"id": i, "file_name": f"{i:012d}.jpg", "height": size, "width": size, "license": 1}
            for i in range(1, count + 1)
        ],
        "categories": [_category()],
    }
    people = [_coco(row, number) for number, row in enumerate(rows, start=1)]
    wholes = [{**person, **_wholebody(row)} for person, row in zip(people, rows, strict=True)]
    write_json(folder / f"coco_wholebody_{split}.json", {**head, "annotations": wholes}, indent=None)
    return write_json(folder / f"person_keypoints_{split}.json", {**head, "annotations": people}, indent=None)


def _category() -> dict[str, Any]:
    return {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(COCO.keypoint_names),
        "skeleton": [[a + 1, b + 1] for a, b in COCO.limbs],
    }


def _triples(row: dict[str, Any], start: int, stop: int) -> list[float]:
    """Return (x, y, flag) of the keypoints start..stop as one flat list."""
    points = zip(row["keypoints_image"][start:stop], row["visible"][start:stop], strict=True)
    return [value for (x, y), flag in points for value in (x, y, flag)]


def _coco(row: dict[str, Any], number: int) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": row["image_id"],
        "category_id": 1,
        "iscrowd": 0,
        "bbox": row["box"],
        "area": row["area"],
        "num_keypoints": sum(flag > 0 for flag in row["visible"][:17]),
        "keypoints": _triples(row, 0, 17),
        "occlusion": row["occlusion"],
        "truncation": row["truncation"],
        "activity": row["activity"],
    }


def _wholebody(row: dict[str, Any]) -> dict[str, Any]:
    """Return the additional fields of COCO-WholeBody: feet, face and hands, with boxes and valid flags."""
    fields: dict[str, Any] = {"foot_kpts": _triples(row, 17, 23), "foot_valid": any(row["visible"][17:23])}
    for name, start, stop in (("face", 23, 91), ("lefthand", 91, 112), ("righthand", 112, 133)):
        flags = np.array(row["visible"][start:stop])
        points = np.array(row["keypoints_image"][start:stop])[flags > 0]
        fields[f"{name}_kpts"] = _triples(row, start, stop)
        # as in COCO-WholeBody a part counts where most of it can be seen
        fields[f"{name}_valid"] = bool((flags == 2).mean() >= 0.5)
        low, high = (points.min(0), points.max(0)) if len(points) else (np.zeros(2), np.zeros(2))
        fields[f"{name}_box"] = _rounded(np.concatenate([low, high - low]), 2)
    return fields
