"""Where a study writes, what each job depends on, and what each notebook is told."""

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pctlib import __version__
from pctlib.paths import project_root, resolve
from pctlib.profiles.profile import Profile, load_profile, profile_names
from pctlib.workflow.closure import ROOM, SHOWS, closure, notebook_imports
from pctlib.workflow.durations import known_durations
from pctlib.workflow.pages import PAGES, SHARED, Page, Training, page_named, slug

if TYPE_CHECKING:
    from pctlib.reporting.page import Site

SMOKE = "A smoke run: it shows that everything works. Its numbers mean nothing."
_FIRST = 10  # priority of the main comparison
EVERY = "all"  # in place of a variant: the job of a seed that trains all of them
LAB = "lab"  # folder below reports/ of what notebooks make that are opened by hand


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
    def from_config(cls, config: Mapping[str, Any]) -> "StudyLayout":
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
    def folder(self) -> str:
        """Folder of the whole study, relative to the checkout; so are all paths below."""
        return f"reports/{self.name}"

    def run_dir(self, step: str, seed: int | str | None = None) -> str:
        """Return the folder of one run."""
        return f"{self.folder}/{run_name(step, seed)}"

    def file(self, run: str, name: str) -> str:
        """Return a file of one run."""
        return f"{self.folder}/{run}/{name}"

    def page(self, page: str) -> str:
        """Return an HTML page of the report."""
        return f"{self.folder}/{page}.html"

    @property
    def people(self) -> str:
        """The file that says that the people are made, which a job of its own does before all others."""
        return self.file("people", "people.json")

    @property
    def steps(self) -> tuple[Page, ...]:
        """The pages that the profile has, the results last."""
        return tuple(page for page in PAGES if page.within(self.profile))

    def seeds_of(self, page: Page) -> tuple[int, ...]:
        """Return the seeds whose models a page reads."""
        return self.profile.seeds[:1] if page.seeds == "first" else self.profile.seeds

    def runs(self) -> list[tuple[str, int | None]]:
        """Return (name, seed) of every run before the results that has a page, in order."""
        return [
            (page.name, seed)
            for page in self.steps[:-1]
            for seed in (self.profile.seeds if page.seeds == "each" else (None,))
        ]

    def main_runs(self) -> list[tuple[str, int | None]]:
        """Return (name, seed) of the runs that the study's question is answered from."""
        main = (PAGES[0].name, *PAGES[-1].needs)
        return [(name, seed) for name, seed in self.runs() if name in main]

    @property
    def first_index(self) -> str:
        """The file that says that the index was written as soon as the main comparison had run."""
        return self.file(PAGES[-1].name, "first_index.json")

    def first_index_inputs(self) -> list[str]:
        """Return what the first index tells of."""
        runs = [run_name(name, seed) for name, seed in self.main_runs()]
        return [self.file(run, name) for run in runs for name in ("metrics.json", "run_card.json")]

    def pages(self) -> list[tuple[str, str]]:
        """Return (title, file name) of every page, in the order of the navigation."""
        pages = [("Overview", "index.html")]
        for name, seed in [*self.runs(), (PAGES[-1].name, None)]:
            page = page_named(name)
            many = seed is not None and len(self.profile.seeds) > 1
            pages.append(
                (f"{page.title}, seed {seed}" if many else page.title, f"{html_stem(page, seed)}.html")
            )
        return pages

    def site(self) -> "Site":
        """Return the pages of the report for their navigation."""
        from pctlib.reporting.page import Site  # Snakemake reads this module before every job
        from pctlib.reporting.search import notebook_places

        pages = tuple(self.pages())
        records = [page_named(name) for name, _ in self.runs()] + [PAGES[-1]]
        by_file = {file: record for (_, file), record in zip(pages[1:], records, strict=True)}
        return Site(
            "Human pose representations",
            pages,
            f"{self.profile.name} profile on {self.dataset}, pctlib {__version__}",
            questions={file: record.question for file, record in by_file.items()},
            places={file: notebook_places(notebook_file(record)) for file, record in by_file.items()},
            figures={file: record.figure for file, record in by_file.items()},
            banner=SMOKE if self.profile.name == "smoke" else "",
        )

    @property
    def command(self) -> str:
        """What makes the whole report again."""
        options = {"PROFILE": self.profile_source, "DATA": self.dataset, "DATA_ROOT": self.root}
        usual = ("demo", "procedural", "")
        given = [
            f"{name}={shlex.quote(value)}"
            for (name, value), default in zip(options.items(), usual, strict=True)
            if value != default
        ]
        return " ".join(["make study", *given])

    # What is trained ahead of a notebook, each in a job of its own

    def variant_dir(self, page: Page, training: Training, seed: int | str) -> str:
        """Return the folder of one thing that a page trains with a seed."""
        parts = (self.run_dir(page.name), training.group, f"seed{seed}", slug(training.name))
        return "/".join(filter(None, parts))

    def made_from(self, page: Page, training: Training, seed: int | str) -> list[str]:
        """Return the files that say that the jobs and the page have run which use what a page trains."""
        jobs = [job for job in self.jobs(page, seed) if Path(job).stem in (EVERY, training.folder)]
        return [self.file(page.name, name) for name in ("metrics.json", *jobs)]

    def jobs(self, page: Page, seed: int | str) -> list[str]:
        """Return what trains a page's variants of a seed: names for `file`, one a job; none if it has no job.

        A model that other trainings start from has a job of its own, so that an edited plot does not make
        them run again. Where there is one job for all variants and one seed, the notebook trains them itself:
        a job would only start Python and read the people once more.
        """
        if page.seeds == "each":
            started_from = any(page.name in (*other.needs, *other.guided) for other in PAGES if other.trains)
            return ["trained.json"] if page.trains and started_from else []
        if self.profile.jobs == "seed":
            many = len(self.profile.seeds) > 1 and page.trains
            return [f"trained/seed{seed}/{EVERY}.json"] if many else []
        return [f"trained/seed{seed}/{training.folder}.json" for training in page.trainings(self.profile)]

    def trained(self, page: Page, seed: int | str) -> list[str]:
        """Return the files that say that what a page trains with a seed is trained."""
        run = run_name(page.name, seed if page.seeds == "each" else None)
        if jobs := self.jobs(page, seed):
            weights = ["model.safetensors"] if page.seeds == "each" else []
            return [self.file(run, name) for name in [*jobs, *weights]]
        return [self.file(run, "metrics.json")]

    def models(self, page: Page, seed: int | str) -> list[str]:
        """Return the files of other pages that what a page does with a seed depends on."""
        guides = page.guided if self.profile.tokenizer.guide_ratio else ()
        others = dict.fromkeys((*page.needs, *guides))
        return [self.people, *(file for name in others for file in self.trained(page_named(name), seed))]

    def job_inputs(self, page: Page, seed: str, variant: str = EVERY) -> list[str]:
        """Return what a training job depends on: code, models, and the jobs of others that it learns from."""
        files = [*self.code(page, trains=True), *self.models(page, seed)]
        for other in self._followed(page):
            files += self.trained(other, seed)
        if variant != EVERY:
            own = {t.folder: t for t in page.trainings(self.profile)}
            first = own[variant].after
            files += [self.file(page.name, f"trained/seed{seed}/{other.folder}.json") for other in first]
        return files

    def page_inputs(self, page: Page, seed: str | None = None) -> list[str]:
        """Return what a page depends on: code, models and trainings of its seeds, pages that it follows."""
        files = [*self.code(page), self.people]
        if page.seeds != "none":
            for one in [seed] if seed is not None else self.seeds_of(page):
                own = self.trained(page, one) if self.jobs(page, one) else []
                files += [*self.models(page, one), *own]
        files += [self.file(other.name, "metrics.json") for other in self._followed(page)]
        if "*" in page.after:
            runs = [run_name(name, seed) for name, seed in self.runs()]
            files += [self.file(run, name) for run in runs for name in ("metrics.json", "run_card.json")]
        return list(dict.fromkeys(files))

    def _followed(self, page: Page) -> list[Page]:
        return [other for other in self.steps if other.name in page.after]

    def code(self, page: Page, *, trains: bool = False) -> list[str]:
        """Return the source files of a page, or of what it trains, with the versions of everything else."""
        return _below_root(training_code(page) if trains else page_code(page))

    def people_code(self) -> list[str]:
        """Return the source files that people are made or read by."""
        return _below_root(closure(["pctlib.study.people"], leave_out=SHOWS))

    def priority(self, page: Page) -> int:
        """Return how much earlier than others a ready job runs.

        First what the main comparison is made of; then the longest, so that no core idles at the end.
        """
        main = {PAGES[0].name, PAGES[-1].name, *PAGES[-1].needs}
        if page.name in main:
            return _FIRST
        known = known_durations(self.name)
        longest = max(
            (known.get(other.name, 0.0) for other in self.steps if other.name not in main), default=0.0
        )
        return round((_FIRST - 1) * known.get(page.name, 0.0) / longest) if longest else 0

    def resources(self, page: Page) -> dict[str, Any]:
        """Return what a cluster must give one job of a page, in the names of Snakemake's executors."""
        cpus = 1 + self.profile.workers  # that read images, beside the training
        return self.profile.cluster.resources(page.name) | {"cpus_per_task": cpus}

    # What a run is told, and what tells it from others

    def values(self, page: Page, seed: int | str | None = None) -> str:
        """Return the notebook parameters of a page as JSON."""
        values: dict[str, Any] = {"profile": self.profile_source, "dataset": self.dataset, "root": self.root}
        values["out_dir"] = self.run_dir(page.name, seed)
        if page.needs or page.guided or page.after:
            values["study_dir"] = self.folder
        if seed is not None:
            values["seed"] = int(seed)
        return json.dumps(values)

    def study_arguments(self) -> str:
        """Return what `python -m pctlib study people` and `study index` are told."""
        return shlex.join(self._source())

    def train_arguments(self, page: Page, seed: str, variant: str = EVERY) -> str:
        """Return what `python -m pctlib train` is told of one job."""
        chosen = [f"--variant={variant}"] if variant != EVERY else []
        return shlex.join([page.name, *self._source(), f"--seed={seed}", *chosen])

    def _source(self) -> list[str]:
        values = {"profile": self.profile_source, "data": self.dataset, "data-root": self.root}
        return [f"--{name}={value}" for name, value in values.items() if value]

    def settings(
        self, page: Page, seed: int | str | None = None, *, others: Mapping[str, Any] | None = None
    ) -> str:
        """Return a short hash of every setting that makes a run of a page.

        Args:
            page: whose sections of the profile count, with the data set.
            seed: of the run; None for a page of all seeds, which then count.
            others: values that are in no profile; those that are None do not count.
        """
        names = {*SHARED, *page.reads, *({page.name} & set(Profile.model_fields))}
        values = {
            "profile": self.profile.model_dump(mode="json", include=names),
            "data": [self.dataset, self.root],
            "seeds": [] if page.seeds == "none" else [int(seed)] if seed is not None else self.seeds_of(page),
            "others": {key: value for key, value in (others or {}).items() if value is not None},
        }
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_name(step: str, seed: int | str | None = None) -> str:
    """Return the folder of a run below that of its study."""
    return step if seed is None else f"{step}-seed{seed}"


