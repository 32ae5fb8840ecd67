"""The sections of a profile that are left out where missing: ablations, comparisons and occlusion."""

from pydantic import Field

from pctlib.profile_sections import Section


class FamilyProfile(Section):
    """Variants that are trained alike for every seed of the profile, and shown side by side."""

    train_people: int | None = Field(
        default=None, gt=0, description="how many of the training people, the first ones; None: all"
    )


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
