"""What page 11 trains for every seed; read without torch, as the workflow asks for it before every job."""

from pctlib.profiles.profile import Profile
from pctlib.workflow.pages import Training

TEACHER, TAUGHT = "teacher", "teacher with token"
NONE, OUTPUT, TOKEN, BOTH, RANDOM = "none", "output", "token", "both", "random token"
STUDENTS = (NONE, OUTPUT, TOKEN, BOTH, RANDOM)
VARIANTS = (TEACHER, TAUGHT, *STUDENTS)
_AFTER = {TAUGHT: (TEACHER,), OUTPUT: (TEACHER,), **dict.fromkeys((TOKEN, BOTH, RANDOM), (TEACHER, TAUGHT))}


def trainings(profile: Profile) -> list[Training]:
    """Return the variants in the order of the tables."""
    return [Training(name, after=tuple(map(Training, _AFTER.get(name, ())))) for name in VARIANTS]
