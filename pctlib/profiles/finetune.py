"""The section of page 17: fine-tuning official weights, or a run of the study, on a few images."""

from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from pctlib.profiles.sections import AugmentationProfile, Section
from pctlib.training.settings import TrainingSettings

FinetuneVariant = Literal[
    "before training",
    "head alone",
    "whole network",
    "from scratch",
]


_TRAINING = {"epochs": 30, "batch_size": 16, "learning_rate": 2e-4, "warmup_steps": 10}
_TRAINING |= {"layer_decay": 0.9, "evaluate_every": 5}


class FinetuneProfile(Section):
    """Start from trained weights; the defaults, also those of `training`, are for fifty images."""

    initial_weights: str = Field(
        min_length=1,
        description="official file, folder of Hugging Face, or run of the study, absolute or below the study",
    )
    dataset_index: int | None = Field(default=None, ge=0, description="of a ViTPose+; 0 is COCO")
    train_images: int | None = Field(default=50, gt=0, description="the first of the training set; null: all")
    test_images: Literal["leave out", "refuse"] = Field(
        default="leave out", description="what becomes of training images that are measured on"
    )
    variants: tuple[FinetuneVariant, ...] = Field(default=get_args(FinetuneVariant), min_length=1)
    augmentation: AugmentationProfile = AugmentationProfile()
    training: TrainingSettings = TrainingSettings(**_TRAINING)

    @field_validator("training", mode="before")
    @classmethod
    def _over_defaults(cls, training: Any) -> Any:
        return {**_TRAINING, **training} if isinstance(training, dict) else training

    @field_validator("variants")
    @classmethod
    def _distinct(cls, variants: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(variants)) != len(variants):
            raise ValueError(f"expected each once, got {list(variants)}")
        return variants
