"""Kills at random moments, damaged files, a full disk or none to write: the study goes on to the same result.

    PYTHONPATH=tests python -m faults.kills [--kills 20] [--seed 0] [--cores 2] [TARGET ...]

Each study runs in a copy of the project of its own; nothing of this one is touched. Ends with 1 if something
is lost, differs or is left behind. TARGETs, such as reports/smoke/heatmap-seed0/trained.json, shorten it.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faults.damage import damage_some, named, sweep

PROJECT = Path(__file__).resolve().parents[2]
_MARK = "PCTLIB_TRIAL"
_TIMES = ("second", "time", "speed", "per_s", "/s", "ms", "fps", "latency")  # what no two runs have in common


class Trial:
    """A copy of the project, with its own folder for temporary files."""

    def __init__(self, folder: Path, cores: int, targets: list[str]) -> None:
        self.root, self.temporary = folder / "project", folder / "tmp"
        self.root.mkdir(parents=True)
        self.temporary.mkdir()
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True
        ).stdout
        for name in listed.decode().split("\0")[:-1]:
            target = self.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((PROJECT / name).read_bytes())
        self.command = [sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile"]
        self.command += ["--cores", str(cores), "--nolock", "--rerun-incomplete", "--keep-going"]
        self.command += ["--config", "profile=smoke"]
        self.command += ["--quiet", "rules", "--", *targets]
        self.targets = targets
        self.mark = f"{os.getpid()}-{folder.name}"
        self.environment = os.environ | {
            "PYTHONPATH": str(self.root),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "TMPDIR": str(self.temporary),
            "OMP_NUM_THREADS": "1",
            _MARK: self.mark,
        }

    def start(self) -> subprocess.Popen:
        """Start the study, or let it go on."""
        log = (self.root.parent / "log.txt").open("ab")
        return subprocess.Popen(
            self.command,
            cwd=self.root,
            env=self.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self) -> tuple[int, str]:
        """Let the study go on to its end; return its exit status and what it said."""
        log = self.root.parent / "log.txt"
        before = log.stat().st_size if log.is_file() else 0
        code = self.start().wait()
        return code, log.read_bytes()[before:].decode(errors="replace")

    def kill_all(self) -> int:
        """Kill every process of the study at once, kernels of notebooks included; return how many."""
        killed = 0
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if f"{_MARK}={self.mark}".encode() in (entry / "environ").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
                    killed += 1
        return killed

    def results(self) -> dict[str, str]:
        """Return hashes of all weights, and of all metrics without times."""
        found = {}
        for file in sorted((self.root / "reports").rglob("*")):
            if any(".damaged" in part for part in file.parts):
                continue
            if file.suffix == ".safetensors":
                content = file.read_bytes()
            elif file.name == "metrics.json":
                content = json.dumps(_without_times(json.loads(file.read_text())), sort_keys=True).encode()
            else:
                continue
            found[str(file.relative_to(self.root))] = hashlib.sha256(content).hexdigest()
        return found

    def left_behind(self) -> list[str]:
        """Return files in the folder of temporary ones, and half-written ones beside results."""
        return [str(f) for f in self.temporary.rglob("*") if f.is_file()] + [
            str(f) for f in (self.root / "reports").rglob(".*.tmp")
        ]


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not any(word in k.lower() for word in _TIMES)}
        return {key: _without_times(entry) for key, entry in kept.items()}
    return [_without_times(entry) for entry in value] if isinstance(value, list) else value


def _shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


class Report:
    """What was seen, printed as it comes."""

    def __init__(self) -> None:
        self.failed = False

    def check(self, good: bool, text: str) -> None:
        self.failed |= not good
        print(f"{'ok    ' if good else 'FAILED'}  {text}", flush=True)

    def same(self, expected: dict[str, str], found: dict[str, str], what: str) -> None:
        differ = sorted(name for name in expected.keys() | found if expected.get(name) != found.get(name))
        self.check(not differ, f"{what}: {len(found)} results, {len(differ)} differ {' '.join(differ[:5])}")


def undisturbed(trial: Trial, report: Report) -> tuple[dict[str, str], float]:
    """Run a study to its end; return its results and seconds."""
    shared, start = _shared_memory(), time.monotonic()
    code, said = trial.run()
    seconds = time.monotonic() - start
    report.check(
        code == 0, f"undisturbed study: {seconds:.0f} s" + ("" if code == 0 else f"\n{said[-2000:]}")
    )
    left = trial.left_behind() + sorted(_shared_memory() - shared)
    report.check(not left, f"left behind by an undisturbed study: {' '.join(left[:5]) or 'nothing'}")
    return trial.results(), seconds


def kills(
    trials: Iterator[Trial], number: int, seconds: float, rng: random.Random
) -> Iterator[tuple[Trial, list]]:
    """Kill studies `number` times at random moments and let each go on to its end.

    Yields:
        A finished study, and the seconds after which it was killed each time.
    """
    done = 0
    while done < number:
        trial, moments = next(trials), []
        while done < number:
            process, moment = trial.start(), rng.uniform(2, max(seconds / 4, 6))
            try:
                if process.wait(moment) == 0:
                    break
            except subprocess.TimeoutExpired:
                trial.kill_all()
                process.wait()
                moments.append(round(moment, 1))
                done += 1
        yield trial, moments


@contextlib.contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[bool]:
    """Give a folder a small file system of its own; yield False where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    allowed = subprocess.run(options, capture_output=True, check=False).returncode == 0
    try:
        yield allowed
    finally:
        if allowed:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