def html_stem(page: Page, seed: int | str | None = None) -> str:
    """Return the file of a page's HTML, without ending."""
    return page.notebook if seed is None else f"{page.notebook}-seed{seed}"


@cache
def page_code(page: Page) -> tuple[Path, ...]:
    """Return the files that a page is made of: source, templates and published numbers."""
    shown = [*ROOM.glob("reporting/templates/**/*.*"), *ROOM.glob("published/*.csv")]
    shown += [project_root() / "CITATION.cff", *(project_root() / "docs" / "results").glob("*/results.json")]
    export = ["pctlib.reporting.export", "pctlib.workflow.notebooks"]
    imported = closure([*notebook_imports(notebook_file(page)), *export])
    return (*sorted({*imported, *_networks_code(page)}), *sorted(shown))


@cache
def training_code(page: Page) -> tuple[Path, ...]:
    """Return the source files that what a page trains is made of; what only shows results is none of them."""
    return tuple(sorted({*closure(_trains(page), leave_out=SHOWS), *_networks_code(page)}))


def _networks_code(page: Page) -> list[Path]:
    """Return what builds the networks of other pages that a page reads: `load_run` imports it by kind."""
    read = {*page.needs, *page.guided, *page.after}
    others = [other for other in PAGES if other.name in read or "*" in read]
    return closure([name for other in others for name in _trains(other)], leave_out=SHOWS)


def _trains(page: Page) -> list[str]:
    """Return the modules of what a page trains."""
    return [name.partition(":")[0] for name in page.trains]


def _below_root(files: Iterable[Path]) -> list[str]:
    """Return source files as the workflow has them, with the versions of everything else."""
    root = project_root()
    names = (file.relative_to(root) if file.is_relative_to(root) else file for file in files)
    return ["requirements.lock", *map(str, names)]


def notebook_file(page: Page) -> Path:
    """Return the notebook of a page."""
    return project_root() / "notebooks" / f"{page.notebook}.ipynb"


def out_folder(out_dir: str | Path) -> Path:
    """Return a run's folder, made if missing; relative paths are below the folder of the study."""
    folder = resolve(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
