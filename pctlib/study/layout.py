"""Where a study writes, what its steps are called, and what each notebook is told."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pctlib import __version__
from pctlib.profiles import Profile, load_profile
from pctlib.project import project_root, resolve

if TYPE_CHECKING:
    from pctlib.reporting.page import Site

STEPS = {
    "data": ("00_data", "Data"),
    "tokenizer": ("01_tokenizer", "Tokenizer"),
    "heatmap": ("02_heatmap", "Heatmap backbone"),
    "classifier": ("03_classifier", "Token classifier"),
    "results": ("90_results", "Results"),
}
SEEDED = ("tokenizer", "heatmap", "classifier")


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
        """Build the layout from Snakemake's `--config profile=... dataset=... root=...`."""
        source = str(config.get("profile", "demo"))
        return cls(
            profile=load_profile(source),
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

    def runs(self) -> list[tuple[str, int | None]]:
        """Return (step, seed) of every run before the results, in order."""
        runs: list[tuple[str, int | None]] = [("data", None)]
        return runs + [(step, seed) for step in SEEDED for seed in self.profile.seeds]

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
        values: dict[str, Any] = {
            "profile": self.profile_source,
            "dataset": self.dataset,
            "root": self.root,
        }
        if seed is not None:
            values["seed"] = int(seed)
        run = int(seed) if seed is not None else None
        values["out_dir"] = self.run_dir(step, run)
        if step == "classifier":
            values["tokenizer_dir"] = self.run_dir("tokenizer", run)
        if step == "classifier" or (step == "tokenizer" and self.guided):
            values["heatmap_dir"] = self.run_dir("heatmap", run)
        return json.dumps(values)

    def modules(self, *names: str) -> list[str]:
        """Return source files of the package by module path or pattern, relative to the study's folder."""
        root = project_root()
        files = {name: list(root.glob(f"pctlib/{name}.py")) for name in names}
        if missing := [name for name, found in files.items() if not found]:
            raise ValueError(f"no source file pctlib/{missing[0]}.py below {root}")
        return sorted(str(path.relative_to(root)) for found in files.values() for path in found)

    def resources(self, step: str) -> dict[str, Any]:
        """Return what a cluster must give one job of a step, in the names of Snakemake's executors."""
        return self.profile.cluster.resources(step)


def out_folder(out_dir: str | Path) -> Path:
    """Return a run's folder, made if missing; relative paths are below the folder of the study."""
    folder = resolve(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
