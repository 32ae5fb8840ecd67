"""RTMCC: RTMPose's head, SimCC with a large convolution and attention between keypoints."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pctlib.models.representations.base import feature_grid
from pctlib.models.representations.simcc import SimCC, SimCCPrediction, check_grid
from pctlib.models.representations.simcc_coding import SimCCCoding


class ScaleNorm(nn.Module):
    """Divide a vector by its root mean square and multiply by one learned scalar.

    Source: Nguyen and Salazar 2019, arXiv:1910.05895.

    Args:
        dim: length of the vectors.
        eps: the smallest divisor.
    """

    def __init__(self, dim: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.root = dim**0.5
        self.eps = eps
        self.g = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised [..., dim]."""
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True) / self.root
        return x / norm.clamp(min=self.eps) * self.g


class ChannelScale(nn.Module):
    """Multiply each channel of [..., dim] by a learned number."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled [..., dim]."""
        return x * self.scale


class GatedAttentionUnit(nn.Module):
    """Attention between the keypoints with squared ReLU instead of softmax, gated by the tokens themselves.

    Source: Hua et al. 2022, arXiv:2202.10447; as in RTMPose, arXiv:2303.07399: no position, no dropout, and
    the shortcut, not the branch, is scaled. Parameter names are those of mmpose 1.3.2 `RTMCCBlock`.

    Args:
        dim: width of the tokens.
        key_dim: s, width of queries and keys.
        expansion: the gate and the values are `expansion` times as wide as the tokens.
    """

    def __init__(self, dim: int, *, key_dim: int = 128, expansion: int = 2) -> None:
        super().__init__()
        self.widths = (expansion * dim, expansion * dim, key_dim)  # gate, values, base of queries and keys
        self.ln = ScaleNorm(dim)
        self.uv = nn.Linear(dim, sum(self.widths), bias=False)
        self.o = nn.Linear(expansion * dim, dim, bias=False)
        self.gamma = nn.Parameter(torch.rand(2, key_dim))
        self.beta = nn.Parameter(torch.rand(2, key_dim))
        self.res_scale = ChannelScale(dim)
        nn.init.xavier_uniform_(self.uv.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens [B, K, dim] after attention between the K keypoints."""
        gate, values, base = F.silu(self.uv(self.ln(tokens))).split(self.widths, dim=-1)
        query, key = (base.unsqueeze(2) * self.gamma + self.beta).unbind(dim=2)  # [B, K, s] each
        attention = F.relu(query @ key.transpose(1, 2) / self.widths[2] ** 0.5).square()  # [B, K, K]
        return self.res_scale(tokens) + self.o(gate * (attention @ values))


class RTMCCHead(nn.Module):
    """A 7x7 convolution to a map a keypoint, one token a map, attention, one linear layer an axis.

    Source: Jiang et al. 2023, arXiv:2303.07399, section 3.3; names as in mmpose 1.3.2 `RTMCCHead`.

    Args:
        in_channels: C of the feature map.
        num_keypoints: K.
        grid_size: (h, w) of the feature map, cells.
        num_bins_xy: bins along x and along y.
        hidden_dim: width of a token.
        key_dim: width of queries and keys.
    """

    def __init__(
        self,
        in_channels: int,
        num_keypoints: int,
        *,
        grid_size: tuple[int, int],
        num_bins_xy: tuple[int, int],
        hidden_dim: int = 256,
        key_dim: int = 128,
    ) -> None:
        super().__init__()
        self.grid_size = tuple(grid_size)
        cells = grid_size[0] * grid_size[1]
        self.final_layer = nn.Conv2d(in_channels, num_keypoints, kernel_size=7, padding=3)
        self.mlp = nn.Sequential(ScaleNorm(cells), nn.Linear(cells, hidden_dim, bias=False))
        self.gau = GatedAttentionUnit(hidden_dim, key_dim=key_dim)
        self.cls_x = nn.Linear(hidden_dim, num_bins_xy[0], bias=False)
        self.cls_y = nn.Linear(hidden_dim, num_bins_xy[1], bias=False)
        nn.init.normal_(self.final_layer.weight, std=0.001)
        nn.init.zeros_(self.final_layer.bias)
        for linear in (self.mlp[1], self.cls_x, self.cls_y):
            nn.init.normal_(linear.weight, std=0.01)

    def forward(self, features: Tensor) -> SimCCPrediction:
        """Return the bins of a feature map [B, C, h, w].

        Raises:
            ValueError: if the grid is not the one given at construction.
        """
        check_grid(features, self.grid_size)
        tokens = self.gau(self.mlp(self.final_layer(features).flatten(2)))  # [B, K, hidden]
        return SimCCPrediction(self.cls_x(tokens), self.cls_y(tokens))


class RTMCC(SimCC):
    """RTMPose's representation: SimCC with the RTMCC head and softened labels.

    Source: Jiang et al. 2023, arXiv:2303.07399.

    Args:
        in_channels: channels of the coarsest feature map.
        flip_permutation: K indices; their number is the number of keypoints.
        input_size: (height, width) of the network input, pixels.
        sigma_xy: standard deviations of the labels along x and y, bins; None: sqrt(bins / 16).
        feature_stride: input pixels a cell of the feature map.
        hidden_dim: width of a token.
        key_dim: width of queries and keys.
        beta: inverse temperature of predictions and labels in the loss.

    Raises:
        ValueError: if the input size is no multiple of the feature stride, or `flip_permutation` is not its
            own inverse.
    """

    def __init__(
        self,
        in_channels: int,
        flip_permutation: Sequence[int],
        *,
        input_size: tuple[int, int],
        sigma_xy: tuple[float, float] | None = None,
        feature_stride: int = 32,
        hidden_dim: int = 256,
        key_dim: int = 128,
        beta: float = 10.0,
    ) -> None:
        coding = SimCCCoding(tuple(input_size), sigma_xy)
        head = RTMCCHead(
            in_channels,
            len(flip_permutation),
            grid_size=feature_grid(input_size, feature_stride),
            num_bins_xy=coding.num_bins_xy,
            hidden_dim=hidden_dim,
            key_dim=key_dim,
        )
        super().__init__(head, coding, flip_permutation=flip_permutation, beta=beta, label_beta=beta)
