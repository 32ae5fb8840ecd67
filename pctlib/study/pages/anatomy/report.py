"""Token anatomy in numbers and words: a row a token, a summary, and whether tokens are sub-structures."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pctlib.metrics.substructures import (
    Locality,
    co_movement,
    co_movement_by_kind,
    effective_joints,
    entry_groups,
    entry_overlap,
    perplexities,
)
from pctlib.study.pages.anatomy.measure import Anatomy

MOSTLY = 0.5  # a token belongs to a body part if at least this share of its movement is there


def anatomy_table(anatomy: Anatomy, found: Locality) -> pd.DataFrame:
    """Return one row a token: how far it moves what, and how many entries it uses."""
    most = np.argsort(-anatomy.influence, axis=1, kind="stable")[:, :3]  # [M, 3]
    names = [name.replace("_", " ") for name in anatomy.skeleton.keypoint_names]
    moving = anatomy.strength > 0
    return pd.DataFrame(
        {
            "token": np.arange(len(anatomy.influence)),
            f"movement ({anatomy.unit})": anatomy.strength,
            "joints moved": effective_joints(anatomy.influence),
            "moved most": [
                ", ".join(names[k] for k in row) if moves else "none"
                for row, moves in zip(most, moving, strict=True)
            ],
            "body part": found.part,
            "share there (%)": 100 * found.share,
            "by chance (%)": 100 * found.chance,
            "p": found.p_value,
            "entries used": (anatomy.usage > 0).sum(axis=1),
            "perplexity": perplexities(anatomy.usage),
        }
    )


def summarise_anatomy(anatomy: Anatomy, found: Locality) -> dict[str, float]:
    """Return the numbers of the finding, as shares and counts."""
    M = len(anatomy.influence)
    overlap = entry_overlap(anatomy.usage)[~np.eye(M, dtype=bool)]
    users = (anatomy.usage > 0).sum(axis=0)  # [V] tokens that use an entry
    groups = entry_groups(anatomy.usage)
    pairs = co_movement_by_kind(co_movement(anatomy.influence), anatomy.skeleton).set_index("pairs")
    together = pairs["co-movement"].to_dict()
    return {
        "tokens": M,
        "joints": anatomy.influence.shape[1],
        "parts": len(anatomy.parts),
        "joints moved": _nanmean(effective_joints(anatomy.influence)),
        "share in strongest part": found.mean_share,
        "share by chance": found.mean_chance,
        "p": found.mean_p_value,
        "tokens mostly in one part": int((np.nan_to_num(found.share) >= MOSTLY).sum()),
        "tokens beyond chance": int((np.nan_to_num(found.p_value, nan=1.0) < 0.05).sum()),
        "co-movement of joined joints": together.get("joined by a bone", float("nan")),
        "co-movement of other joints": together.get("all others", float("nan")),
        "entries": anatomy.usage.shape[1],
        "entries used by a token": float((anatomy.usage > 0).sum(axis=1).mean()),
        "perplexity of a token": _nanmean(perplexities(anatomy.usage)),
        "tokens that use an entry": float(users[users > 0].mean()),
        "overlap of two tokens": _nanmean(overlap),
        "groups without common entries": len(set(groups.tolist())),
    }


def compare_anatomies(summaries: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Return one row a tokenizer of what tells sub-structures; the values are from `summarise_anatomy`."""
    columns = {
        "joints moved": ("joints moved", 1),
        "in one part (%)": ("share in strongest part", 100),
        "by chance (%)": ("share by chance", 100),
        "p": ("p", 1),
        "tokens p < 0.05": ("tokens beyond chance", 1),
        "joined joints": ("co-movement of joined joints", 1),
        "other joints": ("co-movement of other joints", 1),
    }
    rows = [
        {"tokenizer": name} | {title: factor * summary[key] for title, (key, factor) in columns.items()}
        for name, summary in summaries.items()
    ]
    return pd.DataFrame(rows)


def describe_untrained(summary: Mapping[str, float]) -> str:
    """Return in words what an untrained tokenizer does; `summary` is from `summarise_anatomy`."""
    local, chance = 100 * summary["share in strongest part"], 100 * summary["share by chance"]
    return (
        f"An untrained tokenizer of the same size moves {summary['joints moved']:.1f} joints, with "
        f"{local:.0f} % in one part against {chance:.0f} % by chance."
    )


def describe_usage(summary: Mapping[str, float]) -> str:
    """Return in words how tokens share the codebook; `summary` is from `summarise_anatomy`."""
    groups = summary["groups without common entries"]
    common = 100 * summary["overlap of two tokens"]
    together = (
        f"no group of tokens has entries of its own: two tokens have {common:.0f} % of their use in common"
    )
    apart = f"the tokens fall into {groups} groups that have practically no entry in common"
    return (
        f"A token uses {summary['entries used by a token']:.0f} of {summary['entries']} entries "
        f"(perplexity {summary['perplexity of a token']:.0f}), and an entry that is used at all serves "
        f"{summary['tokens that use an entry']:.1f} of {summary['tokens']} tokens; "
        f"{together if groups == 1 else apart}."
    )


def describe_anatomy(summary: Mapping[str, float]) -> str:
    """Return the finding in words; `summary` is from `summarise_anatomy`."""
    local, chance, p = (summary[key] for key in ("share in strongest part", "share by chance", "p"))
    if not np.isfinite(local):
        return "No token uses a second entry, so no joint moves and nothing can be said about sub-structures."
    reading = (
        "The joints that a token moves belong together no more than joints taken at random: "
        "these tokens are not the sub-structures that the paper describes."
    )
    if p < 0.05 and local >= MOSTLY:
        reading = "On the whole these tokens are sub-structures as the paper describes them."
    elif p < 0.05:
        reading = (
            "Tokens lean towards joints that belong together, but most of what a token moves lies elsewhere: "
            "the sub-structures that the paper describes are weak here."
        )
    return (
        f"Replacing one of {summary['tokens']} tokens moves {summary['joints moved']:.1f} of "
        f"{summary['joints']} joints (effective number), and {100 * local:.0f} % of its movement falls into "
        f"one of {summary['parts']} body parts, against {100 * chance:.0f} % if its joints were exchanged at "
        f"random (p = {p:.3f}); {summary['tokens mostly in one part']} tokens move mostly one part. {reading}"
    )


def _nanmean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
