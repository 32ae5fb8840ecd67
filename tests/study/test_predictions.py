"""Keeping and judging predictions."""

import numpy as np
import pytest
from helpers.study_people import make_people

from pctlib.profiles.sections import CropProfile
from pctlib.study.predictions import (
    Predictions,
    choose_people,
    judge,
    load_predictions,
    mean_pose_predictions,
    person_errors,
    results_frame,
)


@pytest.fixture
def people(tmp_path):
    return make_people(tmp_path, 9)


def predicted(people, offset=0.0):
    return Predictions(people.keypoints_image + np.float32(offset), np.ones((len(people), 17), np.float32))


def test_the_truth_is_judged_perfect(people):
    metrics = judge(people, predicted(people))
    assert metrics["PCK@0.1 seen"] == metrics["PCK@0.1 hidden"] == metrics["AP"] == 1
    assert metrics["NME all"] == 0


def test_errors_are_shares_of_the_longer_side(people):
    errors = person_errors(people, predicted(people, 3.0))
    np.testing.assert_allclose(errors, np.sqrt(18) / people.boxes_xywh[:, 2:].max(1), rtol=1e-4)
    people.visible[4] = 2
    assert np.isnan(person_errors(people, predicted(people), "hidden")[4])


def test_saved_predictions_belong_to_their_people(people, tmp_path):
    predicted(people).save(tmp_path / "p.npz", people)
    loaded = load_predictions(tmp_path / "p.npz", people)
    np.testing.assert_array_equal(loaded.keypoints_image, people.keypoints_image)
    with pytest.raises(ValueError, match=r"p\.npz: predictions of 9 other people"):
        load_predictions(tmp_path / "p.npz", people.select([0, 1]))
    with pytest.raises(FileNotFoundError):
        load_predictions(tmp_path / "q.npz", people)


def test_mean_pose_is_the_mean_in_the_crop_and_ignores_unlabelled_joints(people):
    crop = CropProfile(input_height=64, input_width=64)
    same = people.select([3] * 1)
    floor = mean_pose_predictions(same, same, crop)
    labelled = same.labelled[0]
    np.testing.assert_allclose(
        floor.keypoints_image[0][labelled], same.keypoints_image[0][labelled], atol=1e-3
    )
    assert person_errors(people, mean_pose_predictions(people, people, crop)).max() < 0.1


def test_people_are_chosen_by_rule():
    errors = np.array([0.5, np.nan, 0.1, 0.9, 0.3, 0.2, 0.8])
    chosen = choose_people(errors, best=1, median=2, worst=2)
    assert [row for row, _ in chosen] == [2, 4, 0, 6, 3]
    assert [why.split()[0] for _, why in chosen] == ["least", "median", "median", "largest", "largest"]
    assert len(choose_people(errors[:3], best=2, median=2, worst=2)) == 2  # nobody twice


def test_the_main_results_have_a_row_a_method_under_the_titles_of_all_tables():
    frame = results_frame(
        {"PCT": {"PCK@0.1 seen": 0.5, "AP": 0.25, "error px": 3.0}, "heatmap": {"AP": 0.75}}
    )
    assert frame["method"].tolist() == ["PCT", "heatmap"]
    assert frame["OKS-AP (%)"].tolist() == [25, 75]
    assert frame["PCK@0.1, seen joints (%)"].tolist()[0] == 50
    assert len(frame.columns) == 3
