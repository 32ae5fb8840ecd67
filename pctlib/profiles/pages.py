"""The sections of a profile that are left out where missing: ablations, comparisons and occlusion.

Long, as it is a list: one section a page, in the order of the pages.
"""

import itertools
from typing import Literal, get_args

from pydantic import Field, model_validator

from pctlib.profiles.sections import AugmentationProfile, Section, StartWeights
from pctlib.training.settings import TrainingSettings


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


class VitFamilyProfile(FamilyProfile):
    """A family of ViTPoses on inputs of one size."""

    input_height: int = Field(ge=32, multiple_of=16)
    input_width: int = Field(ge=32, multiple_of=16)

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network input."""
        return self.input_height, self.input_width


class GridProfile(Section):
    """Ablation of the codebook size V and the number of tokens M."""

    codebook_sizes: tuple[int, ...] = Field(min_length=1, description="V of the grid")
    num_tokens: tuple[int, ...] = Field(min_length=1, description="M of the grid")
    epochs: int = Field(gt=0, description="of each tokenizer")
    classified_tokens: int = Field(gt=0, description="M of the row whose classifiers are trained too")
    classifier_epochs: int = Field(gt=0)
    classifier_views: int = Field(default=1, ge=0, description="at most, of those the classifier keeps")

    @model_validator(mode="after")
    def _row_of_the_grid(self) -> "GridProfile":
        if self.classified_tokens not in self.num_tokens:
            raise ValueError(
                f"classified_tokens: expected one of {list(self.num_tokens)}, got {self.classified_tokens}"
            )
        return self


TokenizerChoice = Literal[
    "as in the profile",
    "no joint hidden",
    "half the joints hidden",
    "codebook by gradient",
    "no revival",
    "random start",
    "random start, no revival",
    "one token",
    "one token, eightfold V",
    "three tokens, as many bits",
    "MLP encoder",
    "finite scalars",
    "codes of two levels",
    "image guidance",
    "no image guidance",
]
ClassifierChoice = Literal[
    "both losses",
    "token loss only",
    "keypoint loss only",
    "codebook, short schedule",
    "finite scalars",
    "codes of two levels",
]
_LOSSES: tuple[ClassifierChoice, ...] = ("both losses", "token loss only", "keypoint loss only")


class ChoicesProfile(FamilyProfile):
    """Ablation of the other choices of PCT; variants are keys of `study.choices`."""

    tokenizers: tuple[TokenizerChoice, ...] = Field(min_length=1, description="image guidance costs most")
    tokenizer_epochs: int = Field(gt=0, description="of each tokenizer, on the profile's schedule")
    evaluation_hidden: float = Field(
        default=0.3, gt=0, lt=1, description="share of the joints that are hidden in a second measurement"
    )
    classifiers: tuple[ClassifierChoice, ...] = Field(
        default=_LOSSES, min_length=1, description="those of other codes learn from the tokenizers above"
    )
    classifier_epochs: int = Field(gt=0)
    views: int = Field(
        default=0, ge=0, description="augmented views whose features are kept for classifiers; 0: none"
    )

    @model_validator(mode="after")
    def _distinct(self) -> "ChoicesProfile":
        for field in ("tokenizers", "classifiers"):
            names = getattr(self, field)
            if len(set(names)) < len(names):
                raise ValueError(f"{field}: expected distinct names, got {list(names)}")
        learned = {"codebook, short schedule": "as in the profile"}
        for name in self.classifiers:
            tokenizer = learned.get(name, name)
            if name not in _LOSSES and tokenizer not in self.tokenizers:
                raise ValueError(f"classifiers: '{name}' needs the tokenizer '{tokenizer}' in tokenizers")
        return self


class AnatomyProfile(Section):
    """How closely the tokens of the tokenizer are looked at."""

    people: int = Field(default=400, gt=0, description="validation people whose tokens are replaced")
    counted_people: int = Field(default=3000, gt=0, description="training people whose tokens are counted")
    draws: int = Field(default=1, gt=0, description="other entries tried for each token of each person")


class OcclusionProfile(Section):
    """Robustness against occlusion, level by level."""

    people: int = Field(gt=0, description="how many are seen at every level")
    kinds: tuple[Literal["object", "person", "truncation"], ...] = Field(
        default=("object", "person", "truncation"), min_length=1, description="what hides them"
    )
    shares: tuple[float, ...] = Field(
        default=(0.0, 0.15, 0.3, 0.45, 0.6, 0.75),
        min_length=2,
        description="of the joints seen at level 0 that each level hides; the first is 0",
    )
    seed: int = Field(
        default=3, ge=3, description="of procedural people and of pasted occluders; 1 and 2 made the study's"
    )
    flip_test: bool = True

    @model_validator(mode="after")
    def _levels_rise(self) -> "OcclusionProfile":
        rising = all(low < high for low, high in itertools.pairwise((*self.shares, 1)))
        if self.shares[0] != 0 or not rising or len(set(self.kinds)) < len(self.kinds):
            raise ValueError(
                "expected distinct kinds and shares that rise from 0 and stay below 1, "
                f"got {list(self.kinds)} and {list(self.shares)}"
            )
        return self


class FrozenHeadsProfile(Section):
    """Representations as heads on the frozen heatmap backbone, trained as the token classifier is."""

    representations: tuple[str, ...] = Field(min_length=1, description="names in the table of heads")
    views: int = Field(default=0, ge=0, description="augmented views whose features are kept; 0: none")
    epochs: int = Field(gt=0, description="of each head; the rest of the schedule is the classifier's")


class BackboneProfile(Section):
    """A timm backbone and how much of it is used."""

    name: str
    stages: int | None = Field(default=None, ge=1, description="first feature maps that are used; None: all")
    weights: StartWeights = Field(default="none", description="that it starts from")
    final_norm: bool = Field(default=False, description="normalise the last feature map")


class WholeNetworksProfile(Section):
    """Representations and backbones, each pair trained as one network."""

    representations: tuple[str, ...] = Field(min_length=1, description="names in the table of heads")
    backbones: tuple[BackboneProfile, ...] = Field(min_length=1)
    from_scratch: tuple[str, ...] = Field(
        default=(), description="representations that are trained with the first backbone from nothing, too"
    )
    vitpose: VitSizeProfile | None = Field(default=None, description="trained by its own optimiser's values")
    training: TrainingSettings

    @property
    def networks(self) -> dict[tuple[str, str], BackboneProfile]:
        """The backbone of every network, by what tables call it and the representation."""
        found = {(b.name, name): b for b in self.backbones for name in self.representations}
        plain = self.backbones[0].model_copy(update={"weights": "none"})
        return found | {(self.scratch_title, name): plain for name in self.from_scratch}

    @property
    def scratch_title(self) -> str:
        """What tables call the first backbone where it starts from nothing."""
        return f"{self.backbones[0].name}, from scratch"

    @model_validator(mode="after")
    def _distinct_and_equal(self) -> "WholeNetworksProfile":
        names = [backbone.name for backbone in self.backbones]
        if len(set(names)) < len(names):
            raise ValueError(f"backbones: expected distinct names, got {names}")
        if self.from_scratch and self.backbones[0].weights == "none":
            raise ValueError(f"from_scratch: {names[0]} starts from nothing in every network already")
        own, shared = self.vitpose and self.vitpose.training, self.training
        if own and (own.epochs, own.batch_size) != (shared.epochs, shared.batch_size):
            raise ValueError(
                f"vitpose.training: expected {shared.epochs} epochs of batches of {shared.batch_size}, as "
                f"for the others, got {own.epochs} and {own.batch_size}"
            )
        return self


class RivalsProfile(FamilyProfile):
    """Systems of the published tables."""

    systems: tuple[str, ...] = Field(
        min_length=1, description="keys of models.rivals.SMALL or, at published size, models.published.RIVALS"
    )
    input_height: int | None = Field(default=None, ge=32, description="of small ones; None: of the page")
    input_width: int | None = Field(default=None, ge=32)
    training: TrainingSettings


class ComparisonProfile(FamilyProfile):
    """Representations on backbones: on a frozen one, and each trained with its own; and rivals."""

    input_height: int = Field(ge=32, description="of the whole networks and small rivals")
    input_width: int = Field(ge=32)
    frozen: FrozenHeadsProfile
    whole: WholeNetworksProfile | None = None
    rivals: RivalsProfile | None = None
    flip_test: bool = True
    counted_systems: tuple[str, ...] | None = Field(
        default=None, description="of models.published.RIVALS, counted at published size; None: all, 20 s"
    )

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the input of the whole networks."""
        return self.input_height, self.input_width

    @property
    def rival_size(self) -> tuple[int, int]:
        """(height, width) of the input of small rivals."""
        own = self.rivals
        height, width = (own.input_height, own.input_width) if own else (None, None)
        return height or self.input_height, width or self.input_width


