"""TokenPose-L: one learned token a keypoint, among the patches of the short HRNet's map."""

import torch
from einops import rearrange
from timm.layers import Mlp
from torch import Tensor, nn

from pctlib.models.attention import SelfAttention, sine_positions
from pctlib.models.representations.simcc import check_grid


class TokenLayer(nn.Module):
    """A transformer layer with its norms before attention and network.

    Args:
        dim: width E of the tokens.
        num_heads: heads of the attention.
        hidden: width inside the two-layer network.
    """

    def __init__(self, dim: int, num_heads: int, *, hidden: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, num_heads, qkv_bias=False)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, T, E] of [B, T, E]."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class TokenPoseHead(nn.Module):
    """Keypoint tokens that look at patches and at each other, each turned into a heatmap by a linear layer.

    The tokens' values after each third of the layers are read together. Positions are added to the patches
    before every layer, except, as released, before the first layer of the second and third third.

    Source: Li et al. 2021, arXiv:2104.03516, section 3, and release (`TokenPose_L_base`). The defaults are
    TokenPose-L/D24's: the release's depth of 8 is that of a third.
    Differs: positions are a constant, not a parameter without gradient, so they are not counted as one.

    Args:
        in_channels: C of the feature map.
        num_keypoints: K.
        grid_size: (h, w) of the feature map and of the heatmaps, cells.
        patch_size: (height, width) of a patch, cells.
        dim: width E of the tokens.
        depth: transformer layers, in three thirds.
        num_heads: heads of each.
        mlp_ratio: hidden width of each layer over E.

    Raises:
        ValueError: if the patches do not divide the grid or 3 not the depth.
    """

    def __init__(
        self,
        in_channels: int,
        num_keypoints: int,
        *,
        grid_size: tuple[int, int],
        patch_size: tuple[int, int],
        dim: int = 192,
        depth: int = 24,
        num_heads: int = 12,
        mlp_ratio: int = 3,
    ) -> None:
        super().__init__()
        if any(cells % patch for cells, patch in zip(grid_size, patch_size, strict=True)):
            raise ValueError(f"patch_size: expected a divisor of {tuple(grid_size)}, got {tuple(patch_size)}")
        if depth < 3 or depth % 3:
            raise ValueError(f"depth: expected a multiple of 3, got {depth}")
        self.grid_size, self.patch_size = tuple(grid_size), tuple(patch_size)
        height, width = (cells // patch for cells, patch in zip(grid_size, patch_size, strict=True))
        self.embed = nn.Linear(in_channels * patch_size[0] * patch_size[1], dim)
        self.keypoint_tokens = nn.Parameter(torch.empty(num_keypoints, dim))
        thirds = range(3)
        self.thirds = nn.ModuleList(
            nn.ModuleList(TokenLayer(dim, num_heads, hidden=mlp_ratio * dim) for _ in range(depth // 3))
            for _ in thirds
        )
        self.norm = nn.LayerNorm(len(thirds) * dim)
        self.to_heatmap = nn.Linear(len(thirds) * dim, grid_size[0] * grid_size[1])
        self.register_buffer("positions", sine_positions((height, width), dim), persistent=False)
        self._init_weights()

    def forward(self, features: Tensor) -> Tensor:
        """Return heatmaps [B, K, h, w] of a feature map [B, C, h, w].

        Raises:
            ValueError: if the grid is not the one given at construction.
        """
        check_grid(features, self.grid_size)
        (p, q), K = self.patch_size, len(self.keypoint_tokens)
        patches = self.embed(rearrange(features, "B C (h p) (w q) -> B (h w) (p q C)", p=p, q=q))
        keypoints = self.keypoint_tokens.expand(len(features), -1, -1)  # [B, K, E]
        tokens = torch.cat((keypoints, patches + self.positions), dim=1)  # [B, K + h w / (p q), E]
        places = torch.cat((torch.zeros_like(self.keypoint_tokens), self.positions))  # like one of tokens
        read = []
        for third in self.thirds:
            for index, layer in enumerate(third):
                tokens = layer(tokens if index == 0 else tokens + places)
            read.append(tokens[:, :K])
        heatmaps = self.to_heatmap(self.norm(torch.cat(read, dim=-1)))  # [B, K, h w]
        return heatmaps.unflatten(2, self.grid_size)

    def _init_weights(self) -> None:
        nn.init.trunc_normal_(self.keypoint_tokens, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
