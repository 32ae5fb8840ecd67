"""The heatmap backbone of one seed, trained ahead of its page."""

from pctlib.study.page import OpenPage
from pctlib.study.stages.heatmap import train_heatmap
from pctlib.training.loop import TrainingResult


def train_page(page: OpenPage) -> TrainingResult:
    """Train the heatmap network of a page's seed in its folder, as its notebook does."""
    return train_heatmap(page.settings, page.splits, seed=page.seed, out_dir=page.folder)
