"""A detector of people: one of torchvision's models, or any function of the user."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torchvision.models import detection, get_model, get_model_weights, list_models

Detector = Callable[[np.ndarray], np.ndarray]
"""uint8 [H, W, 3] RGB to boxes [N, 4] or, with scores, [N, 5]: left, top, right, bottom, image pixels."""

BY_DEVICE = {"cpu": "fasterrcnn_mobilenet_v3_large_fpn", "cuda": "fasterrcnn_resnet50_fpn_v2"}
"""What "auto" takes: box AP of COCO val2017 32.8 for 4.5 GFLOP, and 46.7 for 280 GFLOP (torchvision)."""

OTHER_WAYS = (
    "give boxes (Python: boxes=..., command: --boxes FILE), take the whole image as one person "
    "(whole_image=True, --whole-image), or give a detector of your own (detector=function)"
)


def detector_names() -> list[str]:
    """Return the names of torchvision's detectors."""
    return list_models(module=detection)


def weights_file(name: str) -> tuple[Path, float]:
    """Return where torchvision keeps the weights of a detector, and their size in MB."""
    weights = get_model_weights(name).DEFAULT
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    return folder / weights.url.rpartition("/")[2], weights.meta["_file_size"]


def load_detector(
    name: str, *, device: torch.device, min_score: float, tell: Callable[[str], object] = print
) -> Detector:
    """Return a detector of torchvision; its weights are fetched once, and the size is said first.

    Args:
        name: one of `detector_names`, or "auto".
        device: where it runs.
        min_score: boxes that score less are left out.
        tell: is given the sentence that says what is fetched.

    Raises:
        ValueError: if there is no such detector, or its weights are not here and cannot be fetched; says what
            else can be done.
    """
    name = BY_DEVICE.get(device.type, BY_DEVICE["cpu"]) if name == "auto" else name
    if name not in detector_names():
        raise ValueError(f"detector: expected auto or one of {', '.join(detector_names())}, got {name!r}")
    path, megabytes = weights_file(name)
    if not path.is_file():
        tell(f"detector {name}: fetching {megabytes:.0f} MB, once, to {path}")
    try:
        weights = get_model_weights(name).DEFAULT
        weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
        model = get_model(name, weights=weights)
    except (OSError, RuntimeError) as error:  # no network; a file of another checksum
        raise ValueError(
            f"detector {name}: its weights are not at {path} and cannot be fetched ({error}); put the file "
            f"there, {OTHER_WAYS}"
        ) from error
    return _detect_with(model.to(device).eval(), weights.meta["categories"].index("person"), min_score)


def _detect_with(model: torch.nn.Module, person: int, min_score: float) -> Detector:
    device = next(model.parameters()).device

    @torch.inference_mode()
    def detect(image: np.ndarray) -> np.ndarray:
        pixels = torch.tensor(image, device=device).permute(2, 0, 1).float() / 255
        found = model([pixels])[0]
        chosen = (found["labels"] == person) & (found["scores"] >= min_score)
        boxes = torch.cat([found["boxes"], found["scores"][:, None]], 1)[chosen]
        return boxes.float().cpu().numpy()

    return detect
