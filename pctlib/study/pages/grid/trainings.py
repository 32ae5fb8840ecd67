"""What page 04 trains for every seed; read without torch, as the workflow asks for it before every job."""

from pctlib.profiles.profile import Profile
from pctlib.workflow.pages import Training

POINTS, CLASSIFIERS = "points", "classifiers"  # the two kinds


def point_name(entries: int, tokens: int) -> str:
    """Return the name of a point of the grid."""
    return f"V{entries}-M{tokens}"


def trainings(profile: Profile) -> list[Training]:
    """Return the tokenizers of the grid, then the classifiers of its row, each after its tokenizer."""
    grid = profile.grid
    points = [_point(entries, tokens) for entries in grid.codebook_sizes for tokens in grid.num_tokens]
    row = [(f"V{entries}", _point(entries, grid.classified_tokens)) for entries in grid.codebook_sizes]
    return points + [Training(name, after=(point,), group=CLASSIFIERS) for name, point in row]


def _point(entries: int, tokens: int) -> Training:
    return Training(point_name(entries, tokens), group=POINTS)
