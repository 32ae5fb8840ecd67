"""Running notebooks: parameters are checked, failures name the cell."""

import subprocess
import sys

import nbformat
import pytest

from pctlib.workflow.notebooks import NotebookError, notebook_parameters, run_notebook


def write_notebook(path, *sources, tag="parameters"):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    if tag:
        cells[0].metadata["tags"] = [tag]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.mark.slow
def test_parameters_arrive_and_the_folder_is_the_notebooks(tmp_path):
    source = write_notebook(
        tmp_path / "a.ipynb", "number: int = 1  # a number", "import os; (number, os.getcwd())"
    )
    executed = run_notebook(source, tmp_path / "out" / "b.ipynb", {"number": 7})
    output = nbformat.read(executed, as_version=4).cells[-1].outputs[0]
    assert output.data["text/plain"] == f"(7, '{tmp_path}')"


def test_unknown_parameter_is_an_error_before_anything_runs(tmp_path):
    source = write_notebook(tmp_path / "a.ipynb", "num_tokens = 16  # M\nseed: int = 0")
    with pytest.raises(ValueError, match=r"a.ipynb: no parameter num_token; it has num_tokens, seed"):
        run_notebook(source, tmp_path / "b.ipynb", {"num_token": 8})
    assert not (tmp_path / "b.ipynb").exists()


@pytest.mark.slow
def test_failing_cell_is_named_and_what_ran_is_kept(tmp_path):
    source = write_notebook(
        tmp_path / "a.ipynb", "x = 1", "print('so far')", "raise ValueError('no such joint')"
    )
    with pytest.raises(NotebookError, match=r"a.ipynb, cell 2: ValueError: no such joint"):
        run_notebook(source, tmp_path / "b.ipynb", {})
    outputs = nbformat.read(tmp_path / "b.ipynb", as_version=4).cells
    assert any("so far" in str(cell.get("outputs")) for cell in outputs)


@pytest.mark.slow
def test_a_kernel_that_dies_is_a_failure_of_its_notebook(tmp_path):
    """As when memory runs out: the point of a sweep is written down as failed, and the others go on."""
    source = write_notebook(tmp_path / "a.ipynb", "x = 1", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(NotebookError, match=r"a.ipynb: its kernel died, .* memory ran out .*b.ipynb"):
        run_notebook(source, tmp_path / "b.ipynb", {})


def test_notebooks_without_parameters_cell_and_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no cell is tagged 'parameters'"):
        notebook_parameters(write_notebook(tmp_path / "a.ipynb", "x = 1", tag=None))
    (tmp_path / "b.ipynb").write_text("hello")
    with pytest.raises(ValueError, match="b.ipynb: not a notebook"):
        notebook_parameters(tmp_path / "b.ipynb")
    with pytest.raises(FileNotFoundError, match="c.ipynb"):
        notebook_parameters(tmp_path / "c.ipynb")


@pytest.mark.slow
def test_notebooks_run_side_by_side(tmp_path):
    source = write_notebook(
        tmp_path / "a.ipynb", "number: int = 1  # a number", "import time; time.sleep(1); number"
    )
    command = [sys.executable, "-m", "pctlib", "notebook", "run", str(source)]
    runs = [
        subprocess.Popen([*command, "--executed", str(tmp_path / f"{n}.ipynb"), "-p", f"number={n}"])
        for n in (2, 3)
    ]
    assert [run.wait(timeout=120) for run in runs] == [0, 0]
    for n in (2, 3):
        cells = nbformat.read(tmp_path / f"{n}.ipynb", as_version=4).cells
        assert cells[-1].outputs[0].data["text/plain"] == str(n)
    assert {path.suffix for path in tmp_path.iterdir()} == {".ipynb"}, "sockets left behind"
