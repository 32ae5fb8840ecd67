import numpy as np
import pandas as pd
import pytest

from pctlib.visualization import bars, learning_curves

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "train_loss": [9.0, 1.0, 0.1],
        "val_oks_ap": [0.1, np.nan, 0.5],
        "seconds": [1, 1, 1],
    }
)
BARS = pd.DataFrame(
    [("knee", "seen", 0.8, 0.7, 0.95), ("knee", "hidden", 0.5, 0.4, 0.6), ("ankle", "seen", 0.6, 0.5, 0.7)],
    columns=["joint", "flag", "pck", "low", "high"],
)


def test_every_validation_metric_has_a_panel():
    figure = learning_curves(HISTORY)
    assert [axes.get_title("left") for axes in figure.axes] == ["Training loss", "Validation OKS AP"]
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_xydata(), [[1, 0.1], [3, 0.5]])
    assert figure.axes[0].get_yscale() == "log"  # it falls by a factor of 90
    assert figure.axes[1].get_yscale() == "linear"
    assert figure.legends == []


def test_runs_share_panels_and_a_reference_is_dashed():
    runs = {"a": HISTORY.drop(columns="val_oks_ap"), "b": HISTORY}
    figure = learning_curves(runs, metrics=["val_oks_ap"], references={"val_oks_ap": 0.97})
    assert [text.get_text() for text in figure.legends[0].texts] == ["a", "b"]
    run, reference = figure.axes[1].lines
    assert run.get_label() == "b"
    assert set(reference.get_ydata()) == {0.97}
    assert reference.is_dashed()


def test_unknown_metric_is_named():
    with pytest.raises(ValueError, match=r"no column \['val_pck'\]"):
        learning_curves(HISTORY, metrics=["val_pck"])


def test_bars_have_the_values_and_intervals():
    figure = bars(BARS, group="joint", series="flag", value="pck", low="low", high="high", label="PCK")
    (axes,) = figure.axes
    seen, hidden = (container for container in axes.containers if hasattr(container, "patches"))
    assert [patch.get_width() for patch in seen] == [0.8, 0.6]
    assert hidden.patches[0].get_width() == 0.5
    assert [label.get_text() for label in axes.get_yticklabels()] == ["knee", "ankle"]
    assert axes.get_xlabel() == "PCK"
    whiskers = axes.collections[0].get_segments()
    np.testing.assert_allclose(whiskers[0][:, 0], [0.7, 0.95])
    assert len(bars(BARS, group="joint", series="flag", value="pck").axes[0].collections) == 0


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (BARS, {"value": "pck", "low": "low"}, "low and high go together"),
        (BARS, {"value": "ap"}, "expected the columns"),
        (pd.concat([BARS, BARS]), {"value": "pck"}, "one row a bar"),
    ],
)
def test_bars_refuse(frame, options, message):
    with pytest.raises(ValueError, match=message):
        bars(frame, group="joint", series="flag", **options)
