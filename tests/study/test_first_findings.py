"""What the pages of the main comparison say of themselves, with the numbers of their metrics."""

import math

from helpers.study_people import make_people

from pctlib.study.pages.classifier.report import finding as classifier_finding
from pctlib.study.pages.tokenizer.report import finding as tokenizer_finding
from pctlib.study.people import Splits
from pctlib.study.predictions import joints_found, network_finding

HALF = {"PCK@0.1 seen": 0.5, "PCK@0.1 hidden": 0.25, "AP": 0.125}


def test_only_joints_that_were_measured_are_named():
    assert joints_found(HALF) == "50.0 % of the seen and 25.0 % of the hidden joints"
    assert joints_found({"PCK@0.1 seen": 0.5, "PCK@0.1 hidden": math.nan}) == "50.0 % of the seen joints"
    assert joints_found({}) == "joints that nobody has labelled"


def test_the_classifier_stands_beside_its_control():
    control = {"PCK@0.1 seen": 0.75, "PCK@0.1 hidden": 0.5, "AP": 0.3}
    assert classifier_finding({"PCT": HALF, "heatmap control": control}) == (
        "Within 0.1 of the box, PCT finds 50.0 % of the seen and 25.0 % of the hidden joints, heatmaps on "
        "the same frozen features 75.0 % of the seen and 50.0 % of the hidden joints. OKS-AP is 12.5 % and "
        "30.0 %."
    )
    without = {"PCK@0.1 seen": 0.5}
    assert "OKS" not in classifier_finding({"PCT": without, "heatmap control": without})


def test_the_backbone_says_what_its_network_finds():
    assert network_finding(HALF) == (
        "Within 0.1 of the box, the network finds 50.0 % of the seen and 25.0 % of the hidden joints with an "
        "OKS-AP of 12.5 %."
    )


def test_the_tokenizer_says_how_poses_come_back():
    metrics = {"error px": 1.234, "AP": 0.975, "codebook usage": 0.5}
    assert tokenizer_finding(metrics, num_tokens=34, codebook_size=512) == (
        "Poses of people it has not seen come back with a mean error of 1.23 image pixels and an OKS-AP of "
        "97.5 %. They are written as 34 tokens of 512 entries (306 bits); 50 % of the entries are in use."
    )
    assert "20.0 mm. They" in tokenizer_finding(
        {"MPJPE mm": 20.0, "codebook usage": 1.0}, num_tokens=2, codebook_size=8
    )


def test_the_data_say_how_much_is_hidden(tmp_path):
    train, val = make_people(tmp_path / "a", 6), make_people(tmp_path / "b", 4)
    val.visible[:] = 2
    val.visible[:2] = 1
    said = Splits(train, val, "made").finding
    assert said.startswith("6 people in ")
    assert said.endswith("Of the labelled joints of these, 50 % are hidden.")
