"""Tables and finding of the comparison, from made-up metrics."""

import numpy as np
import pandas as pd
import pytest
from helpers.comparison_study import COMPARISON, small_profile
from helpers.study_people import make_people

from pctlib.profiles.profile import load_profile
from pctlib.reporting.tables import Table
from pctlib.study.findings import ONE_SEED
from pctlib.study.pages.comparison import report
from pctlib.study.pages.comparison.networks import variants
from pctlib.study.pages.comparison.report import (
    bar_frame,
    finding,
    frozen_predictions,
    published_beside,
    results_table,
    sizes_table,
)
from pctlib.study.predictions import Predictions

BACKBONE = "mobilenetv4_conv_small_035"
FLOOR = {"PCK@0.1 seen": 0.5, "PCK@0.1 hidden": 0.4, "NME seen": 0.2, "NME hidden": 0.3, "AP": 0.0}
HIDDEN = {"frozen-pct": 0.8, "frozen-heatmap_dark": 0.7, f"{BACKBONE}-pct": 0.3, f"{BACKBONE}-rtmcc": 0.6}


@pytest.fixture
def compared(tmp_path):
    """Return the variants of the small profile and made-up metrics of two seeds."""
    found = variants(small_profile(tmp_path))
    rows = []
    for number, name in enumerate(found):
        for seed in (0, 1):
            hidden = HIDDEN.get(name, 0.55) + 0.01 * seed * (name == "frozen-pct")
            shares = {"PCK@0.1 seen": 0.9, "PCK@0.1 hidden": hidden, "NME seen": 0.1, "NME hidden": 0.2}
            costs = {"AP": 0.25, "parameters (M)": 1.0 + number, "GFLOPs": 0.5}
            rows.append({"variant": name, "seed": seed} | shares | costs)
    return found, pd.DataFrame(rows)


def test_a_row_a_network_and_the_mean_pose_first(compared):
    found, frame = compared
    speed = {"frozen-pct": {1: 10.0, 32: 100.0}}
    table = results_table(frame, found, "frozen", floor=FLOOR, speed=speed)
    assert len(table) == 10
    names = table["representation"].tolist()
    assert (names[0], names[-1]) == ("mean pose", "tokens (PCT)")
    pct, mean_pose = table.iloc[-1], table.iloc[0]
    assert float(pct["PCK@0.1, hidden joints (%)"]) == pytest.approx(80.5)
    assert pct["PCK@0.1, hidden joints (%)"].half_width > 0
    assert float(pct["hidden minus seen (points)"]) == pytest.approx(-9.5)
    assert pct["images/s, batch 32"] == 100
    assert np.isnan(table["images/s, batch 1"].iloc[1])
    assert pct["parameters (M)"] == 9.0
    assert mean_pose["PCK@0.1, hidden joints (%)"] == 40
    assert mean_pose["hidden minus seen (points)"] == pytest.approx(-10)
    assert "100" in Table(table, "c", best={"PCK@0.1, hidden joints (%)": "max"}).html()


def test_other_kinds_have_their_own_first_columns(compared):
    found, frame = compared
    whole = results_table(frame, found, "whole", floor=FLOOR, speed={})
    assert whole[["representation", "backbone"]].values.tolist()[-1] == ["heatmap, UDP", "plain ViT"]
    rivals = results_table(frame, found, "rival", floor=FLOOR, speed={})
    assert rivals["system"].tolist() == ["mean pose", "token_pose_l", "prtr"]


def test_a_failed_network_is_a_row_that_says_so(compared):
    found, frame = compared
    lost = frame.variant == "rival-prtr"
    frame.loc[lost, ["PCK@0.1 hidden", "GFLOPs"]] = np.nan
    frame["failed"] = np.where(lost, "ValueError: no", None)
    table = results_table(frame, found, "rival", floor=FLOOR, speed={}).set_index("system")
    assert table.loc["prtr", "failed runs"] == 2
    assert table.loc["token_pose_l", "failed runs"] == 0
    assert np.isnan(table.loc["prtr", "GFLOPs"])


def test_bars_are_points_above_the_mean_pose_with_their_intervals(compared):
    found, frame = compared
    bars = bar_frame(frame, found, "frozen", floor=FLOOR).set_index(["network", "joints"])
    hidden = bars.loc[("tokens (PCT)", "hidden")]
    assert hidden["value"] == pytest.approx(40.5)
    assert hidden["low"] < 40.5 < hidden["high"]
    assert bars.loc[("SimCC", "seen"), "value"] == pytest.approx(40)
    names = bar_frame(frame, found, "whole", floor=FLOOR)["network"]
    assert "heatmap, UDP\nplain ViT" in set(names)


def test_published_and_measured_of_the_same_systems(compared):
    found, frame = compared
    table = published_beside(frame, found, input_sizes=dict.fromkeys(found, (64, 32)))
    table = table.set_index([("", "system")])
    assert table.index.tolist() == ["PCT", "ViTPose", "TokenPose", "PRTR"]
    row = table.loc["TokenPose"]
    assert row["published", "AP, COCO val"] == 75.8
    assert row["published", "parameters (M)"] == 28
    assert row["published", "GFLOPs"] == 22.1
    assert row["measured", "network"] == "rival-token_pose_l, 64x32"
    assert row["measured", "AP"] == 25
    assert np.isnan(table.loc["PRTR"]["published", "parameters (M)"])


