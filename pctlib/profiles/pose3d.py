"""The section of page 14: poses in 3D."""

from typing import Literal, get_args

from pydantic import Field, model_validator

from pctlib.profiles.pages import FamilyProfile
from pctlib.profiles.sections import ClassifierProfile, Section, TokenizerProfile
from pctlib.training.settings import TrainingSettings

Method3D = Literal[
    "lifting, true 2D",
    "lifting, found 2D",
    "direct regression",
    "volume soft-argmax",
    "PCT tokens",
]


class LiftingProfile(Section):
    """Lifting 2D poses to 3D by linear layers; the defaults are the published size."""

    width: int = Field(default=1024, ge=1)
    blocks: int = Field(default=2, ge=0)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    max_norm: float | None = Field(default=1.0, gt=0, description="of a weight matrix")
    training: TrainingSettings


class Pose3DProfile(FamilyProfile):
    """Poses in 3D: what the methods share, and the grid of tokenizers."""

    h36m: str = Field(
        default="",
        description="folder of Human3.6M; empty: the people of the study, or, where these have no 3D joints, "
        "the procedural ones",
    )
    methods: tuple[Method3D, ...] = Field(default=get_args(Method3D), min_length=1)
    tokenizer: TokenizerProfile = Field(description="stage I, of 3D poses in millimetres")
    classifier: ClassifierProfile = Field(description="stage II, and the schedule of its rivals on images")
    depth_cells: int = Field(default=64, ge=2, description="D' of the volume, published: 64")
    volume_channels: tuple[int, ...] = Field(
        default=(256, 256, 256), min_length=1, description="of its transposed convolutions, as published"
    )
    lifting: LiftingProfile
    num_tokens: tuple[int, ...] = Field(min_length=1, description="M of the grid")
    codebook_sizes: tuple[int, ...] = Field(min_length=1, description="V of the grid")
    grid_epochs: int = Field(gt=0)
    patch_people: int = Field(default=32, ge=0, description="over whom a patch slides; 0: none")
    patches: tuple[int, ...] = Field(default=(40, 80), description="sides, on an input of 224 px")
    patch_stride: int = Field(default=10, gt=0, description="of its places, on an input of 224 px")

    @model_validator(mode="after")
    def _poses_alone(self) -> "Pose3DProfile":
        if self.tokenizer.guide_ratio:
            raise ValueError(
                "tokenizer.guide_ratio: image guidance looks up 2D keypoints; in 3D it must be 0"
            )
        return self
