"""What each tokenizer of the grid makes of the same poses."""

from pathlib import Path

from torch import Tensor

from pctlib.profiles.profile import Profile
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
