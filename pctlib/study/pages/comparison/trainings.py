"""What page 07 trains for every seed; read without torch, as the workflow asks for it before every job."""

from pctlib.profiles.profile import Profile
from pctlib.workflow.pages import Training

FROZEN, WHOLE, RIVAL = "frozen", "whole", "rival"
VIT = "plain ViT"  # the backbone of ViTPose
PCT = "pct"


def compared(profile: Profile) -> dict[str, tuple[str, str, str]]:
    """Return kind, backbone and representation of what a profile compares, by name."""
    section = profile.comparison
    on_frozen = section.frozen.representations
    found = {f"{FROZEN}-{name}": (FROZEN, profile.heatmap.backbone, name) for name in on_frozen}
    if section.whole is not None:
        for backbone, name in section.whole.networks:
            found[f"{backbone}-{name}"] = (WHOLE, backbone, name)
        if section.whole.vitpose is not None:
            found["vitpose"] = (WHOLE, VIT, "heatmap_udp")
    for name in section.rivals.systems if section.rivals is not None else ():
        found[f"{RIVAL}-{name}"] = (RIVAL, name, "")
    return found


def trainings(profile: Profile) -> list[Training]:
    """Return the networks in the order of the tables.

    Those of tokens share a tokenizer, which the first of them trains where the comparison has people of its
    own.
    """
    networks = compared(profile)
    first = next((name for name, (_, _, answer) in networks.items() if answer == PCT), None)
    shared = {name for name, (_, _, answer) in networks.items() if answer == PCT and name != first}
    return [Training(name, after=(Training(first),) if name in shared else ()) for name in networks]
