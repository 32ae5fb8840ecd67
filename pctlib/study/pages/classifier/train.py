"""The token classifier of one seed and its control, as their page trains them."""

from typing import NamedTuple

from pctlib.models.tokenizer import PoseTokenizer
from pctlib.profiles.profile import Profile
from pctlib.study.features import FrozenStage
from pctlib.study.page import OpenPage
from pctlib.study.stages.classifier import freeze_backbone, train_classifier, train_control
from pctlib.study.stages.heatmap import load_heatmap
from pctlib.study.stages.tokenizer import adopt_tokenizer, load_tokenizer
from pctlib.training.loop import TrainingResult


class Frozen(NamedTuple):
    """What classifier and control are trained from: settings, tokenizer, and the frozen backbone."""

    settings: Profile
    tokenizer: PoseTokenizer
    stage: FrozenStage


def read_frozen(page: OpenPage) -> Frozen:
    """Read tokenizer and backbone of a page's seed, and compute the features of the frozen backbone."""
    source = page.run("tokenizer", page.seed)
    settings = adopt_tokenizer(page.settings, source)  # its M, V and widths, whatever the profile's
    backbone = load_heatmap(page.run("heatmap", page.seed)).backbone
    stage = freeze_backbone(settings, page.splits, backbone, seed=page.seed)
    return Frozen(settings, load_tokenizer(source), stage)


def train_page(page: OpenPage) -> TrainingResult:
    """Train classifier and control of a page's seed in its folder, as its notebook does."""
    settings, tokenizer, stage = read_frozen(page)
    result = train_classifier(settings, stage, tokenizer, seed=page.seed, out_dir=page.folder)
    train_control(settings, stage, seed=page.seed, out_dir=page.folder / "control")
    return result
