"""What each tokenizer of the page changes in the profile's: one thing each."""

import math
from collections.abc import Callable
from typing import Any

from pctlib.complexity import count_parameters
from pctlib.models.layers import MixerSize, mixer_stack
from pctlib.profiles.sections import TokenizerProfile
from pctlib.study.variants import check_variant

BASE = "as in the profile"
MLP, ONE, AS_MANY_BITS = "MLP encoder", "one token", "three tokens, as many bits"
SCALARS, TWO_LEVELS = "finite scalars", "codes of two levels"
_NARROWER = 8  # how many times the vectors of the MLP encoder are narrower than the mixer's


def _one_with_more_entries(sizes: TokenizerProfile, num_keypoints: int) -> dict[str, Any]:
    return {"num_tokens": 1, "codebook_size": 8 * sizes.codebook_size}


def _three_for_one(sizes: TokenizerProfile, num_keypoints: int) -> dict[str, Any]:
    """Three tokens of a codebook so small that they write as many poses as one of the profile's."""
    return {"num_tokens": 3, "codebook_size": max(2, round(sizes.codebook_size ** (1 / 3)))}


def _plain_encoder(sizes: TokenizerProfile, num_keypoints: int) -> dict[str, Any]:
    """A plain MLP of as many weights as the mixer; to afford them it works on narrower vectors."""
    mixer = MixerSize(
        dim=sizes.encoder_dim,
        num_layers=sizes.encoder_layers,
        token_hidden=sizes.encoder_token_mlp_dim,
        channel_hidden=sizes.encoder_channel_mlp_dim,
    )
    dim = max(1, sizes.encoder_dim // _NARROWER)
    # Of hidden width h it has a h^2 + b h + flat weights.
    flat, a = num_keypoints * dim, sizes.encoder_layers - 1
    b, rest = 2 * flat + 1 + a, count_parameters(mixer_stack(num_keypoints, mixer)) - flat
    width = (math.sqrt(b * b + 4 * a * rest) - b) / (2 * a) if a else rest / b
    return {"encoder_kind": "mlp", "encoder_dim": dim, "encoder_channel_mlp_dim": max(1, round(width))}


TOKENIZERS: dict[str, dict[str, Any] | Callable[[TokenizerProfile, int], dict[str, Any]]] = {
    BASE: {},
    "no joint hidden": {"drop_rate": 0.0},
    "half the joints hidden": {"drop_rate": 0.5},
    "codebook by gradient": {"codebook_learning": "gradient"},
    "no revival": {"revive_after": 0},
    "random start": {"data_initialisation": False},
    "random start, no revival": {"data_initialisation": False, "revive_after": 0},
    ONE: {"num_tokens": 1},
    "one token, eightfold V": _one_with_more_entries,
    AS_MANY_BITS: _three_for_one,
    MLP: _plain_encoder,
    SCALARS: {"codebook_learning": "scalar", "commitment_weight": 0.0},  # nothing is pulled to a fixed grid
    TWO_LEVELS: {"codebook_learning": "residual"},
    "image guidance": {"guide_ratio": 0.5},
    "no image guidance": {"guide_ratio": 0.0},
}
"""What each tokenizer changes in the section "tokenizer" of the profile; see `changes_of`."""


def changes_of(variant: str, sizes: TokenizerProfile, *, num_keypoints: int) -> dict[str, Any]:
    """Return the settings that a tokenizer changes, with their new values.

    Args:
        variant: a key of `TOKENIZERS`.
        sizes: the settings of the profile.
        num_keypoints: K.

    Raises:
        ValueError: if there is no such variant.
    """
    check_variant(variant, list(TOKENIZERS))
    changes = TOKENIZERS[variant]
    return changes(sizes, num_keypoints) if callable(changes) else changes
