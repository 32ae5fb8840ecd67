"""Reading official weights: one call tells from the names in a file what it is and gives the model."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from pctlib.checkpoints import keypoint_sets, pct, rtmpose
from pctlib.checkpoints.files import WithoutInitialisation, part
from pctlib.checkpoints.mae import is_mae, load_mae
from pctlib.checkpoints.osx import is_osx, load_osx
from pctlib.checkpoints.pct import is_pct, load_pct
from pctlib.checkpoints.reading import read_checkpoint, tell
from pctlib.checkpoints.rtmpose import is_rtmpose, load_rtmpose
from pctlib.checkpoints.rtmw import is_rtmw, load_rtmw
from pctlib.checkpoints.strangers import unreadable
from pctlib.checkpoints.vitpose import is_vitpose, load_vitpose
from pctlib.checkpoints.vitpose_hf import load_vitpose_hf
from pctlib.models.estimator import PoseEstimator
from pctlib.skeletons import SKELETONS, Skeleton

# A family is a file with `is_<family>(state)` and `load_<family>(state, file, **options)`: a line here, with
# the keypoint set that its number of keypoints is taken for where the file does not say
_FAMILIES: tuple[tuple[Callable, Callable, dict[int, str]], ...] = (
    (is_pct, load_pct, pct.BY_COUNT),
    (is_rtmw, load_rtmw, rtmpose.BY_COUNT),
    (is_rtmpose, load_rtmpose, rtmpose.BY_COUNT),
    (is_vitpose, load_vitpose, keypoint_sets.BY_COUNT),
    (is_mae, load_mae, {}),
    (is_osx, load_osx, {}),
)
_PREFIX_WORDS = 3  # what else may stand before the names of a model: so many words at most


class Official(NamedTuple):
    """A published model, and the keypoints that it gives.

    Attributes:
        model: in eval mode, on the CPU; see `load_official`.
        skeleton: of an estimator of one keypoint set: the one given, else that the file describes, else the
            benchmark's that its family is published for with so many keypoints. None where nothing says.
    """

    model: nn.Module
    skeleton: Skeleton | None


def load_official(path: str | Path, **options: Any) -> nn.Module:
    """Load a published checkpoint.

    Args:
        path: the file as published (.pth or .safetensors), or a folder of Hugging Face.
        **options: of the family's own loader: `load_pct`, `load_rtmpose`, `load_rtmw`, `load_vitpose`,
            `load_mae`, `load_osx` or, for a folder, `load_vitpose_hf`. All but `load_mae` and `load_osx` take
            `skeleton`.

    Returns:
        The model in eval mode, on the CPU. PCT: `PoseEstimator`, `PoseTokenizer` or `GuidedTokenizer`.
        RTMPose, DWPose and RTMW: `PoseEstimator`. ViTPose: `PoseEstimator`, or `MultiDatasetEstimator` for
        several data sets. A vision transformer pre-trained as masked autoencoder: `ViT`.
        OSX: `OSX`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, of no known family, or does not fit its family strictly; names the
            file and the entries.
    """
    return read_official(path, **options).model


def read_official(path: str | Path, *, skeleton: Skeleton | None = None, **options: Any) -> Official:
    """Load a published checkpoint with the keypoint set that it gives; what is assumed is logged.

    Args:
        path: as for `load_official`.
        skeleton: keypoints of the model; None: what the file says, else what its family is published for.
        **options: as for `load_official`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: as `load_official`; also if the skeleton has another number of keypoints.
    """
    if Path(path).is_dir():
        with WithoutInitialisation():
            model = load_vitpose_hf(path, **_given(skeleton), **options)
        return Official(model, skeleton or _by_count(model, keypoint_sets.BY_COUNT))
    checkpoint = read_checkpoint(path)
    load, counts, state, notes = _family(checkpoint.tensors, path)
    tell(path, checkpoint.notes + notes)
    described = skeleton or checkpoint.skeleton
    with WithoutInitialisation():
        model = load(state, path, **(_given(described) if counts else {}), **options)
    if described is None and isinstance(model, PoseEstimator):
        described = _by_count(model, counts)
        if described is not None and not options.get("flip_permutation") and not options.get("keypoint_sets"):
            K = described.num_keypoints
            tell(
                path, (f"the file does not say which keypoints it gives; {K} are taken for {described.name}",)
            )
    return Official(model, described)


def _given(skeleton: Skeleton | None) -> dict[str, Skeleton]:
    return {} if skeleton is None else {"skeleton": skeleton}


def _family(state: Mapping[str, Tensor], path: str | Path) -> tuple[Callable, dict, dict, tuple[str, ...]]:
    """Return the loader of a file's family, the keypoint sets by count, its tensors, and notes."""
    fitting = [
        (prefix, load, counts)
        for prefix in _prefixes(state)
        for is_family, load, counts in _FAMILIES
        if (not prefix or counts) and is_family(part(state, prefix))
    ]
    prefixes = list(dict.fromkeys(prefix for prefix, _, _ in fitting))
    if len(prefixes) > 1 and prefixes[0]:
        places = ", ".join(f"'{prefix}'" for prefix in prefixes)
        raise ValueError(f"{path}: holds several models, under {places}; save the one that is wanted alone")
    for prefix, load, counts in fitting[:1]:
        own = part(state, prefix)
        note = f"what is under '{prefix}' is read; {len(state) - len(own)} other tensors are passed over"
        return load, counts, own, (note,) if prefix else ()
    raise unreadable(state, path)


def _prefixes(state: Mapping[str, Tensor]) -> list[str]:
    """Return what the names of a model may have in front, the shortest first."""
    words = [name.split(".") for name in state]
    found = {
        ".".join([*parts[:n], ""])
        for parts in words
        for n in range(1, min(_PREFIX_WORDS, len(parts) - 1) + 1)
    }
    return ["", *sorted(found, key=lambda prefix: (prefix.count("."), prefix))]


def _by_count(model: nn.Module, counts: Mapping[int, str]) -> Skeleton | None:
    """Return the keypoint set that an estimator's number of keypoints is published for."""
    if not isinstance(model, PoseEstimator):
        return None
    flips = getattr(model.representation, "flip_index", None)
    return None if flips is None else SKELETONS.get(counts.get(len(flips), ""))
