"""ViTPose's transformer with attention inside windows, for feature maps too large for full attention."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from timm.models.vision_transformer import Attention, Block
from torch import Tensor

from pctlib.models.vit import ViT, ViTSize


@dataclass(frozen=True)
class Windows:
    """How tokens are shut into windows, and what lets windows hear of each other.

    Attributes:
        size: (h, w) cells of a window; divides the grid.
        shift: every second block moves its windows by half of their size (Liu et al. 2021, arXiv:2103.14030).
        pool: the mean of each window joins the keys and values of all.
    """

    size: tuple[int, int]
    shift: bool = False
    pool: bool = False


class WindowAttention(Attention):
    """Attention of each token to those of its window, with the weights of full attention.

    Moved windows reach over the edge of the grid, where they hold cells of opposite sides; these do not see
    each other.

    Source: Xu et al. 2022, arXiv:2204.12484, section 3.2 and the ablation of attention.
    Differs: there is no released code; the mean of a window is that of its keys and values, which equals the
    keys and values of its mean token.

    Args:
        channels: C, width of a token.
        num_heads: heads.
        grid_size: (h, w) cells of the feature map.
        windows: their size; whether their means are seen.
        moved: whether the windows of this block are moved by half of their size.

    Raises:
        ValueError: if windows do not divide the grid.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        *,
        grid_size: tuple[int, int],
        windows: Windows,
        moved: bool = False,
    ) -> None:
        super().__init__(channels, num_heads, qkv_bias=True)
        if any(size < 1 or cells % size for cells, size in zip(grid_size, windows.size, strict=True)):
            raise ValueError(f"windows: expected a size that divides {grid_size} cells, got {windows.size}")
        self.grid_size, self.window, self.pool = tuple(grid_size), tuple(windows.size), windows.pool
        # A window as long as the grid has nowhere to move.
        halves = [
            size // 2 if moved and size < cells else 0
            for size, cells in zip(windows.size, grid_size, strict=True)
        ]
        self.offset = (halves[0], halves[1])
        self.register_buffer("seen", self._seen() if any(halves) else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, T, C] of the tokens [B, T, C] of all cells, row by row.

        Raises:
            ValueError: if there is not one token a cell.
        """
        if x.shape[1] != self.grid_size[0] * self.grid_size[1]:
            raise ValueError(f"expected one token for each of {self.grid_size} cells, got {x.shape[1]}")
        q, k, v = (self._split(part) for part in self.qkv(x).chunk(3, dim=-1))  # [B, W, heads, n, E] each
        if self.pool:
            k, v = (torch.cat((part, self._means(part)), dim=-2) for part in (k, v))  # n + W keys
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=self.seen)
        return self.proj(self._join(mixed))

    def _split(self, x: Tensor) -> Tensor:
        """Return tokens [B, h w, C] by window and head, [B, W, heads, n, E]."""
        x = rearrange(x, "B (h w) C -> B h w C", h=self.grid_size[0])
        x = x.roll([-offset for offset in self.offset], dims=(1, 2))
        pattern = "B (Y y) (X x) (head E) -> B (Y X) head (y x) E"
        return rearrange(x, pattern, y=self.window[0], x=self.window[1], head=self.num_heads)

    def _join(self, x: Tensor) -> Tensor:
        """Undo `_split`."""
        rows = self.grid_size[0] // self.window[0]
        pattern = "B (Y X) head (y x) E -> B (Y y) (X x) (head E)"
        x = rearrange(x, pattern, Y=rows, y=self.window[0]).roll(self.offset, dims=(1, 2))
        return rearrange(x, "B h w C -> B (h w) C")

    @staticmethod
    def _means(x: Tensor) -> Tensor:
        """Return the mean of every window for each window, [B, W, heads, W, E]."""
        means = rearrange(x.mean(-2), "B W head E -> B 1 head W E")
        return means.expand(-1, x.shape[1], -1, -1, -1)

    def _seen(self) -> Tensor:
        """Return [W, 1, n, keys] bool: which keys each token of a moved window sees."""
        sides = []
        for cells, offset in zip(self.grid_size, self.offset, strict=True):
            sides.append((torch.arange(cells) + offset >= cells).long())  # 1: came over the edge
        piece = (2 * sides[0][:, None] + sides[1]).flatten()  # [h w] which of four pieces of the grid
        pattern = "(Y y X x) -> (Y X) 1 (y x)"
        lengths = {"Y": self.grid_size[0] // self.window[0], "y": self.window[0], "x": self.window[1]}
        piece = rearrange(piece, pattern, **lengths)  # [W, 1, n]
        seen = piece.unsqueeze(-1) == piece.unsqueeze(-2)  # [W, 1, n, n]
        if not self.pool:
            return seen
        return torch.cat((seen, seen.new_ones(*seen.shape[:-1], len(seen))), dim=-1)


class WindowBlock(Block):
    """A block of timm's vision transformer with `WindowAttention`; names and shapes of weights stay.

    Args:
        size: of the transformer.
        attention: in place of full attention.
        **options: of timm's block.
    """

    def __init__(self, size: ViTSize, attention: WindowAttention, **options: object) -> None:
        super().__init__(size.channels, size.num_heads, **options)
        self.attn = attention

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, T, C] of tokens [B, T, C] of all cells."""
        x = x + self.drop_path1(self.attn(self.norm1(x)))
        return x + self.drop_path2(self.mlp(self.norm2(x)))


class WindowViT(ViT):
    """`ViT` with attention inside windows, for images of one size; takes the weights of a `ViT`.

    Args:
        size: widths and depth.
        input_size: (height, width) of the images, pixels.
        windows: of every block.

    Raises:
        ValueError: if the input size is no multiple of 16, or windows do not divide its cells.
    """

    def __init__(self, size: ViTSize, input_size: tuple[int, int], *, windows: Windows) -> None:
        self._windows = windows  # before the blocks are built
        super().__init__(size, input_size)

    def _block(self, number: int, norm_eps: float) -> Block:
        moved = self._windows.shift and number % 2 == 1
        attention = WindowAttention(
            self.size.channels,
            self.size.num_heads,
            grid_size=self.grid_size,
            windows=self._windows,
            moved=moved,
        )
        return WindowBlock(self.size, attention, **self._block_options(number, norm_eps))
