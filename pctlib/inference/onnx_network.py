"""Prediction from an ONNX file of `pctlib export`, by onnxruntime."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pctlib.inference.network import PoseNetwork
from pctlib.io import existing_file
from pctlib.skeleton_files import known_skeleton, make_skeleton

_NEEDED = ("skeleton", "input_size", "mean", "std", "decoding", "padding", "udp")


def onnx_network(file: str | Path, *, device: str = "cpu", threads: int = 0) -> PoseNetwork:
    """Read an ONNX file as a network.

    Args:
        file: written by `export_onnx`.
        device: "cpu", or "cuda" where onnxruntime was built for it.
        threads: of onnxruntime; 0: it chooses.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no ONNX file, or does not say what it needs; names what is missing.
        ModuleNotFoundError: if onnxruntime is not installed.
    """
    session = _session(existing_file(file), device, threads)
    described = _described(session.get_modelmeta().custom_metadata_map, file)
    mean, std = (np.array(described[name], np.float32).reshape(3, 1, 1) for name in ("mean", "std"))
    read = _reader(session, described, file)
    name = session.get_inputs()[0].name

    def find(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        images = (crops.transpose(0, 3, 1, 2).astype(np.float32) - mean) / std
        return read({name: np.ascontiguousarray(images)})

    return PoseNetwork(
        find,
        known_skeleton(make_skeleton(**described["skeleton"])),
        tuple(described["input_size"]),
        described["padding"],
        described["udp"],
    )


def read_simcc(x: np.ndarray, y: np.ndarray, bins_per_pixel: float) -> tuple[np.ndarray, np.ndarray]:
    """Return keypoints [B, K, 2] in input pixels and scores [B, K] of SimCC's vectors.

    As `SimCCCoding.decode` without refinement: the highest bin of each axis; the score is the smaller of the
    two maxima, and where it is not positive the keypoint is at bin (-1, -1).

    Args:
        x: [B, K, Wx].
        y: [B, K, Wy].
        bins_per_pixel: of both axes.
    """
    scores = np.minimum(x.max(-1), y.max(-1))
    bins = np.stack([x.argmax(-1), y.argmax(-1)], -1).astype(np.float32)
    return np.where(scores[..., None] > 0, bins, -1.0).astype(np.float32) / bins_per_pixel, scores


def _reader(
    session: Any, described: dict[str, Any], file: str | Path
) -> Callable[[dict[str, np.ndarray]], tuple[np.ndarray, np.ndarray]]:
    """Return what runs the session and reads its outputs."""
    names = {"simcc": ["simcc_x", "simcc_y"], "keypoints": ["keypoints", "scores"]}.get(described["decoding"])
    there = [output.name for output in session.get_outputs()]
    if names is None or not set(names) <= set(there):
        raise ValueError(f"{file}: decoding {described['decoding']!r} does not fit the outputs {there}")
    if described["decoding"] == "keypoints":
        return lambda inputs: tuple(session.run(names, inputs))
    bins = described.get("bins_per_pixel", 2.0)
    return lambda inputs: read_simcc(*session.run(names, inputs), bins)


def _described(texts: dict[str, str], file: str | Path) -> dict[str, Any]:
    missing = [name for name in _NEEDED if name not in texts]
    if missing:
        raise ValueError(
            f"{file}: does not say what it needs, its metadata lack {', '.join(missing)}; files of "
            "`pctlib export` do. Export the weights, or add the metadata (JSON values) by "
            "onnx.helper.set_model_props"
        )
    try:
        return {
            name: json.loads(text) for name, text in texts.items() if name in (*_NEEDED, "bins_per_pixel")
        }
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}: the metadata are not JSON values ({error})") from error


def load_onnxruntime() -> ModuleType:
    """Return onnxruntime.

    Raises:
        ModuleNotFoundError: if it is not installed; says how it is.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("ONNX files need onnxruntime: pip install 'pctlib[onnx]'") from error
    return onnxruntime


def _session(file: Path, device: str, threads: int) -> Any:
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    wanted = ["CUDAExecutionProvider"] if device == "cuda" else []
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(file, options, providers=[*providers, "CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common but this one
        raise ValueError(f"{file}: not an ONNX file that onnxruntime can run ({error})") from error
