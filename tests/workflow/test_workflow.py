"""The study as a whole at the smoke profile: it runs, it is offline, it repeats nothing, it fails clearly."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from helpers.browser import find_chromium, open_browser
from helpers.check import check_site

from pctlib.reporting.tables import ONE_SEED
from pctlib.workflow.layout import StudyLayout, run_name
from pctlib.workflow.pages import PAGES, page_named
from pctlib.workflow.seals import unseal

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def run_study(root, *arguments, check=True, **options):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    result = subprocess.run(
        [sys.executable, "-m", "pctlib", "study", "run", "--profile", "smoke", *arguments],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
        **options,
    )
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result


def planned_jobs(root, *arguments):
    """Return rule -> number of jobs that would run, from the table at the end of a dry run."""
    output = run_study(root, "--dry-run", *arguments).stdout
    rows = re.findall(r"^(\w+) +(\d+)$", output, flags=re.MULTILINE)
    return {name: int(count) for name, count in rows if name not in ("all", "total")}


def planned(root, *arguments):
    """Return the rules that would run."""
    return set(planned_jobs(root, *arguments))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return a copy of the study's files in which the smoke profile has run once."""
    root = tmp_path_factory.mktemp("study")
    for name in ("notebooks", "workflow", "pctlib"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.lock", "CITATION.cff"):
        shutil.copy(ROOT / name, root)
    result = run_study(root)
    assert "report: " in result.stdout
    return root


def test_every_step_left_its_page_and_its_numbers(study):
    report = study / "reports" / "smoke"
    layout = StudyLayout.from_config({"profile": "smoke"})
    pages = {path.name for path in report.glob("*.html")}
    assert pages == {file for _, file in layout.pages()}
    assert {"04_grid.html", "06_anatomy.html", "08_distillation.html", "13_occlusion.html"} <= pages
    for path in report.glob("*.html"):
        text = path.read_text()
        scripts = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
        assert len(text.encode()) <= 3_500_000, path.name
        assert sum(len(script.encode()) for script in scripts) <= 40_000, path.name
    findings = [step for step, seed in layout.runs() if seed is None and step != "data"]
    for step in findings:
        assert json.loads((report / step / "metrics.json").read_text())["finding"], step
    for run in ("data", "tokenizer-seed0", "heatmap-seed0", "classifier-seed0", "results"):
        assert json.loads((report / run / "metrics.json").read_text())
    card = json.loads((report / "classifier-seed0" / "run_card.json").read_text())
    assert card["profile"] == "smoke"
    assert {"token classifier", "heatmap control", "prediction"} <= set(card["wall_times"])


def test_the_report_is_whole_without_a_network(study):
    assert check_site(study / "reports" / "smoke") == []


def test_the_report_opens_without_an_error_or_a_request(study):
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium here to open the report in")
    with open_browser(chromium) as browser:
        for page in sorted((study / "reports" / "smoke").glob("*.html")):
            for width in (1280, 390):
                assert browser.visit(page, width=width).all_problems == [], (page.name, width)


def test_numbers_of_the_index_come_from_the_files(study):
    report = study / "reports" / "smoke"
    metrics = json.loads((report / "classifier-seed0" / "metrics.json").read_text())
    index = (report / "index.html").read_text()
    assert f"{100 * metrics['PCK@0.1 seen']:.1f} %" in index
    assert index.count(ONE_SEED) == 1


def test_nothing_changed_nothing_runs(study):
    assert planned(study) == set()


def test_the_index_is_there_as_soon_as_the_main_comparison_is(study, tmp_path):
    """Copied without the other pages, the study has the same answer; they join as they are made again."""
    root = tmp_path / "copy"
    layout = StudyLayout.from_config({"profile": "smoke"})
    main = [run_name(name, seed) for name, seed in layout.main_runs()]
    files = ("notebooks", "workflow", "pctlib", "requirements.lock", "CITATION.cff")
    shown = [file for _, file in layout.pages()[1 : 1 + len(main)]]
    for name in [*files, *(f"reports/smoke/{run}" for run in ("people", *main, *shown))]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (study / name).is_dir() else shutil.copy)(study / name, root / name)
    command = [sys.executable, "-m", "pctlib"]
    index = [*command, "study", "index", "--profile", "smoke", "--finished", "reports/smoke/first.json"]
    subprocess.run(index, cwd=root, check=True, timeout=300)
    report = root / "reports" / "smoke"
    waits = json.loads((report / "first.json").read_text())["to come"]
    assert "06_anatomy.html" in waits
    assert check_site(report) == []
    text = (report / "index.html").read_text()
    assert verdict_of(text) == verdict_of((study / "reports" / "smoke" / "index.html").read_text())
    assert 'class="card to-come" id="card-06_anatomy"' in text
    values = json.dumps(
        {"profile": "smoke", "study_dir": "reports/smoke", "out_dir": "reports/smoke/anatomy"}
    )
    page = [*command, "notebook", "run", "notebooks/06_anatomy.ipynb", "--values", values]
    page += ["--executed", "reports/smoke/anatomy/executed.ipynb", "--html", "reports/smoke/06_anatomy.html"]
    subprocess.run(page, cwd=root, check=True, timeout=300)
    joined = (report / "index.html").read_text()
    assert 'class="card" id="card-06_anatomy"' in joined
    assert joined.count("to-come") == text.count("to-come") - 1
    assert "still being made" not in (report / "06_anatomy.html").read_text()


