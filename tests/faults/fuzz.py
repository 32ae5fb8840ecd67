"""Damaged files by the thousand: read cleanly, or refused by an error that names the file; nothing else.

    PYTHONPATH=tests python -m faults.fuzz [--seeds 2000] [--first 0] [CASE ...]

Ends with 1 if a file is answered by another exception, takes longer than 10 s or more than 2 GB.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from faults.cases import CASES
from faults.watch import Fault, faults_of


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(case.name for case in CASES)}")
    parser.add_argument("--seeds", type=int, default=2000, help="files of each case")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    options = parser.parse_args()
    if unknown := set(options.cases) - {case.name for case in CASES}:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    faults: list[Fault] = []
    for case in CASES:
        if not options.cases or case.name in options.cases:
            start = time.monotonic()
            seeds = range(options.first, options.first + options.seeds)
            with tempfile.TemporaryDirectory() as folder:
                found, counts = faults_of(case, seeds, Path(folder) / "files")
            took = f"{time.monotonic() - start:.0f} s"
            answers = f"{counts['read']} read, {counts['refused']} refused, {len(found)} faults"
            print(f"{case.name}: {answers}, {took}", flush=True)
            for fault in found:
                print(f"  seed {fault.seed}: {fault.what}", flush=True)
            faults += found
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
