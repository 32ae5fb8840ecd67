"""Running a reader on many damaged files in a process of its own, with limits of time and memory."""

import multiprocessing
import os
import random
import resource
import shutil
import signal
import warnings
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

SECONDS = 10.0
BYTES = 2 << 30
_GRACE = 5.0  # seconds after which a process that does not answer is ended


class Case(NamedTuple):
    """A kind of file and its reader.

    Attributes:
        name: of the case.
        write: (generator, empty folder): leaves a damaged file in the folder.
        read: folder: reads it.
    """

    name: str
    write: Callable[[random.Random, Path], None]
    read: Callable[[Path], object]


class Fault(NamedTuple):
    """A damaged file that was answered by anything but a clean read or an error that names its place."""

    case: str
    seed: int
    what: str


def faults_of(case: Case, seeds: Iterable[int], folder: Path) -> tuple[list[Fault], dict[str, int]]:
    """Return what went wrong, and how many files were read and refused.

    Args:
        case: what is read.
        seeds: one for each damaged file.
        folder: for the files; anything in it is removed.
    """
    waiting, faults, counts = list(seeds), [], {"read": 0, "refused": 0}
    while waiting:
        answers, end = _answers(case, waiting, folder)
        for seed, answer in zip(waiting, [*answers, end] if end else answers, strict=False):
            if answer in counts:
                counts[answer] += 1
            else:
                faults.append(Fault(case.name, seed, answer))
        waiting = waiting[len(answers) + bool(end) :]
    return faults, counts


def _answers(case: Case, seeds: list[int], folder: Path) -> tuple[list[str], str | None]:
    """Return the answers of one process, and how it ended if that was before the last seed."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_work, args=(case, seeds, folder, theirs))
    process.start()
    theirs.close()
    answers, end = [], None
    try:
        while len(answers) < len(seeds) and end is None:
            if ours.poll(SECONDS + _GRACE):
                answers.append(ours.recv())
            else:  # it hangs where no signal reaches it
                end = f"longer than {SECONDS:g} s"
                process.kill()
        process.join()
    except EOFError:
        process.join()
        end = f"the process ended with {process.exitcode}"
    return answers, end


def _work(case: Case, seeds: list[int], folder: Path, pipe: Connection) -> None:
    """Answer each seed with "read", "refused" or what went wrong."""
    warnings.simplefilter("ignore")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    signal.signal(signal.SIGALRM, _too_long)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        _outcome(case, -1, folder)  # imports and models are loaded before memory is counted
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
        for seed in seeds:
            pipe.send(_outcome(case, seed, folder))
    pipe.close()
    os._exit(0)  # what pytest has registered for its own end is not ours to run


def _outcome(case: Case, seed: int, folder: Path) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    case.write(random.Random(seed), folder)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        case.read(folder)
    except _TooLongError:
        return f"longer than {SECONDS:g} s"
    except (ValueError, FileNotFoundError) as error:
        return "refused" if str(folder) in str(error) else f"names no file: {_line(error)}"
    except BaseException as error:
        return _line(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "read"


class _TooLongError(BaseException):
    """Raised by the alarm; no reader catches it."""


def _too_long(*_: object) -> None:
    raise _TooLongError


def _line(error: BaseException) -> str:
    where, trace = "", error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if "pctlib" in file.parts:
            where = f" ({file.name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}{where}"
