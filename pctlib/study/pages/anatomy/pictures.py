"""Which tokens, entries and poses the pictures of token anatomy show: chosen by rule, never by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pctlib.models.tokenizer import PoseTokenizer
from pctlib.study.pages.anatomy.measure import Anatomy


def exemplary_tokens(anatomy: Anatomy) -> list[tuple[int, str]]:
    """Return the tokens of the largest, median and least movement: (token, why); fewer if there are fewer."""
    order = np.argsort(-anatomy.strength, kind="stable")
    places = {"largest": 0, "median": len(order) // 2, "least": len(order) - 1}
    chosen = {int(order[place]): f"{why} movement" for why, place in reversed(places.items())}
    return [(token, why) for token, why in reversed(chosen.items())]


def clear_pose(keypoints: np.ndarray) -> int:
    """Return which of the poses [N, K, D] to draw: an ordinary one whose joints can be told apart.

    Of the half that is nearest to the mean pose, by mean joint distance, the one whose joints are on average
    farthest from their nearest neighbours, as a share of the pose's extent.
    """
    flat = keypoints[..., :2]
    ordinary = np.linalg.norm(flat - flat.mean(axis=0), axis=-1).mean(axis=1).argsort()
    half = ordinary[: (len(flat) + 1) // 2]
    distances = np.linalg.norm(flat[half, :, None] - flat[half, None], axis=-1)  # [n, K, K]
    extent = distances.max(axis=(1, 2))
    K = flat.shape[1]
    distances[:, range(K), range(K)] = np.inf
    nearest = distances.min(axis=2).mean(axis=1)
    return int(half[np.argmax(nearest / np.maximum(extent, 1e-9))])


@torch.inference_mode()
def token_walks(
    model: PoseTokenizer,
    anatomy: Anatomy,
    tokens: Sequence[tuple[int, str]],
    *,
    pose: int,
    entries: int = 30,
    shown: int = 4,
) -> dict[str, Any]:
    """Return the arguments of `visualization.anatomy.walk_gallery`: a pose while one token changes.

    Args:
        model: decodes codes and has the codebook.
        anatomy: of this model.
        tokens: (token, why it is shown), one row of the gallery each.
        pose: row of `anatomy.indices`.
        entries: how many of the token's most used entries, other than the pose's own, are walked through.
        shown: how many of these, the most used, get a picture of their own.
    """
    own = anatomy.indices[pose]  # [M]
    rows = []
    for token, why in tokens:
        counts = anatomy.usage[token].copy()
        share = counts / max(1, counts.sum())
        counts[own[token]] = 0
        chosen = [int(entry) for entry in np.argsort(-counts, kind="stable")[:entries] if counts[entry]]
        changed = own.repeat(len(chosen), 1)
        changed[:, token] = torch.tensor(chosen, dtype=torch.int64)
        moved = model.decode(model.codebook.look_up(changed)).cpu().numpy()  # [entries, K, D]
        titles = [f"entry {entry}, {100 * share[entry]:.1f} %" for entry in chosen[:shown]]
        rows.append((f"token {token}\n{why}", moved[..., :2], titles))
    return {"pose": anatomy.keypoints[pose, :, :2], "rows": rows, "skeleton": anatomy.skeleton}
