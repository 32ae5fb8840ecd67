"""Table, curves and finding of the transfer from large to small."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers.study_people import make_people

from pctlib.profiles.pages import KnowledgeTokenProfile
from pctlib.profiles.profile import load_profile
from pctlib.study.floor import FLOOR, floor_of
from pctlib.study.pages.knowledge_token.report import (
    student_histories,
    transfer_finding,
    transfer_table,
)
from pctlib.study.pages.knowledge_token.study import KnowledgeTokenStudy
from pctlib.study.pages.knowledge_token.trainings import BOTH, NONE, OUTPUT, RANDOM, TAUGHT, TEACHER, TOKEN
from pctlib.study.people import Splits
from pctlib.study.variants import run_folder

SHARES = {TEACHER: 0.6, TAUGHT: 0.61, NONE: 0.5, OUTPUT: 0.52, TOKEN: 0.51, BOTH: 0.53, RANDOM: 0.515}


def runs(*, seeds=1, **changes):
    shares = SHARES | changes
    return pd.DataFrame(
        [
            {"variant": variant, "seed": seed, "PCK@0.1 all": share, "NME all": 0.1, "parameters (M)": 2.0}
            for seed in range(seeds)
            for variant, share in shares.items()
        ]
    )


def test_finding_names_every_difference():
    assert transfer_finding(runs()) == (
        "In points of PCK@0.1, the teacher against the student alone: +10.0. What the student gains: "
        "from the heatmaps +2.0, from the token +1.0, from both +3.0. The token against a random one "
        "as long: −0.5. The token in the teacher itself: +1.0. One seed: no intervals, so no finding."
    )
    assert "from both +3.00 ± 0.00" in transfer_finding(runs(seeds=2))


def test_a_teacher_that_is_no_better_is_told():
    assert "nothing to transfer" in transfer_finding(runs(teacher=0.5))
    assert "nothing to transfer" not in transfer_finding(runs(teacher=0.501))
    failed = runs(teacher=np.nan).assign(failed=["OSError: disk"] + 6 * [np.nan])
    told = transfer_finding(failed)
    assert "nothing to transfer" not in told
    assert "the student alone: not measured." in told
    assert told.endswith("Failed trainings: 'teacher' with seed 0 (OSError: disk).")


def test_table_has_the_mean_pose_first(tmp_path):
    training = {"epochs": 1, "batch_size": 4, "learning_rate": 1e-3}
    size = {"dim": 16, "depth": 1, "heads": 2, "decoder_width": 8, "training": training}
    section = KnowledgeTokenProfile(
        input_height=32, input_width=32, train_people=6, teacher=size, token=training, student=size
    )
    profile = load_profile("smoke").model_copy(update={"knowledge_token": section})
    splits = Splits(make_people(tmp_path / "t", 8, seed=1), make_people(tmp_path / "v", 5, seed=2), "drawn")
    study = KnowledgeTokenStudy(profile, splits, progress=False)
    table = transfer_table(runs(), study)
    assert table["variant"].tolist() == [FLOOR, *SHARES]
    assert [float(v) for v in table["PCK@0.1 (%)"][1:]] == pytest.approx([100 * s for s in SHARES.values()])
    floor = floor_of(study.train_crops, study.val_crops)  # in the crops that the students see
    assert table.loc[0, "error / box side (%)"] == pytest.approx(100 * floor["NME all"])
    assert 0 < floor["NME all"] < 1
    assert table["parameters (M)"].tolist()[1:] == [2.0] * 7


def test_curves_show_the_error_that_all_students_have(tmp_path):
    for variant, loss in ((NONE, 3.0), (BOTH, 5.0)):
        run_folder(tmp_path, variant).mkdir()
        row = {"epoch": 1, "train_loss": loss, "train_heatmap": 3.0, "val_NME all": 0.2}
        (run_folder(tmp_path, variant) / "history.jsonl").write_text(json.dumps(row) + "\n")
    found = student_histories(tmp_path)
    assert list(found) == [NONE, BOTH]
    assert [h["train_loss"].item() for h in found.values()] == [3.0, 3.0]
