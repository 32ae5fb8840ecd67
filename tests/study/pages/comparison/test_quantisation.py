"""The truth written and read back: closed forms."""

import numpy as np
import pytest
import torch
from helpers.study_people import make_people

from pctlib.profiles.profile import load_profile
from pctlib.study.pages.comparison import codings as module
from pctlib.study.pages.comparison.codings import MEAN_IN_SQUARE, Coding
from pctlib.study.pages.comparison.heads import HEADS
from pctlib.study.pages.comparison.quantisation import all_codings, quantisation_table

PROFILE = load_profile("smoke", heatmap__sigma=2.0)  # 64 x 64 pixels
SIZE = 64
CODINGS = {name: coding for head in HEADS.values() for name, coding in head.coding(PROFILE, None).items()}
GRIDS = [name for name, coding in CODINGS.items() if not np.isnan(coding.expected)]


def anywhere(count=4000, *, margin=8.0):
    """Return keypoints [count, 1, 2] anywhere inside the input, and flags."""
    draw = torch.rand(count, 1, 2, generator=torch.Generator().manual_seed(0))
    return margin + draw * (SIZE - 1 - 2 * margin), torch.full((count, 1), 2)


def mean_error(coding, keypoints, visible):
    read, written = coding.restore(keypoints, visible)
    assert written.all()
    return torch.linalg.vector_norm(read - keypoints, dim=-1).mean().item()


def test_the_mean_distance_from_the_middle_of_a_square():
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (400_000, 2))
    assert np.linalg.norm(points, axis=1).mean() == pytest.approx(MEAN_IN_SQUARE, rel=2e-3)


@pytest.mark.parametrize("name", GRIDS)
def test_rounding_costs_what_the_closed_form_says(name):
    found = mean_error(CODINGS[name], *anywhere())
    assert found == pytest.approx(CODINGS[name].expected, rel=0.03)


def test_what_rounds_is_known():
    standard = ["heatmap 16 x 16, standard", "heatmap 32 x 32, standard"]
    assert standard + [f"SimCC, RTMCC, {n} bins a pixel" for n in (1, 2, 3)] == GRIDS


def test_split_ratios_are_bins_a_pixel(monkeypatch):
    monkeypatch.setattr(module, "SPLIT_RATIOS", (4,))
    coding = module.simcc(PROFILE)["SimCC, RTMCC, 4 bins a pixel"]
    assert coding.expected == MEAN_IN_SQUARE / 4
    keypoints = torch.tensor([[[10.25, 20.5]]])
    read, _ = coding.restore(keypoints, torch.tensor([[2]]))
    assert torch.equal(read, keypoints)


def test_real_valued_codings_lose_next_to_nothing_away_from_the_border():
    for name, coding in CODINGS.items():
        if "DARK" in name or "UDP" in name:
            assert mean_error(coding, *anywhere(margin=24.0)) < 0.02, name
    assert mean_error(CODINGS["coordinates, RLE"], *anywhere(margin=0.0)) < 1e-5


def test_the_mean_under_a_map_stays_between_its_outer_cells():
    restore = CODINGS["soft-argmax, 16 x 16"].restore
    read, written = restore(torch.tensor([[[63.0, 30.0], [-1.0, 62.0]]]), torch.tensor([[2, 1]]))
    assert read.tolist() == [[[60.0, 30.0], [0.0, 60.0]]]
    assert written.all()


def test_what_cannot_be_written_is_counted(tmp_path):
    people = make_people(tmp_path, 6)
    people.visible[:] = 2
    people.keypoints_image[0, 0] += 500  # far outside the crop
    table = quantisation_table(people, PROFILE, CODINGS)
    shares = table.set_index("representation")["not written (%)"]
    assert shares["heatmap 16 x 16, DARK"] == pytest.approx(100 / (6 * 17))
    assert shares["coordinates, RLE"] == pytest.approx(100 / (6 * 17))
    assert shares["soft-argmax, 16 x 16"] == 0
    errors = table.set_index("representation")["mean error (px)"]
    assert errors["coordinates, RLE"] < 1e-4
    assert errors["heatmap 16 x 16, standard"] > errors["heatmap 32 x 32, standard"] > 0.5


def test_an_exact_representation_reaches_every_ap_and_a_coarse_one_less(tmp_path):
    people = make_people(tmp_path, 6)

    def coarse(keypoints, visible):
        return (keypoints / 16).round() * 16, visible > 0

    shown = {"exact": CODINGS["coordinates, RLE"], "coarse": Coding(coarse, 1.5)}
    table = quantisation_table(people, PROFILE, shown)
    ap = table.set_index("representation")["OKS-AP (%)"]
    assert ap["exact"] == pytest.approx(100)
    assert ap["coarse"] < 90
    assert table["expected (px)"].tolist()[1] == 1.5
    assert np.isnan(table["expected (px)"][0])
    assert (table["largest (px)"] >= table["95 % below (px)"]).all()


def test_a_missing_tokenizer_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="tokenizer-seed7"):
        all_codings(PROFILE, tmp_path / "tokenizer-seed7")
