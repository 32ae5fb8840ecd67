"""What Snakemake says while it runs, as events: what it plans, and jobs that start, finish and fail."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_PLAN = re.compile(r"^(\w+) +(\d+)$")
_START = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):$")
_FIELD = re.compile(r"^    (\w+): (.*)$")
_FINISHED = re.compile(r"^Finished jobid: (\d+)\b")
_FAILED = re.compile(r"^Error in rule \w+:$")
_AGAIN = re.compile(r"^Trying to restart job (\d+)\.$")
_ALL = "all"  # the rule that only asks for the others
_LAST = "resources"  # the field that ends what is said of a job


@dataclass(frozen=True)
class Planned:
    """What is to be run: rule -> number of jobs, without the one that only asks for the others."""

    jobs: dict[str, int]


@dataclass(frozen=True)
class Started:
    """A job that starts: number, rule, wildcards, first log, and how many cores it has."""

    job: int
    rule: str
    wildcards: dict[str, str] = field(default_factory=dict)
    log: str = ""
    threads: int = 1


@dataclass(frozen=True)
class Finished:
    """A job that is finished."""

    job: int


@dataclass(frozen=True)
class Failed:
    """A job that failed."""

    job: int


@dataclass(frozen=True)
class Again:
    """A job that failed and is tried once more."""

    job: int


@dataclass(frozen=True)
class Said:
    """Any other line."""

    line: str


Event = Planned | Started | Finished | Failed | Again | Said


def events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield what the output of Snakemake, line by line, says of its jobs, as soon as it is known.

    Args:
        lines: of standard output and error together, as of version 9 without `--quiet`.
    """
    plan: dict[str, int] | None = None
    rule, fields, failing = "", {}, False
    for line in map(str.rstrip, lines):
        if plan is not None and (row := _PLAN.match(line)):
            if row[1] == "total":
                yield Planned(plan)
                plan = None
            elif row[1] != _ALL:
                plan[row[1]] = int(row[2])
        elif line == "Job stats:":
            plan = {}
        elif match := _START.match(line):
            rule, fields = (match[1] if match[1] != _ALL else ""), {}
        elif rule and (match := _FIELD.match(line)):
            fields[match[1]] = match[2]
            if match[1] == _LAST:
                yield _started(rule, fields)
                rule = ""
        elif _FAILED.match(line):
            failing = True
        elif failing and (match := _FIELD.match(line)) and match[1] == "jobid":
            failing = False
            yield Failed(int(match[2]))
        elif match := _FINISHED.match(line):
            yield Finished(int(match[1]))
        elif match := _AGAIN.match(line):
            yield Again(int(match[1]))
        else:
            yield Said(line)


def _started(rule: str, fields: dict[str, str]) -> Started:
    wildcards = dict(pair.split("=", 1) for pair in fields.get("wildcards", "").split(", ") if pair)
    log = fields.get("log", "").partition(", ")[0]
    return Started(int(fields["jobid"]), rule, wildcards, log, int(fields.get("threads", 1)))
