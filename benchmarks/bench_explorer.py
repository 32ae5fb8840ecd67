"""The controls of token anatomy: one choice against a figure drawn anew."""

import io

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.common import Row, turns
from pctlib.models.layers import MixerSize
from pctlib.models.tokenizer import PoseTokenizer
from pctlib.skeletons import COCO
from pctlib.visualization.anatomy import draw_change
from pctlib.visualization.explorer import DPI, INCHES, PoseExplorer

TOKENS, ENTRIES = 34, 512


def benchmark() -> list[Row]:
    """Return the row: decode a pose with another entry and paint it."""
    torch.manual_seed(0)
    sizes = MixerSize(dim=64, num_layers=2, token_hidden=64, channel_hidden=64)
    model = PoseTokenizer(
        COCO.num_keypoints, TOKENS, codebook_size=ENTRIES, token_dim=64, encoder=sizes, decoder=sizes
    ).eval()
    indices = torch.randint(ENTRIES, (8, TOKENS))
    usage, notes = np.ones((TOKENS, ENTRIES)), [""] * TOKENS
    explorer = PoseExplorer(model, indices, usage=usage, skeleton=COCO, notes=notes)
    entries = [value for _, value in explorer.entry.options][1:]

    def ours() -> None:
        entries.append(entries.pop(0))
        explorer.entry.value = entries[0]

    def plain() -> None:
        codes = model.codebook.look_up(indices[0].repeat(len(entries) + 1, 1))
        poses = model.decode(codes).detach().numpy()[:2]
        axes = Figure(figsize=(INCHES, INCHES), dpi=DPI).subplots()
        draw_change(axes, *poses, skeleton=COCO)
        axes.figure.savefig(io.BytesIO(), format="png", dpi=DPI, bbox_inches="tight")

    seconds = turns({"ours": ours, "plain": plain}, repeats=5)
    note = "a new figure, all entries decoded"
    return [Row("token explorer, one choice", seconds["ours"], seconds["plain"], note=note)]
