"""What page 14 trains for every seed; read without torch, as the workflow asks for it before every job."""

from pctlib.profiles.profile import Profile
from pctlib.workflow.pages import Training

TOKENIZERS, METHODS = "tokenizers", "methods"  # the two kinds
BASE = "as in the profile"
LIFTED_TRUE, LIFTED, DIRECT = "lifting, true 2D", "lifting, found 2D", "direct regression"
VOLUME, PCT = "volume soft-argmax", "PCT tokens"


def size_name(num_tokens: int, codebook_size: int) -> str:
    """Return what a tokenizer of the grid is called."""
    return f"M {num_tokens}, V {codebook_size}"


def tokenizer_names(profile: Profile) -> list[str]:
    """Return the tokenizers: that of the methods, then the grid."""
    section = profile.pose3d
    return [BASE, *(size_name(m, v) for m in section.num_tokens for v in section.codebook_sizes)]


def trainings(profile: Profile) -> list[Training]:
    """Return the tokenizers, then the methods, in the order of the tables."""
    base, *grid = (Training(name, group=TOKENIZERS) for name in tokenizer_names(profile))
    methods = [
        Training(name, after=(base,) if name == PCT else (), group=METHODS) for name in profile.pose3d.methods
    ]
    return [base, *grid, *methods]
