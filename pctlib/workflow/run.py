"""Running the study: check what was asked for, then let Snakemake do what is not up to date."""

import fcntl
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pctlib.io import read_json
from pctlib.paths import project_root, resolve
from pctlib.workflow.follow import Said, events
from pctlib.workflow.layout import StudyLayout, run_name
from pctlib.workflow.mending import mend
from pctlib.workflow.pages import FAILED, Page
from pctlib.workflow.progress import Progress, spoken
from pctlib.workflow.sources import STUDIED, check_annotations, check_source

_LAST_WORDS = 30  # lines of Snakemake that are shown where no job is at fault
_PATIENCE = 5.0  # seconds in which an interrupted Snakemake must begin to end by itself


def run_study(*, profile: str, data: str, data_root: str, cores: int, dry_run: bool = False) -> Path:
    """Run every step that is missing or out of date.

    A run that was killed goes on where it was: finished steps stay, a training step resumes from its
    checkpoint.

    Args:
        profile: name of a profile or a YAML file.
        data: one of `STUDIED`.
        data_root: folder of the data set.
        cores: how many CPU cores all jobs together may use.
        dry_run: only print what would run.

    Returns:
        The report's index page.

    Raises:
        ValueError: if profile or data are not usable, another run works on the same study, or a job failed.
        KeyboardInterrupt: if the user stops it.
        FileNotFoundError: if a data set that the profile needs is not there.
    """
    root = project_root()
    if profile.endswith((".yml", ".yaml")):
        profile = str(Path(profile).resolve())
    data_root = str(resolve(data_root, Path.cwd())) if data_root else ""
    layout = StudyLayout.from_config({"profile": profile, "dataset": data, "root": data_root})
    check_source(data, data_root)
    if data not in STUDIED:
        known = ", ".join(STUDIED)
        raise ValueError(f"data: the whole study runs on {known}, not on '{data}'; notebook 00 shows it")
    if data != "procedural":
        check_annotations(data, data_root)
    _check_joint(layout)
    if layout.profile.device == "cuda":
        _ = layout.profile.torch_device  # refuses here, not after the first steps
    index = root / layout.page("index")
    with _only_one(root / "reports" / layout.name):
        mended = mend(root, layout, dry_run=dry_run)
        command = _command(root, layout, cores, dry_run, mended)
        if dry_run:
            code = subprocess.run(command, cwd=root, env=_environment(), check=False).returncode
        else:
            code = _run_and_tell(command, root, Progress(layout, cores, index))
    if code:
        raise ValueError(
            f"not all of the study could be made; what is finished is kept, and {layout.command} goes on "
            "from there"
        )
    return index


def _run_and_tell(command: Sequence[str], root: Path, progress: Progress) -> int:
    """Run Snakemake, tell where the study stands, and return its exit code.

    Raises:
        KeyboardInterrupt: if the user stops it; then all jobs have ended.
    """
    said: deque[str] = deque(maxlen=_LAST_WORDS)
    with subprocess.Popen(
        command, cwd=root, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            with progress:
                for event in events(process.stdout or ()):
                    progress.take(event)
                    if isinstance(event, Said):
                        said.append(event.line)
        except KeyboardInterrupt:
            print("stopping; jobs that run end first", flush=True)
            _wait_for_end(process)
            print(
                f"stopped. Nothing is lost: finished jobs are kept, trainings go on from their last "
                f"checkpoint. To go on: {progress.layout.command}"
            )
            raise
    if process.returncode and not progress.failed:
        print("\n".join(said), file=sys.stderr)  # the workflow itself is at fault, or what it needs
    elif not process.returncode:
        took = f"done after {spoken(progress.clock() - progress.started)}"
        print(f"{took if progress.planned else 'nothing to do'}; report: {progress.index}")
    return process.returncode


def _wait_for_end(process: subprocess.Popen[str]) -> None:
    """Wait for Snakemake, which a terminal has interrupted, too; else it is now."""
    try:
        process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.communicate()


def _check_joint(layout: StudyLayout) -> None:
    """Refuse to start without the data sets that are trained on together."""
    joint = layout.profile.joint
    for name, folder in (joint.datasets if joint else {}).items():
        try:
            check_annotations(name, str(resolve(folder)))
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"profile {layout.profile.name}, joint.datasets.{name}: {error}"
            ) from error


