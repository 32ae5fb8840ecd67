"""One person inside a network of meshes: where it looks for hands and face."""

from typing import Any

import torch
from torch import nn

from pctlib.models.osx.network import MeshPrediction
from pctlib.study.pages.mesh.task import PARTS, BodyCrops


@torch.inference_mode()
def one_person(network: nn.Module, crops: BodyCrops, person: int) -> tuple[MeshPrediction, dict[str, Any]]:
    """Return what a network says of one person, and the arguments of `boxes_over_crop`.

    Args:
        network: in eval mode, on the CPU.
        crops: as the network takes them.
        person: a row of them.
    """
    rows = torch.tensor([person])
    seen = next(crops.batches([rows], torch.device("cpu")))
    said = network(seen.images)
    boxes = {"true": crops.enlarged * seen.boxes[0].numpy()}
    if said.boxes is not None:  # networks without crops look for no part
        boxes["found"] = crops.enlarged * said.boxes[0].numpy()
    image = (255 * seen.images[0]).round().byte().permute(1, 2, 0).contiguous().numpy()
    return said, {"image": image, "boxes": boxes, "parts": PARTS}
