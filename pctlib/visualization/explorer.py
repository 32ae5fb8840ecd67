"""Controls for JupyterLab: pick a pose, a token and an entry, and see the pose move at once."""

import io
from collections.abc import Sequence

import ipywidgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from pctlib.models.tokenizer import PoseTokenizer
from pctlib.skeletons import Skeleton
from pctlib.visualization.anatomy import draw_change

INCHES, DPI = 4.0, 90
MOST_ENTRIES = 100  # in the list of a token


class PoseExplorer(ipywidgets.VBox):
    """A pose in grey and, in colour, the same pose with one token replaced; redrawn at every choice.

    Attributes:
        pose: slider over the poses.
        token: which token is replaced.
        entry: the entry it takes: the pose's own first, then the token's others, the most used first.
        picture: PNG of both poses.
        words: which joint moves most, and how far.
        before: [K, D] the pose as its own tokens give it.
        after: [K, D] with the chosen entry.

    Args:
        model: decodes codes and has the codebook.
        indices: [N, M] int64, tokens of the poses.
        usage: [M, V] how often each token uses each entry.
        skeleton: the keypoint set.
        notes: M short texts, such as what a token moves most.
        unit: of the decoded poses.

    Raises:
        ValueError: if the numbers of tokens disagree.
    """

    def __init__(
        self,
        model: PoseTokenizer,
        indices: Tensor,
        *,
        usage: np.ndarray,
        skeleton: Skeleton,
        notes: Sequence[str],
        unit: str = "px",
    ) -> None:
        if not indices.shape[1] == len(usage) == len(notes):
            got = f"{indices.shape[1]}, {len(usage)} and {len(notes)}"
            raise ValueError(f"indices, usage, notes: expected as many tokens in each, got {got}")
        self._model, self._indices, self._usage = model, indices.cpu(), usage
        self._skeleton, self._unit = skeleton, unit
        self._axes = Figure(figsize=(INCHES, INCHES), dpi=DPI).add_axes((0, 0, 1, 1))
        named = [(f"token {token}: {note}", token) for token, note in enumerate(notes)]
        wide = {"layout": ipywidgets.Layout(width="26em"), "style": {"description_width": "4em"}}
        self.pose = ipywidgets.IntSlider(0, 0, len(indices) - 1, description="pose", **wide)
        self.token = ipywidgets.Dropdown(options=named, value=0, description="token", **wide)
        self.entry = ipywidgets.SelectionSlider(options=[("", 0)], description="entry", **wide)
        self.picture = ipywidgets.Image(format="png", width=int(INCHES * DPI))
        self.words = ipywidgets.Label()
        super().__init__([self.pose, self.token, self.entry, self.words, self.picture])
        self.pose.observe(self._offer_entries, "value")
        self.token.observe(self._offer_entries, "value")
        self.entry.observe(self._draw, "value")
        self._offer_entries()

    def _offer_entries(self, change: object = None) -> None:
        """List the entries of the token, and start from the pose's own."""
        own = int(self._indices[self.pose.value, self.token.value])
        counts = self._usage[self.token.value]
        others = [entry for entry in np.argsort(-counts, kind="stable").tolist() if entry != own]
        share = 100 * counts / max(1, counts.sum())
        listed = [entry for entry in others[:MOST_ENTRIES] if counts[entry]]
        self.entry.unobserve(self._draw, "value")  # one picture for one choice
        self.entry.options = [  # selects the first
            (f"{own} (the pose's own)", own),
            *((f"{entry} ({share[entry]:.1f} %)", entry) for entry in listed),
        ]
        self.entry.observe(self._draw, "value")
        self._draw()

    @torch.inference_mode()
    def _draw(self, change: object = None) -> None:
        own = self._indices[self.pose.value]
        changed = own.clone()
        changed[self.token.value] = self.entry.value
        codes = self._model.codebook.look_up(torch.stack([own, changed]))  # [2, M, E]
        self.before, self.after = self._model.decode(codes).cpu().numpy()
        distance = np.linalg.norm(self.after - self.before, axis=-1)  # [K]
        most = int(distance.argmax())
        name = self._skeleton.keypoint_names[most].replace("_", " ")
        self.words.value = (
            f"Farthest: {name}, {distance[most]:.1f} {self._unit}; mean of all joints "
            f"{distance.mean():.1f} {self._unit}."
        )
        self.picture.value = self._paint()

    def _paint(self) -> bytes:
        """Return both poses as PNG; the frame is that of the unchanged pose, so that it stands still."""
        before, after = self.before[:, :2], self.after[:, :2]
        low, high = before.min(axis=0), before.max(axis=0)
        centre, reach = (low + high) / 2, 0.65 * max(1e-6, float((high - low).max()))
        self._axes.clear()
        self._axes.set_axis_off()
        draw_change(self._axes, before, after, skeleton=self._skeleton)
        self._axes.set(
            xlim=(centre[0] - reach, centre[0] + reach), ylim=(centre[1] + reach, centre[1] - reach)
        )
        buffer = io.BytesIO()
        self._axes.figure.savefig(buffer, format="png", dpi=DPI)
        return buffer.getvalue()
