"""Which tokens, entries and poses the pictures of token anatomy show: chosen by rule, never by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pctlib.models.tokenizer import PoseTokenizer
from pctlib.reporting.walks import Walk, WalkExplorer
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


def shown_poses(keypoints: np.ndarray) -> dict[str, int]:
    """Return which of the poses [N, K, D] a reader may play with: name -> row, each once.

    An ordinary pose, `clear_pose`, and unusual ones: those that are farther from the mean pose than nine and
    than all of ten others, by mean joint distance.
    """
    flat = keypoints[..., :2]
    order = np.linalg.norm(flat - flat.mean(axis=0), axis=-1).mean(axis=1).argsort()
    wanted = {
        "an ordinary pose": clear_pose(keypoints),
        "an unusual pose": int(order[int(0.9 * (len(order) - 1))]),
        "the most unusual pose": int(order[-1]),
    }
    return {name: row for n, (name, row) in enumerate(wanted.items()) if row not in [*wanted.values()][:n]}


@torch.inference_mode()
def entry_walks(
    model: PoseTokenizer, anatomy: Anatomy, *, notes: Sequence[str], unit: str, entries: int = 24
) -> WalkExplorer:
    """Return a few poses whose tokens a reader exchanges in the page.

    Args:
        model: decodes codes and has the codebook.
        anatomy: of this model.
        notes: M short texts, such as what a token moves most.
        unit: of the decoded poses.
        entries: how many of a token's most used entries, other than the pose's own, are offered.
    """
    poses = {}
    for name, row in shown_poses(anatomy.keypoints).items():
        poses[name] = [
            _entry_walk(model, anatomy, row, token, f"{token}: {note}", entries=entries)
            for token, note in enumerate(notes)
        ]
    label = "A pose in grey and, in colour, the same pose with one token replaced"
    return WalkExplorer(label, poses, anatomy.skeleton, unit)


def _entry_walk(
    model: PoseTokenizer, anatomy: Anatomy, pose: int, token: int, name: str, *, entries: int
) -> Walk:
    own = int(anatomy.indices[pose, token])
    chosen, share = _most_used(anatomy, pose, token, entries)
    moved = _decoded(model, anatomy.indices[pose], token, [own, *chosen])[..., :2]
    return Walk(
        name, [f"{own}, the pose's own", *(f"{e}, {100 * share[e]:.1f} % of people" for e in chosen)], moved
    )


def _most_used(anatomy: Anatomy, pose: int, token: int, entries: int) -> tuple[list[int], np.ndarray]:
    """Return a token's most used entries, other than the pose's own, and the share [V] of each entry."""
    counts = anatomy.usage[token].copy()
    share = counts / max(1, counts.sum())
    counts[anatomy.indices[pose, token]] = 0
    return [int(entry) for entry in np.argsort(-counts, kind="stable")[:entries] if counts[entry]], share


def _decoded(model: PoseTokenizer, own: Tensor, token: int, chosen: Sequence[int]) -> np.ndarray:
    """Return the pose of the tokens `own` [M] with each chosen entry in one of them: [entries, K, D]."""
    changed = own.repeat(len(chosen), 1)
    changed[:, token] = torch.tensor(chosen, dtype=torch.int64)
    return model.decode(model.codebook.look_up(changed)).cpu().numpy()


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
    rows = []
    for token, why in tokens:
        chosen, share = _most_used(anatomy, pose, token, entries)
        moved = _decoded(model, anatomy.indices[pose], token, chosen)
        titles = [f"entry {entry}, {100 * share[entry]:.1f} %" for entry in chosen[:shown]]
        rows.append((f"token {token}\n{why}", moved[..., :2], titles))
    return {"pose": anatomy.keypoints[pose, :, :2], "rows": rows, "skeleton": anatomy.skeleton}
