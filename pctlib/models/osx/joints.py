"""OSX's 137 joints out of the body model's 144, and where the virtual camera sees them.

Source: Lin et al. 2023, arXiv:2303.16160, release (`human_models.py`).
"""

import torch
from torch import Tensor

from pctlib.body_joints import BODY_FLIP
from pctlib.models.osx.size import FOCAL_LENGTH
from pctlib.models.vit import PATCH

_BODY = (0, 1, 2, 4, 5, 7, 8, 12, *range(16, 22), *range(60, 66), 59, 58, 57, 56, 55)
_LEFT_HAND = (37, 38, 39, 66, 25, 26, 27, 67, 28, 29, 30, 68, 34, 35, 36, 69, 31, 32, 33, 70)
_RIGHT_HAND = (52, 53, 54, 71, 40, 41, 42, 72, 43, 44, 45, 73, 49, 50, 51, 74, 46, 47, 48, 75)
_FACE = (22, 15, 57, 56, *range(76, 144))
OSX_JOINTS = (*_BODY, *_LEFT_HAND, *_RIGHT_HAND, *_FACE)  # [137]
BODY, LEFT_HAND, RIGHT_HAND, FACE = slice(0, 25), slice(25, 45), slice(45, 65), slice(65, 137)
PELVIS, NECK, LEFT_WRIST, RIGHT_WRIST = 0, 7, 12, 13

# Where each of the 137 is found in a mirror image
OSX_FLIP = (
    *(_BODY.index(BODY_FLIP[joint]) for joint in _BODY),
    *(range(RIGHT_HAND.start, RIGHT_HAND.stop)),
    *(range(LEFT_HAND.start, LEFT_HAND.stop)),
    *(FACE.start + _FACE.index(BODY_FLIP[joint]) for joint in _FACE),
)


def project(joints: Tensor, camera: Tensor, input_size: tuple[int, int]) -> Tensor:
    """Return where the virtual camera sees joints, [B, J, 2] (x, y) in cells of 16 pixels.

    Its focal length is `FOCAL_LENGTH`; it looks at (W / 2, H / 2).

    Args:
        joints: [B, J, 3] metres, the body's own place in the camera's frame.
        camera: [B, 3] metres, translation from the camera to the body.
        input_size: (H, W) pixels.
    """
    moved = joints + camera[:, None]
    center = joints.new_tensor((input_size[1] / 2, input_size[0] / 2))
    return (FOCAL_LENGTH * moved[..., :2] / (moved[..., 2:] + 1e-4) + center) / PATCH


def relative_to_parts(joints: Tensor) -> Tensor:
    """Return joints [B, 137, 3] relative to the pelvis; hands to their wrists, the face to the neck."""
    parts = (BODY, PELVIS), (LEFT_HAND, LEFT_WRIST), (RIGHT_HAND, RIGHT_WRIST), (FACE, NECK)
    return torch.cat([joints[:, part] - joints[:, root : root + 1] for part, root in parts], dim=1)
