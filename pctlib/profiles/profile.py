"""Profiles: the size of a study, as one validated YAML file each.

A profile holds every value a run needs, and may take those of another as its base; a run is the few values
that differ from it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, model_validator

from pctlib.io import read_yaml
from pctlib.paths import project_root
from pctlib.profiles.finetune import FinetuneProfile
from pctlib.profiles.official import OfficialProfile
from pctlib.profiles.pages import (
    AnatomyProfile,
    ChoicesProfile,
    ComparisonProfile,
    DistillationProfile,
    FlexibilityProfile,
    GridProfile,
    JointProfile,
    KnowledgeTokenProfile,
    MaskedProfile,
    MeshProfile,
    OcclusionProfile,
)
from pctlib.profiles.pose3d import Pose3DProfile
from pctlib.profiles.sections import (
    ClassifierProfile,
    ClusterProfile,
    CropProfile,
    HeatmapProfile,
    PeopleProfile,
    Section,
    TokenizerProfile,
)

if TYPE_CHECKING:
    import torch


class Profile(Section):
    """One size of the whole study; a part whose section is missing is left out."""

    name: str = Field(pattern=r"^\w[\w.-]*$", description="also of the folder below reports/")
    description: str
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    device: str = "auto"
    onednn: Literal["auto", "off"] = Field(
        default="auto",
        description="auto: for fp32 products on a CPU where trying shows it as exact and faster",
    )
    workers: int = Field(default=2, ge=0)
    skip_broken: bool = Field(
        default=False,
        description="leave out unreadable images and annotations without a usable box, and count them",
    )
    cache_megabytes: int = Field(default=2048, ge=0, description="decoded crops kept in memory")
    jobs: Literal["variant", "seed"] = Field(
        default="variant", description="what one job trains of a page: a variant, or all of a seed if short"
    )
    cluster: ClusterProfile = ClusterProfile()
    people: PeopleProfile
    crop: CropProfile
    tokenizer: TokenizerProfile
    heatmap: HeatmapProfile
    classifier: ClassifierProfile
    grid: GridProfile | None = None
    choices: ChoicesProfile | None = None
    anatomy: AnatomyProfile = AnatomyProfile()
    occlusion: OcclusionProfile | None = None
    comparison: ComparisonProfile | None = None
    distillation: DistillationProfile | None = None
    masked: MaskedProfile | None = None
    joint: JointProfile | None = None
    mesh: MeshProfile | None = None
    knowledge_token: KnowledgeTokenProfile | None = None
    flexibility: FlexibilityProfile | None = None
    official: OfficialProfile | None = None
    pose3d: Pose3DProfile | None = None
    finetune: FinetuneProfile | None = None

    @property
    def torch_device(self) -> "torch.device":
        """The device that "auto" stands for here; a CPU computes from now on as the profile says."""
        # Profiles are read where torch would only cost seconds.
        from pctlib.training.arithmetic import choose_arithmetic
        from pctlib.training.device import choose_device

        device = choose_device(self.device)
        if device.type == "cpu":
            choose_arithmetic(allowed=self.onednn == "auto")
        return device

    @model_validator(mode="after")
    def _distinct_seeds(self) -> "Profile":
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: expected distinct numbers, got {list(self.seeds)}")
        return self

    @model_validator(mode="after")
    def _flexibility_has_a_base(self) -> "Profile":
        if self.flexibility is None:
            return self
        if self.masked is None:
            raise ValueError("flexibility: its base is the ViTPose of the section 'masked', which is missing")
        window, grid = self.flexibility.window, tuple(side // 16 for side in self.masked.input_size)
        if any(side < 1 or cells % side for cells, side in zip(grid, window, strict=True)):
            raise ValueError(f"flexibility.window: expected a divisor of the grid {grid}, got {window}")
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
    folder = (root or project_root()) / "workflow" / "sizes"
    return sorted(path.stem for path in folder.glob("*.yml"))


def load_profile(name: str | Path, **changes: Any) -> Profile:
    """Read and validate a profile.

    A file with `base: demo` (or the path of another file, beside it if relative) has the values of that one
    where it says nothing else: mappings are merged key by key, lists and single values replaced, and a
    section that is null is left out.

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
    path = _profile_file(name)
    values = _read_values(path)
    for key, value in changes.items():
        if value is not None:
            _change(values, key.split("__"), value, path)
    try:
        return Profile.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{path}: {explain(error)}") from error


def _profile_file(name: str | Path, beside: Path | None = None) -> Path:
    """Return the file of a profile: that of the study by name, or a path, relative to `beside` if given."""
    path = Path(name)
    if path.suffix in (".yml", ".yaml"):
        return path if beside is None else beside / path
    if str(name) not in profile_names():
        raise ValueError(f"profile: expected one of {', '.join(profile_names())}, got '{name}'")
    return project_root() / "workflow" / "sizes" / f"{name}.yml"


def _read_values(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the values of a file over those of its base; `above` are the files whose base it is."""
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a mapping of profile keys, got {type(values).__name__}")
    base = values.pop("base", None)
    if base is None:
        return values
    try:
        file = _profile_file(str(base), path.parent)
    except ValueError as error:
        raise ValueError(f"{path}: base: {error}") from error
    if file.resolve() in (*above, path.resolve()):
        raise ValueError(f"{path}: base: {base} has this profile as its own base")
    return _merged(_read_values(file, (*above, path.resolve())), values)


def _merged(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return the values over those of a base, mappings key by key."""
    both = {
        key: _merged(base[key], value)
        for key, value in values.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return base | values | both


def _change(values: dict[str, Any], keys: list[str], value: Any, path: Path) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise ValueError(f"{path}: '{key}' holds a value, not a section; cannot set '{'.'.join(keys)}'")
    values[keys[-1]] = value


def explain(error: ValidationError) -> str:
    """Return one clause a problem: key, what was wrong, what was received."""
    clauses = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "profile"
        received = "" if problem["type"] in ("missing", "value_error") else f", got {problem['input']!r}"
        what = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"]
        clauses.append(f"{key}: {what}{received}")
    return "; ".join(clauses)
