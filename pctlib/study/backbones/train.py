"""Training a small backbone long, as a heatmap network on inputs of several sizes."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pctlib.data.augmentation import Inputs
from pctlib.data.people import People
from pctlib.io import read_json, write_json
from pctlib.models.backbones import Backbone
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.heatmap import Heatmap
from pctlib.models.representations.heatmap_coding import HeatmapCoding, HeatmapTarget
from pctlib.profiles.backbones import StartProfile
from pctlib.profiles.pages import BackboneProfile
from pctlib.profiles.profile import Profile
from pctlib.profiles.sections import AugmentationProfile
from pctlib.skeletons import Skeleton
from pctlib.study.crops import CropCache, Crops, predict_people
from pctlib.study.predictions import judge
from pctlib.study.stages.heatmap import build_heatmap
from pctlib.study.tasks import EstimatorTask
from pctlib.training.loop import TrainingResult, train
from pctlib.training.plan import Step, mix_seed, plan_epoch
from pctlib.training.settings import TrainingSettings
from pctlib.training.shipped import load_shipped, save_shipped

Size = tuple[int, int]
_TRIAL_STEPS = 64
_TOLD = ("PCK@0.1 seen", "PCK@0.1 hidden", "PCK@0.2 seen", "PCK@0.2 hidden", "AP", "NME seen", "NME hidden")


class ManySizesTask(EstimatorTask):
    """Learn heatmaps from crops whose size each step draws.

    Args:
        model: of heatmaps at the crops' size.
        train_crops: people to learn from.
        val_crops: people to measure on, at the crops' size.
        augmentation: random changes of the training crops.
        input_sizes: (height, width) that are drawn from.
        identity: JSON values that tell this run from others.
    """

    def __init__(
        self,
        model: PoseEstimator,
        train_crops: Crops,
        *,
        val_crops: Crops,
        augmentation: AugmentationProfile,
        input_sizes: Sequence[Size],
        identity: dict[str, Any],
    ) -> None:
        super().__init__(
            model,
            train_crops,
            val_crops=val_crops,
            augmentation=augmentation,
            identity=identity | {"input_sizes": [list(size) for size in input_sizes]},
        )
        self.input_sizes = tuple(input_sizes)
        self.codings = {size: coding_at(model.representation, size) for size in input_sizes}

    def batches(self, steps: Sequence[Step], device: torch.device) -> Iterator[Inputs]:
        """Yield augmented inputs, all of a batch of one size."""
        for step, inputs in zip(steps, super().batches(steps, device), strict=True):
            yield resized(inputs, self.input_sizes[mix_seed(step.seed, 60) % len(self.input_sizes)])

    def target(self, model: PoseEstimator, batch: Inputs) -> HeatmapTarget:
        """Return the heatmaps of a batch of any of the sizes."""
        return self.codings[tuple(batch.images.shape[2:])].encode(batch.keypoints, batch.visible)


def resized(inputs: Inputs, size: Size) -> Inputs:
    """Return inputs made smaller, with antialiasing; keypoints stay on what they mark."""
    old = inputs.images.shape[2:]
    if tuple(old) == tuple(size):
        return inputs
    images = F.interpolate(inputs.images, size, mode="bilinear", antialias=True, align_corners=False)
    ratio = inputs.keypoints.new_tensor([size[1] / old[1], size[0] / old[0]])  # of x, of y
    move = (ratio - 1) / 2  # edges of pictures meet, not centres of pixels
    return inputs._replace(
        images=images.contiguous(memory_format=torch.channels_last),
        keypoints=inputs.keypoints * ratio + move,
        affine=torch.cat(
            [inputs.affine[..., :2] * ratio[:, None], (inputs.affine[..., 2] * ratio + move)[..., None]],
            dim=-1,
        ),
    )


def coding_at(representation: Heatmap, size: Size) -> HeatmapCoding:
    """Return the coding of a heatmap network for another input size: Gaussians as wide beside the person."""
    coding = representation.coding
    cells = tuple(
        side * cells // whole
        for side, cells, whole in zip(size, coding.heatmap_size, coding.input_size, strict=True)
    )
    sigma = coding.sigma * size[0] / coding.input_size[0]
    return replace(coding, input_size=tuple(size), heatmap_size=cells, sigma=sigma)


def at_size(model: PoseEstimator, size: Size, skeleton: Skeleton) -> PoseEstimator:
    """Return a heatmap network, in eval mode, as it predicts from inputs of another size."""
    head = model.representation.head
    coding = coding_at(model.representation, size)
    return PoseEstimator(
        model.backbone, Heatmap(head, coding, flip_permutation=skeleton.flip_permutation)
    ).eval()


def build_start(
    plan: StartProfile, study: Profile, chosen: BackboneProfile, skeleton: Skeleton
) -> PoseEstimator:
    """Return the untrained network of a backbone; weights are drawn from the plan's seed."""
    torch.manual_seed(mix_seed(plan.seed, 61))
    backbone = Backbone(
        chosen.name,
        study.crop.input_size,
        out_indices=None if chosen.stages is None else range(chosen.stages),
        final_norm=chosen.final_norm,
    )
    heatmap = study.heatmap.model_copy(update={"sigma": plan.sigma})
    head = build_heatmap(study.model_copy(update={"heatmap": heatmap}), backbone, skeleton)
    return PoseEstimator(backbone, head).to(memory_format=torch.channels_last)


