"""A network that finds joints by their colour, so that what happens before and after it can be checked."""

import numpy as np
from PIL import Image, ImageDraw

from pctlib.inference.network import PoseNetwork
from pctlib.skeleton_files import make_skeleton

SKELETON = make_skeleton("dots", ["left_dot", "right_dot"], limbs=[(0, 1)], sigmas=[0.1, 0.1])
COLOURS = ((255, 0, 0), (0, 0, 255))


def picture(joints, size=(120, 160), radius=4.0, background=(40, 40, 40)):
    """Return uint8 [H, W, 3] with a disc of its colour at each of two joints, pixel centres at integers."""
    canvas = Image.new("RGB", (4 * size[1], 4 * size[0]), background)
    draw = ImageDraw.Draw(canvas)
    for (x, y), colour in zip(joints, COLOURS, strict=True):
        cx, cy = 4 * (x + 0.5), 4 * (y + 0.5)
        draw.ellipse((cx - 4 * radius, cy - 4 * radius, cx + 4 * radius, cy + 4 * radius), fill=colour)
    return np.asarray(canvas.reduce(4))


def find(crops):
    """Return the centre of mass of each colour, input pixels, and how much of it there is, 0 to 1."""
    values = crops.astype(np.float64)
    grid = np.stack(np.meshgrid(np.arange(crops.shape[2]), np.arange(crops.shape[1])), -1)
    keypoints, scores = [], []
    for colour in (0, 2):
        weights = np.clip(values[..., colour] - values[..., 2 - colour], 0, None)
        total = weights.sum((1, 2))
        centre = (weights[..., None] * grid).sum((1, 2)) / np.maximum(total, 1e-9)[:, None]
        keypoints.append(centre)
        scores.append(np.minimum(total / 255 / 4, 1))
    return np.stack(keypoints, 1).astype(np.float32), np.stack(scores, 1).astype(np.float32)


def network(input_size=(64, 48), **options):
    return PoseNetwork(find, SKELETON, input_size, **options)
