"""What finds a person in the picture and in three dimensions at once."""

from typing import NamedTuple, Protocol

from torch import Tensor

from pctlib.skeletons import Skeleton


class Found3D(NamedTuple):
    """B people, in the picture and in 3D.

    Attributes:
        keypoints: [B, K, 2] input pixels.
        scores: [B, K].
        joints: [B, K3, 3] millimetres from the pelvis, in the frame of a camera that looks at the crop:
            x to the right, y down, z away.
        vertices: [B, V, 3] of the body's surface, likewise; None where none is found.
    """

    keypoints: Tensor
    scores: Tensor
    joints: Tensor
    vertices: Tensor | None = None


class Finder3D(Protocol):
    """A network of 3D poses or meshes, a module in eval mode.

    Attributes:
        skeleton_3d: of the joints.
        faces: [F, 3] vertices of each triangle; None where there is no surface.
    """

    skeleton_3d: Skeleton
    faces: Tensor | None

    def find(self, images: Tensor) -> Found3D:
        """Return the people in images [B, 3, H, W] RGB, normalised by ImageNet's mean and deviation."""
        ...