def verdict_of(text):
    """Return the words of the answer on the first screen of an index."""
    return BeautifulSoup(text, "html.parser").select_one(".verdict p").get_text()


@contextmanager
def edited(path, old="", new=""):
    """Change a file for a while, by a comment if not told how; Snakemake compares contents, too."""
    text, times = path.read_text(), path.stat()
    assert old in text
    try:
        path.write_text(text.replace(old, new) if old else f"{text}\n# edited\n")
        yield
    finally:
        path.write_text(text)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_an_edited_plot_trains_nothing_again(study):
    with edited(study / "pctlib" / "visualization" / "curves.py"):
        again = planned(study)
    assert {"data", "tokenizer", "heatmap", "classifier", "masked", "results"} <= again, "with such a plot"
    assert not {rule for rule in again if rule.startswith("train_") or rule == "people"}


def test_an_edited_tokenizer_runs_again_with_what_depends_on_it(study):
    with edited(study / "pctlib" / "models" / "codebook.py"):
        again = planned(study)
    assert {"train_tokenizer", "tokenizer", "grid", "classifier", "anatomy", "results"} <= again
    assert not again & {"people", "data", "train_heatmap", "masked", "joint"}


def test_an_edited_judgement_is_seen_wherever_it_judges(study):
    with edited(study / "pctlib" / "study" / "predictions.py"):
        again = planned(study)
    assert {"heatmap", "classifier", "choices", "comparison", "occlusion", "results"} <= again


def test_a_page_more_makes_no_other_run_again(study):
    """Its record, the list of the profile's sections and a section of its own are read by every page."""
    with (
        edited(study / "pctlib" / "workflow" / "pages.py"),
        edited(study / "pctlib" / "profiles" / "profile.py"),
    ):
        assert planned(study) == set()


def test_a_point_more_in_the_profile_is_one_tokenizer_more(study):
    profile = study / "workflow" / "sizes" / "smoke.yml"
    with edited(profile, "grid: {codebook_sizes: [8, 16]", "grid: {codebook_sizes: [8, 16, 32]"):
        assert planned_jobs(study) == {"grid": 1, "results": 1}
    with edited(profile, "jobs: seed", "jobs: variant"):
        jobs = planned_jobs(study)
    assert jobs["train_grid"] == 2 + 2  # tokenizers, and classifiers of the row
    assert jobs["train_comparison"] == len(page_named("comparison").trainings(layout().profile))


def layout():
    return StudyLayout.from_config({"profile": "smoke"})


def test_a_seed_more_is_a_job_a_page_and_seed(study):
    """The pages of several seeds are made of jobs of one seed each."""
    profile = study / "workflow" / "sizes" / "smoke.yml"
    with edited(profile, "seeds: [0]", "seeds: [0, 1]"):
        jobs = planned_jobs(study)
    several = [page.name for page in layout().steps if page.trains and page.seeds == "all"]
    once = {"occlusion", "results", *several}
    assert {rule: jobs[rule] for rule in once} == dict.fromkeys(once, 1)
    assert [jobs[rule] for rule in ("tokenizer", "heatmap", "classifier")] == [1, 1, 1]
    assert {name: jobs[f"train_{name}"] for name in several} == dict.fromkeys(several, 2)
    assert "data" not in jobs
    assert "anatomy" not in jobs, "it shows the first seed"