class SimCCModelProfile(Section):
    """A CSPNeXt with a SimCC head; published sizes t, s, m, l, x by (depth, width) in `models.cspnext`."""

    depth: float = Field(gt=0, description="factor of the number of blocks")
    width: float = Field(ge=0.05, description="factor of the channels")
    hidden_dim: int = Field(default=256, gt=0, description="width of a token of the RTMCC head")
    key_dim: int = Field(default=128, gt=0, description="width of its queries and keys")
    training: TrainingSettings


class DistillationProfile(FamilyProfile):
    """DWPose's two stages: teacher, student, losses, and RTMPose's two phases of augmentation."""

    input_height: int = Field(ge=32)
    input_width: int = Field(ge=32)
    backbone_stages: int = Field(default=4, ge=1, le=4, description="fewer: a finer last map of small inputs")
    head: Literal["rtmcc", "simcc"] = Field(default="rtmcc", description="simcc: one linear layer an axis")
    teacher: SimCCModelProfile
    student: SimCCModelProfile
    teacher_weights: str | None = Field(
        default=None, description="trained weights, official or of this study; None: trained here"
    )
    ubody: str | None = Field(default=None, description="folder of UBody, to learn from its people too")
    labels: bool = Field(default=True, description="False: stage one learns from the teacher alone")
    constants: Literal["release", "paper"] = "release"
    feature_weight: float | None = Field(default=None, ge=0, description="in place of that of the constants")
    logit_weight: float | None = Field(default=None, ge=0, description="of stage one, likewise")
    head_epochs: int | None = Field(default=None, gt=0, description="of stage two; None: a fifth")
    head_views: int = Field(default=0, ge=0, description="augmented views that stage two keeps; 0: none")
    augmentation: AugmentationProfile = AugmentationProfile()
    late_augmentation: AugmentationProfile | None = Field(default=None, description="of the last epochs")
    late_epochs: int = Field(default=0, ge=0, description="how many those are")
    flip_test: bool = True

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network input."""
        return self.input_height, self.input_width

    @property
    def head_training(self) -> TrainingSettings:
        """What stage two is told: the student's settings for a fifth of its epochs."""
        epochs = self.head_epochs or max(1, round(self.student.training.epochs / 5))
        return self.student.training.model_copy(update={"epochs": epochs})

    @model_validator(mode="after")
    def _whole_cells(self) -> "DistillationProfile":
        stride = 2 ** (self.backbone_stages + 1)
        if self.input_height % stride or self.input_width % stride:
            raise ValueError(
                f"input_height and input_width: expected multiples of {stride}, got {self.input_size}"
            )
        return self

    @model_validator(mode="after")
    def _late_epochs_need_an_augmentation(self) -> "DistillationProfile":
        if (self.late_augmentation is None) != (self.late_epochs == 0):
            raise ValueError("late_augmentation and late_epochs go together, got only one of them")
        return self


