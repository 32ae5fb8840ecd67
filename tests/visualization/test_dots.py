import pandas as pd
import pytest

from pctlib.visualization.dots import dots

FRAME = pd.DataFrame(
    {
        "method": ["A", "B", "A"],
        "joints": ["seen", "seen", "hidden"],
        "value": [1.0, 2.0, 3.0],
        "low": [0.5, 1.0, 2.0],
        "high": [1.5, 3.0, 4.0],
    }
)
OPTIONS = {
    "row": "method",
    "panel": "joints",
    "label": "%",
    "floor": {"seen": 0.7},
    "floor_name": "mean pose",
}


def test_dots_whiskers_and_floor_stand_where_their_values_are():
    left, right = dots(FRAME, **OPTIONS).axes
    assert [list(line.get_xdata()) for line in left.lines] == [[0.5, 1.5], [1.0], [1, 3], [2.0], [0.7, 0.7]]
    assert [line.get_ydata()[0] for line in left.lines[:4]] == [0, 0, 1, 1]
    assert len(right.lines) == 2, "B was not measured there, and there is no floor"
    assert "mean pose 0.7" in [text.get_text() for text in left.texts]


@pytest.mark.parametrize("frame", [FRAME.drop(columns="low"), pd.concat([FRAME, FRAME])])
def test_missing_columns_and_repeated_dots_are_refused(frame):
    with pytest.raises(ValueError, match="one line a dot"):
        dots(frame, **OPTIONS)
