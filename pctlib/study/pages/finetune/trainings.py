"""What page 17 trains for every seed; read without torch, as the workflow asks for it before every job."""

from pctlib.profiles.profile import Profile
from pctlib.workflow.pages import Training

BEFORE, HEAD, WHOLE, SCRATCH = "before training", "head alone", "whole network", "from scratch"


def trainings(profile: Profile) -> list[Training]:
    """Return the variants in the order of the tables."""
    return [Training(name) for name in profile.finetune.variants]
