"""Network inputs from decoded crops: the whole batch at once against one person after the other."""

import numpy as np
import torch
from PIL import Image

from benchmarks.common import Row, cpu_seconds
from pctlib.data.augmentation import make_inputs
from pctlib.data.crops import compose, crop_affine, invert_affine
from pctlib.data.images import IMAGENET_MEAN, IMAGENET_STD
from pctlib.skeletons import COCO

BATCH, PATCH, SIZE = 64, 192, (128, 128)


def benchmark() -> list[Row]:
    """Return the row: crops without augmentation, ours batched, the reference by PIL."""
    generator = torch.Generator().manual_seed(0)
    batch = {
        "patch": torch.randint(0, 256, (BATCH, 3, PATCH, PATCH), generator=generator, dtype=torch.uint8),
        "affine": torch.eye(2, 3).expand(BATCH, 2, 3).clone(),
        "keypoints_image": PATCH * torch.rand(BATCH, 17, 2, generator=generator),
        "visible": torch.full((BATCH, 17), 2, dtype=torch.uint8),
        "boxes_xywh": torch.tensor([[40.0, 40.0, 100.0, 110.0]]).expand(BATCH, 4).clone(),
        "area": torch.full((BATCH,), 5000.0),
        "index": torch.arange(BATCH),
    }
    ours = cpu_seconds(lambda: make_inputs(batch, SIZE, skeleton=COCO))
    reference = cpu_seconds(lambda: _one_by_one(batch))
    return [
        Row(f"crop and normalise {BATCH} people at {SIZE[0]} px", ours, reference, note="PIL, one by one")
    ]


def _one_by_one(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    inputs = []
    for index in range(BATCH):
        image = Image.fromarray(batch["patch"][index].permute(1, 2, 0).numpy())
        affine = crop_affine(batch["boxes_xywh"][index : index + 1], SIZE)
        back = compose(batch["affine"][index : index + 1], invert_affine(affine))[0].flatten().tolist()
        crop = image.transform(SIZE[::-1], Image.Transform.AFFINE, back, Image.Resampling.BILINEAR)
        pixels = np.asarray(crop, dtype=np.float32) / 255
        inputs.append(torch.from_numpy((pixels - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)))
    return torch.stack(inputs)
