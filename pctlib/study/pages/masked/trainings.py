"""What page 09 trains for every seed; read without torch, as the workflow asks for it before every job."""

from pctlib.profiles.profile import Profile
from pctlib.workflow.pages import Training

SCRATCH, PRETRAINED, LONGER = "from scratch", "pretrained", "from scratch, longer"
VARIANTS = (SCRATCH, PRETRAINED, LONGER)


def trainings(profile: Profile) -> list[Training]:
    """Return the variants in the order of the tables."""
    return [Training(name) for name in VARIANTS]
