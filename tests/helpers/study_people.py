"""Small tables of people for tests of the study: plain images with coloured limbs, COCO-17."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pctlib.data.people import People
from pctlib.skeletons import COCO

# a standing figure in a box of 1 x 1, facing the camera: its left is at larger x
STANDING = np.array(
    [
        [0.50, 0.08], [0.53, 0.06], [0.47, 0.06], [0.56, 0.08], [0.44, 0.08], [0.62, 0.22], [0.38, 0.22],
        [0.68, 0.38], [0.32, 0.38], [0.70, 0.52], [0.30, 0.52], [0.57, 0.52], [0.43, 0.52], [0.58, 0.74],
        [0.42, 0.74], [0.58, 0.94], [0.42, 0.94],
    ]
)  # fmt: skip


def make_people(folder: Path, count: int = 12, *, size: int = 96, seed: int = 0) -> People:
    """Draw `count` people, one an image, each a jittered standing figure with some joints hidden."""
    rng = np.random.default_rng(seed)
    files, boxes, poses = [], [], []
    for number in range(count):
        side = rng.uniform(0.6, 0.9) * size
        corner = rng.uniform(0, size - side, 2)
        pose = corner + side * (STANDING + rng.normal(0, 0.02, STANDING.shape))
        image = Image.new("RGB", (size, size), tuple(int(v) for v in rng.integers(60, 200, 3)))
        draw = ImageDraw.Draw(image)
        for (a, b), color in zip(COCO.limbs, COCO.limb_colors, strict=True):
            draw.line([*pose[a], *pose[b]], fill=color, width=5)
        path = folder / f"{seed}-{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        files.append(path)
        boxes.append([*corner, side, side])
        poses.append(pose)
    visible = rng.choice([0, 1, 2], size=(count, 17), p=[0.1, 0.2, 0.7]).astype(np.uint8)
    visible[:, 5] = 2
    boxes = np.array(boxes, dtype=np.float32)
    return People(
        skeleton=COCO,
        image_files=files,
        image_ids=np.arange(count) + 1000 * seed,
        annotation_ids=np.arange(count) + 1 + 1000 * seed,
        boxes_xywh=boxes,
        areas=0.5 * boxes[:, 2] * boxes[:, 3],
        keypoints_image=np.array(poses, dtype=np.float32),
        visible=visible,
        image_sizes=np.full((count, 2), size),
        keypoints_3d=rng.normal(0, 300, (count, 17, 3)).astype(np.float32),
        source=str(folder),
    )
