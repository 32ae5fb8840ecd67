"""The truth written and read back: closed forms."""

import numpy as np
import pytest
import torch
from helpers.study_people import make_people

from pctlib.profiles.profile import load_profile
from pctlib.study.pages.comparison.quantisation import (
    MEAN_IN_SQUARE,
    codings,
    expected_errors,
    quantisation_table,
    restorations,
)

PROFILE = load_profile("smoke", heatmap__sigma=2.0)  # 64 x 64 pixels
SIZE = 64


def anywhere(count=4000, *, margin=8.0):
    """Return keypoints [count, 1, 2] anywhere inside the input, and flags."""
    draw = torch.rand(count, 1, 2, generator=torch.Generator().manual_seed(0))
    return margin + draw * (SIZE - 1 - 2 * margin), torch.full((count, 1), 2)


def mean_error(restore, keypoints, visible):
    read, written = restore(keypoints, visible)
    assert written.all()
    return torch.linalg.vector_norm(read - keypoints, dim=-1).mean().item()


def test_the_mean_distance_from_the_middle_of_a_square():
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (400_000, 2))
    assert np.linalg.norm(points, axis=1).mean() == pytest.approx(MEAN_IN_SQUARE, rel=2e-3)


@pytest.mark.parametrize("name", list(expected_errors(PROFILE)))
def test_rounding_costs_what_the_closed_form_says(name):
    found = mean_error(codings(PROFILE)[name], *anywhere())
    assert found == pytest.approx(expected_errors(PROFILE)[name], rel=0.03)


def test_split_ratios_are_bins_a_pixel():
    assert expected_errors(PROFILE, split_ratios=(4,))["SimCC, RTMCC, 4 bins a pixel"] == MEAN_IN_SQUARE / 4
    restore = codings(PROFILE, split_ratios=(4,))["SimCC, RTMCC, 4 bins a pixel"]
    keypoints = torch.tensor([[[10.25, 20.5]]])
    read, _ = restore(keypoints, torch.tensor([[2]]))
    assert torch.equal(read, keypoints)


def test_real_valued_codings_lose_next_to_nothing_away_from_the_border():
    for name, restore in codings(PROFILE).items():
        if "DARK" in name or "UDP" in name:
            assert mean_error(restore, *anywhere(margin=24.0)) < 0.02, name
    assert mean_error(codings(PROFILE)["coordinates, RLE"], *anywhere(margin=0.0)) < 1e-5


def test_the_mean_under_a_map_stays_between_its_outer_cells():
    restore = codings(PROFILE)["soft-argmax, 16 x 16"]
    read, written = restore(torch.tensor([[[63.0, 30.0], [-1.0, 62.0]]]), torch.tensor([[2, 1]]))
    assert read.tolist() == [[[60.0, 30.0], [0.0, 60.0]]]
    assert written.all()


def test_what_cannot_be_written_is_counted(tmp_path):
    people = make_people(tmp_path, 6)
    people.visible[:] = 2
    people.keypoints_image[0, 0] += 500  # far outside the crop
    table = quantisation_table(people, PROFILE, codings(PROFILE, split_ratios=(2,)))
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

    exact = codings(PROFILE)["coordinates, RLE"]
    table = quantisation_table(people, PROFILE, {"exact": exact, "coarse": coarse}, expected={"coarse": 1.5})
    ap = table.set_index("representation")["OKS-AP (%)"]
    assert ap["exact"] == pytest.approx(100)
    assert ap["coarse"] < 90
    assert table["expected (px)"].tolist()[1] == 1.5
    assert np.isnan(table["expected (px)"][0])
    assert (table["largest (px)"] >= table["95 % below (px)"]).all()


def test_a_missing_tokenizer_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="tokenizer-seed7"):
        restorations(PROFILE, tmp_path / "tokenizer-seed7")
