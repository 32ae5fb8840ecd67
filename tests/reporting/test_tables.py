import io
import math
import re
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from scipy import stats

from pctlib.reporting.tables import (
    PUBLISHED,
    Interval,
    Table,
    beside,
    csv_link,
    format_number,
    mean_interval,
    published,
    signed,
    to_csv,
)


def parse(table):
    return BeautifulSoup(table.html(), "html.parser")


def rows(soup):
    return [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in soup.tbody.find_all("tr")]


def test_mean_interval_is_students():
    values = [0.6, 0.7, 0.65]
    interval = mean_interval(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert interval.mean == pytest.approx(0.65)
    assert interval.half_width == pytest.approx((high - low) / 2)
    assert mean_interval(values, level=0.5).half_width < interval.half_width
    assert str(interval) == "0.650 ± 0.124"


def test_one_run_has_no_interval():
    assert mean_interval([0.5]) == Interval(0.5, None, 1)
    assert str(mean_interval([0.5])) == "0.500"


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_mean_interval_refuses(values):
    with pytest.raises(ValueError, match="at least one finite number"):
        mean_interval(values)


def test_table_is_accessible_and_marks_the_best():
    frame = pd.DataFrame({"method": ["A & B", "C"], "AP": [0.5, 0.75], "error": [1.5, 0.25], "n": [12345, 7]})
    soup = parse(Table(frame, "**Table 1.** Some.", name="main", best={"AP": "max", "error": "min"}))
    assert soup.caption.get_text() == "Table 1. Some."
    assert [cell["scope"] for cell in soup.thead.find_all("th")] == ["col"] * 4
    assert [cell["scope"] for cell in soup.tbody.find_all("th")] == ["row"] * 2
    assert rows(soup) == [["A & B", "0.50", "1.50", "12,345"], ["C", "0.75", "0.25", "7"]]
    assert [cell.get_text() for cell in soup.select("td.best")] == ["0.75", "0.25"]
    assert all("number" in cell["class"] for cell in soup.tbody.find_all("td"))


def test_best_is_shared_by_ties_and_needs_two_values():
    frame = pd.DataFrame({"m": list("abc"), "tie": [2, 2, 1], "alone": [1.0, None, None]})
    soup = parse(Table(frame, "", best={"tie": "max", "alone": "max"}))
    assert [cell.get_text() for cell in soup.select("td.best")] == ["2", "2"]
    assert rows(soup)[1] == ["b", "2", "–"]


def test_intervals_compare_by_their_mean_and_digits_can_be_set():
    frame = pd.DataFrame(
        {"m": ["a", "b"], "AP": [Interval(0.61, 0.02, 3), Interval(0.6, 0.5, 3)], "x": [1 / 3, 1]}
    )
    soup = parse(Table(frame, "", best={"AP": "max"}, digits={"x": 2}))
    assert rows(soup) == [["a", "0.610 ± 0.020", "0.33"], ["b", "0.600 ± 0.500", "1.00"]]
    assert soup.select_one("td.best").get_text() == "0.610 ± 0.020"


@pytest.mark.parametrize(("best", "message"), [({"AR": "max"}, "'AR'"), ({"AP": "most"}, "'most'")])
def test_table_refuses_a_wrong_best(best, message):
    with pytest.raises(ValueError, match=f"table main: best.*{message}"):
        Table(pd.DataFrame({"method": ["a"], "AP": [1.0]}), "", name="main", best=best)


def test_published_and_measured_never_share_a_column():
    paper = pd.DataFrame({"method": ["PCT", "DARK"], "AP": [77.7, 76.2]})
    own = pd.DataFrame({"method": ["mean pose", "PCT"], "AP": [5.0, 60.0], "PCK": [0.3, 0.8]})
    frame = beside(paper, own, on="method")
    assert list(frame.columns) == [
        ("", "method"),
        ("published", "AP"),
        ("measured", "AP"),
        ("measured", "PCK"),
    ]
    assert list(frame["", "method"]) == ["PCT", "DARK", "mean pose"]
    assert frame["published", "AP"].tolist()[:2] == [77.7, 76.2]
    assert frame["measured", "AP"].isna().tolist() == [False, True, False]
    soup = parse(Table(frame, "", best={("measured", "PCK"): "max"}))
    groups = soup.select("th.group")
    assert [(cell.get_text(), cell["colspan"], cell["scope"]) for cell in groups] == [
        ("published", "1", "colgroup"),
        ("measured", "2", "colgroup"),
    ]
    assert soup.select_one("td.best").get_text() == "0.8"


def test_beside_refuses_a_name_twice():
    frame = pd.DataFrame({"method": ["a", "a"], "AP": [1, 2]})
    with pytest.raises(ValueError, match=r"measured: expected a column 'method' of unique names"):
        beside(frame.head(1), frame, on="method")


def test_csv_link_holds_the_values():
    frame = pd.DataFrame({"m": ["ä, b"], "AP": [Interval(0.5, 0.1, 3)]})
    link = BeautifulSoup(csv_link(frame, "main"), "html.parser").a
    assert link["download"] == "main.csv"
    content = unquote(link["href"].partition(",")[2])
    read = pd.read_csv(io.StringIO(content))
    assert read.to_dict("list") == {"m": ["ä, b"], "AP": [0.5], "AP half width": [0.1]}


def test_csv_joins_column_pairs():
    frame = pd.DataFrame([["a", 1]], columns=pd.MultiIndex.from_tuples([("", "m"), ("measured", "AP")]))
    assert to_csv(frame) == "m,measured AP\na,1\n"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(9999, 3, "9999"), (10000, 3, "10,000"), (0.12345, 2, "0.12"), (Interval(1, None, 1), 1, "1.0")],
)
def test_format_number(value, digits, text):
    assert format_number(value, digits) == text


