"""Any weights as a network: official files, runs of the study, ONNX files."""

from pathlib import Path

import torch

from pctlib.inference.network import PoseNetwork, torch_network
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

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if they cannot be read, or the skeleton has another number of keypoints.
    """
    from pctlib.study.methods import load_any  # reads the study's runs too; nothing else here knows the study

    trained = load_any(weights, dataset_index=dataset_index, skeleton=skeleton)
    return torch_network(
        trained, trained.skeleton or COCO, device=device, flip_test=flip_test, compiled=compiled
    )
