"""ViTPose: a plain vision transformer and a light decoder, for one data set or for several (ViTPose+)."""

import copy
from collections.abc import Sequence
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.heatmap import DeconvolutionHead, Heatmap, HeatmapPrediction
from pctlib.models.representations.heatmap_coding import CodingKind, HeatmapCoding, HeatmapTarget
from pctlib.models.vit import SIZES, ViT

UPSAMPLING = 4  # heatmap cells a cell of the feature map, along each axis
Decoder = Literal["classic", "simple"]


class SimpleDecoder(nn.Module):
    """ReLU, bilinear upsampling and one 3x3 convolution to K maps.

    Source: Xu et al. 2022, arXiv:2204.12484, section 3.1, the simple decoder.

    Args:
        in_channels: C of the feature map.
        num_keypoints: K.
    """

    def __init__(self, in_channels: int, num_keypoints: int) -> None:
        super().__init__()
        self.final_layer = nn.Conv2d(in_channels, num_keypoints, kernel_size=3, padding=1)
        nn.init.normal_(self.final_layer.weight, std=0.001)
        nn.init.zeros_(self.final_layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return heatmaps [B, K, 4 H, 4 W] of a feature map [B, C, H, W]."""
        upsampled = F.interpolate(
            F.relu(features), scale_factor=UPSAMPLING, mode="bilinear", align_corners=False
        )
        return self.final_layer(upsampled)


def vitpose_head(decoder: Decoder, in_channels: int, num_keypoints: int, *, width: int = 256) -> nn.Module:
    """Return a decoder: "classic" (two transposed convolutions) or "simple".

    Args:
        decoder: which.
        in_channels: C of the feature map.
        num_keypoints: K.
        width: of the classic decoder's convolutions; published: 256.

    Raises:
        ValueError: for another decoder.
    """
    if decoder not in get_args(Decoder):
        raise ValueError(f"decoder: expected one of {get_args(Decoder)}, got {decoder!r}")
    if decoder == "simple":
        return SimpleDecoder(in_channels, num_keypoints)
    return DeconvolutionHead(in_channels, num_keypoints, channels=(width, width), kernels=(4, 4))


def vitpose_heatmap(
    head: nn.Module,
    flip_permutation: Sequence[int],
    *,
    input_size: tuple[int, int] = (256, 192),
    coding: CodingKind = "udp",
) -> Heatmap:
    """Return the heatmaps of ViTPose: a quarter of the input size, Gaussians of 2 cells.

    Args:
        head: feature map [B, C, H / 16, W / 16] to heatmaps [B, K, H / 4, W / 4].
        flip_permutation: K indices: where each keypoint is found in a mirrored image.
        input_size: (height, width) of the network input, pixels.
        coding: as published "udp" for COCO and MPII, "standard" for the other data sets.
    """
    heatmap_size = (input_size[0] // 4, input_size[1] // 4)
    return Heatmap(
        head, HeatmapCoding(coding, tuple(input_size), heatmap_size), flip_permutation=flip_permutation
    )


def vitpose(
    size: str,
    flip_permutation: Sequence[int],
    *,
    input_size: tuple[int, int] = (256, 192),
    decoder: Decoder = "classic",
    coding: CodingKind = "udp",
) -> PoseEstimator:
    """Build a ViTPose of a published size, ready for training with that size's drop path.

    Args:
        size: "s", "b", "l" or "h".
        flip_permutation: K indices; their number is the number of keypoints.
        input_size: (height, width) of the network input, pixels, multiples of 16.
        decoder: "classic" or "simple".
        coding: of the heatmaps.

    Raises:
        ValueError: for an unknown size or decoder, or an input size that does not fit.
    """
    if size not in SIZES:
        raise ValueError(f"size: expected one of {list(SIZES)}, got {size!r}")
    backbone = ViT(SIZES[size], input_size)
    head = vitpose_head(decoder, backbone.channels[-1], len(flip_permutation))
    return PoseEstimator(
        backbone, vitpose_heatmap(head, flip_permutation, input_size=input_size, coding=coding)
    )


class MultiDatasetEstimator(nn.Module):
    """One backbone with a decoder for each of several data sets, whose skeletons differ.

    With experts in the backbone this is ViTPose+. For one data set alone, `of_dataset` gives an ordinary
    `PoseEstimator`.

    Source: Xu et al. 2022, arXiv:2204.12484, section 3.2 (shared backbone); Xu et al. 2022 (ViTPose++),
    arXiv:2212.04246 (experts).

    Args:
        backbone: with an expert for each data set, or without experts.
        representations: one for each data set, in the order of `dataset_index`. With experts it may also be a
            single one for all, as in the ViTPose+ folders of Hugging Face.

    Raises:
        ValueError: if there are as many representations as fit neither.
    """

    def __init__(self, backbone: ViT, representations: Sequence[Heatmap]) -> None:
        super().__init__()
        fitting = {1, backbone.num_experts} if backbone.num_experts else {max(len(representations), 1)}
        if len(representations) not in fitting:
            raise ValueError(
                f"representations: expected one, or one for each of {backbone.num_experts} experts, got "
                f"{len(representations)}"
            )
        self.backbone = backbone
        self.representations = nn.ModuleList(representations)

    @property
    def num_datasets(self) -> int:
        """How many data sets there are."""
        return self.backbone.num_experts or len(self.representations)

    def forward(self, images: Tensor, dataset_index: Tensor | None = None) -> list[HeatmapPrediction]:
        """Return each representation's prediction for all images.

        Args:
            images: [B, 3, H, W] RGB, normalised by the mean and standard deviation of ImageNet.
            dataset_index: [B] integers, the data set of each image; plays no part without experts.

        Returns:
            One prediction a representation; for an image the one of its own data set is meant.
        """
        features = self.backbone(images, dataset_index if self.backbone.num_experts else None)
        return [representation(features) for representation in self.representations]

    def loss(
        self,
        predictions: Sequence[HeatmapPrediction],
        targets: Sequence[HeatmapTarget],
        dataset_index: Tensor,
    ) -> dict[str, Tensor]:
        """Return the loss of each data set, whose sum is minimised.

        As in the release each is a mean over the whole batch, in which the images of other data sets count as
        zero: a data set weighs as much as its share of the batch.

        Args:
            predictions: as `forward` gives them.
            targets: one a representation, for all images; anything where an image is of another data set.
            dataset_index: [B] integers.

        Returns:
            The representation's terms with the number of the data set, such as "heatmap_0".

        Raises:
            ValueError: if there is not one representation, prediction and target for each data set.
        """
        numbers = len(self.representations), len(predictions), len(targets)
        if set(numbers) != {self.num_datasets}:
            raise ValueError(
                f"expected a representation, prediction and target for each of {self.num_datasets} sets, "
                f"got {numbers}"
            )
        terms = {}
        for number, (representation, prediction, target) in enumerate(
            zip(self.representations, predictions, targets, strict=True)
        ):
            own = target.weights * (dataset_index == number).unsqueeze(-1)  # [B, K]
            for name, value in representation.loss(prediction, target._replace(weights=own)).items():
                terms[f"{name}_{number}"] = value
        return terms

    def of_dataset(self, number: int) -> PoseEstimator:
        """Return a copy for one data set: its expert folded into the backbone, its decoder.

        Raises:
            ValueError: if there is no such data set.
        """
        if not 0 <= number < self.num_datasets:
            raise ValueError(f"dataset_index: expected 0 to {self.num_datasets - 1}, got {number}")
        folds = self.backbone.num_experts > 0
        backbone = self.backbone.fold_expert(number) if folds else copy.deepcopy(self.backbone)
        own = self.representations[number if len(self.representations) > 1 else 0]
        return PoseEstimator(backbone, copy.deepcopy(own)).train(self.training)
