"""What page 12 trains for every seed; read without torch, as the workflow asks for it before every job."""

from pctlib.profiles.profile import Profile
from pctlib.workflow.pages import Training

BASE = "base"
PARTS = ("attention", "FFN")  # that one variant each freezes


def size_name(size: tuple[int, int]) -> str:
    """Return the name of the variant with another input size, (height, width)."""
    return f"{size[0]} x {size[1]} px"


def windows_name(helped: str) -> str:
    """Return the name of a variant with attention in windows, by what helps them."""
    return "windows" if helped == "alone" else f"windows + {helped}"


def decoder_name(of_base: str) -> str:
    """Return the name of the variant with the other decoder."""
    return f"{'simple' if of_base == 'classic' else 'classic'} decoder"


def frozen_name(part: str) -> str:
    """Return the name of the variant that freezes a part."""
    return f"{part} frozen"


def trainings(profile: Profile) -> list[Training]:
    """Return the variants in the order of the tables, the base first."""
    section = profile.flexibility
    names = [BASE, *map(size_name, section.input_sizes), *map(windows_name, section.windowed)]
    names += [decoder_name(profile.masked.vitpose.decoder), *map(frozen_name, PARTS)]
    return [Training(name) for name in names]
