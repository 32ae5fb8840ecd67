"""Reading a file of weights without running anything in it, however its tensors are wrapped."""

import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pctlib.checkpoints.metadata import IGNORED, Recorded, skeleton_of
from pctlib.contents import recognize
from pctlib.io import existing_file, read_tensors
from pctlib.skeletons import Skeleton

_log = logging.getLogger("pctlib")

# Where training programs keep the tensors: plain ones first, then those averaged over the training.
_PLAIN = ("state_dict", "model", "model_state_dict", "net", "network", "weights", "params", "module")
_AVERAGED = ("ema_state_dict", "state_dict_ema", "model_ema", "ema_model", "ema", "params_ema")
# What wrappers put into the names, at any place: DataParallel, torch.compile, FSDP, checkpointing, Lightning.
_WRAPPERS = frozenset(
    ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
)
_OUTER = ("model", "net", "network")  # what a training program's own class calls the network in it
_COUNTERS = ("steps", "n_averaged")  # of averaged weights, beside them


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors of a file, and what the file says beside them.

    Attributes:
        tensors: the official names, without what wrappers put before them.
        skeleton: the keypoint set that the file itself describes (`dataset_meta` of mmpose 1.x), or None.
        notes: what was chosen or taken away, in words, to be told to the user.
    """

    tensors: dict[str, Tensor]
    skeleton: Skeleton | None = None
    notes: tuple[str, ...] = ()


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Return the named tensors of a file, as `read_checkpoint` finds them; its notes are logged."""
    checkpoint = read_checkpoint(path)
    tell(path, checkpoint.notes)
    return checkpoint.tensors


def tell(path: str | Path, notes: tuple[str, ...]) -> None:
    """Log what was assumed on reading a file as warnings of "pctlib", which are printed unless caught."""
    for note in notes:
        _log.warning("%s: %s", path, note)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a .safetensors, .pth or .pt file without running anything in it.

    The tensors lie at the top or under a name that training programs use (`state_dict`, `model`, `net`, ...);
    averaged weights (`ema_state_dict`, ...) are taken where there are no others, and that is noted. Names are
    freed from what DataParallel, torch.compile, FSDP and Lightning put before them.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, of another format (named where it is a usual one), or holds anything but
            named tensors; names the file.
    """
    path = existing_file(path)
    if path.suffix == ".safetensors":
        return _unwrapped(Checkpoint(read_tensors(path)), path)
    content = _load(path)
    state, notes = _find(content)
    if not isinstance(state, Mapping) or not state:
        places = ", ".join(repr(name) for name in _PLAIN[:4])
        raise ValueError(f"{path}: expected named tensors, at the top or under {places} or the like")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(f"{path}: expected named tensors, got {name!r}: {type(value).__name__}")
    meta = content.get("meta") if isinstance(content, Mapping) else None
    described = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    skeleton = None if described is None else skeleton_of(described, path)
    return _unwrapped(Checkpoint(dict(state), skeleton, tuple(notes)), path)


def _load(path: Path) -> Any:
    """Return what torch.save has written, with recorded values in place of all that is no tensor."""
    kind = recognize(path)
    if kind is not None and "name it .pth" not in kind:
        raise ValueError(f"{path}: not a file of weights that can be read safely: it is {kind}")
    try:
        with torch.serialization.safe_globals([(Recorded, name) for name in IGNORED]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged bytes end in almost any exception of the unpickler
        # torch's own message advises to switch the safe reading off
        refused = re.search(r"GLOBAL ([\w.]+) ", str(error))
        why = f"it holds {refused[1]}, which is no weight" if refused else "of another format, or damaged"
        raise ValueError(f"{path}: not a file of weights that can be read safely: {why}") from error


def _find(content: Any) -> tuple[Any, list[str]]:
    """Return the tensors of a loaded file, and notes on where they were found."""
    if not isinstance(content, Mapping):
        return content, []
    for name in _PLAIN:
        inside = content.get(name)
        if isinstance(inside, Mapping):
            return _find(inside) if not _tensors(inside) else (inside, [])
    for name in _AVERAGED:
        inside = content.get(name)
        if isinstance(inside, Mapping):
            found, notes = _find(inside) if not _tensors(inside) else (inside, [])
            if isinstance(found, Mapping):
                found = {key: value for key, value in found.items() if key not in _COUNTERS}
            return found, [f"it holds averaged weights alone (under '{name}'); they are read", *notes]
    return content, []


def _tensors(values: Mapping) -> bool:
    return any(isinstance(value, Tensor) for value in values.values())


def _unwrapped(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """Return the checkpoint with names as they are without wrappers."""
    renamed = {name: _unwrapped_name(name) for name in checkpoint.tensors}
    while (prefix := _common_word(renamed.values())) is not None:
        renamed = {name: rest.removeprefix(prefix) for name, rest in renamed.items()}
    if len(set(renamed.values())) < len(renamed):
        twice = next(new for new in renamed.values() if list(renamed.values()).count(new) > 1)
        raise ValueError(f"{path}: two tensors are called '{twice}' once wrappers' names are taken away")
    return replace(checkpoint, tensors={renamed[name]: value for name, value in checkpoint.tensors.items()})


def _unwrapped_name(name: str) -> str:
    words = name.split(".")
    return ".".join(word for word in words[:-1] if word not in _WRAPPERS) + "." * (len(words) > 1) + words[-1]


def _common_word(names: Collection[str]) -> str | None:
    """Return the first word of all names with its dot, if it is what a program calls its network."""
    return next((f"{word}." for word in _OUTER if all(n.startswith(f"{word}.") for n in names)), None)