def test_a_changed_value_of_the_profile_runs_again_what_reads_it(study):
    profile = study / "workflow" / "sizes" / "smoke.yml"
    with edited(profile, "late_epochs: 1", "late_epochs: 2"):
        assert planned(study) == {"distillation", "results"}


def test_a_failed_point_is_run_again_and_the_others_are_kept(study):
    points = study / "reports" / "smoke" / "grid" / "points" / "seed0"
    failed, kept = (points / f"v{v}-m4" / "metrics.json" for v in (8, 16))
    made = kept.stat().st_mtime_ns
    unseal(failed.parent)  # else it is not failed but damaged
    failed.write_text('{"failed": "no memory"}')
    assert planned_jobs(study) == {"grid": 1, "results": 1}
    run_study(study)
    assert json.loads(failed.read_text())["error px"] > 0
    assert kept.stat().st_mtime_ns == made
    assert planned(study) == set()


def test_a_notebook_run_by_hand_into_the_study_is_not_its_result(study):
    """Its card has other settings: the results refuse it, and the next run makes the page again."""
    report = study / "reports" / "smoke"
    before = json.loads((report / "masked" / "metrics.json").read_text())
    command = [sys.executable, "-m", "pctlib", "notebook", "run", "notebooks/09_masked.ipynb"]
    command += ["--executed", "by_hand.ipynb", "-p", "profile=smoke", "-p", "epochs=2"]
    subprocess.run(command, cwd=study, check=True, timeout=300)
    assert planned(study) == set(), "what is tried lands in the lab"
    assert (study / "reports" / "lab" / "masked" / "run_card.json").is_file()
    subprocess.run([*command, "-p", "out_dir=reports/smoke/masked"], cwd=study, check=True, timeout=300)
    assert json.loads((report / "masked" / "metrics.json").read_text()) != before
    results = [
        *command[:5],
        "notebooks/90_results.ipynb",
        "--executed",
        "by_hand.ipynb",
        "-p",
        "profile=smoke",
    ]
    refused = subprocess.run(results, cwd=study, check=False, capture_output=True, text=True, timeout=300)
    assert "reports/smoke/masked: this run was made by other settings" in refused.stderr
    assert {"masked", "results"} <= planned(study)
    run_study(study)
    assert json.loads((report / "masked" / "metrics.json").read_text()) == before
    assert planned(study) == set()


