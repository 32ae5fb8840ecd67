"""Training checkpoints: one safetensors file each, written atomically, the newest few kept."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor, nn

from pctlib.io import read_tensors, write_tensors

_KEPT = 2  # checkpoints; the newest might be damaged
_PATTERN = "step-*.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on as if it had never stopped.

    Attributes:
        step: optimiser steps already taken.
        tensors: `model/<name>`, `optimizer/<parameter>/<state>`, `average/<name>`.
        state: JSON values: settings, epoch sums, history.
    """

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors below one prefix, without it."""
        start = f"{prefix}/"
        return {name[len(start) :]: t for name, t in self.tensors.items() if name.startswith(start)}


class CheckpointFolder:
    """The checkpoints of one run.

    Args:
        folder: where they lie; made on the first save.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def files(self) -> list[Path]:
        """Return the checkpoint files, oldest first."""
        return sorted(self.folder.glob(_PATTERN))

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, then delete all but the newest."""
        path = self.folder / f"step-{checkpoint.step:09d}.safetensors"
        metadata = {"step": str(checkpoint.step), "state": json.dumps(checkpoint.state)}
        write_tensors(path, checkpoint.tensors, metadata)
        for old in self.files()[:-_KEPT]:
            old.unlink(missing_ok=True)
        return path

    def newest(self) -> Checkpoint | None:
        """Read the newest checkpoint, or return None if there is none.

        Raises:
            ValueError: if the file is damaged; names it and says what to do.
        """
        files = self.files()
        return read_checkpoint(files[-1]) if files else None

    def set_aside(self) -> None:
        """Move the checkpoints of other settings out of the way, replacing those set aside before."""
        if not self.files():
            return
        aside = self.folder.with_name(f"{self.folder.name}.replaced")
        aside.mkdir(parents=True, exist_ok=True)
        for old in aside.glob(_PATTERN):
            old.unlink()
        for path in self.files():
            path.replace(aside / path.name)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read one training checkpoint.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is truncated or not a training checkpoint; names the file.
    """
    try:
        tensors = read_tensors(path)
    except ValueError as error:
        raise ValueError(f"{error}; delete it to resume from the checkpoint before it") from error
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if "state" not in metadata:
        raise ValueError(f"{path}: holds tensors but is not a training checkpoint (no 'state' entry)")
    return Checkpoint(step=int(metadata["step"]), tensors=tensors, state=json.loads(metadata["state"]))


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state tensors of an optimiser as `<parameter number>/<name>`."""
    state = optimizer.state_dict()["state"]
    return {f"{number}/{name}": t for number, entry in state.items() for name, t in entry.items()}


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` returned; the groups keep their present settings."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split("/")
        parameter = parameters[int(number)]
        if tensor.shape == parameter.shape:  # in the parameter's memory layout, or each step is slower
            tensor = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def load_weights(module: nn.Module, tensors: dict[str, Tensor], source: str | Path) -> None:
    """Load weights strictly, with an error that names the file and each tensor that does not fit.

    Args:
        module: receives the weights.
        tensors: name -> tensor.
        source: file or run the tensors come from, for the message.

    Raises:
        ValueError: if names are missing or unexpected, or a shape differs.
    """
    expected = module.state_dict()
    problems = [f"missing '{name}'" for name in expected if name not in tensors]
    problems += [f"unexpected '{name}'" for name in tensors if name not in expected]
    problems += [
        f"'{name}' has shape {list(tensors[name].shape)}, expected {list(expected[name].shape)}"
        for name in expected
        if name in tensors and tensors[name].shape != expected[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(f"{source} does not fit {type(module).__name__}: {'; '.join(problems[:5])}{more}")
    module.load_state_dict(tensors)
