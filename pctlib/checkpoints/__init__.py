"""Reading official weights: one call tells from the names in a file what it is and gives the model."""

from pathlib import Path
from typing import Any

from torch import nn

from pctlib.checkpoints.files import WithoutInitialisation, read_state
from pctlib.checkpoints.pct import is_pct, load_pct
from pctlib.checkpoints.rtmpose import is_rtmpose, load_rtmpose


def load_official(path: str | Path, **options: Any) -> nn.Module:
    """Load a published checkpoint.

    Args:
        path: the file as published (.pth or .safetensors).
        **options: of the family's own loader, `load_pct` or `load_rtmpose`.

    Returns:
        The model in eval mode, on the CPU. PCT: `PoseEstimator`, `PoseTokenizer` or `GuidedTokenizer`.
        RTMPose and DWPose: `PoseEstimator`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, of no known family, or does not fit its family strictly; names the
            file and the entries.
    """
    state = read_state(path)
    # A family is a file with `is_<family>(state)` and `load_<family>(state, file, **options)`: two lines here
    with WithoutInitialisation():
        if is_pct(state):
            return load_pct(state, path, **options)
        if is_rtmpose(state):
            return load_rtmpose(state, path, **options)
    names = ", ".join(sorted(state)[:8])
    raise ValueError(f"{path}: not a checkpoint of a known family; its first names are: {names}")
