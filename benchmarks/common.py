"""What every benchmark returns, and how it is measured."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# Linux: the high-water mark that starts anew with the process; ru_maxrss is inherited from the parent there.
_PEAK = """
def peak():
    import resource
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
"""


@dataclass(frozen=True)
class Row:
    """One line of `make bench`.

    Attributes:
        name: what is measured, with its size.
        seconds: process CPU time of ours, the best of the repeats.
        reference_seconds: the same of the plain reference in the same run; None where there is none.
        peak_mb: growth of the peak memory of a process that runs ours alone; None if not measured.
        reference_peak_mb: the same of the reference.
        note: what the reference is.
    """

    name: str
    seconds: float
    reference_seconds: float | None = None
    peak_mb: float | None = None
    reference_peak_mb: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Return how many times longer the reference takes; None without one."""
        return None if self.reference_seconds is None else self.reference_seconds / self.seconds


def cpu_seconds(work: Callable[[], object], *, repeats: int = 3) -> float:
    """Return the least process CPU time of some runs: it does not count what others do on the machine."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def turns(works: Mapping[str, Callable[[], object]], *, repeats: int) -> dict[str, float]:
    """Return the least process CPU time of each work over some rounds in which all take their turn.

    Each runs once before that: compilation and first allocations are not counted.
    """
    for work in works.values():
        work()
    best = dict.fromkeys(works, float("inf"))
    for _ in range(repeats):
        for name, work in works.items():
            best[name] = min(best[name], cpu_seconds(work, repeats=1))
    return best


def peak_mb(code: str) -> float:
    """Return by how many MB a fresh process grows above what its imports need.

    Args:
        code: Python of two parts: the imports, then, after a line `# measured`, the work.

    Raises:
        RuntimeError: if the process fails; with its last message.
    """
    imports, work = code.split("# measured\n")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([_PEAK, imports, "print(peak())", work, "print(peak())"])],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the measured process failed: {done.stderr.strip().splitlines()[-1]}")
    before, after = (float(line) for line in done.stdout.split()[-2:])
    return after - before
