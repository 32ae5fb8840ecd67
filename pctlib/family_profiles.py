"""The sections of a profile that are left out where missing: ablations, comparisons and occlusion."""

from typing import Literal

from pydantic import Field, model_validator

from pctlib.profile_sections import AugmentationProfile, Section
from pctlib.settings import TrainingSettings


class FamilyProfile(Section):
    """Variants that are trained alike for every seed of the profile, and shown side by side."""

    train_people: int | None = Field(
        default=None, gt=0, description="how many of the training people, the first ones; None: all"
    )


class VitSizeProfile(Section):
    """A ViTPose of any size, and how it is trained."""

    dim: int = Field(gt=0, description="C, width of a token")
    depth: int = Field(gt=0, description="number of blocks")
    heads: int = Field(gt=0, description="of each attention; divides dim")
    decoder: Literal["classic", "simple"] = "classic"
    decoder_width: int = Field(default=256, gt=0, description="of the classic decoder's convolutions")
    drop_path: float = Field(default=0.0, ge=0, lt=1, description="of the last block; rises from 0")
    augmentation: AugmentationProfile = AugmentationProfile()
    training: TrainingSettings

    @model_validator(mode="after")
    def _heads_divide(self) -> "VitSizeProfile":
        if self.dim % self.heads:
            raise ValueError(f"heads: expected a divisor of dim {self.dim}, got {self.heads}")
        return self


class GridProfile(Section):
    """Ablation of the codebook size V and the number of tokens M."""

    codebook_sizes: tuple[int, ...] = Field(min_length=1, description="V of the grid")
    num_tokens: tuple[int, ...] = Field(min_length=1, description="M of the grid")
    epochs: int = Field(gt=0, description="of each tokenizer")


class ChoicesProfile(FamilyProfile):
    """Ablation of the other choices of PCT."""


class OcclusionProfile(Section):
    """Robustness against occlusion, level by level."""


class ComparisonProfile(FamilyProfile):
    """Representations on backbones."""


class DistillationProfile(FamilyProfile):
    """DWPose's two stages."""


class MaskedProfile(FamilyProfile):
    """ViTPose from masked pretraining and from scratch."""


class JointProfile(FamilyProfile):
    """ViTPose on several data sets, one decoder each."""


class KnowledgeTokenProfile(FamilyProfile):
    """ViTPose's transfer from large to small."""


class FlexibilityProfile(FamilyProfile):
    """ViTPose's resolution, attention, decoder and frozen parts."""
