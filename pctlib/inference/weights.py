"""Any weights as a network: official files, runs of the study, ONNX files."""

from dataclasses import replace
from pathlib import Path

import torch

from pctlib.inference.calibration import calibrated, calibration_file, read_calibration
from pctlib.inference.network import PoseNetwork, torch_network, torch_network_3d
from pctlib.inference.onnx_network import onnx_network
from pctlib.skeletons import COCO, Skeleton


def load_network(
    weights: str | Path,
    *,
    skeleton: Skeleton | None = None,
    dataset_index: int | None = None,
    flip_test: bool = False,
    device: torch.device,
    compiled: bool = False,
) -> PoseNetwork:
    """Read weights as a network that finds poses in crops.

    Args:
        weights: official file, folder of Hugging Face, run folder of the study, or ONNX file.
        skeleton: keypoints of the weights; None: what they say, else what they are published for.
        dataset_index: which data set of a published ViTPose+; 0 is COCO.
        flip_test: merge with the mirrored crops.
        device: where it runs.
        compiled: compile it.

    Returns:
        The network; its scores are probabilities where `pctlib calibrate` has left a calibration.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if they cannot be read, or the skeleton has another number of keypoints.
    """
    network = _network(
        weights, skeleton, dataset_index, flip_test=flip_test, device=device, compiled=compiled
    )
    file = calibration_file(weights)
    return calibrated(network, read_calibration(file)) if file.is_file() else network


def _network(
    weights: str | Path,
    skeleton: Skeleton | None,
    dataset_index: int | None,
    *,
    flip_test: bool,
    device: torch.device,
    compiled: bool,
) -> PoseNetwork:
    if Path(weights).suffix == ".onnx":
        if flip_test or compiled or dataset_index is not None:
            raise ValueError(f"{weights}: flip test, compilation and data set are chosen when it is exported")
        network = onnx_network(weights, device=device.type)
        if skeleton is not None and skeleton.num_keypoints != network.skeleton.num_keypoints:
            there, wanted = network.skeleton.num_keypoints, skeleton.num_keypoints
            raise ValueError(f"{weights}: gives {there} keypoints, the skeleton {skeleton.name} has {wanted}")
        return network if skeleton is None else replace(network, skeleton=skeleton)
    # reads the study's runs too; nothing else here knows the study
    from pctlib.study.methods import load_any, load_in_3d

    solid = load_in_3d(weights)
    if solid is not None:
        if flip_test or compiled or dataset_index is not None or skeleton not in (None, solid.skeleton):
            raise ValueError(
                f"{weights}: finds people in 3D; it has no flip test, data sets or other keypoints, and is "
                "not compiled"
            )
        return torch_network_3d(solid, device=device)
    trained = load_any(weights, dataset_index=dataset_index, skeleton=skeleton)
    return torch_network(
        trained, trained.skeleton or COCO, device=device, flip_test=flip_test, compiled=compiled
    )
