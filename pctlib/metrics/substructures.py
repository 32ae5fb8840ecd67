"""Whether pose tokens form sub-structures: which joints each token moves, and whether these belong together.

`influence` is [M, K] everywhere: how far joint k moves on average when token m alone is replaced.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.sparse.csgraph import connected_components

from pctlib.skeletons import Skeleton

PARTS = (
    *("head", "face", "trunk", "left arm", "right arm"),
    *("left hand", "right hand", "left leg", "right leg"),
)
_ARM, _LEG = ("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle", "heel", "big_toe", "small_toe")
_TRUNK = ("pelvis", "spine", "thorax")


def body_parts(skeleton: Skeleton) -> dict[str, tuple[int, ...]]:
    """Return the joints of each body part that a skeleton has, in the order of `PARTS`; each joint is in one.

    Shoulders belong to the arms and hips to the legs; the neck belongs to the head.
    """
    owners = [_part_of(name) for name in skeleton.keypoint_names]
    found = {part: tuple(k for k, owner in enumerate(owners) if owner == part) for part in PARTS}
    return {part: joints for part, joints in found.items() if joints}


def _part_of(name: str) -> str:
    side, _, place = name.partition("_")
    if side == "face":
        return "face"
    if side not in ("left", "right"):
        return "trunk" if name in _TRUNK else "head"
    if place in ("eye", "ear"):
        return "head"
    return f"{side} arm" if place in _ARM else f"{side} leg" if place in _LEG else f"{side} hand"


def effective_joints(influence: np.ndarray) -> np.ndarray:
    """Return [M] how many joints a token moves: exp of the entropy of its movement over the joints.

    1 if it moves one joint alone, n if it moves n joints equally, at most K; NaN if it moves none.
    """
    share = _shares(influence)
    logarithms = np.log(share, out=np.zeros_like(share), where=share > 0)
    return np.exp(-(share * logarithms).sum(axis=1))


def part_shares(influence: np.ndarray, parts: Mapping[str, Sequence[int]]) -> np.ndarray:
    """Return [M, P] how a token's movement is divided among the body parts; rows sum to 1.

    Each joint's movement is first divided by its mean over the tokens, because some joints move more than
    others whichever token changes. A part counts by the mean of its joints, not by their number. Tokens that
    are all alike get 1 / P everywhere, a token that moves one part alone gets 1 there; NaN if it moves
    nothing.

    Args:
        influence: [M, K].
        parts: P names -> joints.
    """
    return _divide(_relative(influence) @ _part_means(parts, influence.shape[1]))


@dataclass(frozen=True)
class Locality:
    """Whether what each token moves lies in one body part.

    Attributes:
        part: [M] names of the parts with the largest shares, "none" if the token moves nothing.
        share: [M] these shares; see `part_shares`.
        low: [M] 2.5 % quantile of the share if the token's joints are exchanged at random.
        chance: [M] its mean.
        high: [M] 97.5 % quantile.
        p_value: [M] how often a random exchange reaches the share.
        mean_share: mean over the tokens that move something.
        mean_chance: the same if the joints are exchanged at random, for all tokens alike.
        mean_p_value: how often the mean share of such an exchange reaches `mean_share`.
    """

    part: list[str]
    share: np.ndarray
    low: np.ndarray
    chance: np.ndarray
    high: np.ndarray
    p_value: np.ndarray
    mean_share: float
    mean_chance: float
    mean_p_value: float


def locality(
    influence: np.ndarray,
    parts: Mapping[str, Sequence[int]],
    *,
    generator: np.random.Generator,
    permutations: int = 1000,
) -> Locality:
    """Compare the share of the strongest part with a control that knows no neighbourhood.

    The control keeps how unevenly each token moves the joints, but exchanges which joints these are, at
    random. That of a token is of this token alone. That of the mean exchanges the joints of all tokens
    alike, because tokens of one decoder resemble each other: taken one by one, their chance deviations would
    cancel in the mean of the control, but not in that of the tokens.

    Args:
        influence: [M, K].
        parts: P names -> joints.
        generator: of the exchanges.
        permutations: how many.

    Raises:
        ValueError: if the parts do not hold each of the K joints once.
    """
    K = influence.shape[1]
    means, relative, shares = _part_means(parts, K), _relative(influence), part_shares(influence, parts)
    drawn = np.broadcast_to(relative, (permutations, *relative.shape))
    control = _divide(generator.permuted(drawn, axis=2) @ means).max(axis=2)  # [permutations, M]
    orders = generator.permuted(np.tile(np.arange(K), (permutations, 1)), axis=1)
    alike = _divide(relative[:, orders].swapaxes(0, 1) @ means).max(axis=2)  # [permutations, M]
    share = shares.max(axis=1)
    moves = ~np.isnan(share)
    names = list(parts)
    top = np.where(moves, np.nan_to_num(shares).argmax(axis=1), -1)
    return Locality(
        part=[names[index] if index >= 0 else "none" for index in top],
        share=share,
        low=np.quantile(control, 0.025, axis=0),
        chance=control.mean(axis=0),
        high=np.quantile(control, 0.975, axis=0),
        p_value=np.where(moves, _p_value(control, share), np.nan),
        mean_share=float(share[moves].mean()) if moves.any() else float("nan"),
        mean_chance=float(alike[:, moves].mean()) if moves.any() else float("nan"),
        mean_p_value=float(_p_value(alike[:, moves].mean(axis=1), share[moves].mean()))
        if moves.any()
        else float("nan"),
    )


def co_movement(influence: np.ndarray) -> np.ndarray:
    """Return [K, K] how far two joints are moved by the same tokens: correlation over tokens, -1 to 1.

    What is correlated is each token's movement divided by its sum over the joints. NaN where a joint gets
    the same share from every token, or there are fewer than three tokens.
    """
    share = _shares(influence)
    share = share[~np.isnan(share).any(axis=1)]
    K = influence.shape[1]
    if len(share) < 3:
        return np.full((K, K), np.nan)
    centred = share - share.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    centred = np.divide(centred, length, out=np.full_like(centred, np.nan), where=length > 1e-12)
    return np.clip(centred.T @ centred, -1, 1)


def co_movement_by_kind(matrix: np.ndarray, skeleton: Skeleton) -> pd.DataFrame:
    """Return the mean co-movement of pairs of joints by what joins them on the body.

    Args:
        matrix: [K, K] from `co_movement`.
        skeleton: its keypoint set.

    Returns:
        Columns pairs, number, co-movement; a row each for pairs that a bone joins, left and right of a pair,
        and all others. Kinds without a pair are left out.
    """
    first, second = np.triu_indices(skeleton.num_keypoints, 1)
    bones = {tuple(sorted(limb)) for limb in skeleton.limbs}
    mirrored = {tuple(sorted(pair)) for pair in skeleton.flip_pairs}
    joined = np.array([pair in bones for pair in zip(first.tolist(), second.tolist(), strict=True)])
    paired = np.array([pair in mirrored for pair in zip(first.tolist(), second.tolist(), strict=True)])
    kinds = {
        "joined by a bone": joined,
        "left and right, not joined": paired & ~joined,
        "all others": ~paired & ~joined,
    }
    values = matrix[first, second]
    rows = [(kind, int(chosen.sum()), _nanmean(values[chosen])) for kind, chosen in kinds.items()]
    return pd.DataFrame([row for row in rows if row[1]], columns=["pairs", "number", "co-movement"])


def similar_order(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return an order [M] that puts similar rows side by side, and the tree [M - 1, 4] behind it.

    Average linkage of Euclidean distances between the rows, each divided by its sum; rows of zeros stay so.

    Source: Bar-Joseph et al. 2001, "Fast optimal leaf ordering for hierarchical clustering", in scipy.

    Args:
        rows: [M, K] not negative.
    """
    if len(rows) < 2:
        return np.arange(len(rows)), np.zeros((0, 4))
    tree = linkage(np.nan_to_num(_shares(rows)), method="average", optimal_ordering=True)
    return leaves_list(tree), tree


