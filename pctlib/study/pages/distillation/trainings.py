"""What page 08 trains for every seed; read without torch, as the workflow asks for it before every job."""

from pctlib.profiles.profile import Profile
from pctlib.workflow.pages import Training

TEACHER, NEITHER, FIRST, SECOND, BOTH = "teacher", "neither", "first stage", "second stage", "both stages"
STEADY = "first stage, no decay"
VARIANTS = (TEACHER, NEITHER, FIRST, SECOND, BOTH, STEADY)
TAUGHT_BY = {FIRST: TEACHER, SECOND: NEITHER, BOTH: FIRST, STEADY: TEACHER}
"""Whose frozen model each learns from: in stage two the student's own."""


def trainings(profile: Profile) -> list[Training]:
    """Return the variants in the order of the tables."""
    return [Training(name, after=tuple(map(Training, _first(name)))) for name in VARIANTS]


def _first(name: str) -> tuple[str, ...]:
    return (TAUGHT_BY[name],) if name in TAUGHT_BY else ()