def train_start(
    plan: StartProfile,
    study: Profile,
    chosen: BackboneProfile,
    people: tuple[People, Tensor],
    val: People,
    *,
    run_dir: str | Path,
    out_dir: str | Path,
    facts: dict[str, Any],
    minutes: float | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Train one backbone from its newest checkpoint on, and write its weights and its card.

    Args:
        plan: schedule and augmentation.
        study: crops, widths of the head and device.
        chosen: the backbone.
        people: to learn from, with their patches as `load_shards` gives them.
        val: people to measure on.
        run_dir: folder of the run: checkpoints, history.
        out_dir: gets `<name>.safetensors` and `<name>.json`.
        facts: what the caller knows for the card: command, revision, device.
        minutes: train for as many epochs as fit, found by a trial; None: those of the plan.
        progress: show a progress bar.

    Returns:
        The card.

    Raises:
        ValueError: as `pctlib.training.loop.train`.
        FloatingPointError: if the loss is not finite.
    """
    run_dir, skeleton = Path(run_dir), val.skeleton
    crops = Crops(people[0], study, training=True, pixels=people[1])
    val_crops = Crops(val, study, training=False)

    def new_task() -> ManySizesTask:
        return ManySizesTask(
            build_start(plan, study, chosen, skeleton),
            crops,
            val_crops=val_crops,
            augmentation=plan.augmentation,
            input_sizes=plan.input_sizes,
            identity={"plan": plan.model_dump(mode="json", exclude={"training"})},
        )

    options = {"seed": plan.seed, "device": study.device, "progress": progress}
    settings = plan.training
    if minutes is not None:
        settings = _fitted(settings, new_task, run_dir, minutes=minutes, **options)
    result = train(new_task(), settings, out_dir=run_dir, **options)
    card = _card(plan, chosen, people[0], settings, result) | facts
    saved = save_shipped(result.model.backbone, chosen.name, card, Path(out_dir))
    load_shipped(result.model.backbone, chosen.name, saved.parent)  # what is measured is what is stored
    card["reached"] = {
        "x".join(map(str, size)): _reached(result.model, val, study, size)
        for size in dict.fromkeys(plan.input_sizes)
    }
    save_shipped(result.model.backbone, chosen.name, card, saved.parent)
    return card


def _fitted(
    settings: TrainingSettings, new_task: Any, run_dir: Path, *, minutes: float, **options: Any
) -> TrainingSettings:
    """Return the settings with as many epochs as fit into the minutes; a resumed run keeps its number."""
    noted = run_dir / "epochs.json"
    if not noted.exists():
        started, task = time.monotonic(), new_task()
        per_epoch = (
            len(plan_epoch(task.num_samples, settings, seed=0, epoch=0)) // settings.accumulation_steps
        )
        task.num_samples = min(task.num_samples, _TRIAL_STEPS * settings.batch_size)
        trial = settings.model_copy(update={"epochs": 2, "evaluate_every": 2})
        history = train(task, trial, out_dir=run_dir / "trial", **options).history
        steps = history[1]["step"] - history[0]["step"]
        each = history[1]["seconds"] / steps  # the first epoch tries the kernels out
        left = 60 * minutes - (time.monotonic() - started)
        write_json(noted, {"epochs": max(1, int(0.95 * left / (each * per_epoch))), "seconds a step": each})
    return settings.model_copy(update={"epochs": read_json(noted)["epochs"]})


def _card(
    plan: StartProfile,
    chosen: BackboneProfile,
    people: People,
    settings: TrainingSettings,
    result: TrainingResult,
) -> dict[str, Any]:
    """Return how a backbone was made."""
    backbone = result.model.backbone
    return {
        "what": "backbone of a heatmap network (SimpleBaseline's head) that learned from procedural people",
        "stages": chosen.stages,
        "channels": backbone.channels,
        "strides": backbone.strides,
        "input": "RGB in 0..1, mean and deviation of ImageNet taken out",
        "keypoints": people.skeleton.name,
        "pictures": plan.people.images,
        "people": len(people),
        "seeds of the people": [min(plan.people.shards), max(plan.people.shards)],
        "seed of the people that measure": plan.people.val_seed,
        "epochs": settings.epochs,
        "views": settings.epochs * (len(people) // settings.batch_size) * settings.batch_size,
        "training seconds": round(result.seconds),
        "plan": plan.model_copy(update={"training": settings}).model_dump(mode="json"),
        "licence": "Apache-2.0, as the package; no pictures or weights of others went in",
    }


def _reached(model: PoseEstimator, val: People, study: Profile, size: Size) -> dict[str, float]:
    """Return what the network reaches on held-out people at an input size, without flip test."""
    crops = CropCache(study).cut(val, size, training=False)
    metrics = judge(val, predict_people(at_size(model, size, val.skeleton), crops))
    return {name: round(metrics[name], 4) for name in _TOLD if name in metrics}
