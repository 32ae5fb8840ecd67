"""TransPose-H: the short HRNet, then attention between all cells of its map."""

from torch import Tensor, nn

from pctlib.models.attention import EncoderLayer, init_matrices, sine_positions
from pctlib.models.representations.simcc import check_grid


class TransPoseHead(nn.Module):
    """A transformer over the cells of a feature map, then one 1x1 convolution to K heatmaps.

    Source: Yang et al. 2021, arXiv:2012.14214, section 3, and release (`transpose_h`); the defaults are
    TransPose-H-A6's.
    Differs: positions are a constant, not a parameter without gradient, so they are not counted as one.

    Args:
        in_channels: C of the feature map.
        num_keypoints: K.
        grid_size: (h, w) of the feature map, cells.
        dim: width E of the tokens.
        hidden: width inside each layer.
        num_layers: transformer layers.
        num_heads: heads of each.
        dropout: probability in each.
    """

    def __init__(
        self,
        in_channels: int,
        num_keypoints: int,
        *,
        grid_size: tuple[int, int],
        dim: int = 96,
        hidden: int = 192,
        num_layers: int = 6,
        num_heads: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.grid_size = tuple(grid_size)
        self.reduce = nn.Conv2d(in_channels, dim, kernel_size=1, bias=False)
        layers = (EncoderLayer(dim, num_heads, hidden=hidden, dropout=dropout) for _ in range(num_layers))
        self.layers = nn.ModuleList(layers)
        self.final_layer = nn.Conv2d(dim, num_keypoints, kernel_size=1)
        self.register_buffer("positions", sine_positions(self.grid_size, dim), persistent=False)
        init_matrices(self.layers)
        for conv in (self.reduce, self.final_layer):
            nn.init.normal_(conv.weight, std=0.001)
        nn.init.zeros_(self.final_layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return heatmaps [B, K, h, w] of a feature map [B, C, h, w].

        Raises:
            ValueError: if the grid is not the one given at construction.
        """
        check_grid(features, self.grid_size)
        tokens = self.reduce(features).flatten(2).transpose(1, 2)  # [B, h w, E]
        for layer in self.layers:
            tokens = layer(tokens, self.positions)
        return self.final_layer(tokens.transpose(1, 2).unflatten(2, self.grid_size))
