"""What each tokenizer of the grid makes of the same poses."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from pctlib.profiles.pages import GridProfile
from pctlib.profiles.profile import Profile
from pctlib.reporting.walks import Walk, WalkExplorer
from pctlib.study.page import OpenPage
from pctlib.study.pages.grid.study import point_folder
from pctlib.study.pages.grid.trainings import point_name
from pctlib.study.poses import Poses, load_poses
from pctlib.study.stages.guided import load_tokenizers
from pctlib.study.stages.tokenizer import reconstruct


def tokenizer_folders(profile: Profile, runs_dir: str | Path, seed: int) -> dict[str, Path]:
    """Return the folder of each point of the grid, trained or not, by its name; M changes fastest."""
    grid = profile.grid
    points = [(entries, tokens) for entries in grid.codebook_sizes for tokens in grid.num_tokens]
    return {point_name(*point): point_folder(runs_dir, *point, seed) for point in points}


def write_poses(page: OpenPage) -> tuple[Poses, dict[str, tuple[Tensor, Tensor]]]:
    """Return the validation poses, and what each trained tokenizer of the first seed makes of them.

    Returns:
        N poses; name of the point -> poses read back [N, K, 2] and their token indices [N, M].
    """
    poses = load_poses(page.splits.val, page.settings, training=False)
    folders = tokenizer_folders(page.settings, page.folder, page.seed)
    tokenizers = load_tokenizers(folders, page.run("heatmap", page.seed))
    return poses, {name: reconstruct(model, poses) for name, model in tokenizers.items()}


def reading_walks(
    poses: Poses, written: Mapping[str, tuple[Tensor, Tensor]], grid: GridProfile, *, people: int = 4
) -> WalkExplorer:
    """Return a few poses that a reader has read back by one point of the grid after the other.

    Args:
        poses: N poses.
        written: from `write_poses`.
        grid: sizes of the points.
        people: how many poses, evenly from those that have the most labelled joints.
    """
    labelled = (poses.visible > 0).cpu().numpy()
    truth = np.where(labelled[..., None], poses.crops()[0].cpu().numpy(), np.nan)  # [N, K, 2]
    whole = np.flatnonzero(labelled.sum(axis=1) == labelled.sum(axis=1).max())
    rows = whole[np.unique(np.linspace(0, len(whole) - 1, people).astype(int))]
    shown = {}
    for row in rows:
        walks = [_reading_walk(truth[row], row, written, grid, entries) for entries in grid.codebook_sizes]
        shown[f"validation pose {row + 1}"] = [walk for walk in walks if len(walk.entries) > 1]
    label = "A pose in grey and, in colour, what one tokenizer of the grid gives back"
    return WalkExplorer(label, shown, poses.skeleton, controls=("Pose", "V", "M"))


def _reading_walk(
    truth: np.ndarray,
    row: int,
    written: Mapping[str, tuple[Tensor, Tensor]],
    grid: GridProfile,
    entries: int,
) -> Walk:
    known = [tokens for tokens in grid.num_tokens if point_name(entries, tokens) in written]
    found = [written[point_name(entries, tokens)][0][row].cpu().numpy() for tokens in known]
    names = ["of none: the pose itself", *(f"= {tokens}" for tokens in known)]
    return Walk(f"{entries} entries", names, np.stack([truth, *found]))