def test_damaged_files_of_finished_runs_are_named_and_made_again(study):
    report = study / "reports" / "smoke"
    damages = {  # file -> what is done to it
        "grid/points/seed0/v8-m4/model.safetensors": "flipped",
        "grid/points/seed0/v16-m4/history.jsonl": "deleted",
        "masked/seed0/pretrained/predictions.npz": "cut",
        "masked/metrics.json": "edited",
        "04_grid.html": "flipped",
    }
    before = {name: (report / name).read_bytes() for name in damages}
    for name, way in damages.items():
        path, content = report / name, bytearray(before[name])
        if way == "flipped":
            content[len(content) // 2] ^= 1
        elif way == "cut":
            content = content[:-20]
        elif way == "edited":
            content = content.replace(b"0.", b"0.9", 1)
        path.unlink() if way == "deleted" else path.write_bytes(content)
    again = {"grid", "masked", "flexibility", "results"}  # flexibility reads what masked found
    assert planned_jobs(study) == dict.fromkeys(again, 1)
    said = run_study(study).stderr.splitlines()
    named = [line.split(": ")[1] for line in said if line.startswith("damaged: ")]
    assert sorted(named) == sorted(f"reports/smoke/{name}" for name in damages)
    for name in damages:
        if name != "04_grid.html":  # which says when it was made
            assert (report / name).read_bytes() == before[name], name
    kept = {str(path.relative_to(report)) for path in report.rglob("*.damaged/**/*") if path.is_file()}
    assert kept == {
        "grid/points/seed0/v8-m4.damaged/model.safetensors",
        "masked/seed0/pretrained.damaged/predictions.npz",
        "masked.damaged/metrics.json",
        "grid.damaged/04_grid.html",
    }
    assert planned(study) == set()
    assert "damaged" not in run_study(study).stderr


def saved_at(path):
    """Return when a notebook was last saved, which happens with every cell; None while there is none."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def test_a_killed_run_goes_on_and_keeps_what_was_made(study):
    report = study / "reports" / "smoke"
    kept = (report / "heatmap-seed0" / "model.safetensors").stat().st_mtime_ns
    executed = report / "masked" / "executed.ipynb"
    before = saved_at(executed)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with edited(study / "pctlib" / "models" / "mae.py"):
        process = subprocess.Popen(
            [sys.executable, "-m", "pctlib", "study", "run", "--profile", "smoke"],
            cwd=study,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while saved_at(executed) in (None, before):
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert "masked" in planned(study)
        run_study(study)
        assert planned(study) == set()
        assert (report / "masked" / "metrics.json").is_file()
        assert (report / "heatmap-seed0" / "model.safetensors").stat().st_mtime_ns == kept


def test_a_job_that_fails_says_why_and_where_its_log_is(study):
    notebook = study / "notebooks" / "06_anatomy.ipynb"
    with edited(notebook, "%load_ext autoreload", "raise ValueError('no anatomy today')"):
        result = run_study(study, check=False)
    assert result.returncode == 1
    failed = [line for line in result.stdout.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 1
    assert failed[0].startswith("failed: Token anatomy: ")
    assert "no anatomy today" in failed[0]
    assert "its log: reports/smoke/anatomy/page.log" in failed[0]
    assert "no anatomy today" in (study / "reports" / "smoke" / "anatomy" / "page.log").read_text()
    assert "what is finished is kept, and make study PROFILE=smoke goes on from there" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    result = run_study(study)
    assert re.search(r"^Token anatomy took .*; 1 of 2 jobs done", result.stdout, flags=re.MULTILINE)
    assert run_study(study).stdout == f"nothing to do; report: {study / 'reports' / 'smoke' / 'index.html'}\n"


def test_ctrl_c_ends_all_jobs_and_says_how_to_go_on(study):
    executed = study / "reports" / "smoke" / "masked" / "executed.ipynb"
    before = saved_at(executed)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with edited(study / "pctlib" / "study" / "pages" / "masked" / "study.py"):
        process = subprocess.Popen(
            [sys.executable, "-m", "pctlib", "study", "run", "--profile", "smoke"],
            cwd=study,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        while saved_at(executed) in (None, before):
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        said, _ = process.communicate(timeout=100)
        assert process.returncode == 130
        assert "stopped. Nothing is lost" in said
        assert said.rstrip().endswith("To go on: make study PROFILE=smoke")
        assert "Traceback" not in said
        assert "failed" not in said
        assert not processes_of(study), "all have ended"
        run_study(study)
        assert planned(study) == set()


def processes_of(folder):
    """Return the commands of processes that work in a folder or below."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").resolve().is_relative_to(folder):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def test_two_runs_of_one_study_do_not_meet(study):
    import fcntl

    with (study / "reports" / "smoke" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = run_study(study, check=False)
    assert result.returncode == 1
    assert "another run is working on" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "smok"], "profile: expected one of .*smoke.*, got 'smok'"),
        (["--data", "cocoa"], "data: expected one of procedural, coco, .*got 'cocoa'"),
        (["--data", "coco"], "data root: data=coco needs the data set's folder"),
        (["--data", "coco", "--data-root", "nowhere"], "no such file or folder: .*nowhere"),
        (["--data-root", "somewhere"], "data root: procedural people need none"),
    ],
)
def test_bad_requests_end_with_one_line(study, arguments, message):
    result = run_study(study, *arguments, check=False)
    assert result.returncode == 1
    assert re.search(message, result.stderr)
    assert "Traceback" not in result.stderr


def test_the_study_runs_on_coco_files(study, shared, tmp_path):
    values = yaml.safe_load((ROOT / "workflow" / "sizes" / "smoke.yml").read_text())
    several = {page.name for page in PAGES if page.trains and page.seeds == "all"}
    main = {key: value for key, value in values.items() if key not in several}
    profile = tmp_path / "smoke.yml"
    profile.write_text(yaml.safe_dump(main))
    source = str(shared / "data" / "coco-mini")
    run_study(study, "--profile", str(profile), "--data", "coco", "--data-root", source)
    report = study / "reports" / "smoke-coco"
    assert check_site(report) == []
    counts = json.loads((report / "data" / "metrics.json").read_text())
    assert (counts["training people"], counts["validation people"]) == (86, 35)
