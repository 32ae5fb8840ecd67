"""The answer on the first screen: shares with intervals, the verdict, the person shown."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.study_people import make_people

from pctlib.metrics.pck import pck_metrics
from pctlib.study.methods import MEAN_POSE
from pctlib.study.pages.results import answer
from pctlib.study.pages.results.answer import CONTROL, PCT, example, share, verdict
from pctlib.study.predictions import Predictions


def moved(people, shift, rows=slice(None)):
    """Return the truth, moved by a share of the box for some people."""
    keypoints = people.keypoints_image.copy()
    keypoints[rows, :, 0] += shift * people.boxes_xywh[rows, 2:].max(1)[:, None]
    return Predictions(keypoints, np.ones(keypoints.shape[:2], np.float32))


@pytest.fixture
def results(tmp_path):
    """Return a function that gives results of people of whom PCT finds all, the control those of some."""
    people = make_people(tmp_path, 12)
    people.visible[:, ::3] = 1

    def make(found=6, seeds=(0,), pct=None):
        predictions = {
            MEAN_POSE: moved(people, 0.5),
            CONTROL: moved(people, 0.5, slice(found, None)),
            PCT: moved(people, 0.0) if pct is None else pct,
        }
        metrics = {
            name: [pck_metrics(people, p.keypoints_image, threshold=0.1) for _ in seeds]
            for name, p in predictions.items()
        }
        layout = SimpleNamespace(profile=SimpleNamespace(seeds=seeds))
        return SimpleNamespace(layout=layout, people=people, predictions=predictions, metrics=metrics)

    return make


def test_a_share_is_the_pck_with_an_interval_over_people(results):
    made = results()
    found = share(made, CONTROL, "hidden")
    assert found.mean == pytest.approx(100 * made.metrics[CONTROL][0]["PCK@0.1 hidden"])
    assert found.count == 12
    # Of joints that are right by person, half of 12 people: close to the binomial's deviation.
    assert found.half_width == pytest.approx(1.96 * 100 * np.sqrt(0.25 / 12), rel=0.1)
    assert share(made, PCT, "hidden").half_width == 0


def test_a_difference_is_paired_by_person_and_by_seed(results):
    made = results()
    one = share(made, CONTROL, "seen", CONTROL)
    assert (one.mean, one.half_width) == (0, 0)
    made = results(seeds=(0, 1))
    for shift, metrics in enumerate(zip(made.metrics[PCT], made.metrics[CONTROL], strict=True)):
        for metric, base in zip(metrics, (0.5, 0.4), strict=True):
            metric["PCK@0.1 hidden"] = base + 0.1 * shift
    found = share(made, PCT, "hidden", CONTROL)
    assert (found.mean, found.count) == (pytest.approx(10), 2)
    assert found.half_width == pytest.approx(0, abs=1e-9)


def test_the_verdict_says_who_is_ahead_only_where_the_interval_leaves_out_zero(results):
    made = results()
    ahead, control = verdict(made), 100 * made.metrics[CONTROL][0]["PCK@0.1 hidden"]
    assert ahead.startswith("**Tokens (PCT) keep more of the hidden joints than heatmaps do**")
    assert f"100.0 against {control:.1f} % (+{100 - control:.1f} points, +" in ahead
    assert "On joints that can be seen PCT is ahead (+" in ahead
    assert ahead.endswith(
        "finds 0.0 % of the seen ones and 0.0 % of the hidden ones. "
        "Intervals: 95 %, over the 12 people, one seed."
    )
    level = verdict(results(found=12))
    assert level.startswith("**No difference is shown**")
    assert "On joints that can be seen no difference is shown (0.0 points, 0.0 to 0.0)." in level
    made = results(found=12)
    made.predictions[MEAN_POSE] = made.predictions[PCT]
    assert verdict(made).startswith("**Neither tokens (PCT) nor heatmaps beat the mean pose**")
    behind = verdict(results(found=12, pct=moved(made.people, 0.5, slice(3, None))))
    assert behind.startswith("**Heatmaps keep more of the hidden joints than tokens (PCT) do**")


def test_without_hidden_joints_the_question_stays_open(results):
    made = results()
    made.people.visible[:] = 2
    assert share(made, PCT, "hidden") is None
    assert "stays open" in verdict(made)
    assert set(answer.dots_frame(made)["joints"]) == {"seen joints"}


def test_the_figure_has_a_dot_for_each_method_and_the_mean_pose_as_a_line(results):
    made = results()
    frame = answer.dots_frame(made)
    assert frame.set_index(["method", "joints"]).loc[(PCT, "seen joints"), "value"] == 100
    figure = answer.dots_figure(made)
    assert [place.get_title("left") for place in figure.axes] == ["seen joints", "hidden joints"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [CONTROL, PCT]
    dashed = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert [list(line.get_xdata()) for line in dashed] == [[0, 0]]


def test_the_person_shown_has_the_median_error_of_those_with_hidden_joints(results):
    made = results()
    shifts = np.linspace(0, 0.11, 12)
    keypoints = made.people.keypoints_image.copy()
    keypoints[..., 0] += (shifts * made.people.boxes_xywh[:, 2:].max(1))[:, None]
    same = Predictions(keypoints, np.ones(keypoints.shape[:2], np.float32))
    made.predictions |= {PCT: same, CONTROL: same}
    assert example(made) == 6
    made.people.visible[4:] = 2  # nothing hidden: they show nothing
    assert example(made) == 2
