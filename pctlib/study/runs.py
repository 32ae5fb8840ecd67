"""Run folders: how every trained thing of the study is saved, and how any of them is read again.

A run folder holds `model.json`, what the thing is and the sizes it is built from, and `model.safetensors`,
its weights. A page that trains estimators saves them by `fit_estimator`; whoever trains something else calls
`save_run` with a `RunDescription`. To be read, the page's `study` module (a stage: its own module) has one
function, which builds the same thing untrained from what the description says:

    def build_run(run: RunDescription) -> nn.Module:
        return build_vitpose(VitSizeProfile(**run.sizes["vitpose"]), run.skeleton, input_size=run.input_size)

    fit_estimator(task, ..., kind="masked", sizes={"vitpose": sizes.model_dump(mode="json")})
    trained = load_estimator(folder)  # a `Trained`: the estimator and the crops that it expects
    anything = load_run(folder)  # also what is no estimator of poses

`kind` is the name of the page or the stage. So every command that takes weights takes every run. What finds
people in 3D has one function more, `finder_3d(run, model)`, for predictions of photographs.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import nn

from pctlib.io import read_json, read_tensors, write_json, write_tensors
from pctlib.models.estimator import PoseEstimator
from pctlib.models.vitpose import MultiDatasetEstimator
from pctlib.skeletons import SKELETONS, Skeleton
from pctlib.study.crops import Crops, predict_people
from pctlib.study.predictions import Predictions
from pctlib.study.predictions_3d import Predictions3D
from pctlib.study.spaces import judge_any
from pctlib.study.tasks import EstimatorTask
from pctlib.training.loop import train
from pctlib.training.resume import load_weights
from pctlib.training.settings import TrainingSettings
from pctlib.workflow.pages import PAGES

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
CHOOSE = "choose one by its dataset index"


@dataclass(frozen=True)
class RunDescription:
    """What a trained thing is built from.

    Attributes:
        kind: name of the stage or page that trains it, whose `build_run` builds it.
        skeleton: its keypoints.
        sizes: JSON values that `build_run` reads.
        input_size: (height, width) of the images, pixels; None where it sees none.
        padding: factor on the box of a crop, as in `crop_affine`.
        udp: crops by the unbiased affine of `udp_affine`.
    """

    kind: str
    skeleton: Skeleton
    sizes: dict[str, Any]
    input_size: tuple[int, int] | None = None
    padding: float = 1.25
    udp: bool = False

    @classmethod
    def of_crops(cls, kind: str, crops: Crops, sizes: dict[str, Any]) -> "RunDescription":
        """Return the description of what is measured on crops: they say keypoints, size and padding."""
        size = crops.profile.crop.input_size
        return cls(kind, crops.people.skeleton, sizes, size, crops.padding, crops.udp)


class Trained(NamedTuple):
    """A trained estimator, on the CPU in eval mode, and the crops that it expects.

    Attributes:
        model: estimator.
        input_size: (height, width) of its crops, pixels.
        padding: factor on the box, as in `crop_affine`.
        udp: crops by the unbiased affine of `udp_affine`.
        skeleton: keypoints that it gives, where weights or user say so; else None.
    """

    model: PoseEstimator
    input_size: tuple[int, int]
    padding: float = 1.25
    udp: bool = False
    skeleton: Skeleton | None = None


@dataclass(frozen=True)
class Fitted:
    """A trained estimator on its device, in eval mode, with its validation metrics and training seconds."""

    model: PoseEstimator
    metrics: dict[str, float]


def save_run(out_dir: str | Path, model: nn.Module, run: RunDescription) -> None:
    """Write weights and description of a trained thing; both files are written whole.

    A page that finds its training finished saves it once more; files that would be the same keep their times,
    or what others made of them in the meantime would look out of date.

    Args:
        out_dir: folder of the run.
        model: what `build_run` of its kind builds again.
        run: what it is.
    """
    out_dir, known = Path(out_dir), SKELETONS.get(run.skeleton.name) == run.skeleton
    values = asdict(run) | {"skeleton": run.skeleton.name if known else asdict(run.skeleton)}
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    write_tensors(out_dir / WEIGHTS, weights, keep_equal=True)
    write_json(out_dir / DESCRIPTION, values, keep_equal=True)


def read_run(out_dir: str | Path) -> RunDescription:
    """Read what a trained thing is, from `model.json`.

    Raises:
        FileNotFoundError: if nothing was trained there; says what trains it.
        ValueError: if the file is damaged or describes no run of this study.
    """
    file = Path(out_dir) / DESCRIPTION
    if not file.is_file():
        step = file.parent.name.rpartition("-seed")[0]
        made_by = {page.name: page.notebook for page in PAGES if page.seeds == "each"}
        first = (
            f"run notebook {made_by[step]} first" if step in made_by else "run the notebook that trains it"
        )
        raise FileNotFoundError(f"no trained model: {file} is missing; {first}, or make study")
    values = read_json(file)
    if not isinstance(values, dict) or not {"kind", "skeleton", "sizes"} <= set(values):
        found = list(values) if isinstance(values, dict) else type(values).__name__
        raise ValueError(f"{file}: describes no run of the study, got {found}; train it again")
    try:
        size = values.get("input_size")
        skeleton = _skeleton(values["skeleton"])
        return RunDescription(
            **values | {"skeleton": skeleton, "input_size": None if size is None else tuple(size)}
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error


def _skeleton(value: str | dict[str, Any]) -> Skeleton:
    if isinstance(value, dict):
        lists = {key: _tuples(entry) for key, entry in value.items()}
        return Skeleton(**lists)
    if value not in SKELETONS:
        raise ValueError(f"skeleton: expected one of {', '.join(SKELETONS)}, got {value!r}")
    return SKELETONS[value]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(entry) for entry in value) if isinstance(value, list) else value


def load_run(out_dir: str | Path) -> nn.Module:
    """Read a trained thing of any stage or page, in eval mode on the CPU.

    Raises:
        FileNotFoundError: if the folder holds no trained model.
        ValueError: if its kind is unknown, or the weights do not fit.
    """
    return _load(Path(out_dir), read_run(out_dir))


def load_estimator(out_dir: str | Path, *, dataset_index: int | None = None) -> Trained:
    """Read a trained estimator of any stage or page, with the crops that it expects.

    Args:
        out_dir: folder of the run.
        dataset_index: of a run on several data sets, which holds an estimator for each.

    Raises:
        FileNotFoundError, ValueError: as `load_run`; also if it finds no poses in images, or is of several
            data sets and none is chosen.
    """
    out_dir = Path(out_dir)
    run = read_run(out_dir)
    model, skeleton = _load(out_dir, run), run.skeleton
    if isinstance(model, MultiDatasetEstimator):
        if dataset_index is None:
            raise ValueError(f"{out_dir}: holds estimators of several data sets; {CHOOSE}")
        model = _of_dataset(model, dataset_index, out_dir)
        skeleton = SKELETONS[run.sizes["skeletons"][dataset_index]]
    elif dataset_index is not None:
        raise ValueError(f"{out_dir}: there is no data set to choose by a dataset index")
    if not isinstance(model, PoseEstimator) or run.input_size is None:
        raise ValueError(f"{out_dir}: expected an estimator of poses, got {type(model).__name__}")
    return Trained(model, run.input_size, run.padding, run.udp, skeleton)


def _of_dataset(model: MultiDatasetEstimator, index: int, out_dir: Path) -> PoseEstimator:
    try:
        return model.of_dataset(index)
    except ValueError as error:
        raise ValueError(f"{out_dir}: {error}") from error


def untrained(run: RunDescription) -> nn.Module:
    """Return what a description says, untrained; torch's global generator draws its weights.

    Raises:
        ValueError: if its kind is unknown.
    """
    return _builder(run.kind)(run)


def _load(out_dir: Path, run: RunDescription) -> nn.Module:
    try:
        model = untrained(run)
    except (KeyError, TypeError, ValueError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{out_dir / DESCRIPTION}: sizes of no {run.kind}: {what}") from error
    path = out_dir / WEIGHTS
    load_weights(model, read_tensors(path), path)
    return model.to(memory_format=torch.channels_last).eval()


def load_finder_3d(out_dir: str | Path) -> Trained | None:
    """Read a run of a page that finds people in 3D; None where its page finds none.

    Its `model` is a `pctlib.models.in_3d.Finder3D`: what the page's `finder_3d(run, model)` returns.

    Raises:
        FileNotFoundError, ValueError: as `load_run`; also if the run cannot find people in images alone.
    """
    out_dir = Path(out_dir)
    run = read_run(out_dir)
    finder = getattr(_module(run.kind), "finder_3d", None)
    if finder is None:
        return None
    try:
        found = finder(run, _load(out_dir, run)).eval()
    except ValueError as error:
        raise ValueError(f"{out_dir}: {error}") from error
    return Trained(found, run.input_size, run.padding, run.udp, run.skeleton)


def _builder(kind: str) -> Callable[[RunDescription], nn.Module]:
    """Return the `build_run` of a stage or page."""
    return _module(kind).build_run


def _module(kind: str) -> ModuleType:
    """Return the module of a stage or page; what is asked for must be a module of this folder."""
    here = Path(__file__).parent
    for file in (here / "stages" / f"{kind}.py", here / "pages" / kind / "study.py"):
        if kind.isidentifier() and file.is_file():
            module = ".".join(("pctlib", "study", *file.relative_to(here).with_suffix("").parts))
            return importlib.import_module(module)
    raise ValueError(f"kind: no stage or page {kind!r}")


def fit_estimator(
    task: EstimatorTask,
    *,
    settings: TrainingSettings,
    seed: int,
    out_dir: str | Path,
    kind: str,
    sizes: dict[str, Any],
    flip_test: bool = True,
    device: str = "auto",
    progress: bool = True,
) -> Fitted:
    """Train an estimator, measure it, and save the run and its predictions (`predictions.npz`).

    Args:
        task: untrained model and people; the caller has drawn the weights from the seed.
        settings: schedule and optimiser.
        seed: of order and draws.
        out_dir: folder of the run.
        kind: of `RunDescription`, with `sizes`.
        sizes: what the estimator is built from.
        flip_test: measure with the mirrored images merged.
        device: "auto", "cpu" or "cuda".
        progress: show a progress bar.

    Raises:
        ValueError: as `pctlib.training.loop.train`.
        FloatingPointError: if the loss is not finite.
    """
    task.estimator(task.model).to(memory_format=torch.channels_last)
    result = train(task, settings, out_dir=out_dir, seed=seed, device=device, progress=progress)
    trained = task.estimator(result.model).eval()
    predictions = predict_people(trained, task.val_crops, flip_test=flip_test)
    run = RunDescription.of_crops(kind, task.val_crops, sizes)
    return save_fitted(trained, result.history, predictions, crops=task.val_crops, out_dir=out_dir, run=run)


def save_fitted(
    model: PoseEstimator,
    history: Sequence[Mapping[str, float]],
    predictions: Predictions | Predictions3D,
    *,
    crops: Crops,
    out_dir: str | Path,
    run: RunDescription,
) -> Fitted:
    """Save a trained estimator and what it predicts for the validation people, and judge it.

    Args:
        model: in eval mode.
        history: of its training; empty if it was not trained here.
        predictions: of the people of `crops`.
        crops: of the validation split.
        out_dir: folder of the run.
        run: what the estimator is.
    """
    predictions.save(Path(out_dir) / "predictions.npz", crops.people)
    save_run(out_dir, model, run)
    seconds = sum(record["seconds"] for record in history)
    return Fitted(model, judge_any(crops.people, predictions) | {"training seconds": seconds})
