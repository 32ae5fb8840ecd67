"""What is damaged: annotation and results files, archives of Human3.6M, checkpoints of every family."""

import io
import json
import pickle
import random
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from helpers.official_pct import random_state, small_detector
from helpers.official_rtmw import random_rtmw
from helpers.official_vitpose import random_vitpose
from helpers.whole_bodies import films as whole_body_films
from torch import Tensor

from faults.mutations import damaged_bytes, damaged_value
from faults.watch import Case
from pctlib.checkpoints import load_official
from pctlib.data.coco import read_coco
from pctlib.data.detections import read_detections
from pctlib.data.h3wb import read_h3wb
from pctlib.data.h36m import read_h36m, read_h36m_videopose
from pctlib.metrics.coco import evaluate_coco

_PEOPLE, _RESULTS, _FLAT, _WEIGHTS = "people.json", "results.json", "h36m_train.npz", "model.pth"


# --- annotations and results


@cache
def _people() -> dict[str, Any]:
    """Return a small annotation file: three images, four persons, a crowd, a car, a box alone."""
    rng = np.random.default_rng(0)
    images = [{"id": i, "file_name": f"{i:06d}.jpg", "height": 120, "width": 160} for i in (3, 5, 785)]
    people = []
    for place, image in enumerate((3, 3, 5, 785)):
        xy = rng.uniform(20, 100, (17, 2)).round(2)
        triples = np.concatenate([xy, rng.integers(0, 3, (17, 1))], axis=1)
        box = [15.0, 15.0, 90.0, 90.0]
        values = {"id": place + 1, "image_id": image, "category_id": 1, "bbox": box, "area": 4300.5}
        people.append({**values, "iscrowd": 0, "num_keypoints": 11, "keypoints": triples.ravel().tolist()})
    crowd = {**people[0], "id": 8, "iscrowd": 1, "keypoints": [0] * 51, "num_keypoints": 0}
    car = {"id": 9, "image_id": 5, "category_id": 3, "bbox": [1, 2, 30, 40], "area": 70, "iscrowd": 0}
    alone = {**car, "id": 10, "category_id": 1}
    categories = [
        {"id": 1, "name": "person", "keypoints": [f"k{i}" for i in range(17)], "skeleton": [[1, 2]]},
        {"id": 3, "name": "car"},
    ]
    return {"images": images, "annotations": [*people, crowd, car, alone], "categories": categories}


@cache
def _results() -> list[dict[str, Any]]:
    """Return results that are poses and detections at once."""
    names = ("image_id", "category_id", "keypoints", "bbox")
    people = [entry for entry in _people()["annotations"] if entry["id"] < 8]
    return [{**{name: entry[name] for name in names}, "score": 0.9} for entry in people]


def _json(value: Any, rng: random.Random) -> bytes:
    """Return a damaged JSON file: of its bytes one time in three, else of its values."""
    if rng.random() < 0.33:
        return damaged_bytes(json.dumps(value).encode(), rng)
    return json.dumps(damaged_value(value, rng)).encode()


def _write_people(rng: random.Random, folder: Path) -> None:
    (folder / _PEOPLE).write_bytes(_json(_people(), rng))
    (folder / _RESULTS).write_text(json.dumps(_results()))


def _write_results(rng: random.Random, folder: Path) -> None:
    (folder / _PEOPLE).write_text(json.dumps(_people()))
    (folder / _RESULTS).write_bytes(_json(_results(), rng))


def _all_of(*reads: Callable[[Path], object]) -> Callable[[Path], None]:
    """Return a reader that does all, and then raises what was raised first."""

    def read(folder: Path) -> None:
        first = None
        for each in reads:
            try:
                each(folder)
            except (ValueError, FileNotFoundError) as error:
                if str(folder) not in str(error):
                    raise
                first = first or error
        if first is not None:
            raise first

    return read


