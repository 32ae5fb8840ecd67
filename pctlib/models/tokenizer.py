"""The pose tokenizer: keypoints to M discrete tokens of one codebook, and back.

Long, as all boxes of the figure are here, so that it reads beside the paper.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from pctlib.models.backbones import Backbone
from pctlib.models.codebook import Codebook, Quantized
from pctlib.models.layers import FlatMlp, MixerSize, along_positions, full_precision, mixer_stack
from pctlib.models.other_codes import FiniteScalarCodes, ResidualCodes

CodebookLearning = Literal["average", "gradient", "scalar", "residual"]
PUBLISHED_ENCODER = MixerSize(dim=512, num_layers=4, token_hidden=64, channel_hidden=512)
PUBLISHED_DECODER = MixerSize(dim=32, num_layers=1, token_hidden=64, channel_hidden=64)


class TokenizerOutput(NamedTuple):
    """A pose written as tokens and read back.

    Attributes:
        keypoints: [B, K, D] the pose read back, in the unit of the input (pixels or millimetres).
        tokens: [B, M, E] features before the codebook; commitment pulls them to `codes`.
        codes: [B, M, E] their codebook entries; the gradient passes to `tokens` unchanged.
        indices: [B, M] int64, which entries.
    """

    keypoints: Tensor
    tokens: Tensor
    codes: Tensor
    indices: Tensor


class PoseTokenizer(nn.Module):
    """Write a pose as M tokens, each one of V entries of a codebook that all share, and read it back.

    Computes in float32 also under autocast: outputs are pixels or millimetres, for which bfloat16 is too
    coarse.

    Source: Geng et al. 2023 (PCT), arXiv:2303.11638, section 3.1; equal to the release for the default
    normalisation and D = 2.
    Differs: D = 3, and coordinates may be normalised by constants (the release feeds raw pixels).

    Args:
        num_keypoints: K.
        num_tokens: M.
        codebook_size: V.
        token_dim: E.
        encoder: size of the mixer over the keypoints before the tokens.
        decoder: size of the mixer over the keypoints after them.
        num_dims: D, 2 or 3.
        drop_rate: share of the keypoints hidden at random from the encoder in training; published: 0.2.
        guide_channels: C of the image features that guide the encoder; 0: none.
        guide_ratio: share of the encoder width that they take; published: 0.5.
        coordinate_center: subtracted from coordinates, one number or D, in their unit.
        coordinate_scale: then divides them; the output is multiplied and shifted back.
        decay: see `Codebook`.
        revive_after: see `Codebook`.
        codebook_learning: "average", as published, or "gradient"; see `Codebook`. Beyond the paper: "scalar"
            and "residual", see `pctlib.models.other_codes`.
        encoder_kind: "mixer", as published, or "mlp": a `FlatMlp` in its place, as a control.

    Raises:
        ValueError: if an argument is outside its range or the guide's share of the width is not a whole
            number.
    """

    def __init__(
        self,
        num_keypoints: int,
        num_tokens: int,
        *,
        codebook_size: int,
        token_dim: int,
        encoder: MixerSize = PUBLISHED_ENCODER,
        decoder: MixerSize = PUBLISHED_DECODER,
        num_dims: int = 2,
        drop_rate: float = 0.2,
        guide_channels: int = 0,
        guide_ratio: float = 0.0,
        coordinate_center: float | Sequence[float] = 0.0,
        coordinate_scale: float = 1.0,
        decay: float = 0.9,
        revive_after: int = 0,
        codebook_learning: CodebookLearning = "average",
        encoder_kind: Literal["mixer", "mlp"] = "mixer",
    ) -> None:
        super().__init__()
        _check_options(num_dims, drop_rate, coordinate_scale)
        if encoder_kind not in ("mixer", "mlp"):
            raise ValueError(f"encoder_kind: expected 'mixer' or 'mlp', got '{encoder_kind}'")
        guide_dim = _guide_dim(encoder.dim, guide_channels, guide_ratio)
        self.num_keypoints, self.num_tokens, self.num_dims = num_keypoints, num_tokens, num_dims
        self.drop_rate = drop_rate
        self.coordinate_scale = coordinate_scale
        center = torch.as_tensor(coordinate_center, dtype=torch.float32).expand(num_dims).clone()
        self.register_buffer("coordinate_center", center, persistent=False)  # configuration, not learnt

        self.embed_coordinates = nn.Linear(num_dims, encoder.dim - guide_dim)
        self.embed_features = nn.Linear(guide_channels, guide_dim) if guide_dim else None
        self.invisible_token = nn.Parameter(torch.zeros(1, 1, encoder.dim))
        nn.init.trunc_normal_(self.invisible_token, std=0.02, a=-0.02, b=0.02)
        self.encoder = (FlatMlp if encoder_kind == "mlp" else mixer_stack)(num_keypoints, encoder)
        self.encoder_norm = nn.LayerNorm(encoder.dim)
        self.keypoints_to_tokens = nn.Linear(num_keypoints, num_tokens)
        self.to_token_dim = nn.Linear(encoder.dim, token_dim)

        self.codebook = _codes(
            codebook_learning, codebook_size, token_dim, decay=decay, revive_after=revive_after
        )

        self.tokens_to_keypoints = nn.Linear(num_tokens, num_keypoints)
        self.to_decoder_dim = nn.Linear(token_dim, decoder.dim)
        self.decoder = mixer_stack(num_keypoints, decoder)
        self.decoder_norm = nn.LayerNorm(decoder.dim)
        self.to_coordinates = nn.Linear(decoder.dim, num_dims)

    @property
    def guided(self) -> bool:
        """Whether the encoder needs image features."""
        return self.embed_features is not None

    def forward(
        self,
        keypoints: Tensor,
        visible: Tensor,
        *,
        joint_features: Tensor | None = None,
        hidden: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> TokenizerOutput:
        """Write poses as tokens and read them back.

        In training mode keypoints are hidden at random from the encoder, unless `hidden` says which. The
        codebook stays as it is: call `codebook.update(output.tokens, output.indices)` after the step, and add
        `codebook.loss(output.tokens, output.indices)` to the losses if it learns by gradient.

        Args:
            keypoints: [B, K, D] pixels (3D: millimetres); anything, also NaN, where not labelled.
            visible: [B, K] COCO flags 0, 1, 2 or bool; 0 hides the keypoint from the encoder.
            joint_features: [B, K, C] image features at the keypoints, if guided; see `features_at`.
            hidden: [B, K] bool, keypoints hidden on top, in place of the random draw.
            generator: CPU generator of the draw; None: torch's own, which the caller seeds as for dropout.

        Raises:
            ValueError: if a shape or type disagrees, or features are missing or not wanted.
        """
        if hidden is None and self.training and self.drop_rate > 0:
            hidden = (torch.rand(visible.shape, generator=generator) < self.drop_rate).to(visible.device)
        tokens = self.encode(keypoints, visible, joint_features=joint_features, hidden=hidden)
        codes, indices = self.quantize(tokens)
        return TokenizerOutput(self.decode(codes), tokens, codes, indices)

    def encode(
        self,
        keypoints: Tensor,
        visible: Tensor,
        *,
        joint_features: Tensor | None = None,
        hidden: Tensor | None = None,
    ) -> Tensor:
        """Return token features [B, M, E]; arguments as in `forward`, but nothing is hidden at random."""
        self._check_inputs(keypoints, visible, joint_features, hidden)
        shown = visible > 0 if hidden is None else (visible > 0) & ~hidden
        shown = shown.unsqueeze(-1)  # [B, K, 1]
        with full_precision(keypoints.device):
            # Inputs are chosen as well as outputs: a hidden NaN would survive in the gradient of the weights.
            normalised = (keypoints.float() - self.coordinate_center) / self.coordinate_scale
            x = self.embed_coordinates(torch.where(shown, normalised, 0.0))
            if self.embed_features is not None:
                guide = self.embed_features(torch.where(shown, joint_features.float(), 0.0))
                x = torch.cat([x, guide], dim=-1)  # [B, K, H]
            x = torch.where(shown, x, self.invisible_token)
            x = self.encoder_norm(self.encoder(x))
            return self.to_token_dim(along_positions(self.keypoints_to_tokens, x))  # [B, M, E]

    def quantize(self, tokens: Tensor) -> Quantized:
        """Return the codebook entries [B, M, E] nearest to tokens [B, M, E], and their indices [B, M]."""
        return self.codebook(tokens)

    def decode(self, codes: Tensor) -> Tensor:
        """Return keypoints [B, K, D] (px or mm) of codes [B, M, E], which are entries or mixtures."""
        with full_precision(codes.device):
            x = along_positions(self.tokens_to_keypoints, codes.float())  # [B, K, E]
            x = self.decoder_norm(self.decoder(self.to_decoder_dim(x)))
            return self.to_coordinates(x) * self.coordinate_scale + self.coordinate_center

    def _check_inputs(
        self, keypoints: Tensor, visible: Tensor, joint_features: Tensor | None, hidden: Tensor | None
    ) -> None:
        """Refuse tensors that do not fit each other or this tokenizer."""
        B, K, D = len(keypoints), self.num_keypoints, self.num_dims
        if keypoints.shape != (B, K, D) or visible.shape != (B, K):
            got = f"{tuple(keypoints.shape)} and {tuple(visible.shape)}"
            raise ValueError(f"expected keypoints [B, {K}, {D}] and visible [B, {K}], got {got}")
        if hidden is not None and (hidden.shape != (B, K) or hidden.dtype != torch.bool):
            raise ValueError(f"expected hidden bool [{B}, {K}], got {hidden.dtype} {tuple(hidden.shape)}")
        if self.embed_features is None and joint_features is not None:
            raise ValueError("this tokenizer has no image guidance, but joint_features were given")
        if self.embed_features is not None:
            expected = (B, K, self.embed_features.in_features)
            if joint_features is None or joint_features.shape != expected:
                got = None if joint_features is None else tuple(joint_features.shape)
                raise ValueError(f"image guidance: expected joint_features {expected}, got {got}")


def _codes(
    learning: CodebookLearning, size: int, dim: int, *, decay: float, revive_after: int
) -> Codebook | FiniteScalarCodes | ResidualCodes:
    """Return what writes a token as one of `size` codes."""
    if learning == "scalar":
        return FiniteScalarCodes(size, dim)
    if learning == "residual":
        return ResidualCodes(size, dim, decay=decay, revive_after=revive_after)
    return Codebook(size, dim, decay=decay, revive_after=revive_after, learning=learning)


def features_at(feature_map: Tensor, keypoints: Tensor, *, input_size: tuple[int, int]) -> Tensor:
    """Look up the feature of the cell each keypoint lies in, without interpolation.

    Source: release of Geng et al. 2023, arXiv:2303.11638, `extract_joints_feat`.
    Differs: the release knows square inputs only.

    Args:
        feature_map: [B, C, h, w].
        keypoints: [B, K, 2 or more] input pixels (x, y); outside the input the border cell is taken, NaN
            gives 0.
        input_size: (height, width) of the network input, pixels.

    Returns:
        [B, K, C].
    """
    B, C, h, w = feature_map.shape
    stride = keypoints.new_tensor([input_size[1] / w, input_size[0] / h])
    last = keypoints.new_tensor([w - 1, h - 1])
    position = (keypoints[..., :2] / stride + 0.5).nan_to_num(0.0)  # [B, K, 2] cells (x, y)
    column, row = position.clamp(min=torch.zeros_like(last), max=last).long().unbind(-1)
    cell = (row * w + column).unsqueeze(1)  # [B, 1, K]
    return feature_map.flatten(2).gather(2, cell.expand(B, C, -1)).transpose(1, 2)


def guide_features(guide: nn.Module, images: Tensor, keypoints: Tensor) -> Tensor:
    """Return [B, K, C], the features that guide the encoder, without gradient.

    Args:
        guide: frozen backbone, images to a list of feature maps; the last is looked up.
        images: [B, 3, H, W] RGB, normalised by the mean and standard deviation of ImageNet.
        keypoints: [B, K, 2] input pixels.
    """
    with torch.no_grad():
        feature_map = guide(images)[-1]
        return features_at(feature_map, keypoints, input_size=tuple(images.shape[-2:]))


def check_guide(guide: Backbone, tokenizer: PoseTokenizer) -> None:
    """Raise ValueError unless the guide has the channels that the tokenizer expects."""
    expected = tokenizer.embed_features.in_features if tokenizer.embed_features is not None else 0
    if guide.channels[-1] != expected:
        raise ValueError(f"the guide gives {guide.channels[-1]} channels, the tokenizer expects {expected}")


class GuidedTokenizer(nn.Module):
    """A tokenizer with image guidance and the frozen backbone that guides it.

    Args:
        guide: its last feature map is looked up at the keypoints; always frozen and in eval mode.
        tokenizer: a tokenizer with `guide_channels`.

    Raises:
        ValueError: if the tokenizer is not guided or expects another number of channels.
    """

    def __init__(self, guide: Backbone, tokenizer: PoseTokenizer) -> None:
        super().__init__()
        check_guide(guide, tokenizer)
        self.guide = guide.requires_grad_(False)
        self.tokenizer = tokenizer
        self.train(self.training)

    def train(self, mode: bool = True) -> "GuidedTokenizer":
        """Set the mode of the tokenizer; the guide stays in eval mode."""
        super().train(mode)
        self.guide.eval()
        return self

    def forward(
        self,
        images: Tensor,
        keypoints: Tensor,
        visible: Tensor,
        *,
        hidden: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> TokenizerOutput:
        """Write poses as tokens and read them back; images [B, 3, H, W], the rest as in `PoseTokenizer`."""
        features = guide_features(self.guide, images, keypoints)
        return self.tokenizer(keypoints, visible, joint_features=features, hidden=hidden, generator=generator)


def _check_options(num_dims: int, drop_rate: float, coordinate_scale: float) -> None:
    """Refuse options outside their range."""
    if num_dims not in (2, 3):
        raise ValueError(f"num_dims: expected 2 or 3, got {num_dims}")
    if not 0 <= drop_rate < 1:
        raise ValueError(f"drop_rate: expected a share in [0, 1), got {drop_rate}")
    if coordinate_scale <= 0:
        raise ValueError(f"coordinate_scale: expected a positive number, got {coordinate_scale}")


def _guide_dim(dim: int, channels: int, ratio: float) -> int:
    """Return how much of the encoder width image features take."""
    if (channels > 0) != (ratio > 0) or channels < 0 or not 0 <= ratio < 1:
        raise ValueError(
            f"expected guide_channels and guide_ratio both 0 or both above, got {channels} and {ratio}"
        )
    guide_dim = round(dim * ratio)
    if abs(guide_dim - dim * ratio) > 1e-6:
        raise ValueError(
            f"guide_ratio {ratio} of width {dim} is {dim * ratio}, not a whole number of channels"
        )
    return guide_dim
