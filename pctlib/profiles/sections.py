"""The sections of a profile: data, the steps of PCT, and what a cluster gives them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pctlib.training.settings import TrainingSettings


class Section(BaseModel):
    """Values that may not be changed, and no others than those declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


StartWeights = Literal["shipped", "imagenet", "none"]
"""What a backbone starts from: weights that come with the package and have learned procedural people; those
of ImageNet by timm, which needs the network once; or none, drawn by the seed."""


class PeopleProfile(Section):
    """Size of the procedural data set; other data sets have their own."""

    train_images: int = Field(gt=0)
    val_images: int = Field(gt=0)
    image_size: int = Field(default=256, ge=64)
    occlusion: float = Field(default=0.3, ge=0, le=1, description="level, 0 none to 1 most")


class CropProfile(Section):
    """Top-down crops."""

    input_height: int = Field(ge=32)
    input_width: int = Field(ge=32)
    padding: float = Field(default=1.25, ge=1)
    evaluation_padding: float = Field(default=1.25, ge=1)

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network input."""
        return self.input_height, self.input_width


class AugmentationProfile(Section):
    """Random changes of a training sample; zero switches one off."""

    flip: float = Field(default=0.5, ge=0, le=1)
    scale: float = Field(default=0.25, ge=0, lt=1)
    rotation_deg: float = Field(default=30.0, ge=0, le=180)
    rotation_probability: float = Field(default=0.6, ge=0, le=1)
    shift: float = Field(default=0.0, ge=0, le=0.5, description="share of the crop's side")
    shift_probability: float = Field(default=0.3, ge=0, le=1)
    half_body: float = Field(default=0.0, ge=0, le=1)
    color: float = Field(default=0.2, ge=0, le=0.9)
    occluder: float = Field(default=0.0, ge=0, le=1)
    vertical_deg: float = Field(
        default=0.0, ge=0, le=180, description="3D poses without images: largest turn about the vertical"
    )


class TokenizerProfile(Section):
    """Stage I of PCT: sizes, codebook, loss and schedule."""

    num_tokens: int = Field(ge=1, description="M")
    codebook_size: int = Field(ge=2, description="V")
    token_dim: int = Field(ge=1, description="E")
    encoder_dim: int = Field(ge=1)
    encoder_layers: int = Field(ge=1)
    encoder_token_mlp_dim: int = Field(ge=1)
    encoder_channel_mlp_dim: int = Field(ge=1)
    decoder_dim: int = Field(ge=1)
    decoder_layers: int = Field(ge=1)
    decoder_token_mlp_dim: int = Field(ge=1)
    decoder_channel_mlp_dim: int = Field(ge=1)
    drop_rate: float = Field(default=0.2, ge=0, lt=1, description="share of joints hidden in training")
    guide_ratio: float = Field(default=0.0, ge=0, lt=1, description="share of the encoder fed by the image")
    normalise: bool = Field(default=True, description="False: raw pixels, as published")
    commitment_weight: float = Field(default=15.0, ge=0)
    beta: float = Field(default=0.05, gt=0, description="smooth L1, input pixels")
    ema_decay: float = Field(default=0.9, gt=0, lt=1)
    data_initialisation: bool = Field(default=True, description="codebook from k-means of the first tokens")
    revive_after: int = Field(default=100, ge=0, description="steps before a dead entry is reborn; 0: never")
    codebook_learning: Literal["average", "gradient", "scalar", "residual"] = Field(
        default="average",
        description="moving averages, as published; the codebook loss of VQ-VAE; beyond the paper: finite "
        "scalars without a codebook, or two levels of codes",
    )
    encoder_kind: Literal["mixer", "mlp"] = Field(default="mixer", description="mlp: a control")
    augmentation: AugmentationProfile = AugmentationProfile(color=0)
    training: TrainingSettings


class HeatmapProfile(Section):
    """Stage 0: backbone and SimpleBaseline head on heatmaps."""

    backbone: str
    weights: StartWeights = Field(default="none", description="that the backbone starts from")
    stages: int | None = Field(default=None, ge=1, description="first feature maps that are used; None: all")
    final_norm: bool = Field(default=False, description="normalise the last feature map")
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    deconv_channels: tuple[int, ...] = (256, 256, 256)
    sigma: float = Field(default=2.0, gt=0, description="of the Gaussian, in heatmap cells")
    augmentation: AugmentationProfile = AugmentationProfile()
    flip_test: bool = True
    training: TrainingSettings


class ClassifierProfile(Section):
    """Stage II of PCT: the token classifier on the frozen backbone."""

    conv_channels: int = Field(ge=1)
    conv_blocks: int = Field(ge=0)
    dilation: int = Field(default=1, ge=1)
    hidden_dim: int = Field(ge=1)
    mixer_layers: int = Field(ge=1)
    token_mlp_dim: int = Field(ge=1)
    channel_mlp_dim: int = Field(ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    token_loss_weight: float = Field(default=1.0, ge=0)
    keypoint_loss_weight: float = Field(default=1.0, ge=0)
    cached_views: int = Field(default=0, ge=0, description="augmented views whose features are kept; 0: none")
    augmentation: AugmentationProfile = AugmentationProfile()
    flip_test: bool = True
    training: TrainingSettings


class ClusterProfile(Section):
    """What one job asks of a cluster; ignored on one machine."""

    gpus: int = Field(default=0, ge=0, le=1, description="of every step but the making of people")
    memory_megabytes: int = Field(default=4000, gt=0)
    minutes: int = Field(default=30, gt=0)
    retries: int = Field(default=0, ge=0, description="of a job that failed; a training goes on where it was")

    def resources(self, step: str) -> dict[str, int]:
        """Return Snakemake resources of a step."""
        values = {"mem_mb": self.memory_megabytes, "runtime": self.minutes}
        if self.gpus and step != "data":
            values["gpu"] = self.gpus
        return values
