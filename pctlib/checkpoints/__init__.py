"""Reading official weights: one call tells from the names in a file what it is and gives the model."""

from pathlib import Path
from typing import Any

from torch import nn

from pctlib.checkpoints.files import WithoutInitialisation, read_state
from pctlib.checkpoints.mae import is_mae, load_mae
from pctlib.checkpoints.pct import is_pct, load_pct
from pctlib.checkpoints.rtmpose import is_rtmpose, load_rtmpose
from pctlib.checkpoints.vitpose import is_vitpose, load_vitpose
from pctlib.checkpoints.vitpose_hf import load_vitpose_hf


def load_official(path: str | Path, **options: Any) -> nn.Module:
    """Load a published checkpoint.

    Args:
        path: the file as published (.pth or .safetensors), or a folder of Hugging Face.
        **options: of the family's own loader: `load_pct`, `load_rtmpose`, `load_vitpose`, `load_mae` or, for
            a folder, `load_vitpose_hf`.

    Returns:
        The model in eval mode, on the CPU. PCT: `PoseEstimator`, `PoseTokenizer` or `GuidedTokenizer`.
        RTMPose and DWPose: `PoseEstimator`. ViTPose: `PoseEstimator`, or `MultiDatasetEstimator` for several
        data sets. A vision transformer pre-trained as masked autoencoder: `ViT`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, of no known family, or does not fit its family strictly; names the
            file and the entries.
    """
    if Path(path).is_dir():
        with WithoutInitialisation():
            return load_vitpose_hf(path, **options)
    state = read_state(path)
    # A family is a file with `is_<family>(state)` and `load_<family>(state, file, **options)`: two lines here
    with WithoutInitialisation():
        if is_pct(state):
            return load_pct(state, path, **options)
        if is_rtmpose(state):
            return load_rtmpose(state, path, **options)
        if is_vitpose(state):
            return load_vitpose(state, path, **options)
        if is_mae(state):
            return load_mae(state, path, **options)
    names = ", ".join(sorted(state)[:8])
    raise ValueError(f"{path}: not a checkpoint of a known family; its first names are: {names}")
