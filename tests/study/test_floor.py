"""The mean pose under every table: of the crops that the networks see."""

import pandas as pd
import pytest
from helpers.study_people import make_people

from pctlib.profiles.profile import load_profile
from pctlib.study.crops import CropCache
from pctlib.study.floor import FLOOR, floor_of, with_floor
from pctlib.study.predictions import judge, mean_pose_predictions


def test_copies_of_one_pose_are_found_by_their_mean(tmp_path):
    people = make_people(tmp_path, 6)
    crops = CropCache(load_profile("smoke"))
    floor = floor_of(crops.cut(people, training=True), crops.cut(people, training=False))
    assert floor["PCK@0.1 seen"] > 0.95  # jittered copies of one pose


def test_the_mean_is_that_of_the_crops_a_page_looks_at(tmp_path):
    """Two shapes of crops stretch people differently, so their mean poses differ."""
    train, val = make_people(tmp_path / "t", 8, seed=1), make_people(tmp_path / "v", 5, seed=2)
    train.boxes_xywh[::2, 2] *= 0.4  # half of them in narrow boxes
    crops, floors = CropCache(load_profile("smoke")), []
    for size in ((64, 64), (64, 16)):
        cut = crops.cut(train, size, training=True), crops.cut(val, size, training=False)
        floors.append(floor_of(*cut))
        expected = judge(val, mean_pose_predictions(train, val, cut[1].profile.crop))
        assert floors[-1] == pytest.approx(expected, nan_ok=True)
    assert floors[0]["NME all"] != pytest.approx(floors[1]["NME all"], rel=1e-3)


def test_the_row_stands_first_and_lacks_what_it_has_not():
    table = pd.DataFrame({"network": ["a", "b"], "x": [1.0, 2.0], "images/s": [3, 4]})
    found = with_floor(table, {"x": 0.5, "unknown": 7.0})
    assert found.columns.tolist() == ["network", "x", "images/s"]
    assert found["network"].tolist() == [FLOOR, "a", "b"]
    assert found["x"].tolist() == [0.5, 1.0, 2.0]
    assert pd.isna(found["images/s"][0])
