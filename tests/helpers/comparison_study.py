"""A study of a few drawn people with a tokenizer and a heatmap backbone, and a small comparison on it."""

from pathlib import Path

import yaml
from helpers.study_people import make_people

from pctlib.paths import project_root
from pctlib.profiles.profile import Profile, load_profile
from pctlib.study.pages.comparison.heads import HEADS
from pctlib.study.people import Splits
from pctlib.study.poses import load_both
from pctlib.study.stages.heatmap import train_heatmap
from pctlib.study.stages.tokenizer import train_tokenizer

TRAINING = {"epochs": 1, "batch_size": 8, "learning_rate": 0.001, "warmup_steps": 0}
VITPOSE = {"dim": 16, "depth": 1, "heads": 2, "decoder_width": 8, "training": TRAINING}
COMPARISON = {
    "train_people": 8,
    "input_height": 32,
    "input_width": 32,
    "frozen": {"representations": list(HEADS), "views": 1, "epochs": 1},
    "whole": {
        "representations": ["coordinates", "heatmap_dark", "rtmcc", "pct"],
        "backbones": [{"name": "mobilenetv4_conv_small_035", "stages": 4}],
        "vitpose": VITPOSE,
        "training": TRAINING,
    },
    "rivals": {"train_people": 8, "systems": ["token_pose_l", "prtr"], "training": TRAINING},
}


def small_profile(folder: Path, **changes: object) -> Profile:
    """Return the smoke profile with a small comparison, some of whose values may differ."""
    values = yaml.safe_load((project_root() / "workflow" / "sizes" / "smoke.yml").read_text())
    values["comparison"] = COMPARISON | changes
    path = folder / "small.yml"
    path.write_text(yaml.safe_dump(values))
    return load_profile(path)


def make_study(folder: Path) -> tuple[Profile, Splits]:
    """Train tokenizer and heatmap backbone of seed 0 below a folder."""
    profile = small_profile(folder)
    splits = study_people(folder)
    train_heatmap(profile, splits, seed=0, out_dir=folder / "heatmap-seed0", progress=False)
    train, val = load_both(splits, profile)
    tokenizer = folder / "tokenizer-seed0"
    train_tokenizer(profile, train, val_poses=val, seed=0, out_dir=tokenizer, progress=False)
    return profile, splits


def study_people(folder: Path) -> Splits:
    """Draw the people of the study below a folder."""
    sizes = [("t", 16), ("v", 5)]
    return Splits(*(make_people(folder / n, count, seed=s) for s, (n, count) in enumerate(sizes)), "drawn")