_read_people = _all_of(
    lambda folder: read_coco(folder / _PEOPLE, folder),
    lambda folder: read_coco(folder / _PEOPLE, skip_invalid=True, min_keypoints=0),
    lambda folder: evaluate_coco(folder / _PEOPLE, folder / _RESULTS),
    lambda folder: read_detections(folder / _RESULTS, folder / _PEOPLE, folder),
)
_read_results = _all_of(
    lambda folder: evaluate_coco(folder / _PEOPLE, folder / _RESULTS),
    lambda folder: read_detections(folder / _RESULTS, folder / _PEOPLE, folder),
)


# --- Human3.6M


@cache
def _flat() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "imgname": np.array(["S1/S1_Walking_1.54138969_000006.jpg", "S5_Eating.55011271_000001.jpg"]),
        "center": np.array([[400.0, 300], [410, 310]]),
        "scale": np.array([2.0, 1.5]),
        "part": np.concatenate([rng.uniform(300, 500, (2, 17, 2)), np.ones((2, 17, 1))], axis=2),
        "S": np.concatenate([rng.normal(0, 0.3, (2, 17, 3)), np.ones((2, 17, 1))], axis=2),
    }


@cache
def _films() -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(2)
    pose = rng.normal(0, 0.3, (3, 32, 3)).astype(np.float32) + np.float32([0, 0, 1])
    return {"S9": {"Walking 1": pose}, "S11": {"Eating": pose[:2]}}


@cache
def _cameras() -> dict[tuple[str, str], dict[str, Any]]:
    lens = {
        "f": [[1000.0], [1000]],
        "c": [[500.0], [501]],
        "k": [[-0.2], [0.2], [0]],
        "p": [[0.001], [0.002]],
    }
    place = {"R": [[1.0, 0, 0], [0, 0, 1], [0, -1, 0]], "T": [[0.1], [-5.0], [1.0]]}
    values = {name: np.array(value) for name, value in (lens | place).items()}
    views = ("54138969", "55011271", "58860488", "60457274")
    return {(subject, view): {**values, "w": 1000, "h": 1002} for subject in ("S9", "S11") for view in views}


def _odd_array(array: np.ndarray, rng: random.Random) -> np.ndarray:
    """Return an array of another shape, type or with odd values."""
    kind = rng.choice(("shape", "cut", "type", "values", "values", "scalar", "empty", "text", "complex"))
    if kind == "shape":
        return array.reshape(-1)
    if kind == "cut":
        return array[: len(array) // 2] if array.ndim else array
    if kind == "scalar":
        return np.array(rng.choice((0, 1.5, "text", True)))
    if kind == "empty":
        return array[:0] if array.ndim else array
    if kind == "text" or array.dtype.kind not in "fiub":
        return array.astype(str)
    if kind == "type":
        return array.astype(rng.choice((np.int8, np.uint64, np.float16, bool)))
    if kind == "complex":
        return array.astype(complex)
    changed = array.astype(np.float64)
    odd = (np.nan, np.inf, -np.inf, 1e308, 1e-320, 0.0, -1.0, 1e6)
    changed.reshape(-1)[rng.randrange(max(changed.size, 1)) :: rng.choice((1, 3, 1000))] = rng.choice(odd)
    return changed


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array)
    return stream.getvalue()


def _zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _one(values: dict[str, Any], rng: random.Random, change: Callable[[Any, random.Random], Any]) -> dict:
    """Return the values with one of them changed, missing or under another name."""
    name = rng.choice(sorted(values, key=str))
    kind = rng.random()
    if kind < 0.1:
        return {key: value for key, value in values.items() if key != name}
    if kind < 0.15:
        return {f"{key}x" if key == name else key: value for key, value in values.items()}
    return {key: change(value, rng) if key == name else value for key, value in values.items()}


