"""Compositional tokens: a pose as M tokens of the codebook of a trained, frozen tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pctlib.losses import keypoint_smooth_l1_over_all
from pctlib.models.backbones import Backbone
from pctlib.models.layers import LinearNormRelu, MixerSize, ResidualBlock, full_precision, mixer_stack
from pctlib.models.representations.base import CropKind, Keypoints, Representation, flip_index
from pctlib.models.tokenizer import PoseTokenizer, check_guide, guide_features


class PCTTarget(NamedTuple):
    """Attributes: labels: [B, M] int64; keypoints: [B, K, D] input px or mm; labelled: [B, K] bool."""

    labels: Tensor
    keypoints: Tensor
    labelled: Tensor


class PCTPrediction(NamedTuple):
    """Attributes: logits: [B, M, V], unnormalised; keypoints: [B, K, D] input px or mm; scores: [B, K]."""

    logits: Tensor
    keypoints: Tensor
    scores: Tensor


_PUBLISHED_MIXER = MixerSize(dim=64, num_layers=4, token_hidden=64, channel_hidden=256)


@dataclass(frozen=True)
class HeadSize:
    """Size of the classification head; the defaults are the published values.

    Attributes:
        conv_channels: width of the convolutions.
        num_blocks: residual blocks.
        dilation: of their convolutions, in cells.
        mixer: the mixer over the M tokens.
    """

    conv_channels: int = 256
    num_blocks: int = 2
    dilation: int = 1
    mixer: MixerSize = _PUBLISHED_MIXER


class TokenHead(nn.Module):
    """Classify each of M pose tokens into one of V codebook entries.

    Source: Geng et al. 2023, arXiv:2303.11638, section 3.2, with the layers of the release.

    Args:
        in_channels: C of the feature map.
        grid_size: (h, w) of the feature map, cells.
        num_tokens: M.
        codebook_size: V.
        size: widths and depths.
    """

    def __init__(
        self,
        in_channels: int,
        grid_size: tuple[int, int],
        *,
        num_tokens: int,
        codebook_size: int,
        size: HeadSize,
    ) -> None:
        super().__init__()
        self.grid_size = tuple(grid_size)
        channels, dim = size.conv_channels, size.mixer.dim
        self.reduce = nn.Conv2d(in_channels, channels, kernel_size=1, bias=False)
        self.reduce_norm = nn.BatchNorm2d(channels)
        self.blocks = nn.Sequential(
            *(ResidualBlock(channels, dilation=size.dilation) for _ in range(size.num_blocks))
        )
        self.to_tokens = LinearNormRelu(channels * grid_size[0] * grid_size[1], num_tokens * dim)
        self.mixer = mixer_stack(num_tokens, size.mixer)
        self.mixer_norm = LinearNormRelu(dim, dim)
        self.classify = nn.Linear(dim, codebook_size)
        self.num_tokens = num_tokens
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.001)  # as published

    def forward(self, features: Tensor) -> Tensor:
        """Return token logits [B, M, V] of a feature map [B, C, h, w].

        Raises:
            ValueError: if the grid is not the one given at construction.
        """
        if tuple(features.shape[-2:]) != self.grid_size:
            raise ValueError(f"expected a {self.grid_size} grid, got {tuple(features.shape[-2:])}")
        x = F.relu(self.reduce_norm(self.reduce(features)))
        x = self.blocks(x)  # [B, C', h, w]
        x = x.permute(0, 2, 3, 1).flatten(1)  # [B, h w C'], row by row, channels innermost
        x = self.to_tokens(x).unflatten(1, (self.num_tokens, -1))  # [B, M, dim]
        return self.classify(self.mixer_norm(self.mixer(x)))


class PCTClassifier(Representation):
    """Classify the tokens of a pose and read the pose from them with the tokenizer's frozen decoder.

    The tokenizer (and guide) given is frozen in place: its parameters take no gradient and it stays in eval
    mode.

    Source: Geng et al. 2023, arXiv:2303.11638, section 3.2.

    Args:
        tokenizer: trained on the same keypoints.
        in_channels: C of the backbone's last feature map.
        input_size: (height, width) of the network input, pixels.
        flip_permutation: K indices: where each keypoint is found in a mirrored image. None: no flip test.
        feature_stride: input pixels a cell of that map.
        head: size of the classification head.
        lookup: "soft" mixes the entries by their probabilities, in training and evaluation, as published;
            "hard" takes the most probable entry, through which the keypoint loss gives no gradient.
        guide: backbone that guides the tokenizer, if it is guided; used by `encode` only.
        token_weight: weight of the cross-entropy.
        keypoint_weight: weight of the keypoint loss.
        beta: distance where the keypoint loss turns from quadratic to linear, in its unit.

    Raises:
        ValueError: if the input size is no multiple of the stride, or an option does not fit the tokenizer.
    """

    crop = CropKind(padding=1.12)

    def __init__(
        self,
        tokenizer: PoseTokenizer,
        in_channels: int,
        *,
        input_size: tuple[int, int],
        flip_permutation: Sequence[int] | None,
        feature_stride: int = 32,
        head: HeadSize = HeadSize(),
        lookup: Literal["soft", "hard"] = "soft",
        guide: Backbone | None = None,
        token_weight: float = 1.0,
        keypoint_weight: float = 1.0,
        beta: float = 0.05,
    ) -> None:
        super().__init__()
        if any(size % feature_stride for size in input_size):
            raise ValueError(f"input_size: expected multiples of {feature_stride}, got {tuple(input_size)}")
        if lookup not in ("soft", "hard"):
            raise ValueError(f"lookup: expected 'soft' or 'hard', got '{lookup}'")
        if flip_permutation is not None and len(flip_permutation) != tokenizer.num_keypoints:
            raise ValueError(
                f"flip_permutation: expected {tokenizer.num_keypoints}, got {len(flip_permutation)}"
            )
        self.tokenizer = tokenizer.requires_grad_(False)
        self.space = "camera" if tokenizer.num_dims == 3 else "input"
        if guide is not None:
            check_guide(guide, tokenizer)
        self.guide = guide if guide is None else guide.requires_grad_(False)
        self.input_size, self.lookup = tuple(input_size), lookup
        self.token_weight, self.keypoint_weight, self.beta = token_weight, keypoint_weight, beta
        index = None if flip_permutation is None else flip_index(flip_permutation)
        self.register_buffer("flip_index", index, persistent=False)
        height, width = (size // feature_stride for size in input_size)
        self.head = TokenHead(
            in_channels,
            (height, width),
            num_tokens=tokenizer.num_tokens,
            codebook_size=len(tokenizer.codebook.codebook),
            size=head,
        )
        self.train(self.training)

    def train(self, mode: bool = True) -> "PCTClassifier":
        """Set the mode of the head; tokenizer and guide stay in eval mode."""
        super().train(mode)
        self.tokenizer.eval()
        if self.guide is not None:
            self.guide.eval()
        return self

    @torch.no_grad()
    def encode(self, keypoints: Tensor, visible: Tensor, *, images: Tensor | None = None) -> PCTTarget:
        """Return the tokenizer's tokens of poses; no keypoint is hidden at random.

        Args:
            keypoints: [B, K, D] input pixels (3D: millimetres); anything, also NaN, where not labelled.
            visible: [B, K] COCO flags 0, 1, 2 or bool.
            images: [B, 3, H, W] the crops, only for a tokenizer with image guidance.

        Raises:
            ValueError: if the tokenizer is guided and images or guide are missing, or the shapes disagree.
        """
        features = None
        if self.tokenizer.guided:
            if images is None or self.guide is None:
                raise ValueError(
                    "the tokenizer has image guidance: encode() needs images, and the classifier a guide"
                )
            features = guide_features(self.guide, images, keypoints)
        tokens = self.tokenizer.encode(keypoints, visible, joint_features=features)
        return PCTTarget(self.tokenizer.quantize(tokens).indices, keypoints, visible > 0)

    def forward(self, features: list[Tensor]) -> PCTPrediction:
        """Return the prediction from the last feature map [B, C, h, w]."""
        logits = self.head(features[-1]).float()  # [B, M, V]
        keypoints = self.tokenizer.decode(self._look_up(logits))
        scores = logits.amax(2).mean(1, keepdim=True).expand(-1, keypoints.shape[1])  # [B, K]
        return PCTPrediction(logits, keypoints, scores)

    def _look_up(self, logits: Tensor) -> Tensor:
        """Return codes [B, M, E] of logits [B, M, V]."""
        if self.lookup == "hard":
            return self.tokenizer.codebook.look_up(logits.argmax(2))
        with full_precision(logits.device):
            return logits.softmax(2) @ self.tokenizer.codebook.codebook

    def loss(self, prediction: PCTPrediction, target: PCTTarget) -> dict[str, Tensor]:
        """Return the weighted "tokens" (cross-entropy, nats) and "keypoints" (smooth L1, px or mm) losses.

        Source: Geng et al. 2023, arXiv:2303.11638, equation 5.
        """
        tokens = F.cross_entropy(prediction.logits.flatten(0, 1), target.labels.flatten())
        keypoints = keypoint_smooth_l1_over_all(
            prediction.keypoints, target.keypoints, target.labelled, beta=self.beta
        )
        return {"tokens": self.token_weight * tokens, "keypoints": self.keypoint_weight * keypoints}

    def decode(self, prediction: PCTPrediction) -> Keypoints:
        """Return the poses; all keypoints of a person score the mean over M of the largest logits."""
        return Keypoints(prediction.keypoints, prediction.scores)

    def joint_scores(self, prediction: PCTPrediction, found: Keypoints) -> Tensor:
        """Return a score of each joint, [B, K] in 0..1: how little the doubt about the tokens moves it.

        exp(-spread / 5 % of the side of a square as large as the input), see `token_spread`; in 3D the unit
        is 100 mm. The release gives all joints of a person one score, which `decode` keeps.
        """
        spread = token_spread(self.tokenizer, prediction.logits)
        area = self.input_size[0] * self.input_size[1]
        scale = 0.05 * area**0.5 if prediction.keypoints.shape[-1] == 2 else 100.0
        return torch.exp(-spread / scale)

    def merge_flipped(self, prediction: PCTPrediction, flipped: PCTPrediction) -> PCTPrediction:
        """Return the mean of keypoints and scores, after the flipped keypoints are mirrored back.

        As in the release (`pct_detector.py`): poses are averaged, not logits, for a mirrored pose has other
        tokens. The logits stay those of the upright images. Mirroring is x to W - 1 - x; in 3D,
        root-relative, x to -x.

        Raises:
            ValueError: if the classifier was made without `flip_permutation`.
        """
        if self.flip_index is None:
            raise ValueError("flip test: the classifier was made without flip_permutation")
        keypoints, scores = flipped.keypoints[:, self.flip_index], flipped.scores[:, self.flip_index]
        last = self.input_size[1] - 1 if keypoints.shape[-1] == 2 else 0
        mirrored = torch.cat([last - keypoints[..., :1], keypoints[..., 1:]], dim=-1)
        return PCTPrediction(
            prediction.logits, (prediction.keypoints + mirrored) / 2, (prediction.scores + scores) / 2
        )


def token_spread(tokenizer: PoseTokenizer, logits: Tensor, *, top: int = 4) -> Tensor:
    """Return how far each joint moves with the doubt that token probabilities leave, [B, K] px or mm.

    One token at a time is exchanged for each of its `top` most probable entries, the others staying mixtures;
    the squared movements of a joint, weighted by the entries' probabilities, are added over the tokens, as
    variances of independent causes are. The spread is the root of the sum. Nothing is drawn at random.

    Args:
        tokenizer: whose codebook and decoder are meant.
        logits: [B, M, V], unnormalised.
        top: entries tried of each token.
    """
    B, M, _ = logits.shape
    codebook = tokenizer.codebook.codebook
    with full_precision(logits.device):
        probabilities = logits.float().softmax(2)
        codes = probabilities @ codebook  # [B, M, E]
        weights, entries = probabilities.topk(min(top, logits.shape[2]), dim=2)  # [B, M, T]
        own = torch.eye(M, device=logits.device)[None, :, None, :, None]  # [1, M, 1, M, 1]
        exchanged = codes[:, None, None] * (1 - own) + codebook[entries][:, :, :, None] * own
        poses = tokenizer.decode(exchanged.flatten(0, 2))  # [B M T, K, D]
        poses = poses.unflatten(0, (B, M, weights.shape[2]))
        moved = (poses - tokenizer.decode(codes)[:, None, None]).square().sum(-1)  # [B, M, T, K]
        return (moved * weights.unsqueeze(-1)).sum((1, 2)).sqrt()
