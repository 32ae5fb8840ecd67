"""What page 10 trains for every seed; read without torch, as the workflow asks for it before every job."""

from pctlib.profiles.profile import Profile
from pctlib.workflow.pages import Training

ALONE, JOINT, EXPERTS = "each alone", "joint", "joint, experts"
VARIANTS = (ALONE, JOINT, EXPERTS)


def trainings(profile: Profile) -> list[Training]:
    """Return the variants in the order of the tables."""
    return [Training(name) for name in VARIANTS]
