"""Reading a teacher: a run of the study, or official weights."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from pctlib.checkpoints.reading import read_state
from pctlib.models.estimator import PoseEstimator
from pctlib.paths import resolve
from pctlib.study.runs import WEIGHTS
from pctlib.training.resume import load_weights


def read_teacher(
    path: str | Path,
    built: PoseEstimator,
    published: Callable[[PoseEstimator, dict[str, Tensor], Path], PoseEstimator],
) -> PoseEstimator:
    """Return a trained teacher, in eval mode.

    Args:
        path: folder of a run of this study, its `model.safetensors`, or an official file; relative paths are
            below the folder of the study.
        built: untrained; gets the weights if they are of this study.
        published: makes the teacher of official weights: (`built`, official names to tensors, file).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, or of another model; names it.
    """
    path = resolve(path)
    path = path / WEIGHTS if path.is_dir() else path
    state = read_state(path)
    if not any(name.startswith("representation.") for name in state):
        return published(built, state, path).eval()
    load_weights(built, state, path)
    return built.eval()
