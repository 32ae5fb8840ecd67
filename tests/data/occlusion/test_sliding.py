"""The worst place of a sliding patch: every place is tried, each person keeps its own."""

import pytest
import torch

from pctlib.data.occlusion.sliding import patch_corners, patch_texture, scaled_patch, worst_place


def test_places_of_the_published_protocol():
    assert len(patch_corners((224, 224), patch=40, stride=10)) == 19**2
    assert len(patch_corners((224, 224), patch=80, stride=10)) == 15**2
    assert patch_corners((6, 9), patch=4, stride=2) == [(0, 0), (0, 2), (0, 4), (2, 0), (2, 2), (2, 4)]
    assert scaled_patch(40, (128, 96)) == 23


def test_each_person_keeps_the_place_that_covers_what_it_needs():
    images = torch.zeros(2, 3, 12, 16)
    spots = [(1, 13), (9, 2)]  # the only pixels that matter, one a person

    def errors_of(covered):
        changed = torch.stack([covered[n, :, y, x].abs().sum() > 0 for n, (y, x) in enumerate(spots)])
        errors = torch.stack([100.0 * changed, 7.0 * changed], dim=1)
        return {"needs a spot": errors, "needs nothing": torch.ones(2, 2)}

    found = worst_place(images, errors_of, patch=4, stride=2, progress=False)
    worst = found["needs a spot"]
    assert worst.errors.tolist() == [[100.0, 7.0], [100.0, 7.0]]
    for (y, x), corner in zip(spots, worst.corners.tolist(), strict=True):
        assert corner[0] <= y < corner[0] + 4
        assert corner[1] <= x < corner[1] + 4
    places = patch_corners((12, 16), patch=4, stride=2)
    covering = sum(y <= 1 < y + 4 and x <= 13 < x + 4 for y, x in places)
    assert worst.mean[0, 0] == pytest.approx(100 * covering / 35)
    assert found["needs nothing"].errors.tolist() == [[1, 1], [1, 1]]
    assert (images == 0).all(), "the crops stay as they were"


def test_the_second_error_is_that_of_the_same_place():
    def errors_of(covered):
        here = covered[:, 0, 0, 0] != 0  # only the first place covers it
        return {"m": torch.stack([torch.where(here, 5.0, 1.0), torch.where(here, 2.0, 9.0)], dim=1)}

    worst = worst_place(torch.zeros(1, 3, 8, 8), errors_of, patch=4, stride=4, progress=False)["m"]
    assert worst.errors.tolist() == [[5.0, 2.0]]
    assert worst.corners.tolist() == [[0, 0]]


def test_textures_are_drawn_from_the_seed():
    assert torch.equal(patch_texture(8, seed=1), patch_texture(8, seed=1))
    assert not torch.equal(patch_texture(8, seed=1), patch_texture(8, seed=2))
    assert patch_texture(5).shape == (3, 5, 5)


@pytest.mark.parametrize(("patch", "stride"), [(0, 1), (9, 1), (4, 0)])
def test_impossible_patches_are_refused(patch, stride):
    with pytest.raises(ValueError, match="expected a patch of 1 to 8 px and a stride above 0"):
        patch_corners((8, 12), patch=patch, stride=stride)


def test_errors_that_are_not_finite_are_named():
    def errors_of(covered):
        return {"m": torch.full((1, 1), float("nan"))}

    with pytest.raises(ValueError, match=r"m: an error is not finite with the patch at \(0, 0\)"):
        worst_place(torch.zeros(1, 3, 8, 8), errors_of, patch=4, stride=4, progress=False)
