"""What masked pretraining on the study's own people buys a ViTPose."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pctlib.complexity import count_flops
from pctlib.models.estimator import PoseEstimator
from pctlib.models.mae import MaskedAutoencoder, draw_visible
from pctlib.models.vit import ViT
from pctlib.profiles.pages import MaskedProfile, VitSizeProfile
from pctlib.profiles.profile import Profile
from pctlib.skeletons import Skeleton
from pctlib.study.crops import Crops, SectionCrops
from pctlib.study.page import OpenPage
from pctlib.study.pages.masked.trainings import LONGER, PRETRAINED, VARIANTS
from pctlib.study.pages.vitpose import build_vitpose, start_from, vit_size
from pctlib.study.people import Splits
from pctlib.study.runs import RunDescription, fit_estimator, save_run
from pctlib.study.tasks import EstimatorTask
from pctlib.study.variants import check_variant
from pctlib.training.fingerprint import weights_of
from pctlib.training.loop import train
from pctlib.training.plan import Step, mix_seed
from pctlib.training.settings import TrainingSettings

PRETRAINING = "pretraining"  # folder beside those of the variants
_BACKBONE = "masked: backbone"  # drawn alike for the autoencoder and for pose alone


class MaskedBatch(NamedTuple):
    """Images [B, 3, H, W] and the indices [B, n] of their visible cells."""

    images: Tensor
    visible: Tensor


class MaskedTask(EstimatorTask):
    """Learn to fill in the hidden patches of crops; keypoints play no part.

    Args:
        model: the autoencoder.
        train_crops: people to learn from.
        val_crops: people to measure on; what is hidden of them is the same at every evaluation.
        section: share of hidden patches, augmentation and sizes.
    """

    model: MaskedAutoencoder

    def __init__(
        self, model: MaskedAutoencoder, train_crops: Crops, *, val_crops: Crops, section: MaskedProfile
    ) -> None:
        changes = section.pretraining
        super().__init__(
            model,
            train_crops,
            val_crops=val_crops,
            augmentation=changes.augmentation,
            identity=changes.model_dump(mode="json", exclude={"training"}),
        )
        self.mask_ratio = changes.mask_ratio

    def batches(self, steps: Sequence[Step], device: torch.device) -> Iterator[MaskedBatch]:
        """Yield augmented crops and what is visible of them."""
        for step, inputs in zip(steps, super().batches(steps, device), strict=True):
            visible = self._draw(len(step.indices), step.generator(shared=True))[step.local]
            yield MaskedBatch(inputs.images, visible.to(device))

    def _draw(self, batch: int, generator: torch.Generator) -> Tensor:
        height, width = self.model.encoder.grid_size
        return draw_visible(batch, height * width, mask_ratio=self.mask_ratio, generator=generator)

    def loss(self, model: MaskedAutoencoder, batch: MaskedBatch) -> tuple[dict[str, Tensor], None]:
        """Return the error of the hidden patches."""
        return {"masked": model.errors(model(*batch), *batch).mean()}, None

    def evaluate(self, model: MaskedAutoencoder) -> dict[str, float]:
        """Return the mean error of the hidden patches of the validation people."""
        errors = [model.errors(model(*batch), *batch) for batch in self.validation(model)]
        return {"masked error": torch.cat(errors).mean().item()}

    def validation(self, model: MaskedAutoencoder) -> Iterator[MaskedBatch]:
        """Yield the validation people in order, with what is visible of them."""
        device = next(model.parameters()).device
        generator = torch.Generator().manual_seed(mix_seed("masked: hidden of the validation people"))
        for inputs in self.val_crops.in_order(device):
            yield MaskedBatch(inputs.images, self._draw(len(inputs.images), generator).to(device))


def new_backbone(section: MaskedProfile, *, seed: int) -> ViT:
    """Return an untrained transformer; that of a seed is always the same."""
    torch.manual_seed(mix_seed(seed, _BACKBONE))
    return ViT(vit_size(section.vitpose), section.input_size)


def build_autoencoder(section: MaskedProfile, *, seed: int = 0) -> MaskedAutoencoder:
    """Return an untrained autoencoder around the backbone of a seed, without drop path, as published."""
    torch.manual_seed(mix_seed(seed, _BACKBONE))
    encoder = ViT(replace(vit_size(section.vitpose), drop_path=0.0), section.input_size)
    torch.manual_seed(mix_seed(seed, "masked: decoder"))
    sizes = section.pretraining
    return MaskedAutoencoder(
        encoder,
        dim=sizes.decoder_dim,
        depth=sizes.decoder_depth,
        num_heads=sizes.decoder_heads,
        normalise=sizes.normalise,
    )


class _Visible(nn.Module):
    """An autoencoder whose first cells are always visible, so that it takes images alone."""

    def __init__(self, model: MaskedAutoencoder, mask_ratio: float) -> None:
        super().__init__()
        self.model = model
        height, width = model.encoder.grid_size
        self.register_buffer("visible", torch.arange(int(height * width * (1 - mask_ratio)))[None])

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images, self.visible)


def equal_compute_epochs(section: MaskedProfile, skeleton: Skeleton) -> int:
    """Return how many epochs of pose training alone compute as much as pretraining and pose training.

    Counted are the multiply-adds of the networks for one image; a backward pass costs the same share of both.
    """
    with torch.device("meta"):
        pose = build_vitpose(section.vitpose, skeleton, input_size=section.input_size)
        masked = _Visible(build_autoencoder(section), section.pretraining.mask_ratio)
    ratio = count_flops(masked, section.input_size).total / count_flops(pose, section.input_size).total
    extra = section.pretraining.training.epochs * ratio
    return section.vitpose.training.epochs + round(extra)


def lengthened(settings: TrainingSettings, epochs: int) -> TrainingSettings:
    """Return a schedule of another length, whose rate falls at the same shares of it."""
    stairs = tuple(round(epoch * epochs / settings.epochs) for epoch in settings.decay_epochs)
    return settings.model_copy(update={"epochs": epochs, "decay_epochs": stairs})


@dataclass
class MaskedStudy(SectionCrops):
    """Trains the variants of one study; its crops are decoded once for all of them.

    Attributes:
        profile: of the study, with the section "masked".
        splits: training and validation people.
        progress: show progress bars.
    """

    profile: Profile
    splits: Splits
    progress: bool = True

    group = ""
    variants = VARIANTS

    @classmethod
    def of(cls, page: OpenPage) -> "MaskedStudy":
        """Return the study of a page."""
        return cls(page.settings, page.splits)

    @property
    def section(self) -> MaskedProfile:
        """The part of the profile."""
        return self.profile.masked

    def pretrain(self, seed: int, out_dir: str | Path) -> MaskedAutoencoder:
        """Train the autoencoder of a seed, or read it back.

        Args:
            seed: of weights, order and draws.
            out_dir: folder of the run.
        """
        settings = self.section.pretraining.training
        task = self.task(build_autoencoder(self.section, seed=seed))
        model = train(
            task, settings, out_dir=out_dir, seed=seed, device=self.profile.device, progress=self.progress
        ).model
        sizes = {"pretraining": self.section.model_dump(mode="json")}
        save_run(out_dir, model, RunDescription.of_crops("masked", self.val_crops, sizes))
        return model

    def task(self, model: MaskedAutoencoder) -> MaskedTask:
        """Return what an autoencoder learns and is measured on."""
        return MaskedTask(model, self.train_crops, val_crops=self.val_crops, section=self.section)

    def __call__(self, variant: str, seed: int, folder: Path) -> dict[str, Any]:
        """Train one of `VARIANTS` and return its metrics; pretraining goes to the folder beside."""
        check_variant(variant, VARIANTS)
        section, sizes = self.section, self.section.vitpose
        backbone = new_backbone(section, seed=seed)
        settings = sizes.training
        if variant == PRETRAINED:
            pretrained = self.pretrain(seed, folder.parent / PRETRAINING)
            start_from(backbone, pretrained.encoder.cpu())
        elif variant == LONGER:
            epochs = equal_compute_epochs(section, self.splits.train.skeleton)
            settings = lengthened(settings, epochs)
        torch.manual_seed(mix_seed(seed, "masked: head"))
        model = build_vitpose(
            sizes, self.splits.train.skeleton, input_size=section.input_size, backbone=backbone
        )
        size = sizes.model_dump(mode="json", exclude={"training"})
        task = EstimatorTask(
            model,
            self.train_crops,
            val_crops=self.val_crops,
            augmentation=sizes.augmentation,
            identity={"size": size, "start": weights_of(backbone)},
        )
        fitted = fit_estimator(
            task,
            settings=settings,
            seed=seed,
            out_dir=folder,
            kind="masked",
            sizes={"vitpose": sizes.model_dump(mode="json")},
            device=self.profile.device,
            progress=self.progress,
        )
        return fitted.metrics | {"epochs": settings.epochs}


def build_run(run: RunDescription) -> PoseEstimator | MaskedAutoencoder:
    """Return the untrained ViTPose of a run, or the autoencoder of a pretraining."""
    if "pretraining" in run.sizes:
        return build_autoencoder(MaskedProfile(**run.sizes["pretraining"]))
    return build_vitpose(VitSizeProfile(**run.sizes["vitpose"]), run.skeleton, input_size=run.input_size)
