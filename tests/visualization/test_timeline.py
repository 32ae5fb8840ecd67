import pandas as pd
import pytest

from pctlib.visualization.timeline import timeline

FRAME = pd.DataFrame(
    {"step": ["Data", "Tokenizer"], "start": [0.0, 1.0], "minutes": [0.5, 2.0], "main": [True, False]}
)


def test_bars_and_lines_stand_where_their_times_are():
    (axes,) = timeline(FRAME, edges=[("Data", "Tokenizer")]).axes
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 0.5), (1, 2)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Data", "Tokenizer"]
    assert [text.get_text() for text in axes.texts] == ["0.5", "2.0"]
    (line,) = axes.lines
    assert line.get_xydata().tolist() == [[0.5, 0], [0.5, 1], [1, 1]]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first is at the top"


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="one line a step"):
        timeline(FRAME.drop(columns="main"))
    with pytest.raises(ValueError, match="one line a step"):
        timeline(pd.concat([FRAME, FRAME]))
    with pytest.raises(ValueError, match="no step 'Grid'; there are Data, Tokenizer"):
        timeline(FRAME, edges=[("Data", "Grid")])