class PretrainingProfile(Section):
    """Masked autoencoding: how much is hidden, the decoder, and the schedule."""

    mask_ratio: float = Field(default=0.75, gt=0, lt=1, description="share of hidden patches")
    normalise: bool = Field(default=True, description="pixels in units of their patch's deviation")
    decoder_dim: int = Field(default=512, gt=0, multiple_of=4)
    decoder_depth: int = Field(default=8, gt=0)
    decoder_heads: int = Field(default=16, gt=0, description="divides decoder_dim")
    augmentation: AugmentationProfile = AugmentationProfile()
    training: TrainingSettings

    @model_validator(mode="after")
    def _heads_divide(self) -> "PretrainingProfile":
        if self.decoder_dim % self.decoder_heads:
            raise ValueError(
                f"decoder_heads: expected a divisor of decoder_dim {self.decoder_dim}, "
                f"got {self.decoder_heads}"
            )
        return self


class MaskedProfile(VitFamilyProfile):
    """ViTPose from masked pretraining and from scratch."""

    vitpose: VitSizeProfile
    pretraining: PretrainingProfile


class JointProfile(VitFamilyProfile):
    """ViTPose on several data sets, one decoder each; `train_people` of each, or of all readings together."""

    vitpose: VitSizeProfile = Field(description="its batch size is that of each data set, times its share")
    part_features: int = Field(gt=0, description="outputs of each MLP that come from a data set's expert")
    datasets: dict[str, str] = Field(
        default={}, description="published data sets and their folders; none: readings of the study's people"
    )
    test_images: Literal["leave out", "refuse", "keep"] = Field(
        default="leave out",
        description="training images of the data sets that are another's validation image",
    )
    shares: tuple[int, ...] = Field(
        default=(), description="people of each data set in a batch, as a ratio; none: as many of each"
    )

    @model_validator(mode="after")
    def _experts_leave_room(self) -> "JointProfile":
        if self.part_features >= self.vitpose.dim:
            raise ValueError(f"part_features: expected less than dim {self.vitpose.dim}")
        if any(share < 1 for share in self.shares):
            raise ValueError(f"shares: expected numbers of at least 1, got {list(self.shares)}")
        return self