def _environment() -> dict[str, str]:
    """Return the environment of the jobs: their "python" is this one, whether or not it is activated."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    return os.environ | {"PATH": os.pathsep.join(filter(None, folders))}


def _command(
    root: Path, layout: StudyLayout, cores: int, dry_run: bool, mended: Sequence[str] = ()
) -> list[str]:
    config = [f"profile={layout.profile_source}", f"dataset={layout.dataset}", f"root={layout.root}"]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "workflow" / "Snakefile")]
    # Our own lock below ends with the process, so a killed run needs no unlocking by hand.
    command += ["--cores", str(cores), "--nolock", "--rerun-incomplete", "--keep-going"]
    if layout.profile.cluster.gpus:
        command += ["--resources", "gpu=1"]  # else all jobs would start on the first GPU together
    command += ["--config", *config]
    if outdated := [*outdated_runs(root, layout), *mended]:
        # Snakemake does not look behind a page that is newer than what it was made of, nor miss what is gone.
        command += ["--forcerun", *outdated]
    return [*command, "--dry-run"] if dry_run else command


def outdated_runs(root: Path, layout: StudyLayout) -> list[str]:
    """Return the files of jobs to make again though nothing that Snakemake sees has changed.

    They are those of pages and jobs below which a variant failed, and of runs whose card has other settings
    than the study's: somebody ran the notebook by hand into the study's folder; and of the results, if the
    index is gone. What another profile of the same name left behind does not count.

    Args:
        root: folder of the study.
        layout: says which pages, seeds and variants there are.
    """
    found = []
    for page in layout.steps:
        for seed in layout.profile.seeds if page.seeds == "each" else (None,):
            run = run_name(page.name, seed)
            found += _foreign(root, layout, page, run, seed)
        found += [path for seed in layout.profile.seeds for path in _failed(root, layout, page, seed)]
    if not (root / layout.page("index")).is_file():  # which is no file of a job: two of them write it
        found.append(layout.file(layout.steps[-1].name, "metrics.json"))
    return [path for path in dict.fromkeys(found) if (root / path).is_file()]


def _foreign(root: Path, layout: StudyLayout, page: Page, run: str, seed: int | None) -> list[str]:
    """Return the files of a run, and of the job that trained it, whose cards have other settings."""
    made = {"run_card.json": "metrics.json"} | (
        {} if seed is None else {j: j for j in layout.jobs(page, seed)}
    )
    wanted = layout.settings(page, seed)
    return [
        layout.file(run, result)
        for card, result in made.items()
        if (path := root / layout.file(run, card)).is_file() and _read(path).get("settings") != wanted
    ]


def _failed(root: Path, layout: StudyLayout, page: Page, seed: int) -> list[str]:
    """Return the files of a page, and of the jobs of a seed, below which a variant failed."""
    found = []
    for training in page.trainings(layout.profile):
        path = root / layout.variant_dir(page, training, seed) / "metrics.json"
        if path.is_file() and FAILED in _read(path):
            found += layout.made_from(page, training, seed)
    return found


def _read(path: Path) -> dict[str, Any]:
    """Return the values of a card or of metrics; one that is damaged counts as failed."""
    try:
        values = read_json(path)
    except ValueError as error:
        return {FAILED: str(error)}
    return values if isinstance(values, dict) else {FAILED: "no object"}


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Keep a second run of the same study out; the lock is gone when the process is, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another run is working on {folder}; wait for it or stop it") from None
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        yield
