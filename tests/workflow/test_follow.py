"""What Snakemake says is read as events: jobs with their wildcards and logs, failures, second tries."""

from pathlib import Path

import pytest

from pctlib.workflow.follow import Again, Failed, Finished, Planned, Said, Started, events

WORDS = """Building DAG of jobs...
Using shell: /usr/bin/bash
Provided cores: 2
Job stats:
job      count
-----  -------
a            3
b            1
all          1
total        5

Select jobs to execute...
Execute 2 jobs...

[Fri Nov 27 17:36:29 2026]
rule a:
    input: requirements.lock, all.txt
    output: a-0.txt
    log: a-0.log, a-0.ipynb
    jobid: 2
    reason: Missing output files: a-0.txt
    wildcards: seed=0, variant=one-token
    threads: 2
    resources: tmpdir=/tmp, mem_mb=4000
[Fri Nov 27 17:36:29 2026]
localrule b:
    jobid: 3
    resources: tmpdir=/tmp
[Fri Nov 27 17:36:30 2026]
Finished jobid: 2 (Rule: a)
1 of 5 steps (20%) done
localrule all:
    input: c
    jobid: 0
    resources: tmpdir=/tmp
RuleException:
CalledProcessError in file "/tmp/smk/Snakefile", line 13:
[Fri Nov 27 17:36:31 2026]
Error in rule b:
    message: None
    jobid: 3
    output: c.txt
    shell:
        sleep 1
        (command exited with non-zero exit code)
Trying to restart job 3.
"""


def test_jobs_are_told_as_they_start_finish_and_fail():
    told = [event for event in events(WORDS.splitlines(keepends=True)) if not isinstance(event, Said)]
    assert told == [
        Planned({"a": 3, "b": 1}),
        Started(2, "a", {"seed": "0", "variant": "one-token"}, "a-0.log", 2),
        Started(3, "b"),
        Finished(2),
        Failed(3),
        Again(3),
    ]


def test_a_job_is_told_before_the_next_line_comes():
    """Else it would be seen only when another job ends."""
    lines = iter(WORDS.splitlines())
    told = events(lines)
    while not isinstance(next(told), Started):
        pass
    assert next(lines) == "[Fri Nov 27 17:36:29 2026]"
    assert next(lines) == "localrule b:"


def test_other_words_are_kept():
    said = [event.line for event in events(WORDS.splitlines()) if isinstance(event, Said)]
    assert "Building DAG of jobs..." in said
    assert "RuleException:" in said


@pytest.mark.slow
def test_words_of_the_snakemake_that_is_installed_are_understood(tmp_path):
    import subprocess
    import sys

    (tmp_path / "Snakefile").write_text(
        'rule all:\n    input: "c"\n'
        'rule a:\n    output: "a-{seed}"\n    log: "a-{seed}.log"\n    threads: 2\n'
        '    shell: "touch {output}"\n'
        'rule b:\n    input: "a-0"\n    output: "c"\n    retries: 1\n    shell: "exit 3"\n'
    )
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--nolock", "--keep-going"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)
    lines = (done.stdout + done.stderr).splitlines()
    told = [event for event in events(lines) if not isinstance(event, Said)]
    first, second = (event.job for event in told[1:5:2])
    assert told == [
        Planned({"a": 1, "b": 1}),
        Started(first, "a", {"seed": "0"}, "a-0.log", 2),
        Finished(first),
        Started(second, "b"),
        Failed(second),
        Again(second),
        Started(second, "b"),
        Failed(second),
    ], "\n".join(lines)
    assert not Path("c").exists()