def disks(trial: Trial, expected: dict[str, str], report: Report) -> None:
    """Run a study on a disk that is full, then read-only, then large enough."""
    reports = trial.root / "reports"
    with mounted(reports, 1) as allowed:
        if not allowed:
            print("skipped  full and read-only disks: mounting a tmpfs is not allowed here")
            return
        (reports / "filler").write_bytes(bytes(900_000))
        code, said = trial.run()
        named = "No space left on device" in said and "cannot write" in said
        report.check(
            code != 0 and named, f"full disk: ended with {code}, {'named' if named else said[-1500:]}"
        )
        subprocess.run(["mount", "-o", "remount,ro", str(reports)], check=True)
        code, said = trial.run()
        named = "Read-only file system" in said
        report.check(
            code != 0 and named, f"read-only disk: ended with {code}, {'named' if named else said[-1500:]}"
        )
        subprocess.run(["mount", "-o", "remount,rw,size=2g", str(reports)], check=True)
        (reports / "filler").unlink()
        code, said = trial.run()
        report.check(code == 0, "went on once there was room" + ("" if code == 0 else f"\n{said[-1500:]}"))
        report.same(expected, trial.results(), "after a full and a read-only disk")


def together(trial: Trial, report: Report) -> None:
    """Start a study in a folder in which another works."""
    command = [sys.executable, "-m", "pctlib", "study", "run", "--profile", "smoke"]
    options = {"cwd": trial.root, "env": trial.environment, "stderr": subprocess.STDOUT, "text": True}
    first = subprocess.Popen(
        [*command, "--dry-run"], stdout=subprocess.PIPE, start_new_session=True, **options
    )
    lock = trial.root / "reports/smoke/.lock"
    deadline = time.monotonic() + 60
    while not (lock.is_file() and lock.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGSTOP)  # so that it is still there
    second = subprocess.run([*command, "--dry-run"], stdout=subprocess.PIPE, check=False, **options)
    os.kill(first.pid, signal.SIGCONT)
    first.communicate()
    refused = second.returncode == 1 and "another run is working on" in second.stdout
    report.check(refused and first.returncode == 0, "two studies in one folder: the second is refused")


def damaged(trial: Trial, expected: dict[str, str], report: Report, rng: random.Random) -> None:
    """Damage the files of a finished study: each in turn, then one of each kind at once, and let it go on."""
    number, missed = sweep(trial.root)
    report.check(number > 0 and not missed, f"{number} damages in turn, {len(missed)} not named {missed[:3]}")
    if trial.targets:
        return  # the study as a whole has yet to run
    files = damage_some(trial.root, rng)
    command = [sys.executable, "-m", "pctlib", "study", "run", "--profile", "smoke"]
    options = {"cwd": trial.root, "env": trial.environment, "capture_output": True, "text": True}
    result = subprocess.run(command, check=False, **options)
    report.check(result.returncode == 0, f"{len(files)} files damaged at once: the study goes on to its end")
    report.check(named(result.stderr) == files, f"{len(named(result.stderr))} of them named")
    report.same(_without_checkpoints(expected), _without_checkpoints(trial.results()), "after the damage")
    again = subprocess.run(command, check=False, **options)
    report.check(not named(again.stderr), "nothing damaged any more")


def _without_checkpoints(results: dict[str, str]) -> dict[str, str]:
    """Return the results without checkpoints: they hold times, and of several only the last is made again."""
    return {name: content for name, content in results.items() if "checkpoints" not in name}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", help="files to make; all pages without")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="pctlib-kills-") as folder:
        trials = (Trial(Path(folder) / str(n), options.cores, options.targets) for n in range(1000))
        first = next(trials)
        expected, seconds = undisturbed(first, report)
        report.check(bool(expected), f"{len(expected)} files of weights and metrics to compare")
        together(first, report)
        damaged(first, expected, report, random.Random(options.seed))
        killed = 0
        for trial, moments in kills(trials, options.kills, seconds, random.Random(options.seed)):
            code, said = trial.run()
            killed += len(moments)
            after = f"killed after {', '.join(map(str, moments))} s"
            report.check(
                code == 0, f"{after}: goes on to its end" + ("" if code == 0 else f"\n{said[-2000:]}")
            )
            report.same(expected, trial.results(), after)
            if left := trial.left_behind():
                print(f"note    left by killed processes: {len(left)} temporary files, such as {left[0]}")
        report.check(killed == options.kills, f"{killed} kills")
        disks(next(trials), expected, report)
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
