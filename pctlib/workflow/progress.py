"""Where a study stands: one live line in a terminal, a line a job elsewhere; failures and the index stay."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pctlib.io import write_json
from pctlib.paths import project_root
from pctlib.workflow.durations import DURATIONS, known_durations, own_durations
from pctlib.workflow.follow import Again, Event, Failed, Finished, Planned, Started
from pctlib.workflow.layout import StudyLayout
from pctlib.workflow.pages import page_named

FIRST = "first_index"
_TRAINS = "train_"
_LEAST = 20.0  # seconds of work that must be known before another machine's times are scaled to this one


@dataclass
class Progress:
    """What of a study is done, runs, and is left.

    Attributes:
        layout: of the study.
        cores: how many all jobs share.
        index: file of the report's index.
        console: where it is told.
        clock: seconds.
        expected: rule -> core-seconds of one of its jobs, from before.
        planned: rule -> number of jobs.
        running: number of a job -> what it is and when it started.
        done: rule -> core-seconds of its finished jobs.
        failed: jobs that failed, by number, and were not tried again.
    """

    layout: StudyLayout
    cores: int
    index: Path
    console: Console = field(default_factory=lambda: Console(soft_wrap=True, highlight=False))
    clock: Callable[[], float] = time.monotonic
    expected: dict[str, float] = field(default_factory=dict)
    planned: dict[str, int] = field(default_factory=dict)
    running: dict[int, tuple[Started, float]] = field(default_factory=dict)
    done: dict[str, list[float]] = field(default_factory=dict)
    failed: dict[int, Started] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Look for how long the jobs took before."""
        self.started = self.clock()
        before = own_durations(self.index.parent)
        self.expected = {**known_durations(self.layout.name), **before, **self.expected}
        self._live = Live(
            get_renderable=lambda: Text(self.line(), no_wrap=True, overflow="ellipsis"),
            console=self.console,
            refresh_per_second=2,
            transient=True,
        )

    def __enter__(self) -> Self:
        """Show the line, if there is a terminal."""
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the line away; what was said beside it stays. How long jobs took is kept for the next time."""
        if self.console.is_terminal:
            self._live.stop()
        if self.done:
            means = {rule: round(mean, 1) for rule, mean in self._means().items()}
            write_json(self.index.with_name(DURATIONS), own_durations(self.index.parent) | means)

    def take(self, event: Event) -> None:
        """Note what happened, and tell of it what is worth a line of its own."""
        if isinstance(event, Planned):
            self.planned = event.jobs
            if not self.console.is_terminal:
                self._tell(self.line())
        elif isinstance(event, Started):
            self.running[event.job] = (event, self.clock())
            self.failed.pop(event.job, None)
        elif isinstance(event, Finished) and event.job in self.running:
            self._finish(*self.running.pop(event.job))
        elif isinstance(event, Failed) and event.job in self.running:
            job, _ = self.running.pop(event.job)
            self.failed[event.job] = job
            self._tell(f"failed: {self.name(job)}: {_reason(job)}")
        elif isinstance(event, Again) and event.job in self.failed:
            self._tell(f"once more: {self.name(self.failed[event.job])}")

    def _finish(self, job: Started, since: float) -> None:
        seconds = self.clock() - since
        self.done.setdefault(job.rule, []).append(seconds * job.threads)
        if job.rule == FIRST:
            self._tell(f"first results after {spoken(self.clock() - self.started)}: {self.index.as_uri()}")
        elif not self.console.is_terminal:
            self._tell(f"{self.name(job)} took {spoken(seconds)}; {self.line()}")

    def _tell(self, line: str) -> None:
        self.console.print(line, markup=False)

    def name(self, job: Started) -> str:
        """Return what a job makes, as a reader of the report knows it."""
        if job.rule == FIRST:
            return "first results"
        rule = job.rule.removeprefix(_TRAINS)
        name = "people" if rule == "people" else page_named(rule).title
        seed = job.wildcards.get("seed") if len(self.layout.profile.seeds) > 1 else None
        parts = ["training" if rule != job.rule else "", job.wildcards.get("variant", "")]
        said = ", ".join(filter(None, [*parts, f"seed {seed}" if seed else ""]))
        return f"{name} ({said})" if said else name

    def line(self) -> str:
        """Return in one line what is done, what runs, and how long it has taken and may still take."""
        total = sum(self.planned.values())
        if not total:
            return "looking for what is to be done"
        done, now = sum(map(len, self.done.values())), self.clock()
        parts = [f"{done} of {total} jobs done"]
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        if self.running:
            runs = [f"{self.name(job)} {clock_time(now - since)}" for job, since in self.running.values()]
            parts.append(f"now {', '.join(runs)}")
        elapsed = clock_time(now - self.started)
        left = self.left()
        parts.append(elapsed if left is None or done == total else f"{elapsed}, about {spoken(left)} left")
        return " · ".join(parts)

    def left(self) -> float | None:
        """Return a fair guess of the seconds until all is done; None where nothing is known to guess from.

        It is the work that is left over the cores, and at least what the longest job needs. A rule that
        never ran takes as long as the mean of those that did; times of another machine are scaled by what
        this one took so far.
        """
        pace = self._pace()
        known = {rule: pace * work for rule, work in self.expected.items()} | self._means()
        if not known:
            return None
        usual = sum(known.values()) / len(known)
        work, longest = 0.0, 0.0
        counts = {rule: n - len(self.done.get(rule, ())) for rule, n in self.planned.items()}
        for job, since in self.running.values():
            counts[job.rule] = counts.get(job.rule, 1) - 1
            rest = max(known.get(job.rule, usual) / job.threads - (self.clock() - since), 0.0)
            work += rest * job.threads
            longest = max(longest, rest)
        for rule, count in counts.items():
            one = known.get(rule, usual)
            work += max(count, 0) * one
            longest = max(longest, one) if count > 0 else longest
        return max(work / self.cores, longest)

    def _means(self) -> dict[str, float]:
        """Return rule -> core-seconds of its finished jobs, on the mean."""
        return {rule: sum(times) / len(times) for rule, times in self.done.items()}

    def _pace(self) -> float:
        """Return how much longer finished jobs took than was expected."""
        pairs = [(sum(t), len(t) * self.expected[r]) for r, t in self.done.items() if r in self.expected]
        took, thought = map(sum, zip(*pairs, strict=True)) if pairs else (0.0, 0.0)
        return took / thought if thought > _LEAST else 1.0


def _reason(job: Started) -> str:
    """Return the last words of a job, and where the rest is."""
    path = project_root() / job.log
    if not (job.log and path.is_file()):
        return "it left no words"
    text = path.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{lines[-1] if lines else 'it said nothing'} (its log: {job.log})"


def clock_time(seconds: float) -> str:
    """Return a time as 0:07, 12:30 or 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def spoken(seconds: float) -> str:
    """Return a length of time as one would say it: 40 s, 7 min, 2.5 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 99.5 else f"{minutes / 60:.1f} h"
