"""What page 15 trains for every seed; read without torch, as the workflow asks for it before every job."""

from pctlib.profiles.profile import Profile
from pctlib.workflow.pages import Training

GLOBAL, TOKENS, AXIS_ANGLE = "global feature", "tokens only", "tokens only, root as axis-angle"
WITHOUT_DECODER, WITHOUT_FACE = "OSX without decoder", "OSX without face decoder"
FULL, CROPS = "OSX", "separate crops"


def trainings(profile: Profile) -> list[Training]:
    """Return the variants in the order of the tables."""
    return [Training(name) for name in profile.mesh.variants]
