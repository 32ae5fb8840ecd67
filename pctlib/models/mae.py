"""Masked autoencoding: a vision transformer learns from images alone, by filling in hidden patches."""

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from pctlib.models.attention import sine_positions
from pctlib.models.vit import MLP_RATIO, PATCH, ViT

_PADDING = 2  # zeros around the image, as in the patch embedding of `ViT`
_PIXELS = 3 * PATCH**2  # values of a patch


class MaskedAutoencoder(nn.Module):
    """Encode the visible patches of an image, and predict the pixels of the others from them.

    The decoder serves pretraining only; `encoder` is what a ViTPose starts from. Names of the decoder are
    those of the release.

    Source: He et al. 2022, arXiv:2111.06377, section 3 and appendix A.1.
    Differs: there is no class token, as ViTPose has none; the encoder learns its positions; a patch is what
    the padded patch embedding of ViTPose sees, so that no pixel of a hidden patch is visible.

    Args:
        encoder: the transformer to be pretrained.
        dim: width of the decoder, a multiple of 4; published: 512.
        depth: blocks of the decoder; published: 8.
        num_heads: heads of the decoder; published: 16.
        normalise: predict pixels in units of their patch's mean and standard deviation.
    """

    def __init__(
        self, encoder: ViT, *, dim: int = 512, depth: int = 8, num_heads: int = 16, normalise: bool = True
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.normalise = normalise
        self.decoder_embed = nn.Linear(encoder.channels[-1], dim)
        self.mask_token = nn.Parameter(torch.empty(1, 1, dim))
        self.register_buffer("decoder_pos_embed", sine_positions(encoder.grid_size, dim), persistent=False)
        self.decoder_blocks = nn.ModuleList(
            Block(dim, num_heads, mlp_ratio=MLP_RATIO, qkv_bias=True) for _ in range(depth)
        )
        self.decoder_norm = nn.LayerNorm(dim)
        self.decoder_pred = nn.Linear(dim, _PIXELS)
        nn.init.normal_(self.mask_token, std=0.02)
        for module in (self.decoder_embed, *self.decoder_blocks.modules(), self.decoder_pred):
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor, visible: Tensor) -> Tensor:
        """Return the predicted patches [B, L, 768] of all L cells, in the units of `target`.

        Args:
            images: [B, 3, H, W] RGB, normalised by the mean and standard deviation of ImageNet, of the
                encoder's input size.
            visible: [B, n] indices of the visible cells, as `draw_visible` gives them.

        Raises:
            ValueError: if the images are of another size.
        """
        cells, width = self.encoder.embed(images), self.encoder.channels[-1]
        if cells.shape[1] != len(self.decoder_pos_embed):
            raise ValueError(f"images: expected {self.encoder.input_size}, got {tuple(images.shape[-2:])}")
        index = visible.unsqueeze(-1)  # [B, n, 1]
        tokens = self.encoder.encode(cells.gather(1, index.expand(-1, -1, width)))  # [B, n, C]
        tokens = self.decoder_embed(tokens)  # [B, n, E]
        whole = self.mask_token.to(tokens.dtype).expand(*cells.shape[:2], -1)  # [B, L, E]
        x = whole.scatter(1, index.expand_as(tokens), tokens) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        return self.decoder_pred(self.decoder_norm(x))

    def target(self, images: Tensor) -> Tensor:
        """Return the patches [B, L, 768] of images that the prediction is compared with."""
        patches = patchify(images)
        if not self.normalise:
            return patches
        mean, std = patch_statistics(patches)
        return (patches - mean) / std

    def errors(self, prediction: Tensor, images: Tensor, visible: Tensor) -> Tensor:
        """Return the squared error a pixel of the hidden patches of each image, [B]; their mean is minimised.

        Args:
            prediction: [B, L, 768].
            images: [B, 3, H, W] that it is of.
            visible: [B, n] indices of the visible cells.
        """
        hidden = hidden_cells(visible, prediction.shape[1])  # [B, L]
        error = (prediction.float() - self.target(images)).square().mean(-1)  # [B, L]
        return (error * hidden).sum(1) / hidden.sum(1)

    def restore(self, prediction: Tensor, images: Tensor, visible: Tensor) -> Tensor:
        """Return images [B, 3, H, W] whose hidden patches are the predicted ones.

        Where patches are normalised, their own mean and standard deviation are given back to the predicted
        ones, which the network does not know.
        """
        patches = patchify(images)
        if self.normalise:
            mean, std = patch_statistics(patches)
            prediction = prediction * std + mean
        hidden = hidden_cells(visible, patches.shape[1]).unsqueeze(-1)  # [B, L, 1]
        return unpatchify(torch.where(hidden, prediction, patches), images)


def draw_visible(batch: int, cells: int, *, mask_ratio: float, generator: torch.Generator) -> Tensor:
    """Draw the cells of each image that stay visible, all equally likely.

    Args:
        batch: B.
        cells: L of each image.
        mask_ratio: share of hidden cells; published: 0.75. Of the visible ones a fraction is cut.
        generator: of the draws, on the CPU.

    Returns:
        [B, n] indices in ascending order, n = floor(L (1 - mask_ratio)).

    Raises:
        ValueError: if no cell is visible or none is hidden.
    """
    count = int(cells * (1 - mask_ratio))
    if not 0 < count < cells:
        raise ValueError(f"mask_ratio: {mask_ratio} of {cells} cells leaves {count} visible")
    order = torch.rand(batch, cells, generator=generator).argsort(1)
    return order[:, :count].sort(1).values


def hidden_cells(visible: Tensor, cells: int) -> Tensor:
    """Return [B, cells] bool, True where a cell is none of the visible ones [B, n]."""
    hidden = torch.ones(len(visible), cells, dtype=torch.bool, device=visible.device)
    return hidden.scatter(1, visible, False)


def hide(images: Tensor, visible: Tensor) -> Tensor:
    """Return images [B, 3, H, W] whose hidden patches are 0, the mean colour of normalised images."""
    patches = patchify(images)
    hidden = hidden_cells(visible, patches.shape[1]).unsqueeze(-1)  # [B, L, 1]
    return unpatchify(patches.masked_fill(hidden, 0.0), images)


def patchify(images: Tensor) -> Tensor:
    """Return the patches [B, L, 768] that the embedding of `ViT` sees, of images [B, 3, H, W].

    Patch (i, j) begins at pixel (16 i - 2, 16 j - 2); outside the image are zeros, and the last two rows and
    columns are in no patch. Within a patch the order is colour, row, column.
    """
    return F.unfold(images, PATCH, padding=_PADDING, stride=PATCH).mT


def unpatchify(patches: Tensor, images: Tensor) -> Tensor:
    """Return images [B, 3, H, W] made of patches [B, L, 768]; pixels of no patch are those of `images`."""
    size = images.shape[-2:]
    put = F.fold(patches.mT, size, PATCH, padding=_PADDING, stride=PATCH)
    inside = torch.zeros(size, dtype=torch.bool, device=images.device)
    inside[: size[0] - _PADDING, : size[1] - _PADDING] = True
    return torch.where(inside, put, images)


def patch_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation [B, L, 1] of each patch of [B, L, 768]."""
    mean = patches.mean(-1, keepdim=True)
    return mean, (patches.var(-1, keepdim=True) + 1e-6).sqrt()
