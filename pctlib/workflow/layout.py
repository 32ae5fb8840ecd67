"""Where a study writes, what its steps are called, and what each notebook is told."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pctlib import __version__
from pctlib.io import read_json
from pctlib.paths import project_root, resolve
from pctlib.profiles.profile import Profile, load_profile, profile_names

if TYPE_CHECKING:
    from pctlib.reporting.page import Site

STEPS = {
    "data": ("00_data", "Data"),
    "tokenizer": ("01_tokenizer", "Tokenizer"),
    "heatmap": ("02_heatmap", "Heatmap backbone"),
    "classifier": ("03_classifier", "Token classifier"),
    "grid": ("04_grid", "Codebook size and tokens"),
    "choices": ("05_choices", "Other choices"),
    "anatomy": ("06_anatomy", "Token anatomy"),
    "comparison": ("07_comparison", "Representations compared"),
    "distillation": ("08_distillation", "Distillation"),
    "masked": ("09_masked", "Masked pretraining"),
    "joint": ("10_joint", "Several data sets"),
    "knowledge_token": ("11_knowledge_token", "Knowledge token"),
    "flexibility": ("12_flexibility", "Flexibility"),
    "occlusion": ("13_occlusion", "Occlusion"),
    "results": ("90_results", "Results"),
}
# One run, with a page of its own, for every seed.
SEEDED = ("tokenizer", "heatmap", "classifier")
# Variants that are trained alike: one page for all seeds, one job a seed where there are several.
FAMILIES = ("choices", "comparison", "distillation", "masked", "joint", "knowledge_token", "flexibility")
# The sections of the profile that a step reads, besides those of people and crops; results read them all.
_PCT = ("tokenizer", "heatmap", "classifier")
_READS = {
    "data": (),
    "tokenizer": ("tokenizer",),
    "heatmap": ("heatmap",),
    "classifier": _PCT,
    "grid": (*_PCT, "grid"),
    "choices": (*_PCT, "choices"),
    "anatomy": ("tokenizer",),
    "comparison": (*_PCT, "comparison"),
    "distillation": ("distillation",),
    "masked": ("masked",),
    "joint": ("joint",),
    "knowledge_token": ("knowledge_token",),
    "flexibility": ("masked", "flexibility"),
    "occlusion": ("comparison", "occlusion"),
    "results": tuple(Profile.model_fields),
}
_SHARED = ("people", "crop", "skip_broken")


@dataclass(frozen=True)
class StudyLayout:
    """One profile on one data set: `reports/<name>/`.

    Attributes:
        profile: the validated profile.
        profile_source: its name or file, as the user gave it.
        dataset: name of the data set.
        root: its folder; empty for the procedural people.
    """

    profile: Profile
    profile_source: str = "demo"
    dataset: str = "procedural"
    root: str = ""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "StudyLayout":
        """Build the layout from Snakemake's `--config profile=... dataset=... root=...`.

        Raises:
            ValueError: as `load_profile`, and if a profile of one's own has the name of one of the study's.
            FileNotFoundError: if there is no such profile.
        """
        source = str(config.get("profile", "demo"))
        profile = load_profile(source)
        if profile.name in profile_names() and Path(source).stem != profile.name:
            raise ValueError(
                f"{source}: name: '{profile.name}' is that of a profile of the study, and both results "
                "would share a folder; give it another"
            )
        return cls(
            profile=profile,
            profile_source=source,
            dataset=str(config.get("dataset") or "procedural"),
            root=str(config.get("root") or ""),
        )

    @property
    def name(self) -> str:
        """Folder below `reports/`: the profile, and the data set unless it is the default."""
        return self.profile.name if self.dataset == "procedural" else f"{self.profile.name}-{self.dataset}"

    @property
    def guided(self) -> bool:
        """Whether the tokenizer looks at images, so that the heatmap backbone must be trained first."""
        return self.profile.tokenizer.guide_ratio > 0

    def run_dir(self, step: str, seed: int | None = None) -> str:
        """Return the folder of one run, relative to the folder of the study."""
        return f"reports/{self.name}/{step if seed is None else f'{step}-seed{seed}'}"

    def file(self, run: str, name: str) -> str:
        """Return a file of one run, relative to the folder of the study."""
        return f"reports/{self.name}/{run}/{name}"

    def page(self, page: str) -> str:
        """Return an HTML page of the report, relative to the folder of the study."""
        return f"reports/{self.name}/{page}.html"

    @property
    def families(self) -> tuple[str, ...]:
        """The families that the profile has a section for."""
        return tuple(family for family in FAMILIES if getattr(self.profile, family) is not None)

    def grid_points(self) -> list[str]:
        """Return the folders, below that of the grid, of the tokenizers of the grid."""
        grid = self.profile.grid
        if grid is None:
            return []
        return [
            point_folder(entries, tokens, seed)
            for seed in self.profile.seeds
            for entries in grid.codebook_sizes
            for tokens in grid.num_tokens
        ]

    def runs(self) -> list[tuple[str, int | None]]:
        """Return (step, seed) of every run before the results that has a page, in order."""
        runs: list[tuple[str, int | None]] = [("data", None)]
        runs += [(step, seed) for step in SEEDED for seed in self.profile.seeds]
        shown = {"anatomy", *self.families}
        shown |= {part for part in ("grid", "occlusion") if getattr(self.profile, part) is not None}
        return runs + [(step, None) for step in STEPS if step in shown]

    def every_run(self, name: str) -> list[str]:
        """Return one file of every run before the results."""
        return [f"{self.run_dir(step, seed)}/{name}" for step, seed in self.runs()]

    def pages(self) -> list[tuple[str, str]]:
        """Return (title, file name) of every page, in the order of the navigation."""
        pages = [("Overview", "index.html")]
        for step, seed in [*self.runs(), ("results", None)]:
            stem, title = STEPS[step]
            many = seed is not None and len(self.profile.seeds) > 1
            file = stem if seed is None else f"{stem}-seed{seed}"
            pages.append((f"{title}, seed {seed}" if many else title, f"{file}.html"))
        return pages

    def site(self) -> "Site":
        """Return the pages of the report for their navigation."""
        from pctlib.reporting.page import Site  # Snakemake reads this module before every job

        note = f"{self.profile.name} profile on {self.dataset}, pctlib {__version__}"
        return Site("Human pose representations", tuple(self.pages()), note)

    def values(self, step: str, *, seed: int | str | None = None) -> str:
        """Return the notebook parameters of one run as JSON."""
        run = int(seed) if seed is not None else None
        values: dict[str, Any] = {**self._common, "out_dir": self.run_dir(step, run)}
        if step in (*FAMILIES, "grid"):
            values |= {"runs_dir": self.run_dir(step), "study_dir": f"reports/{self.name}"}
            if seed is not None:
                values |= {"seeds": [run], "out_dir": f"{self.run_dir(step)}/seed{run}"}
        elif run is not None:
            values["seed"] = run
        if step == "classifier":
            values["tokenizer_dir"] = self.run_dir("tokenizer", run)
        if step == "classifier" or (step == "tokenizer" and self.guided):
            values["heatmap_dir"] = self.run_dir("heatmap", run)
        if step in ("anatomy", "occlusion"):
            values["study_dir"] = f"reports/{self.name}"
        return json.dumps(values)

    def point_values(self, entries: str, tokens: str, seed: str) -> str:
        """Return the parameters of the tokenizer notebook for one point of the grid as JSON."""
        out_dir = f"{self.run_dir('grid')}/{point_folder(entries, tokens, seed)}"
        values = {**self._common, "out_dir": out_dir, "seed": int(seed), "compare": False}
        values |= {
            "codebook_size": int(entries),
            "num_tokens": int(tokens),
            "epochs": self.profile.grid.epochs,
        }
        if self.guided:
            values["heatmap_dir"] = self.run_dir("heatmap", int(seed))
        return json.dumps(values)

    @property
    def _common(self) -> dict[str, Any]:
        return {"profile": self.profile_source, "dataset": self.dataset, "root": self.root}

    def settings(self, step: str, *, all_seeds: bool = False) -> str:
        """Return a short hash of what a step reads of the profile, so that it runs again when that changes.

        Args:
            step: a key of `STEPS`.
            all_seeds: the runs of all seeds of the profile are read.
        """
        names = {*_SHARED, *_READS[step]} | ({"seeds"} if all_seeds else set())
        values = json.dumps(self.profile.model_dump(mode="json", include=names), sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()[:16]

    def modules(self, *names: str) -> list[str]:
        """Return source files of the package by module path or pattern, relative to the study's folder."""
        root = project_root()
        files = {name: list(root.glob(f"pctlib/{name}.py")) for name in names}
        if missing := [name for name, found in files.items() if not found]:
            raise ValueError(f"no source file pctlib/{missing[0]}.py below {root}")
        return sorted(str(path.relative_to(root)) for found in files.values() for path in found)

    def resources(self, step: str) -> dict[str, Any]:
        """Return what a cluster must give one job of a step, in the names of Snakemake's executors."""
        cpus = 1 + self.profile.workers  # that read images, beside the training
        return self.profile.cluster.resources(step) | {"cpus_per_task": cpus}


def point_folder(entries: int | str, tokens: int | str, seed: int | str) -> str:
    """Return the folder of one tokenizer of the grid, below that of the grid."""
    return f"V{entries}-M{tokens}-seed{seed}"


def read_description(folder: str | Path) -> dict[str, Any]:
    """Return what a trained model of the study is built from, which lies beside its weights.

    Raises:
        FileNotFoundError: if nothing was trained there; says what trains it.
        ValueError: if the file is damaged.
    """
    folder = Path(folder)
    if not (folder / "model.json").is_file():
        step = folder.name.rpartition("-seed")[0]
        first = f"run notebook {STEPS[step][0]} first" if step in STEPS else "run the notebook that trains it"
        raise FileNotFoundError(
            f"no trained model: {folder / 'model.json'} is missing; {first}, or make study"
        )
    return read_json(folder / "model.json")


def out_folder(out_dir: str | Path) -> Path:
    """Return a run's folder, made if missing; relative paths are below the folder of the study."""
    folder = resolve(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
