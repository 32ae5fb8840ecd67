"""What the decoders of published ViTPose models give, which is not in their checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pctlib.models.representations.heatmap_coding import CodingKind
from pctlib.skeletons import SKELETONS, Skeleton


@dataclass(frozen=True)
class KeypointSet:
    """What a published decoder gives, which is not in its checkpoint.

    Attributes:
        name: of the data set.
        flip_permutation: K indices: where each keypoint is found in a mirrored image.
        coding: of its heatmaps.
    """

    name: str
    flip_permutation: tuple[int, ...]
    coding: CodingKind

    @property
    def num_keypoints(self) -> int:
        """K."""
        return len(self.flip_permutation)


def _of_skeleton(name: str, coding: CodingKind) -> KeypointSet:
    return KeypointSet(name, SKELETONS[name].flip_permutation, coding)


_AIC = (3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8, 12, 13)
_ANIMALS = (1, 0, 2, 3, 4, 8, 9, 10, 5, 6, 7, 14, 15, 16, 11, 12, 13)
PLUS_SETS = (  # in the order of dataset_index of ViTPose+; the multi-task models hold the first three
    _of_skeleton("coco", "udp"),
    KeypointSet("aic", _AIC, "standard"),
    _of_skeleton("mpii", "udp"),
    KeypointSet("ap10k", _ANIMALS, "standard"),
    KeypointSet("apt36k", _ANIMALS, "standard"),
    _of_skeleton("coco_wholebody", "standard"),
)
KEYPOINT_SETS = {entry.name: entry for entry in (*PLUS_SETS, _of_skeleton("crowdpose", "standard"))}
BY_COUNT = {17: "coco", 16: "mpii", 133: "coco_wholebody"}
"""The set that one decoder's number of keypoints is taken for; 14 may be "aic" or "crowdpose"."""


def keypoint_set_of(skeleton: Skeleton, *, unbiased: bool = False) -> KeypointSet:
    """Return the published set of a skeleton, else its own with plain heatmaps.

    Args:
        skeleton: keypoints of a decoder.
        unbiased: whether heatmaps are UDP's whatever the set, as in all configurations of mmpose 1.x.
    """
    known = KEYPOINT_SETS.get(skeleton.name)
    if known is None or known.num_keypoints != skeleton.num_keypoints:
        known = KeypointSet(skeleton.name, skeleton.flip_permutation, "standard")
    return replace(known, flip_permutation=skeleton.flip_permutation, coding="udp") if unbiased else known


def keypoint_sets_of(
    counts: Sequence[int], given: Sequence[str | KeypointSet] | None, file: str | Path
) -> list[KeypointSet]:
    """Return the keypoint set of each decoder.

    Args:
        counts: K of each.
        given: as `load_vitpose` takes it.
        file: named in errors.

    Raises:
        ValueError: if a set is unknown, or its keypoints are not K.
    """
    if given is None and len(counts) == 1:
        given = [BY_COUNT[K] for K in counts if K in BY_COUNT]
    elif given is None:
        given = PLUS_SETS[: len(counts)]
    unknown = [entry for entry in given if isinstance(entry, str) and entry not in KEYPOINT_SETS]
    if unknown or len(given) != len(counts):
        raise ValueError(
            f"{file}: keypoint_sets: for decoders of {list(counts)} keypoints expected one each, of "
            f"{list(KEYPOINT_SETS)} or your own KeypointSet, got {list(given)}"
        )
    sets = [KEYPOINT_SETS[entry] if isinstance(entry, str) else entry for entry in given]
    for number, (own, K) in enumerate(zip(sets, counts, strict=True)):
        if own.num_keypoints != K:
            raise ValueError(
                f"{file}: decoder {number} gives {K} keypoints, "
                f"keypoint set '{own.name}' has {own.num_keypoints}"
            )
    return sets
