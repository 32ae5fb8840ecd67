"""The tokenizer of one seed, trained ahead of its page or by it."""

from typing import NamedTuple

from pctlib.models.backbones import Backbone
from pctlib.study.page import OpenPage
from pctlib.study.poses import Poses, load_both
from pctlib.study.stages.heatmap import load_heatmap
from pctlib.study.stages.tokenizer import train_tokenizer
from pctlib.training.loop import TrainingResult


class PoseSplits(NamedTuple):
    """Poses to learn from and to measure on, and the backbone that guides the tokenizer, if one does."""

    train: Poses
    val: Poses
    guide: Backbone | None


def read_poses(page: OpenPage, *, num_dims: int = 2) -> PoseSplits:
    """Read what a page's tokenizer learns from.

    Args:
        page: of the tokenizer.
        num_dims: D, 2 for pixels or 3 for millimetres.
    """
    guided = page.settings.tokenizer.guide_ratio > 0
    guide = load_heatmap(page.run("heatmap", page.seed)).backbone if guided else None
    return PoseSplits(*load_both(page.splits, page.settings, num_dims=num_dims), guide)


def train_page(page: OpenPage) -> TrainingResult:
    """Train the tokenizer of a page's seed in its folder, as its notebook does."""
    poses = read_poses(page)
    options = {"seed": page.seed, "out_dir": page.folder, "guide": poses.guide}
    return train_tokenizer(page.settings, poses.train, val_poses=poses.val, **options)
