"""A parameter that a notebook does not have stops it, also under plain papermill."""

import papermill
import pytest

from pctlib.study.parameters import check_cells, refuse_unknown_parameters

DEFAULTS = 'profile: str = "demo"  # which\nepochs = 3\n'


def test_a_misspelt_parameter_is_refused_with_those_that_there_are():
    cells = ["", DEFAULTS, '# Parameters\nprofile = "smoke"\nepoch = 1\n', "1 + 1"]
    with pytest.raises(ValueError, match="no parameter epoch; this notebook has profile, epochs"):
        check_cells(cells)


@pytest.mark.parametrize(
    "cells",
    [
        [],
        [DEFAULTS],
        [DEFAULTS, '# Parameters\nprofile = "smoke"\n'],
        [DEFAULTS, "# Parameters that I tried\nepoch = 1\n"],
        ["%load_ext autoreload", "x = 1"],
    ],
)
def test_what_is_known_or_not_injected_passes(cells):
    check_cells(cells)


def test_outside_of_a_notebook_there_is_nothing_to_check():
    refuse_unknown_parameters()


@pytest.mark.slow
def test_plain_papermill_stops_in_the_cell_that_opens_the_page(tmp_path):
    from pathlib import Path

    notebooks = Path(__file__).parents[2] / "notebooks"
    with pytest.raises(
        papermill.PapermillExecutionError, match="no parameter profil; this notebook has profile"
    ):
        papermill.execute_notebook(
            notebooks / "00_data.ipynb",
            tmp_path / "out.ipynb",
            {"profil": "smoke"},
            cwd=str(notebooks),
            progress_bar=False,
        )
