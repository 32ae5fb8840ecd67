"""Profiles: the size of a study, as one validated YAML file each.

A profile holds every value a run needs; a run is the few values that differ from it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pctlib.io import read_yaml
from pctlib.project import project_root
from pctlib.settings import TrainingSettings

if TYPE_CHECKING:
    import torch


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PeopleProfile(_Section):
    """Size of the procedural data set; other data sets have their own."""

    train_images: int = Field(gt=0)
    val_images: int = Field(gt=0)
    image_size: int = Field(default=256, ge=64)
    occlusion: float = Field(default=0.3, ge=0, le=1, description="level, 0 none to 1 most")


class CropProfile(_Section):
    """Top-down crops."""

    input_height: int = Field(ge=32)
    input_width: int = Field(ge=32)
    padding: float = Field(default=1.25, ge=1)
    evaluation_padding: float = Field(default=1.25, ge=1)

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network input."""
        return self.input_height, self.input_width


class AugmentationProfile(_Section):
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


class TokenizerProfile(_Section):
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
    augmentation: AugmentationProfile = AugmentationProfile(color=0)
    training: TrainingSettings


class HeatmapProfile(_Section):
    """Stage 0: backbone and SimpleBaseline head on heatmaps."""

    backbone: str
    pretrained: bool = Field(default=False, description="ImageNet weights by timm; needs the network once")
    final_norm: bool = Field(default=False, description="normalise the last feature map")
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    deconv_channels: tuple[int, ...] = (256, 256, 256)
    sigma: float = Field(default=2.0, gt=0, description="of the Gaussian, in heatmap cells")
    augmentation: AugmentationProfile = AugmentationProfile()
    flip_test: bool = True
    training: TrainingSettings


class ClassifierProfile(_Section):
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


class ClusterProfile(_Section):
    """What one job asks of a cluster; ignored on one machine."""

    gpus: int = Field(default=0, ge=0, description="of the training steps")
    memory_megabytes: int = Field(default=4000, gt=0)
    minutes: int = Field(default=30, gt=0)

    def resources(self, step: str) -> dict[str, int]:
        """Return Snakemake resources of a step; only training steps get a GPU."""
        values = {"mem_mb": self.memory_megabytes, "runtime": self.minutes}
        if self.gpus and step in ("tokenizer", "heatmap", "classifier"):
            values["gpu"] = self.gpus
        return values


class Profile(_Section):
    """One size of the whole study."""

    name: str
    description: str
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    device: str = "auto"
    workers: int = Field(default=2, ge=0)
    skip_broken: bool = Field(default=False, description="leave out unreadable images, and count them")
    cache_megabytes: int = Field(default=2048, ge=0, description="decoded crops kept in memory")
    cluster: ClusterProfile = ClusterProfile()
    people: PeopleProfile
    crop: CropProfile
    tokenizer: TokenizerProfile
    heatmap: HeatmapProfile
    classifier: ClassifierProfile

    @property
    def torch_device(self) -> "torch.device":
        """The device that "auto" stands for on this machine."""
        from pctlib.device import choose_device  # profiles are read where torch would only cost seconds

        return choose_device(self.device)

    @model_validator(mode="after")
    def _distinct_seeds(self) -> "Profile":
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: expected distinct numbers, got {list(self.seeds)}")
        return self

    @model_validator(mode="after")
    def _guidance_sees_images(self) -> "Profile":
        if self.tokenizer.guide_ratio and self.classifier.cached_views:
            raise ValueError(
                "tokenizer.guide_ratio: a guided tokenizer sees every image, so classifier.cached_views "
                "must be 0"
            )
        return self


def profile_names(root: Path | None = None) -> list[str]:
    """Return the names of the profiles that come with the study."""
    folder = (root or project_root()) / "workflow" / "profiles"
    return sorted(path.stem for path in folder.glob("*.yml"))


def load_profile(name: str | Path, **changes: Any) -> Profile:
    """Read and validate a profile.

    Args:
        name: one of `profile_names()`, or the path of a YAML file (ending in .yml or .yaml).
        changes: values that differ from the file's, as `section__field=value`; None changes nothing.

    Returns:
        The profile with the changes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the name is unknown, or a key is unknown, missing or out of range; names file
            and key.
    """
    path = Path(name)
    if path.suffix not in (".yml", ".yaml"):
        if str(name) not in profile_names():
            raise ValueError(f"profile: expected one of {', '.join(profile_names())}, got '{name}'")
        path = project_root() / "workflow" / "profiles" / f"{name}.yml"
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a mapping of profile keys, got {type(values).__name__}")
    for key, value in changes.items():
        if value is not None:
            _change(values, key.split("__"), value, path)
    try:
        return Profile.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{path}: {_explain(error)}") from error


def _change(values: dict[str, Any], keys: list[str], value: Any, path: Path) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise ValueError(f"{path}: '{key}' holds a value, not a section; cannot set '{'.'.join(keys)}'")
    values[keys[-1]] = value


def _explain(error: ValidationError) -> str:
    """Return one clause a problem: key, what was wrong, what was received."""
    clauses = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "profile"
        received = "" if problem["type"] in ("missing", "value_error") else f", got {problem['input']!r}"
        what = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"]
        clauses.append(f"{key}: {what}{received}")
    return "; ".join(clauses)
