"""Weights of small backbones that come with the package, each with a card that says how it was made.

They are no published weights: a backbone of timm that has learned heatmaps of procedural people, so that a
study of minutes starts from features that know a body. Kernels are stored in half precision, norms in full.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pctlib.io import existing_file, read_json, read_tensors, write_json, write_tensors
from pctlib.models.backbones import Backbone
from pctlib.profiles.sections import StartWeights
from pctlib.training.resume import load_weights

FOLDER = Path(__file__).with_name("weights")


def shipped_names(folder: Path = FOLDER) -> list[str]:
    """Return the names of the timm models that weights are there for."""
    return sorted(path.stem for path in folder.glob("*.safetensors"))


def save_shipped(backbone: Backbone, name: str, card: dict[str, Any], folder: Path) -> Path:
    """Write `<name>.safetensors` and `<name>.json`, the card with the checksum of the weights added.

    Args:
        backbone: trained.
        name: of the timm model.
        card: JSON values.
        folder: where both go.
    """
    tensors = {key: _stored(t) for key, t in backbone.net.state_dict().items()}
    path = write_tensors(folder / f"{name}.safetensors", tensors)
    write_json(folder / f"{name}.json", {"name": name, **card, "sha256": _checksum(path)})
    return path


def load_shipped(backbone: Backbone, name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """Give a backbone the weights that come with the package; it may use fewer stages than were trained.

    Args:
        backbone: of this timm model.
        name: of the timm model.
        folder: of weights and cards.

    Returns:
        The card.

    Raises:
        ValueError: if there are no weights of this name, they are not those of the card, or they lack a
            stage.
    """
    if name not in shipped_names(folder):
        known = ", ".join(shipped_names(folder)) or "no backbone"
        raise ValueError(f"backbone '{name}': weights come with the package for {known}; use other weights")
    path, card = folder / f"{name}.safetensors", read_json(folder / f"{name}.json")
    if card.get("sha256") != _checksum(path):
        raise ValueError(f"{path}: not the file of its card {path.with_suffix('.json').name}: sha256 differs")
    wanted = backbone.net.state_dict()
    tensors = {key: t.to(wanted[key].dtype) for key, t in read_tensors(path).items() if key in wanted}
    load_weights(backbone.net, tensors, path)
    return card


def starting_backbone(
    name: str, input_size: tuple[int, int] | None = None, *, weights: StartWeights = "none", **options: Any
) -> Backbone:
    """Return a backbone with the weights that a training starts from.

    Args:
        name: of the timm model.
        input_size: (height, width) of the images, for models of a fixed size.
        weights: "shipped", "imagenet" or "none": drawn by torch's global generator.
        **options: of `Backbone`.

    Raises:
        ValueError: as `Backbone` and `load_shipped`.
    """
    backbone = Backbone(name, input_size, pretrained=weights == "imagenet", **options)
    if weights == "shipped":
        load_shipped(backbone, name)
    return backbone


def _stored(tensor: Tensor) -> Tensor:
    """Return kernels in half precision; gains, offsets and statistics of norms as they are."""
    return tensor.to(torch.float16) if tensor.is_floating_point() and tensor.ndim > 1 else tensor


def _checksum(path: Path) -> str:
    return hashlib.sha256(existing_file(path).read_bytes()).hexdigest()
