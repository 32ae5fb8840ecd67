"""How the small backbones that come with the package are trained, as one validated YAML file."""

from pathlib import Path

from pydantic import Field, ValidationError, field_validator

from pctlib.io import read_yaml
from pctlib.paths import project_root
from pctlib.profiles.pages import BackboneProfile
from pctlib.profiles.profile import Profile, explain
from pctlib.profiles.sections import AugmentationProfile, Section
from pctlib.training.settings import TrainingSettings


class StartPeopleProfile(Section):
    """Procedural people that no study measures: made in shards, each a data set with a seed of its own."""

    images: int = Field(gt=0, description="to learn from")
    val_images: int = Field(gt=0, description="to say what was reached")
    shard_images: int = Field(default=1000, gt=0, description="pictures of a shard; what a process makes")
    image_size: int = Field(default=256, ge=64)
    occlusion: float = Field(default=0.3, ge=0, le=1, description="level, 0 none to 1 most")
    seed: int = Field(ge=1000, description="of the first shard; studies use small numbers")
    val_seed: int = Field(ge=1000)

    @property
    def shards(self) -> dict[int, int]:
        """Pictures of each training shard by its seed."""
        full, rest = divmod(self.images, self.shard_images)
        counts = [self.shard_images] * full + ([rest] if rest else [])
        return {self.seed + number: count for number, count in enumerate(counts)}

    @property
    def seeds(self) -> set[int]:
        """The seeds of all people, those that measure too."""
        return {*self.shards, self.val_seed}


class StartProfile(Section):
    """Long training of a study's small backbones, as heatmap networks on people of many shards."""

    study: str = Field(description="profile whose backbones, crops and widths of the head these are")
    people: StartPeopleProfile
    seed: int = Field(default=0, ge=0, description="of weights, order and draws")
    input_sizes: tuple[tuple[int, int], ...] = Field(
        min_length=1, description="each step draws one; twice the same counts twice; the crops' size first"
    )
    sigma: float = Field(default=2.0, gt=0, description="of the Gaussians at the crops' size, cells")
    augmentation: AugmentationProfile = AugmentationProfile()
    training: TrainingSettings

    @field_validator("input_sizes")
    @classmethod
    def _whole_cells(cls, sizes: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        if any(side < 32 or side % 16 for size in sizes for side in size):
            raise ValueError("expected multiples of 16 of at least 32")
        return sizes


def start_file(root: Path | None = None) -> Path:
    """Return the file of the weights that come with the package."""
    return (root or project_root()) / "workflow" / "pretrain.yml"


def load_start_profile(path: str | Path) -> StartProfile:
    """Read and validate how backbones are trained.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a key is unknown, missing or out of range, or the seeds of the people that teach and
            of those that measure are the same; names file and key.
    """
    try:
        plan = StartProfile.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ValueError(f"{path}: {explain(error)}") from error
    if plan.people.val_seed in plan.people.shards:
        raise ValueError(f"{path}: people.val_seed: {plan.people.val_seed} is the seed of a training shard")
    return plan


def start_backbones(study: Profile) -> list[BackboneProfile]:
    """Return the backbones of a study that one set of weights serves: of its heatmaps, and of its comparison.

    One name is there once, with as many stages as any user of it needs.
    """
    heatmap = study.heatmap
    found = [
        BackboneProfile(name=heatmap.backbone, stages=heatmap.stages, final_norm=heatmap.final_norm),
        *(study.comparison.whole.backbones if study.comparison and study.comparison.whole else ()),
    ]
    largest: dict[str, BackboneProfile] = {}
    for backbone in found:
        known = largest.setdefault(backbone.name, backbone)
        if known.stages is not None and (backbone.stages is None or backbone.stages > known.stages):
            largest[backbone.name] = backbone
    return list(largest.values())