def _write_flat(rng: random.Random, folder: Path) -> None:
    kind, members = rng.random(), {f"{name}.npy": _npy(array) for name, array in _flat().items()}
    if kind < 0.3:
        content = damaged_bytes(_zipped(members), rng)
    elif kind < 0.6:  # sound archive, damaged member
        content = _zipped(_one(members, rng, damaged_bytes))
    else:
        arrays = _one(_flat(), rng, _odd_array)
        content = _zipped({f"{name}.npy": _npy(array) for name, array in arrays.items()})
    (folder / _FLAT).write_bytes(content)


def _objects(value: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.array(value, dtype=object), allow_pickle=True)
    return stream.getvalue()


def _write_films(rng: random.Random, folder: Path) -> None:
    films, cameras = _objects(_films()), pickle.dumps(_cameras())
    kind = rng.random()
    if kind < 0.25:
        films = damaged_bytes(films, rng)
    elif kind < 0.5:
        films = _objects(_damaged_tree(_films(), rng))
    elif kind < 0.75:
        cameras = damaged_bytes(cameras, rng)
    else:
        cameras = pickle.dumps(_damaged_tree(_cameras(), rng))
    content = _zipped({"positions_3d.npy": films})
    (folder / "data_3d_h36m.npz").write_bytes(content if rng.random() > 0.1 else damaged_bytes(content, rng))
    (folder / "cameras.pkl").write_bytes(cameras)


def _write_whole_bodies(rng: random.Random, folder: Path) -> None:
    content, kind = whole_body_films(), rng.random()
    if kind < 0.5:
        content = _one(content, rng, _damaged_tree)
    members = {f"{name}.npy": _objects(value) for name, value in content.items()}
    if 0.5 <= kind < 0.8:
        members = _one(members, rng, damaged_bytes)
    archive = _zipped(members)
    (folder / _FLAT).write_bytes(archive if kind < 0.8 else damaged_bytes(archive, rng))


def _damaged_tree(value: Any, rng: random.Random) -> Any:
    """Return nested dicts of arrays with one array odd, or an entry odd or missing."""
    if not isinstance(value, dict):
        return _odd_array(np.asarray(value), rng)
    return damaged_value(value, rng) if rng.random() < 0.3 else _one(value, rng, _damaged_tree)


# --- checkpoints