def test_signed_numbers_have_a_minus_of_their_own():
    assert [format_number(value, 1) for value in (-1.26, -0.04, -12_345, 0.5)] == [
        "−1.3",
        "0.0",
        "−12,345",
        "0.5",
    ]
    assert str(Interval(-0.5, 0.42, 3)) == "−0.500 ± 0.420"
    assert (signed(0.25, 2), signed(-1.26)) == ("+0.25", "−1.3")
    assert signed(Interval(-0.5, 0.42, 3)) == "−0.5 ± 0.4"
    assert signed(Interval(-0.5, None, 1)) == "−0.5"
    assert (signed(-0.04), signed(0.04)) == ("0.0", "0.0")


def expand(listed):
    """Return the files of "a.csv, b_{c,d}.csv"."""
    for entry in re.split(r", (?![^{]*})", listed):
        before, _, rest = entry.partition("{")
        choices, _, after = rest.partition("}")
        yield from (f"{before}{choice}{after}" for choice in choices.split(","))


def test_every_published_table_is_read_and_named_in_its_readme():
    readme = (PUBLISHED / "README.md").read_text(encoding="utf-8")
    names = [path.stem for path in PUBLISHED.glob("*.csv")]
    assert len(names) == 33
    for name in names:
        assert len(published(name)) > 1
    stated = [file for listed in re.findall(r"\| ([^|]*\.csv[^|]*) \|", readme) for file in expand(listed)]
    assert sorted(stated) == sorted(f"{name}.csv" for name in names)
    table = published("coco_body_pct_table1")
    row = table[(table.method == "PCT") & (table.backbone == "Swin-Base")].iloc[0]
    assert (row.val_ap, row.test_dev_ap, row.gflops) == (77.7, 76.5, 15.2)
    decoders = published("coco_val_vitpose_decoders").pivot(index="method", columns="decoder", values="ap")
    assert (decoders["classic"] - decoders["simple"]).between(0, 0.4).all()
    assert published("osx_ehf")["mpvpe_face_mm"].isna().sum() == 1  # not reported


def test_published_names_what_exists():
    with pytest.raises(ValueError, match=r"no published table 'nothing'; there are agora_smplx_leader"):
        published("nothing")


def test_published_tables_equal_the_transcription(shared):
    for path in (shared / "published").iterdir():
        ours, theirs = (PUBLISHED / path.name).read_bytes(), path.read_bytes()
        assert ours == theirs or (path.name == "README.md" and ours.startswith(theirs))  # names more tables


def test_per_cent_have_at_most_one_digit_and_all_of_a_column_the_same():
    frame = pd.DataFrame({"method": ["a", "b"], "AP (%)": [0.0, 0.125], "share": [0.0, 0.125]})
    frame["x (%)"] = [Interval(0.0, 0.25, 2), Interval(0.5, None, 1)]
    table = BeautifulSoup(Table(frame, "c").html(), "html.parser")
    assert [cell.get_text() for cell in table.select("td")] == [
        *("0.0", "0.000", "0.0 ± 0.2"),
        *("0.1", "0.125", "0.5"),
    ]
    own = BeautifulSoup(Table(frame, "c", digits={"AP (%)": 2}).html(), "html.parser")
    assert own.select("td")[3].get_text() == "0.12"


def test_what_is_not_better_than_the_floor_is_marked_and_never_best():
    frame = pd.DataFrame(
        {
            "method": ["Mean pose", "A", "B", "C"],
            "found (%)": [50.0, 50.0, 70.0, Interval(40.0, 30.0, 3)],
            "error": [3.0, 4.0, 2.0, 3.5],
            "seconds": [0.0, 1.0, 2.0, 3.0],
        }
    )
    best = {"found (%)": "max", "error": "min"}
    soup = parse(Table(frame, "**Table 1.** Found.", best=best))
    assert [cell.get_text() for cell in soup.select("td.best")] == ["70.0", "2.0"]
    assert [cell.get_text() for cell in soup.select("td.below")] == ["50.0", "4.0", "40.0 ± 30.0", "3.5"]
    assert [row.th.get_text() for row in soup.select("tr.below")] == ["A", "C"]
    assert soup.caption.get_text() == "Table 1. Found. Grey, with ↓: not better than the mean pose."
    one = parse(Table(frame.iloc[[0, 2]], "Found.", best=best))
    assert one.caption.get_text() == "Found."
    alone = parse(Table(frame.iloc[[0, 1]], "Found.", best=best))
    assert not alone.select("td.best"), "the floor is no method"


def test_without_a_floor_nothing_is_marked():
    frame = pd.DataFrame({"method": ["A", "B"], "error": [1.0, 2.0]})
    soup = parse(Table(frame, "Found.", best={"error": "min"}))
    assert not soup.select(".below")
    assert soup.caption.get_text() == "Found."
