"""Levels of occlusion: rendered anew, and pasted in front of people in photographs."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from helpers.study_people import STANDING

from pctlib.data.coco import read_coco
from pctlib.data.images import read_image
from pctlib.data.lsp import read_lsp_extended
from pctlib.data.occlusion.levels import (
    KINDS,
    SHARES,
    View,
    check_levels,
    hide,
    procedural_views,
    wanted_joints,
)
from pctlib.data.occlusion.pasted import Donor, pasted_views
from pctlib.skeletons import COCO, Skeleton

KIND_NAMES = list(KINDS)


def person(height=120, width=90, side=80.0, *, color=0, seed=0):
    """Return a standing figure, all 17 joints seen, on a plain picture."""
    rng = np.random.default_rng(seed)
    corner = np.array([(width - side) / 2, (height - side) / 2])
    pose = corner + side * (STANDING + rng.normal(0, 0.01, STANDING.shape))
    image = np.full((height, width, 3), color, np.uint8)
    box = np.array([*corner, side, side], np.float32)
    return View(image, pose.astype(np.float32), np.full(17, 2, np.uint8), box)


def donors():
    views = [person(100, 110, 90.0, color=200, seed=seed) for seed in (7, 8)]
    return [Donor(v.image, v.keypoints_image, v.visible > 0, v.box_xywh, COCO) for v in views]


def paste(kind, base=None, *, seed=0, **options):
    base = person() if base is None else base
    return pasted_views(base, kind, rng=np.random.default_rng(seed), donors=donors(), **options)


def changed(view, base):
    return (view.image != base.image).any(-1)


@pytest.mark.parametrize(
    ("kind", "shares", "message"),
    [
        ("rain", SHARES, r"kind: expected one of object, person, truncation, got 'rain'"),
        ("object", (), "shares: .* got \\[\\]"),
        ("object", (0.1, 0.2), "rise from 0"),
        ("object", (0.0, 0.3, 0.3), "rise from 0"),
        ("object", (0.0, 1.0), "below 1"),
    ],
)
def test_what_is_no_level_is_refused(kind, shares, message):
    with pytest.raises(ValueError, match=message):
        check_levels(kind, shares)
    with pytest.raises(ValueError, match=message):
        paste(kind, shares=shares)


def test_halves_of_a_joint_are_rounded_up():
    assert [wanted_joints(10, share) for share in (0, 0.14, 0.25, 0.75)] == [0, 1, 3, 8]


def test_hiding_leaves_unlabelled_and_hidden_joints_as_they_are():
    base = replace(person(), visible=np.array([0, 1, 2, 2] + [2] * 13, np.uint8))
    view = hide(base, np.arange(17) < 3)
    assert view.visible[:4].tolist() == [0, 1, 1, 2]
    assert view.share == pytest.approx(1 / 15)
    assert hide(base, np.ones(17, bool)).share == 1


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_level_0_is_the_untouched_picture_and_the_shares_are_reached(kind):
    for seed in range(3):
        base = person(seed=seed)
        views = paste(kind, base, seed=seed)
        assert views[0] is base
        for view, share in zip(views, SHARES, strict=True):
            assert abs(view.share - wanted_joints(17, share) / 17) < 1.1 / 17, (seed, share)
            assert view.share == pytest.approx((view.visible == 1).sum() / 17)


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_same_draws_same_pixels_and_other_draws_others(kind):
    first, again = paste(kind), paste(kind)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.visible, b.visible)
    others = [paste(kind, seed=seed)[3].image for seed in range(1, 4)]
    assert any(o.shape != first[3].image.shape or (o != first[3].image).any() for o in others)


@pytest.mark.parametrize("kind", ["object", "person"])
def test_a_level_covers_all_that_the_one_before_covers_with_the_same_pixels(kind):
    base = person()
    views = paste(kind, base)
    for low, high in itertools.pairwise(views):
        covered = changed(low, base)
        np.testing.assert_array_equal(high.image[covered], low.image[covered])
        assert covered.sum() <= changed(high, base).sum()
        assert set(np.flatnonzero(low.visible == 1)) <= set(np.flatnonzero(high.visible == 1))
    assert not changed(views[0], base).any()


@pytest.mark.parametrize("kind", ["object", "person"])
def test_joints_are_hidden_where_the_pixels_are_covered(kind):
    base = person()  # black; textures and donors are not
    for seed in range(4):
        for view in paste(kind, base, seed=seed):
            x, y = base.keypoints_image.round().astype(int).T
            around = [changed(view, base)[y + dy, x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
            hidden = view.visible == 1
            assert np.any(around, axis=0)[hidden].all()
            assert not np.all(around, axis=0)[~hidden].any()


def test_the_frame_cuts_joints_off_and_keeps_the_other_pixels():
    rng = np.random.default_rng(0)
    base = replace(person(), image=rng.integers(0, 255, (120, 90, 3), dtype=np.uint8))
    sides = set()
    for seed in range(12):
        for low, view in itertools.pairwise(paste("truncation", base, seed=seed)):
            H, W = view.image.shape[:2]
            x, y = view.keypoints_image.T
            inside = (x >= -0.5) & (x < W - 0.5) & (y >= -0.5) & (y < H - 0.5)
            np.testing.assert_array_equal(inside, view.visible == 2)
            left, top = (base.keypoints_image - view.keypoints_image)[0].round().astype(int)
            np.testing.assert_array_equal(view.image, base.image[top : top + H, left : left + W])
            np.testing.assert_allclose(view.box_xywh, base.box_xywh - [left, top, 0, 0])
            assert (view.visible == 1).sum() > (low.visible == 1).sum()
            sides.add((left > 0, top > 0, W < 90, H < 120))
    assert len(sides) >= 3, "all sides are cut off sometimes"


def test_unlabelled_joints_do_not_count():
    base = person()
    few = replace(base, visible=np.where(np.arange(17) < 5, 2, 0).astype(np.uint8))
    for kind in KIND_NAMES:
        view = paste(kind, few)[-1]
        assert (view.visible[5:] == 0).all()
        assert view.share == pytest.approx(0.8)


def test_a_person_is_cut_out_along_limbs_within_the_picture():
    skeleton = Skeleton("bar", ("left_hand", "left_arm"), (), ((0, 1),), ("#000000",), None, (0, 1), ())
    points = np.array([[10.0, 20.0], [30.0, 20.0]], np.float32)
    box = np.array([0, 0, 100, 50], np.float32)
    donor = Donor(np.zeros((25, 60, 3), np.uint8), points, np.array([True, True]), box, skeleton)
    radius = 4.5  # 0.045 of the longer side
    asked = [
        [20, 20 + radius - 0.01],
        [20, 20 + radius + 0.01],
        [30 + radius - 0.01, 20],
        [4, 20],
        [20, 24.01],
    ]
    assert donor.covers(np.array(asked)).tolist() == [False, False, True, False, False]  # rows end at 24
    assert donor.covers(np.array([[20, 20 - radius + 0.01]])).all()
    assert not replace(donor, labelled=np.array([True, False])).covers(points).any()


def test_impossible_requests_are_refused():
    with pytest.raises(ValueError, match="donors: expected at least one"):
        pasted_views(person(), "person", rng=np.random.default_rng(0))
    nobody = replace(person(), visible=np.ones(17, np.uint8))
    with pytest.raises(ValueError, match="no joint is seen"):
        paste("object", nobody)


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_a_procedural_person_is_the_same_at_each_level(kind):
    shares = (0.0, 0.3, 0.6)
    views = procedural_views(5, 1, kind, shares=shares, image_size=96)
    again = procedural_views(5, 1, kind, shares=shares, image_size=96)
    base = views[0]
    assert [view.share for view in views] == sorted(view.share for view in views)
    for view, same, share in zip(views, again, shares, strict=True):
        np.testing.assert_array_equal(view.image, same.image)
        shift = view.keypoints_image - base.keypoints_image
        np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-3)
        np.testing.assert_allclose(view.box_xywh, base.box_xywh + np.array([*shift[0], 0, 0]), atol=1e-3)
        hidden_before = base.visible == 1
        assert (view.visible[hidden_before] == 1).all()
        assert abs(view.share - share) < 0.15
        if kind != "truncation":
            assert not shift.any()
            assert (view.image.shape) == (96, 96, 3)
    if kind == "truncation":
        x, y = views[-1].keypoints_image.T
        inside = (x >= -0.5) & (x < 95.5) & (y >= -0.5) & (y < 95.5)
        assert (~inside).sum() >= 0.4 * (base.visible == 2).sum()
        assert (views[-1].visible[~inside] == 1).all()


def test_every_argument_of_the_renderer_matters():
    options = {"shares": (0.0, 0.4), "image_size": 64}
    pictures = [
        procedural_views(5, 1, "object", **options),
        procedural_views(6, 1, "object", **options),
        procedural_views(5, 2, "object", **options),
        procedural_views(5, 1, "person", **options),
        procedural_views(5, 1, "object", shares=(0.0, 0.8), image_size=64),
    ]
    seen = {views[1].image.tobytes() for views in pictures}
    assert len(seen) == len(pictures)
    assert procedural_views(5, 1, "object", shares=(0.0, 0.4), image_size=80)[0].image.shape == (80, 80, 3)


@pytest.mark.parametrize("name", ["coco", "lsp"])
@pytest.mark.parametrize("kind", KIND_NAMES)
def test_photographs(shared, name, kind):
    data = shared / "data"
    if name == "coco":
        root = data / "coco-mini"
        people = read_coco(root / "annotations" / "person_keypoints_val2017.json", root / "val2017")
    else:
        people = read_lsp_extended(data / "lsp")
    rows = np.flatnonzero((people.visible == 2).sum(1) >= 10)[:3]
    views = [
        View(
            read_image(people.image_files[r])[0],
            people.keypoints_image[r],
            people.visible[r],
            people.boxes_xywh[r],
        )
        for r in rows
    ]
    others = [
        Donor(v.image, v.keypoints_image, v.visible > 0, v.box_xywh, people.skeleton) for v in views[1:]
    ]
    levels = pasted_views(views[0], kind, rng=np.random.default_rng(4), donors=others)
    joints = int((views[0].visible == 2).sum())
    for level, share in zip(levels, SHARES, strict=True):
        assert abs(level.share - share) <= 2 / joints
    assert [level.share for level in levels] == sorted(level.share for level in levels)
    if kind == "truncation":
        outside = (levels[-1].visible == 1) & (views[0].visible == 2)
        H, W = levels[-1].image.shape[:2]
        x, y = levels[-1].keypoints_image[outside].T
        assert ((x < 0) | (y < 0) | (x > W - 1) | (y > H - 1)).all()
    else:
        assert levels[-1].image.shape == views[0].image.shape
