"""One variant of a family, from an untrained estimator to its weights, predictions and metrics."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pctlib.data.people import People
from pctlib.io import read_tensors, write_tensors
from pctlib.models.estimator import PoseEstimator
from pctlib.profiles.sections import AugmentationProfile
from pctlib.study.crops import Crops, predict_people
from pctlib.study.predictions import Predictions, judge
from pctlib.study.tasks import EstimatorTask
from pctlib.training.loop import Task, train
from pctlib.training.resume import load_weights
from pctlib.training.settings import TrainingSettings

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Fitted:
    """A trained estimator on its device, in eval mode, with its validation metrics and training seconds."""

    model: PoseEstimator
    metrics: dict[str, float]


def fit_estimator(
    model: PoseEstimator,
    train_crops: Crops,
    val_crops: Crops,
    *,
    settings: TrainingSettings,
    augmentation: AugmentationProfile,
    seed: int,
    out_dir: str | Path,
    identity: dict[str, Any] | None = None,
    flip_test: bool = True,
    device: str = "auto",
    task: Task | None = None,
    estimator_of: Callable[[nn.Module], PoseEstimator] | None = None,
    progress: bool = True,
) -> Fitted:
    """Train an estimator, measure it, and save weights (`model.safetensors`) and `predictions.npz`.

    Args:
        model: untrained; the caller has drawn its weights from the seed.
        train_crops: people to learn from.
        val_crops: people to measure on.
        settings: schedule and optimiser.
        augmentation: random changes of the training crops.
        seed: of order and draws.
        out_dir: folder of the run.
        identity: JSON values that tell this run from others; None for none besides data and settings.
        flip_test: measure with the mirrored images merged.
        device: "auto", "cpu" or "cuda".
        task: what to train in place of the plain `EstimatorTask`; its `model` may hold more than `model`.
        estimator_of: takes the estimator out of the task's trained model; None: it is `model`. Needed where
            weights are averaged, as the average is a model of its own.
        progress: show a progress bar.

    Raises:
        ValueError: as `pctlib.training.loop.train`.
        FloatingPointError: if the loss is not finite.
    """
    out_dir = Path(out_dir)
    model.to(memory_format=torch.channels_last)
    if task is None:
        task = EstimatorTask(
            model, train_crops, val_crops=val_crops, augmentation=augmentation, identity=identity or {}
        )
    result = train(task, settings, out_dir=out_dir, seed=seed, device=device, progress=progress)
    if estimator_of is not None:
        trained = estimator_of(result.model).eval()
    else:
        trained = result.model if task.model is model else model.eval()
    predictions = predict_people(trained, val_crops, flip_test=flip_test)
    return save_fitted(trained, result.history, predictions, people=val_crops.people, out_dir=out_dir)


def save_fitted(
    model: PoseEstimator,
    history: Sequence[Mapping[str, float]],
    predictions: Predictions,
    *,
    people: People,
    out_dir: str | Path,
) -> Fitted:
    """Save a trained estimator and what it predicts for the validation people, and judge it.

    Args:
        model: in eval mode.
        history: of its training.
        predictions: of `people`.
        people: of the validation split.
        out_dir: folder of the run.
    """
    out_dir = Path(out_dir)
    predictions.save(out_dir / "predictions.npz", people)
    write_tensors(out_dir / WEIGHTS, {name: t.clone() for name, t in model.state_dict().items()})
    seconds = sum(record["seconds"] for record in history)
    return Fitted(model, judge(people, predictions) | {"training seconds": seconds})


def load_fitted(model: PoseEstimator, out_dir: str | Path) -> PoseEstimator:
    """Load the weights that `fit_estimator` saved into a model built the same way, in eval mode.

    Raises:
        FileNotFoundError: if the folder holds no trained model.
        ValueError: if the weights do not fit.
    """
    path = Path(out_dir) / WEIGHTS
    load_weights(model, read_tensors(path), path)
    return model.to(memory_format=torch.channels_last).eval()
