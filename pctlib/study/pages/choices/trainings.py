"""What page 05 trains for every seed; read without torch, as the workflow asks for it before every job."""

from pctlib.profiles.profile import Profile
from pctlib.workflow.pages import Training

TOKENIZERS, CLASSIFIERS = "tokenizers", "classifiers"  # the two kinds
CODES = {
    "codebook, short schedule": "as in the profile",
    "finite scalars": "finite scalars",
    "codes of two levels": "codes of two levels",
}
"""Classifiers of other codes, each with the tokenizer of this page whose tokens it learns."""


def trainings(profile: Profile) -> list[Training]:
    """Return the tokenizers, then the classifiers, in the order of the profile."""
    section = profile.choices
    tokenizers = {name: Training(name, group=TOKENIZERS) for name in section.tokenizers}
    return [*tokenizers.values()] + [
        Training(name, after=(tokenizers[CODES[name]],) if name in CODES else (), group=CLASSIFIERS)
        for name in section.classifiers
    ]