def _odd_tensor(tensor: Tensor, rng: random.Random) -> Any:
    kind = rng.choice(("flat", "cut", "more", "half", "int", "nan", "scalar", "empty", "transposed", "odd"))
    changes: dict[str, Callable[[], Any]] = {
        "flat": lambda: tensor.reshape(-1),
        "cut": lambda: tensor[: len(tensor) // 2].clone() if tensor.ndim else tensor[None],
        "more": lambda: torch.cat([tensor, tensor]) if tensor.ndim else tensor[None, None],
        "half": lambda: tensor.to(rng.choice((torch.float16, torch.bfloat16, torch.float64))),
        "int": lambda: tensor.to(torch.int64),
        "nan": lambda: torch.full_like(tensor.float(), rng.choice((float("nan"), float("inf"), 0.0))),
        "scalar": lambda: torch.tensor(1.0),
        "empty": lambda: tensor.reshape(-1)[:0],
        "transposed": lambda: tensor.transpose(0, -1).contiguous() if tensor.ndim > 1 else tensor,
        "odd": lambda: rng.choice((None, 1, "text", [1, 2], {}, np.float64(3), torch.Size([1]))),
    }
    return changes[kind]()


def _repickled(saved: bytes, rng: random.Random) -> bytes:
    """Return a file of torch.save, a sound archive whose pickle is damaged."""
    with zipfile.ZipFile(io.BytesIO(saved)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:  # stored, as torch does
        for name, content in members.items():
            archive.writestr(name, damaged_bytes(content, rng) if name.endswith("data.pkl") else content)
    return stream.getvalue()


def _saved(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def _checkpoint(
    name: str, state: Callable[[], dict[str, Tensor]], meta: dict[str, Any] | None = None
) -> Case:
    """Return the case of a family, from the official names of a small model."""
    state, beside = cache(state), {"meta": meta or {"epoch": 3, "CLASSES": ["person"]}}

    def write(rng: random.Random, folder: Path) -> None:
        kind = rng.random()
        if kind < 0.2:
            content = damaged_bytes(_saved({"state_dict": state(), **beside}), rng)
        elif kind < 0.4:
            content = _repickled(_saved({"state_dict": state(), **beside}), rng)
        elif kind < 0.55:
            content = _saved({"state_dict": state(), "meta": damaged_value(beside["meta"], rng)})
        else:
            content = _saved({"state_dict": _one(state(), rng, _odd_tensor), **beside})
        (folder / _WEIGHTS).write_bytes(content)

    return Case(name, write, lambda folder: load_official(folder / _WEIGHTS))


def _write_safetensors(rng: random.Random, folder: Path) -> None:
    content = safetensors.torch.save(random_vitpose(0, dim=384, depth=1, decoder="simple"))
    if rng.random() < 0.5:
        content = damaged_bytes(content, rng)
    else:  # the header says something else
        length = int.from_bytes(content[:8], "little")
        header = json.dumps(damaged_value(json.loads(content[8 : 8 + length]), rng)).encode()
        content = len(header).to_bytes(8, "little") + header + content[8 + length :]
    (folder / "model.safetensors").write_bytes(content)


def _rtmpose() -> dict[str, Tensor]:
    from pctlib.models.cspnext import CSPNeXt
    from pctlib.models.estimator import PoseEstimator
    from pctlib.models.representations.rtmcc import RTMCC

    torch.manual_seed(0)
    backbone = CSPNeXt(0.167, 0.0625)
    head = RTMCC(backbone.channels[-1], range(17), input_size=(96, 64), hidden_dim=24, key_dim=8)
    state = PoseEstimator(backbone, head).state_dict()
    return {name.removeprefix("representation."): value for name, value in state.items()}


def _pct(classifier: bool) -> Callable[[], dict[str, Tensor]]:
    return lambda: random_state(small_detector(classifier=classifier, guided=False))


def _vitpose(**sizes: Any) -> Callable[[], dict[str, Tensor]]:
    return lambda: random_vitpose(0, dim=384, depth=1, **sizes)


def _mae() -> dict[str, Tensor]:
    state = random_vitpose(0, dim=384, depth=1, cells=9)
    inner = {name.removeprefix("backbone."): v for name, v in state.items() if name.startswith("backbone.")}
    return {name: value for name, value in inner.items() if not name.startswith("last_norm")}


_DESCRIBED = {
    "dataset_meta": {
        "dataset_name": "own",
        "keypoint_id2name": {i: f"joint_{i}" for i in range(17)},
        "flip_indices": [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15],
        "skeleton_links": [[0, 1], [1, 2]],
        "sigmas": np.full(17, 0.05),
        "lower_body_ids": [11, 12, 13, 14, 15, 16],
    }
}

CASES = (
    Case("annotations", _write_people, _read_people),
    Case("results", _write_results, _read_results),
    Case("h36m", _write_flat, lambda folder: read_h36m(folder / _FLAT, folder)),
    Case(
        "h36m of VideoPose3D",
        _write_films,
        lambda folder: read_h36m_videopose(folder / "data_3d_h36m.npz", folder / "cameras.pkl", split="test"),
    ),
    Case("h3wb", _write_whole_bodies, lambda folder: read_h3wb(folder / _FLAT, folder)),
    _checkpoint("PCT tokenizer", _pct(False)),
    _checkpoint("PCT classifier", _pct(True)),
    _checkpoint("RTMPose", _rtmpose, _DESCRIBED),
    _checkpoint("RTMW", lambda: random_rtmw(K=17)),
    _checkpoint("ViTPose", _vitpose(decoder="classic")),
    _checkpoint("ViTPose+", _vitpose(decoder="simple", K=(17, 14), experts=2)),
    _checkpoint("masked autoencoder", _mae),
    Case("safetensors", _write_safetensors, lambda folder: load_official(folder / "model.safetensors")),
)
