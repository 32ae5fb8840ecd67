"""What a run was: enough to know where a number comes from and to make it again."""

import importlib.metadata
import platform
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from pctlib.io import read_json, write_json
from pctlib.reporting.tables import Table

PACKAGES = (
    "pctlib",
    "torch",
    "timm",
    "accelerate",
    "numpy",
    "pandas",
    "matplotlib",
    "pycocotools",
    "papermill",
)


@dataclass
class RunCard:
    """The facts of a run.

    Attributes:
        profile: name of the profile.
        seed: of every random draw; several are text, such as "0, 1, 2".
        data: name of the data set.
        counts: what was counted, such as people, images and skipped images.
        revision: of the code, with "+changes" if files differed from it.
        versions: of Python and the packages.
        device: where the networks ran, with its name.
        threads: that PyTorch used on the CPU.
        started: UTC, ISO 8601.
        wall_times: seconds by step.
        settings: hash of every setting that made the run; "" where nobody asks for it.
        products: how the CPU computes fp32 matrix products, with the figures that decided.
    """

    profile: str
    seed: int | str
    data: str
    counts: dict[str, int] = field(default_factory=dict)
    revision: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    device: str = ""
    threads: int = 0
    started: str = ""
    wall_times: dict[str, float] = field(default_factory=dict)
    settings: str = ""
    products: str = ""

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the wall time of a `with` block to `step`, also if the block fails."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.wall_times[step] = self.wall_times.get(step, 0.0) + time.perf_counter() - start

    def save(self, path: str | Path) -> Path:
        """Write the card as JSON."""
        return write_json(path, asdict(self))

    def table(self, caption: str = "**Run card.** Where the numbers of this page come from.") -> Table:
        """Return the card as a table of two columns."""
        rows = [
            ("Profile", self.profile),
            ("Seed", str(self.seed)),
            ("Data", self.data),
            *((f"Data: {what}", str(count)) for what, count in self.counts.items()),
            ("Code revision", self.revision),
            ("Device", self.device),
            ("CPU threads", str(self.threads)),
            ("Settings (hash)", self.settings),
            ("Matrix products", self.products),
            ("Started", self.started),
            *((f"Wall time: {step}", format_seconds(seconds)) for step, seconds in self.wall_times.items()),
            ("Versions", ", ".join(f"{name} {version}" for name, version in self.versions.items())),
        ]
        frame = pd.DataFrame(rows, columns=["Fact", "Value"])
        return Table(frame[frame.Value != ""].reset_index(drop=True), caption, name="run_card")


def collect(
    *,
    profile: str,
    seed: int | Sequence[int],
    data: str,
    device: str = "cpu",
    settings: str = "",
    root: str | Path = ".",
) -> RunCard:
    """Return the card of a run that starts now.

    Args:
        profile: name of the profile.
        seed: of every random draw; several where the runs of several are shown.
        data: name of the data set.
        device: where the networks run.
        settings: hash of every setting that makes the run.
        root: a folder of the checkout whose revision is noted; the run needs neither git nor a checkout.
    """
    import torch  # pages are made without it, and it takes seconds

    from pctlib.training.arithmetic import chosen_arithmetic

    return RunCard(
        profile=profile,
        seed=seed if isinstance(seed, int) else ", ".join(map(str, seed)),
        data=data,
        revision=git_revision(root),
        versions={"python": platform.python_version(), **_versions()},
        device=device_name(device),
        threads=torch.get_num_threads(),
        started=now(),
        settings=settings,
        products=str(chosen_arithmetic() or "") if device == "cpu" else "",
    )


def now() -> str:
    """Return the time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def load_run_card(path: str | Path) -> RunCard:
    """Read a card that `RunCard.save` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a run card; names the missing or unknown fields.
    """
    values = read_json(path)
    known = {entry.name for entry in fields(RunCard)}
    if not isinstance(values, dict) or set(values) != known:
        differing = sorted(set(values) ^ known) if isinstance(values, dict) else type(values).__name__
        raise ValueError(f"{path}: not a run card; missing or unknown fields: {differing}")
    return RunCard(**values)


def git_revision(root: str | Path = ".") -> str:
    """Return the short commit hash of a checkout, "+changes" if files differ, "unknown" without one."""
    try:
        revision = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown (not a git checkout)"
    return f"{revision}+changes" if changed else revision


def format_seconds(seconds: float) -> str:
    """Return a duration as people write it: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _git(root: str | Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def _versions() -> dict[str, str]:
    """Return the versions of the installed packages that a result may depend on."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # an optional part of the project
    return installed


def device_name(device: str) -> str:
    """Return a device with the name of its hardware, such as "cpu (AMD EPYC 7B13)"."""
    import torch

    if device.startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({_cpu_name()})" if device == "cpu" else device


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