def entry_overlap(usage: np.ndarray) -> np.ndarray:
    """Return [M, M] what share of their use two tokens have in common: the sum of the smaller shares.

    1 if both use the same entries equally often, 0 if they have no entry in common.

    Args:
        usage: [M, V] how often each token uses each entry.
    """
    share = np.nan_to_num(_shares(usage))
    return np.stack([np.minimum(row, share).sum(axis=1) for row in share])


def entry_groups(usage: np.ndarray, *, least: float = 0.05) -> np.ndarray:
    """Return [M] the number of the group each token is in; tokens of different groups share no entries.

    Args:
        usage: [M, V] how often each token uses each entry.
        least: overlap of two tokens that joins their groups; less counts as none.
    """
    return connected_components(entry_overlap(usage) >= least, directed=False)[1]


def perplexities(usage: np.ndarray) -> np.ndarray:
    """Return [M] how many equally used entries would say as much as those of each token; usage [M, V]."""
    return effective_joints(usage)


def _shares(rows: np.ndarray) -> np.ndarray:
    """Divide rows [M, K] by their sums; NaN where a row is zero."""
    return _divide(np.asarray(rows, dtype=float))


def _divide(values: np.ndarray) -> np.ndarray:
    total = values.sum(axis=-1, keepdims=True)
    return np.divide(values, total, out=np.full_like(values, np.nan), where=total > 0)


def _relative(influence: np.ndarray) -> np.ndarray:
    """Divide the movement of each joint by its mean over the tokens; 0 where no token moves it."""
    influence = np.asarray(influence, dtype=float)
    mean = np.broadcast_to(influence.mean(axis=0), influence.shape)
    return np.divide(influence, mean, out=np.zeros_like(influence), where=mean > 0)


def _part_means(parts: Mapping[str, Sequence[int]], num_keypoints: int) -> np.ndarray:
    """Return [K, P]: a row of movements times it gives the mean of each part."""
    if sorted(k for joints in parts.values() for k in joints) != list(range(num_keypoints)):
        raise ValueError(f"parts: expected each of {num_keypoints} joints once, got {dict(parts)}")
    matrix = np.zeros((num_keypoints, len(parts)))
    for column, joints in enumerate(parts.values()):
        matrix[list(joints), column] = 1 / len(joints)
    return matrix


def _p_value(control: np.ndarray, observed: np.ndarray | float) -> np.ndarray:
    """Return how often the control [permutations, ...] reaches what was observed, itself counted in."""
    reached = (control >= np.asarray(observed) - 1e-12).sum(axis=0)
    return (1 + reached) / (1 + len(control))


def _nanmean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
