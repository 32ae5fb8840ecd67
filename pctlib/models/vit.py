"""The plain vision transformer of ViTPose, and that of ViTPose+ with an expert for each data set."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from pctlib.models.representations.base import feature_grid

PATCH = 16  # side of a patch, input pixels
MLP_RATIO = 4


@dataclass(frozen=True)
class ViTSize:
    """Size of a plain vision transformer, with the constants of training that go with it.

    Attributes:
        channels: C, width of a token.
        depth: number of blocks.
        num_heads: of each attention; divides C.
        part_features: output channels of each MLP that come from an expert, where there are experts.
        drop_path: share of dropped residual branches in the last block; rises linearly from 0.
        layer_decay: factor on the learning rate from one layer to the one below, for `parameter_groups`.

    Raises:
        ValueError: if the numbers do not go together.
    """

    channels: int
    depth: int
    num_heads: int
    part_features: int = 0
    drop_path: float = 0.0
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        if min(self.channels, self.depth, self.num_heads) < 1 or self.channels % self.num_heads:
            raise ValueError(f"expected a depth of at least 1 and channels that the heads divide, got {self}")
        if not 0 <= self.part_features < self.channels:
            raise ValueError(f"part_features: expected 0 to {self.channels - 1}, got {self.part_features}")


SIZES = {  # as published; ViTPose-S has 12 heads where ViT-S has 6
    "s": ViTSize(384, 12, 12, part_features=192, drop_path=0.1, layer_decay=0.8),
    "b": ViTSize(768, 12, 12, part_features=192, drop_path=0.3, layer_decay=0.75),
    "l": ViTSize(1024, 24, 16, part_features=256, drop_path=0.5, layer_decay=0.8),
    "h": ViTSize(1280, 32, 16, part_features=320, drop_path=0.55, layer_decay=0.85),
}


class ExpertMlp(nn.Module):
    """The MLP of a block, the last channels of whose output come from the expert of the image's data set.

    Source: Xu et al. 2022 (ViTPose++), arXiv:2212.04246; names as in the release.
    Differs: each expert sees the images of its own data set only; the release evaluates all experts on all
    images and masks the results, with the same outcome.

    Args:
        channels: C, in and out.
        part_features: P, channels out of an expert; C - P come from the shared layer.
        num_experts: number of data sets.
    """

    def __init__(self, channels: int, part_features: int, num_experts: int) -> None:
        super().__init__()
        hidden = MLP_RATIO * channels
        self.fc1 = nn.Linear(channels, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, channels - part_features)
        self.experts = nn.ModuleList(nn.Linear(hidden, part_features) for _ in range(num_experts))

    def forward(self, x: Tensor, counts: Sequence[int]) -> Tensor:
        """Return [B, T, C] of tokens [B, T, C] sorted by data set; `counts`: images of each, B in all."""
        x = self.act(self.fc1(x))  # [B, T, 4 C]
        own = [expert(rows) for expert, rows in zip(self.experts, x.split(list(counts)), strict=True)]
        return torch.cat((self.fc2(x), torch.cat(own)), dim=-1)  # [B, T, C - P] and [B, T, P]


class ExpertBlock(Block):
    """A block of timm's vision transformer with `ExpertMlp` in place of its MLP.

    Args:
        size: of the transformer.
        num_experts: number of data sets.
        **options: of timm's block.
    """

    def __init__(self, size: ViTSize, num_experts: int, **options: object) -> None:
        def mlp(**_: object) -> ExpertMlp:
            return ExpertMlp(size.channels, size.part_features, num_experts)

        super().__init__(size.channels, size.num_heads, mlp_layer=mlp, **options)

    def forward(self, x: Tensor, counts: Sequence[int]) -> Tensor:
        """Return [B, T, C] of tokens [B, T, C] sorted by data set; `counts`: images of each."""
        x = x + self.drop_path1(self.attn(self.norm1(x)))
        return x + self.drop_path2(self.mlp(self.norm2(x), counts))


class ViT(nn.Module):
    """ViTPose's backbone, in the form of `Backbone`: timm's blocks behind a padded patch embedding.

    Patches of 16 pixels are taken from the image with 2 pixels of zeros around it, so a cell looks 2 pixels
    up and left of its place. Every token gets its own position and row 0 of the positions, which was the
    class token's in pre-training; there is no class token.

    Source: Xu et al. 2022, arXiv:2204.12484, section 3.1; names and details as in the release.
    Differs: images of another size than `input_size` are taken too, with the positions resized.

    Args:
        size: widths and depth; `SIZES` has the published ones.
        input_size: (height, width) in pixels that the positions are for.
        num_experts: number of data sets with experts of their own (ViTPose+); 0: a plain transformer.
        norm_eps: added to the variance in each norm.

    Attributes:
        channels: [C], as there is one map.
        strides: [16], input pixels a cell.
        grid_size: (h, w) cells of an image of `input_size`.

    Raises:
        ValueError: if the input size is no multiple of 16, or there are experts but no `part_features`.
    """

    def __init__(
        self,
        size: ViTSize,
        input_size: tuple[int, int] = (256, 192),
        *,
        num_experts: int = 0,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        if num_experts < 0 or (num_experts and not size.part_features):
            raise ValueError(f"num_experts: expected 0, or some and part_features, got {num_experts}, {size}")
        C = size.channels
        self.size, self.input_size, self.num_experts = size, tuple(input_size), num_experts
        self.grid_size = feature_grid(self.input_size, PATCH)
        self.channels, self.strides = [C], [PATCH]
        self.patch_embed = nn.Sequential(OrderedDict(proj=nn.Conv2d(3, C, PATCH, PATCH, padding=2)))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.grid_size[0] * self.grid_size[1] + 1, C))
        self.blocks = nn.ModuleList(self._block(i, norm_eps) for i in range(size.depth))
        self.last_norm = nn.LayerNorm(C, eps=norm_eps)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.pos_embed, std=0.02)

    def _block(self, number: int, norm_eps: float) -> Block:
        options = self._block_options(number, norm_eps)
        if self.num_experts:
            return ExpertBlock(self.size, self.num_experts, **options)
        return Block(self.size.channels, self.size.num_heads, **options)

    def _block_options(self, number: int, norm_eps: float) -> dict[str, object]:
        return {
            "mlp_ratio": MLP_RATIO,
            "qkv_bias": True,
            "drop_path": self.size.drop_path * number / max(self.size.depth - 1, 1),
            "norm_layer": partial(nn.LayerNorm, eps=norm_eps),
        }

    def forward(self, images: Tensor, dataset_index: Tensor | None = None) -> list[Tensor]:
        """Return the one feature map of images, [B, C, H / 16, W / 16], in a list.

        Args:
            images: [B, 3, H, W] RGB, normalised by the mean and standard deviation of ImageNet; H and W are
                multiples of 16.
            dataset_index: [B] integers, the data set of each image; needed with experts, refused without.

        Raises:
            ValueError: if the image size or `dataset_index` does not fit.
        """
        height, _ = feature_grid(tuple(images.shape[-2:]), PATCH)
        tokens = self.encode(self.embed(images), dataset_index)
        return [rearrange(tokens, "B (h w) C -> B C h w", h=height)]

    def embed(self, images: Tensor) -> Tensor:
        """Return the patches of images [B, 3, H, W] as tokens [B, h w, C], row by row, positions added.

        Tokens of another kind can be appended to these before `encode`, and dropped after it.
        """
        grid = feature_grid(tuple(images.shape[-2:]), PATCH)
        positions = resize_positions(self.pos_embed, self.grid_size, grid)
        tokens = rearrange(self.patch_embed(images), "B C h w -> B (h w) C")
        return tokens + positions[:, 1:] + positions[:, :1]

    def encode(self, tokens: Tensor, dataset_index: Tensor | None = None) -> Tensor:
        """Return tokens [B, T, C] after all blocks and the last norm.

        Args:
            tokens: [B, T, C], any number of them.
            dataset_index: as in `forward`.
        """
        if not self.num_experts:
            if dataset_index is not None:
                raise ValueError("dataset_index: given to a backbone without experts")
            for block in self.blocks:
                tokens = block(tokens)
            return self.last_norm(tokens)
        # Images of one data set are put beside each other once, so that an expert sees only its own.
        index = self._checked(dataset_index, len(tokens))
        order = torch.tensor(sorted(range(len(index)), key=index.__getitem__), device=tokens.device)
        counts = [index.count(number) for number in range(self.num_experts)]
        tokens = tokens[order]
        for block in self.blocks:
            tokens = block(tokens, counts)
        return self.last_norm(tokens)[order.argsort()]

    def _checked(self, dataset_index: Tensor | None, batch: int) -> list[int]:
        known = f"0 to {self.num_experts - 1}"
        if (
            dataset_index is None
            or tuple(dataset_index.shape) != (batch,)
            or dataset_index.is_floating_point()
        ):
            got = None if dataset_index is None else (tuple(dataset_index.shape), dataset_index.dtype)
            raise ValueError(f"dataset_index: expected {batch} integers, {known}, got {got}")
        index = dataset_index.tolist()
        for image, number in enumerate(index):
            if not 0 <= number < self.num_experts:
                raise ValueError(f"dataset_index[{image}]: expected {known}, got {number}")
        return index

    def fold_expert(self, number: int) -> "ViT":
        """Return a copy without experts that computes what this one does for images of data set `number`.

        Raises:
            ValueError: if there is no such expert.
        """
        if not 0 <= number < self.num_experts:
            raise ValueError(f"dataset_index: expected 0 to {self.num_experts - 1}, got {number}")
        state = self.state_dict()
        folded = {name: value.clone() for name, value in state.items() if ".experts." not in name}
        for name in folded:
            if ".mlp.fc2." in name:
                own = state[name.replace(".fc2.", f".experts.{number}.")]
                folded[name] = torch.cat((folded[name], own))
        with torch.device("meta"):  # no weights are drawn, as all are assigned
            plain = ViT(self.size, self.input_size, norm_eps=self.last_norm.eps)
        plain.load_state_dict(folded, assign=True)
        return plain.train(self.training)


def resize_positions(positions: Tensor, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """Resize position embeddings from one grid to another, bicubically; row 0 stays.

    Args:
        positions: [1, 1 + h w, C]; row 0 belongs to no cell, the others to the cells row by row.
        source: (h, w) cells they are for.
        target: (h', w') cells wanted.

    Returns:
        [1, 1 + h' w', C].
    """
    if tuple(source) == tuple(target):
        return positions
    cells = rearrange(positions[:, 1:], "B (h w) C -> B C h w", h=source[0], w=source[1])
    cells = F.interpolate(cells, tuple(target), mode="bicubic", align_corners=False)
    return torch.cat((positions[:, :1], rearrange(cells, "B C h w -> B (h w) C")), dim=1)
