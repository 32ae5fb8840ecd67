"""What page 05 trains for every seed; read without torch, as the workflow asks for it before every job."""

from pctlib.profiles.profile import Profile
from pctlib.workflow.pages import Training

TOKENIZERS, CLASSIFIERS = "tokenizers", "classifiers"  # the two kinds


def trainings(profile: Profile) -> list[Training]:
    """Return the tokenizers, then the classifiers, in the order of the profile."""
    section = profile.choices
    return [Training(name, group=TOKENIZERS) for name in section.tokenizers] + [
        Training(name, group=CLASSIFIERS) for name in section.classifiers
    ]
