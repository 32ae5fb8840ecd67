"""Table, bars, curves and finding of joint training."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers.study_people import make_people

from pctlib.profiles.profile import load_profile
from pctlib.reporting.tables import Interval
from pctlib.study.floor import FLOOR
from pctlib.study.pages.joint.report import (
    joint_bars,
    joint_finding,
    joint_histories,
    joint_table,
    published_joint,
)
from pctlib.study.pages.joint.study import JointStudy, readings
from pctlib.study.pages.joint.trainings import ALONE, EXPERTS, JOINT
from pctlib.study.people import Splits
from pctlib.study.variants import run_folder

NAMES = ("coco", "mpii", "crowdpose")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    splits = Splits(make_people(folder / "t", 12, seed=1), make_people(folder / "v", 5, seed=2), "drawn")
    return JointStudy(load_profile("smoke"), readings(splits), progress=False)


def runs(*shares, seeds=1):
    """Return a frame whose variants find these shares of the joints, more on each further data set."""
    rows = []
    for seed in range(seeds):
        for variant, share in zip((ALONE, JOINT, EXPERTS), shares, strict=True):
            found = {f"PCK@0.1 all {name}": share + 0.01 * n + 0.001 * seed for n, name in enumerate(NAMES)}
            row = {"variant": variant, "seed": seed, "parameters (M)": 1.5, "images seen": 90} | found
            rows.append(row | {"PCK@0.1 all": share + 0.01, "NME all": 0.2 - share / 10})
    return pd.DataFrame(rows)


def test_table_has_a_row_a_variant_and_the_mean_pose(study):
    table = joint_table(runs(0.5, 0.6, 0.55), study)
    assert table["variant"].tolist() == [FLOOR, ALONE, JOINT, EXPERTS]
    assert [float(v) for v in table["mpii: PCK@0.1 (%)"][1:]] == pytest.approx([51, 61, 56])
    assert [float(v) for v in table["mean: error / box side (%)"][1:]] == pytest.approx([15, 14, 14.5])
    floor = table.iloc[0]
    own = [floor[f"{name}: PCK@0.1 (%)"] for name in NAMES]
    assert floor["mean: PCK@0.1 (%)"] == pytest.approx(np.mean(own))
    assert 0 < floor["mean: error / box side (%)"] < 100
    assert table["images seen"].tolist()[1:] == [90, 90, 90]


def test_bars_rise_above_the_mean_pose_and_carry_the_intervals(study):
    frame = runs(0.5, 0.6, 0.55, seeds=3)
    table, bars = joint_table(frame, study), joint_bars(frame, study)
    assert len(bars) == 3 * 3
    row = bars[(bars["variant"] == JOINT) & (bars["data set"] == "crowdpose")].iloc[0]
    value = table.loc[2, "crowdpose: PCK@0.1 (%)"]
    assert isinstance(value, Interval)
    assert row["value"] == pytest.approx(62.1 - table.loc[0, "crowdpose: PCK@0.1 (%)"])
    assert (row["high"] - row["low"]) / 2 == pytest.approx(value.half_width)
    single = joint_bars(runs(0.5, 0.6, 0.55), study)
    assert (single["low"] == single["high"]).all()


def test_published_gain_of_joint_training():
    told = published_joint()
    assert told["published", "difference, AP on COCO"].tolist() == pytest.approx([1.3, 0.4, 0.4])
    assert told["", "model"].tolist() == ["ViTPose-B", "ViTPose-L", "ViTPose-H"]


def test_finding_of_one_seed_and_of_several(study):
    found = joint_finding(runs(0.5, 0.6, 0.55), study)
    assert found == (
        "In points of PCK@0.1, a backbone for all data sets against one for each: coco +10.0, mpii +10.0, "
        "crowdpose +10.0, on average +10.0. Experts against none: coco −5.0, mpii −5.0, crowdpose −5.0, "
        "on average −5.0. One seed: no intervals, so no finding."
    )
    assert "coco +10.00 ± 0.00" in joint_finding(runs(0.5, 0.6, 0.55, seeds=3), study)
    failed = runs(0.5, 0.6, np.nan).assign(failed=[np.nan, np.nan, "ValueError: full"])
    assert "Experts against none: coco not measured" in joint_finding(failed, study)
    assert "'joint, experts' with seed 0 (ValueError: full)" in joint_finding(failed, study)


def test_histories_of_models_alone_are_put_beside_each_other(study, tmp_path):
    for number, name in enumerate(NAMES):
        rows = [
            {"epoch": epoch, "train_loss": float(number + epoch), f"val_PCK@0.1 all {name}": 0.1 * number}
            | {"val_PCK@0.1 all": 0.0}
            for epoch in (1, 2)
        ]
        file = run_folder(tmp_path, ALONE) / name / "history.jsonl"
        file.parent.mkdir(parents=True)
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    run_folder(tmp_path, JOINT).mkdir()
    (run_folder(tmp_path, JOINT) / "history.jsonl").write_text(
        json.dumps({"epoch": 1, "train_loss": 7.0}) + "\n"
    )
    found = joint_histories(tmp_path, study)
    assert list(found) == [ALONE, JOINT]
    assert found[ALONE]["train_loss"].tolist() == [2.0, 3.0]
    assert found[ALONE]["val_PCK@0.1 all crowdpose"].tolist() == [0.2, 0.2]
    assert found[ALONE].columns.is_unique