class KnowledgeTokenProfile(VitFamilyProfile):
    """ViTPose's transfer from large to small."""

    teacher: VitSizeProfile
    teacher_weights: str = Field(
        default="", description="of a trained teacher: official ViTPose or `model.safetensors` of this study"
    )
    token: TrainingSettings = Field(description="of the token alone, on the frozen teacher")
    student: VitSizeProfile


class FlexibilityProfile(FamilyProfile):
    """Resolution, attention, decoder and frozen parts of the ViTPose of the section "masked"."""

    input_sizes: tuple[tuple[int, int], ...] = Field(
        min_length=1, description="(height, width) beside that of the base, multiples of 16"
    )
    window: tuple[int, int] = Field(description="(height, width) of a window in cells; divides the grid")
    windowed: tuple[Literal["alone", "shift", "pool", "shift + pool"], ...] = Field(
        default=("alone", "shift", "pool", "shift + pool"), min_length=1, description="beside full attention"
    )
    training: TrainingSettings = Field(description="on poses, of every variant, from the same pretraining")

    @model_validator(mode="after")
    def _whole_cells(self) -> "FlexibilityProfile":
        for size in self.input_sizes:
            if min(size) < 32 or any(side % 16 for side in size):
                raise ValueError(f"input_sizes: expected multiples of 16 from 32 on, got {list(size)}")
        return self


class DeformableProfile(Section):
    """Size of OSX's deformable decoders; the defaults are the published ones."""

    width: int = Field(default=256, gt=0, multiple_of=4)
    num_layers: int = Field(default=6, gt=0)
    hidden: int = Field(default=1024, gt=0, description="of the feed-forward part")
    num_heads: int = Field(default=8, gt=0)
    num_points: int = Field(default=4, gt=0, description="places each head looks at in each map")
    groups: int = Field(
        default=32, gt=0, description="of the norm behind each map's projection; divides width"
    )
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _divided(self) -> "DeformableProfile":
        for name in ("num_heads", "groups"):
            if self.width % getattr(self, name):
                raise ValueError(
                    f"{name}: expected a divisor of width {self.width}, got {getattr(self, name)}"
                )
        return self


MeshVariant = Literal[
    "global feature",
    "tokens only",
    "tokens only, root as axis-angle",
    "OSX without decoder",
    "OSX without face decoder",
    "OSX",
    "separate crops",
]


class MeshProfile(VitFamilyProfile):
    """OSX at any size, and what it is compared with."""

    variants: tuple[MeshVariant, ...] = Field(default=get_args(MeshVariant), min_length=1)
    backbone: BackboneProfile | None = Field(
        default=None, description="in place of the transformer's patches; its last map has cells of 16 pixels"
    )
    encoder_weights: str | None = Field(
        default=None, description="ViTPose file that a plain transformer starts from, as published"
    )
    dim: int = Field(gt=0, multiple_of=4, description="C, width of a token")
    depth: int = Field(gt=0, description="number of blocks")
    heads: int = Field(gt=0, description="of each attention; divides dim")
    drop_path: float = Field(default=0.0, ge=0, lt=1, description="of the last block; rises from 0")
    body_depth: int = Field(default=16, ge=2, description="cells along z of the body's volume")
    hand_cells: int = Field(default=16, ge=2, multiple_of=2, description="side of a hand's volume")
    face_cells: int = Field(default=8, ge=2, multiple_of=2)
    box_width: int = Field(default=256, ge=2)
    regressor_width: int = Field(default=512, ge=2)
    decoder: DeformableProfile = DeformableProfile()
    joint_weight: float = Field(default=1.0, gt=0, description="of pose and 3D joints; published: 1")
    body_model: str | None = Field(
        default=None, description="SMPL-X npz file of the user; none: the embedded body"
    )
    body_parts: str | None = Field(default=None, description="folder of SMPL-X's vertex sets of the user")
    ubody: str | None = Field(
        default=None, description="folder of UBody, to learn from and measure on its people instead"
    )
    augmentation: AugmentationProfile = AugmentationProfile()
    training: TrainingSettings

    @model_validator(mode="after")
    def _goes_together(self) -> "MeshProfile":
        if self.dim % self.heads:
            raise ValueError(f"heads: expected a divisor of dim {self.dim}, got {self.heads}")
        if self.backbone is not None and self.encoder_weights:
            raise ValueError("encoder_weights: of a plain transformer, but there is a backbone")
        if (self.body_model is None) != (self.body_parts is None):
            raise ValueError("body_model, body_parts: expected both or none")
        if self.ubody and not self.body_model:
            raise ValueError("body_model: the bodies of UBody are SMPL-X's, so its file is needed")
        return self
