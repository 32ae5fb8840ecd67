"""One title, unit, scale and direction for each metric."""

import pandas as pd
import pytest

from pctlib.reporting.columns import COLUMNS, Column, best_of, column, shown
from pctlib.reporting.tables import Table


def test_headings_are_distinct_and_have_their_unit():
    headings = [c.heading for c in COLUMNS.values()]
    assert len(set(headings)) == len(headings)
    assert column("PCK@0.2 hidden").heading == "PCK@0.2, hidden joints (%)"
    assert column("error px").named("mean error").heading == "mean error (px)"
    assert Column("bits").heading == "bits"


def test_values_are_scaled():
    found = shown({"PCK@0.2 all": 0.5, "error px": 3.0}, ["PCK@0.2 all", "error px", "AP"])
    assert found == {"PCK@0.2 (%)": 50.0, "error (px)": 3.0}


def test_an_unknown_metric_is_named():
    with pytest.raises(ValueError, match=r"metric: expected one of PCK@0.1 all, .*, got 'PCKh'"):
        column("PCKh")


def test_what_is_best_follows_from_the_metric():
    headings = ["variant", "OKS-AP (%)", "error / box side (%)", "bits per pose", ("measured", "AP")]
    assert best_of(headings) == {"OKS-AP (%)": "max", "error / box side (%)": "min"}
    frame = pd.DataFrame(
        {"variant": ["a", "b"], "OKS-AP (%)": [1.0, 2.0], "error / box side (%)": [3.0, 4.0]}
    )
    html = Table(frame, "c").html()
    assert html.count("number best") == 2
    assert '<td class="number best">2</td><td class="number">4</td>' in html
    assert "best" not in Table(frame, "c", best={}).html()
