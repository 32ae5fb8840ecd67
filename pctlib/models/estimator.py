"""A network that finds poses in images: a backbone and a representation."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pctlib.models.representations.base import Keypoints, Representation


class PoseEstimator(nn.Module):
    """Find the pose of one person a crop.

    Args:
        backbone: images [B, 3, H, W] to a list of feature maps, finest first, as `Backbone` gives them.
        representation: feature maps to poses.
    """

    def __init__(self, backbone: nn.Module, representation: Representation) -> None:
        super().__init__()
        self.backbone = backbone
        self.representation = representation

    def forward(self, images: Tensor) -> Any:
        """Return the representation's prediction for images [B, 3, H, W], as `predict` takes them."""
        return self.representation(self.backbone(images))

    @torch.inference_mode()
    def predict(self, images: Tensor, *, flip_test: bool = False, joint_scores: bool = False) -> Keypoints:
        """Return the poses in images.

        Args:
            images: [B, 3, H, W] RGB, normalised by the mean and standard deviation of ImageNet.
            flip_test: merge with the prediction on the mirrored images; both pass in one batch of 2 B.
            joint_scores: score each joint by itself, also where the released code repeats one number for all
                joints; see `Representation.joint_scores`.

        Returns:
            `keypoints` [B, K, D] input pixels (3D: millimetres) and `scores` [B, K].

        Raises:
            ValueError: if the images have another size than the poses are written for, or the model is in
                training mode.
        """
        if self.training:
            raise ValueError("model: is in training mode; call eval() before it predicts")
        size = self.representation.input_size
        if size is not None and tuple(images.shape[2:]) != size:
            raise ValueError(f"images: expected {size} pixels (height, width), got {tuple(images.shape[2:])}")
        prediction = self.merged(images) if flip_test else self(images)
        found = self.representation.decode(prediction)
        return (
            replace(found, scores=self.representation.joint_scores(prediction, found))
            if joint_scores
            else found
        )

    def merged(self, images: Tensor) -> Any:
        """Return the prediction for images [B, 3, H, W] merged with that for their mirror images."""
        both = self(torch.cat([images, images.flip(3)]))
        B = len(images)
        upright = type(both)(*(part[:B] for part in both))
        mirrored = type(both)(*(part[B:] for part in both))
        return self.representation.merge_flipped(upright, mirrored)


class FrozenBackbone(PoseEstimator):
    """A pose estimator whose backbone takes no gradient and stays in eval mode."""

    def __init__(self, backbone: nn.Module, representation: nn.Module) -> None:
        super().__init__(backbone.requires_grad_(False), representation)
        self.train(self.training)

    def train(self, mode: bool = True) -> "FrozenBackbone":
        """Set the mode of the representation; the backbone stays in eval mode."""
        super().train(mode)
        self.backbone.eval()
        return self