def test_rivals_at_published_size_name_their_own_row(tmp_path):
    name = "simcc_hrnet_w48_384x288"
    found = variants(small_profile(tmp_path, rivals=COMPARISON["rivals"] | {"systems": [name]}))
    row = {"variant": f"rival-{name}", "seed": 0, "AP": 0.7, "parameters (M)": 66.0, "GFLOPs": 33.0}
    table = published_beside(pd.DataFrame([row]), found, input_sizes=dict.fromkeys(found, (384, 288)))
    assert table["published", "AP, COCO val"].tolist() == [76.9]
    assert table["measured", "network"].tolist() == [f"rival-{name}, 384x288"]


def test_counted_beside_published():
    table = sizes_table(["simple_baseline_resnet152_256x192"])
    assert table["published", "value"].tolist() == [60]
    assert table["published", "corrected"].tolist() == [68.6]
    assert abs(table["measured", "difference (%)"][0]) < 2
    assert "classifier" in table["", "remark"][0]


def test_the_finding_has_the_numbers_and_says_what_is_below_the_floor(compared):
    found, frame = compared
    section = load_profile("demo").comparison
    text = finding(frame, found, floor=FLOOR, section=section)
    assert text.startswith("On the same frozen features, after 4 epochs on 1200 people, tokens (PCT)")
    assert "tokens (PCT) (80.5 %) finds most hidden joints" in text
    assert "mean pose finds 40.0 %" in text
    assert "'tokens (PCT)' against 'heatmap, DARK': +10.50 points of PCK@0.1, hidden joints" in text
    assert "over 2 seeds" in text
    assert "RTMCC 60.0 %, coordinates (DeepPose) 55.0 %" in text
    assert "2 of the 10 whole networks do not beat the mean pose" in text
    low = FLOOR | {"PCK@0.1 hidden": 0.0}
    one = finding(frame[frame.seed == 0], found, floor=low, section=section)
    assert one.endswith(ONE_SEED)
    assert "do not beat" not in one


def test_predictions_of_finished_heads_are_read(tmp_path, compared):
    found, _ = compared
    people = make_people(tmp_path / "p", 3)
    saved = Predictions(people.keypoints_image, np.ones((3, 17), np.float32))
    for name in ("frozen-pct", "frozen-rle", "vitpose"):
        (tmp_path / name).mkdir()
        saved.save(tmp_path / name / "predictions.npz", people)
    assert list(frozen_predictions(tmp_path, found, people)) == ["tokens"]
    both = frozen_predictions(tmp_path, found, people, shown=("rle", "pct"))
    assert list(both) == ["coordinates, RLE", "tokens"]


def test_whole_networks_are_averaged_over_what_all_of_them_have(compared):
    """A failed run takes its backbone and seed out of every mean, and ViTPose is in none."""
    found, frame = compared
    metric = "PCK@0.1 hidden"
    section = load_profile("demo").comparison
    vit = frame.variant == "vitpose"
    assert vit.any()
    changed = frame.assign(**{metric: frame[metric].where(~vit, 0.99)})
    assert "UDP" not in finding(changed, found, floor=FLOOR, section=section).partition("Whole networks")[2]
    lost = (frame.variant == f"{BACKBONE}-rtmcc") & (frame.seed == 0)
    kept = frame[(frame.seed == 1) & frame.variant.str.startswith(BACKBONE)]
    text = finding(frame.assign(**{metric: frame[metric].mask(lost)}), found, floor=FLOOR, section=section)
    assert "(1 of 2 left out, as a training failed)" in text
    for name, value in zip(kept.variant, kept[metric], strict=True):
        assert f"{found[name].title} {100 * value:.1f} %" in text


def test_what_the_weights_buy_that_a_network_starts_from(compared):
    found, frame = compared
    section = load_profile("demo").comparison
    whole = section.whole
    scratch, started = (f"{b}-heatmap_dark" for b in (whole.scratch_title, whole.backbones[0].name))
    shares = pd.DataFrame(
        [
            {"variant": n, "seed": s, "PCK@0.1 hidden": v}
            for n, v in ((scratch, 0.25), (started, 0.5))
            for s in (0, 1)
        ]
    )
    assert report._from_scratch(shares, whole) == (
        f"From scratch, {whole.backbones[0].name} finds of hidden joints: "
        "heatmap, DARK 25.0 % in place of 50.0 %."
    )
    assert report._from_scratch(shares[shares.variant == started], whole) == ""
    assert "From scratch" not in finding(frame, found, floor=FLOOR, section=section)


def test_a_profile_may_compare_heads_alone(tmp_path, compared):
    profile = small_profile(tmp_path, whole=None, rivals=None)
    alone = variants(profile)
    assert {variant.kind for variant in alone.values()} == {"frozen"}
    frame = compared[1][compared[1].variant.isin(alone)]
    for kind, first in (("whole", "representation"), ("rival", "system")):
        table = results_table(frame, alone, kind, floor=FLOOR, speed={"frozen-pct": {1: 10.0}})
        assert table[first].tolist() == ["mean pose"]
        assert table["PCK@0.1, hidden joints (%)"].tolist() == [40]
    assert bar_frame(frame, alone, "whole", floor=FLOOR).empty
    assert published_beside(frame, alone, input_sizes=dict.fromkeys(alone, (32, 32))).columns.nlevels == 2
    words = finding(frame, alone, floor=FLOOR, section=profile.comparison)
    assert "On the same frozen features" in words
    assert "whole networks" not in words.lower()
