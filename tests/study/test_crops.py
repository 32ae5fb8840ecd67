"""Crops are cut once for all who ask, and a comparison measures the same people before and after."""

import dataclasses

import pytest
from helpers.study_people import make_people

from pctlib.profiles.profile import load_profile
from pctlib.study.crops import CropCache
from pctlib.study.pages.comparison.study import Comparison
from pctlib.study.people import Splits


@pytest.fixture
def people(tmp_path):
    return make_people(tmp_path, 4)


def test_crops_are_cut_once_for_a_table_size_and_use(people):
    profile = load_profile("smoke", crop__padding=1.5, crop__evaluation_padding=1.25)
    crops = CropCache(profile)
    first = crops.cut(people, training=True)
    assert crops.cut(people, training=True) is first
    assert crops.cut(people, profile.crop.input_size, training=True) is first
    measured = crops.cut(people, training=False)
    assert (first.padding, measured.padding) == (1.5, 1.25)
    small = crops.cut(people, (32, 48), training=False)
    assert small.profile.crop.input_size == (32, 48)
    others = dataclasses.replace(people)
    assert crops.cut(others, training=True) is not first


def test_crops_of_a_table_that_is_gone_are_not_given_to_another(tmp_path):
    crops = CropCache(load_profile("smoke"))
    for count in (2, 3, 4):  # ids of tables may come again once a table is gone
        assert len(crops.cut(make_people(tmp_path / str(count), count), training=False)) == count


def test_the_people_of_a_comparison_are_those_whose_image_can_be_read(tmp_path, people):
    train = make_people(tmp_path / "train", 3)
    people.image_files[1].write_bytes(b"no image")
    profile = load_profile("smoke", skip_broken=True)
    comparison = Comparison(profile, Splits(train, people, "drawn"), study_dir=tmp_path, progress=False)
    assert comparison.people.annotation_ids.tolist() == people.annotation_ids[[0, 2, 3]].tolist()
    assert comparison.people is comparison.people
