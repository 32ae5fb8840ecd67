"""The distillation page: tables beside the published ones, and the finding in words."""

import numpy as np
import pandas as pd
import pytest
from helpers.study_people import make_people

from pctlib.profiles.pages import DistillationProfile
from pctlib.profiles.profile import load_profile
from pctlib.reporting.tables import Interval
from pctlib.study.findings import ONE_SEED
from pctlib.study.pages.distillation import report as report
from pctlib.study.pages.distillation.study import DistillationStudy
from pctlib.study.pages.distillation.trainings import BOTH, FIRST, NEITHER, SECOND, STEADY, TEACHER, VARIANTS
from pctlib.study.people import Splits
from pctlib.study.variants import run_folder

TRAINING = {"epochs": 1, "batch_size": 6, "learning_rate": 0.002}
SIZE = {"depth": 0.167, "width": 0.0625, "training": TRAINING}
ERRORS = {TEACHER: 0.10, NEITHER: 0.20, FIRST: 0.15, SECOND: 0.19, BOTH: 0.14, STEADY: 0.16}


def make_frame(seeds=(0, 1), parts=("body", "foot", "face", "hand", "wholebody"), **changes):
    rows = []
    for seed in seeds:
        for variant in VARIANTS:
            error = (ERRORS | changes)[variant] + 0.001 * seed
            row = {"variant": variant, "seed": seed, "parameters (M)": 2.0, "GFLOPs": 0.5}
            for number, part in enumerate(parts):
                row |= {
                    f"NME {part}": error + 0.01 * number,
                    f"PCK {part}": 1 - error,
                    f"AP {part}": 0.3 - error,
                }
            rows.append(row)
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    splits = Splits(make_people(folder / "t", 8, seed=1), make_people(folder / "v", 4, seed=2), "drawn")
    place = {"input_height": 64, "input_width": 32}
    section = DistillationProfile.model_validate({**place, "teacher": SIZE, "student": SIZE})
    profile = load_profile("smoke").model_copy(update={"distillation": section})
    return DistillationStudy(profile, splits, progress=False)


def test_the_published_rows_stand_beside_the_measured_ones():
    table = report.ablation_table(make_frame())
    assert list(table[("", "distillation")]) == [NEITHER, FIRST, SECOND, BOTH]
    published = table.set_index(("", "distillation"))["published"]
    assert published.loc[BOTH].to_dict() == {
        "body AP": 70.4, "feet AP": 66.2, "face AP": 84.3, "hands AP": 56.6, "whole body AP": 63.1
    }  # fmt: skip
    assert published.loc[NEITHER, "whole body AP"] == 62.1
    measured = table.set_index(("", "distillation"))["measured"]
    assert list(measured) == list(published)
    assert measured.loc[SECOND, "hands AP"].mean == pytest.approx(100 * (0.3 - 0.19) - 0.05)
    assert measured.loc[SECOND, "hands AP"].half_width > 0


def test_errors_have_a_floor_and_groups(study):
    table = report.error_table(make_frame(seeds=(0,), parts=("body",)), study)
    assert list(table[("", "variant")]) == ["mean pose", *VARIANTS]
    error, share = ("mean error / box side (%)", "body"), ("keypoints within 5 % of it (%)", "body")
    assert list(table.columns[1:]) == [error, share]
    assert 0 < table[error][0] < 20
    assert isinstance(table[error][1], Interval)
    assert float(table[error][1]) == pytest.approx(10)
    assert float(table[share][2]) == pytest.approx(80)


def test_decay_table_names_what_differs():
    table = report.decay_table(make_frame(seeds=(0,)))
    assert list(table["variant"]) == ["no teacher", "first stage, losses fade", "first stage, losses stay"]
    assert [float(value) for value in table["body"]] == pytest.approx([20, 15, 16])


def test_sizes_of_the_published_networks_are_theirs(study):
    table = report.size_table(make_frame(), study).set_index(("", "network"))
    assert table[("measured", "GFLOPs")]["teacher of this study, 64x32"] == 0.5
    for size in "tsml":
        row = table.loc[f"DWPose-{size}, 256x192"]
        assert row[("measured", "GFLOPs")] == pytest.approx(row[("published", "GFLOPs")], abs=0.06)


def test_bars_have_intervals_over_the_seeds():
    bars = report.part_bars(make_frame())
    assert len(bars) == 5 * len(VARIANTS)
    first = bars.iloc[0]
    assert (first["part"], first["variant"]) == ("body", TEACHER)
    assert first["value"] == pytest.approx(10.05)
    assert first["low"] < first["value"] < first["high"]
    one = report.part_bars(make_frame(seeds=(0,)))
    assert len(one) == 5 * len(VARIANTS)
    assert (one["low"] == one["value"]).all()


def test_histories_show_the_loss_that_students_share(tmp_path):
    for variant in (NEITHER, FIRST):
        run_folder(tmp_path, variant).mkdir()
        line = '{"epoch": 1, "train_loss": 9.0, "train_simcc": 2.5, "val_NME all": 0.1}\n'
        (run_folder(tmp_path, variant) / "history.jsonl").write_text(line)
    run_folder(tmp_path, STEADY).mkdir()
    (run_folder(tmp_path, STEADY) / "history.jsonl").write_text(
        '{"epoch": 1, "train_loss": 9.0}\n'
    )  # without labels
    histories = report.student_histories(tmp_path)
    assert list(histories) == [NEITHER, FIRST]
    assert histories[FIRST]["train_loss"].tolist() == [2.5]


def test_finding_says_what_each_stage_brings_and_whether_it_can_be_chance():
    words = report.distillation_finding(make_frame())
    assert (
        "(whole body), in per cent of the longer box side: teacher 14.1, student without it 24.1. D" in words
    )
    assert "Stage one: 'first stage' against 'neither': −5.00 points (95 % interval" in words
    assert "Stage two: 'second stage' against 'neither': −1.00" in words
    assert "'both stages' against 'first stage': −1.00" in words
    assert "losses: 'first stage' against 'first stage, no decay': −1.00" in words
    assert "nothing to transfer" not in words
    assert report.distillation_finding(make_frame(seeds=(0,))).endswith(ONE_SEED)


def test_finding_says_if_the_teacher_has_nothing_to_teach_or_a_training_failed():
    assert "nothing to transfer" in report.distillation_finding(make_frame(**{TEACHER: 0.3}))
    frame = make_frame(seeds=(0,))
    frame["failed"] = np.where(frame["variant"] == FIRST, "ValueError: lost", None)
    frame.loc[frame["variant"] == FIRST, "NME wholebody"] = np.nan
    words = report.distillation_finding(frame)
    assert "'first stage' with seed 0 (ValueError: lost)" in words
    assert report.summary_table(make_frame(parts=("body",)))["OKS-AP (%)"].notna().all()


def test_terms_of_the_loss_are_those_of_the_first_and_the_last_epoch():
    first = pd.DataFrame({"epoch": [1, 2, 3], "train_loss": [9.0, 8, 7], "train_simcc": [2.0, 3, 1]})
    taught = first.assign(train_feature=[0.00123456, 0, 4e-7], val_AP=0.5)
    table = report.loss_terms({NEITHER: first, FIRST: taught})
    assert table.to_numpy().tolist() == [
        [NEITHER, "simcc", "2", "1"],
        [FIRST, "simcc", "2", "1"],
        [FIRST, "feature", "0.00123", "4e-07"],
    ]
    assert report.loss_terms({}).empty
