import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pctlib.data.crops import (
    compose,
    crop_affine,
    flip_affine,
    flip_keypoints,
    invert_affine,
    keypoint_boxes,
    transform_points,
    udp_affine,
    warp_images,
)
from pctlib.skeletons import COCO

BOX = torch.tensor([[10.0, 20.0, 40.0, 60.0]])  # centre (30, 50)
both = pytest.mark.parametrize("make", [crop_affine, udp_affine])


def one(*values):
    return torch.tensor(values, dtype=torch.float32)


def at(affine, *point):
    return transform_points(affine, one(point)[None])[0, 0].tolist()


def xywh(xyxy):
    return torch.cat([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], dim=1)


# --- closed forms


def test_centre_goes_to_the_middle_and_the_padded_height_fills_the_input():
    affine = crop_affine(BOX, (150, 100), padding=1.25)  # 60 x 1.25 = 75 px fill 150 px: factor 2
    torch.testing.assert_close(affine, one([[2, 0, -10], [0, 2, -25]]))


def test_wide_box_fills_the_width():
    affine = crop_affine(one([0, 0, 80, 10]), (100, 50), padding=1.0)
    assert at(affine, 0, 5) == [0, 50]
    assert at(affine, 80, 5) == [50, 50]


def test_udp_maps_pixel_centre_to_pixel_centre():
    affine = udp_affine(BOX, (61, 41), padding=1.0, fix_aspect=False)
    assert at(affine, 10, 20) == pytest.approx([0, 0], abs=1e-5)
    assert at(affine, 50, 80) == pytest.approx([40, 60], abs=1e-5)


def test_without_aspect_each_side_is_stretched():
    affine = crop_affine(BOX, (120, 120), padding=1.0, fix_aspect=False)
    torch.testing.assert_close(affine[:, :, :2], one([[3, 0], [0, 2]]))


def test_plain_and_udp_turn_in_opposite_directions():
    turn = {"padding": 1.0, "rotation_deg": one(90)}
    assert at(crop_affine(BOX, (120, 80), **turn), 31, 50) == pytest.approx([40, 58], abs=1e-4)
    assert at(udp_affine(BOX, (121, 81), **turn), 31, 50) == pytest.approx([40, 62], abs=1e-4)


@both
def test_scale_shrinks_the_person_and_shift_moves_in_units_of_the_padded_box(make):
    plain = make(BOX, (120, 90), padding=1.5)
    half = make(BOX, (120, 90), padding=1.5, scale=one(2.0))
    torch.testing.assert_close(half[:, :, :2], plain[:, :, :2] / 2)
    moved = make(BOX, (120, 90), padding=1.5, shift=one([0.5, -0.25]), scale=one(2.0))
    middle = at(half, 30, 50)
    assert at(moved, 30 + 0.5 * 60, 50 - 0.25 * 90) == pytest.approx(middle, abs=1e-4)


@both
def test_padding_may_differ_by_box(make):
    boxes = BOX.repeat(3, 1)
    together = make(boxes, (64, 48), padding=one(1.0, 1.25, 1.5))
    for i, padding in enumerate((1.0, 1.25, 1.5)):
        torch.testing.assert_close(together[i : i + 1], make(BOX, (64, 48), padding=padding))


@both
def test_bad_arguments_are_named(make):
    with pytest.raises(ValueError, match=r"boxes_xywh needs shape \[B, 4\], got \[1, 5\]"):
        make(torch.ones(1, 5), (64, 48))
    with pytest.raises(ValueError, match=r"box 1 of 2 has no extent"):
        make(one([0, 0, 5, 5], [0, 0, 5, 0]), (64, 48))
    with pytest.raises(ValueError, match=r"box 0 of 1 has no extent"):
        make(one([0, 0, math.nan, 5]), (64, 48))
    for name in ("scale", "rotation_deg", "padding"):
        with pytest.raises(ValueError, match=rf"{name} needs shape \[1\], got \[2\]"):
            make(BOX, (64, 48), **{name: torch.ones(2)})
    with pytest.raises(ValueError, match=r"shift needs shape \[1, 2\], got \[1\]"):
        make(BOX, (64, 48), shift=torch.ones(1))


def test_singular_affine_is_named():
    affine = torch.zeros(3, 2, 3)
    affine[:, 0, 0] = affine[:, 1, 1] = one(1, 1, 0)
    with pytest.raises(ValueError, match="affine 2 of 3 cannot be inverted"):
        invert_affine(affine)


def test_flip_affine_is_the_flip_of_keypoints():
    keypoints = torch.rand(2, 17, 2) * 50
    flipped = flip_keypoints(keypoints, COCO.flip_permutation, 48)
    by_affine = transform_points(flip_affine((64, 48), keypoints).expand(2, 2, 3), keypoints)
    torch.testing.assert_close(flipped, by_affine[:, list(COCO.flip_permutation)])
    twice = flip_keypoints(flipped, COCO.flip_permutation, 48)
    torch.testing.assert_close(twice, keypoints)


def test_keypoint_box_is_centred_on_the_mean():
    keypoints = one([[0, 0], [10, 4], [2, 2], [99, 99]], [[5, 5]] * 4)
    chosen = torch.tensor([[True, True, True, False], [False] * 4])
    boxes = keypoint_boxes(keypoints, chosen, padding=1.5)
    torch.testing.assert_close(boxes, one([4 - 7.5, 2 - 3, 15, 6], [0, 0, 0, 0]))


# --- properties

angles = st.floats(-180, 180)
factors = st.floats(0.3, 3)
coordinates = st.floats(-300, 300)


def affine_from(angle, scale, x, y):
    boxes = torch.tensor([[x, y, 40.0, 70.0]], dtype=torch.float64)
    return udp_affine(boxes, (64, 48), rotation_deg=one(angle), scale=one(scale))


@given(angles, factors, coordinates, coordinates)
def test_inverse_undoes_the_affine(angle, scale, x, y):
    affine = affine_from(angle, scale, x, y)
    nothing = torch.eye(2, 3, dtype=torch.float64)[None]
    torch.testing.assert_close(compose(invert_affine(affine), affine), nothing, atol=1e-9, rtol=0)
    points = torch.tensor([[[x, y], [y, x], [0.0, 1.0]]], dtype=torch.float64)
    there = transform_points(affine, points)
    torch.testing.assert_close(transform_points(invert_affine(affine), there), points, atol=1e-9, rtol=0)


@given(angles, factors, coordinates, coordinates)
def test_compose_is_one_after_the_other(angle, scale, x, y):
    inner, outer = affine_from(angle, scale, x, y), affine_from(-angle / 2, 1.5, y, x)
    points = torch.tensor([[[x, y], [3.0, -2.0]]], dtype=torch.float64)
    expected = transform_points(outer, transform_points(inner, points))
    torch.testing.assert_close(
        transform_points(compose(outer, inner), points), expected, atol=1e-9, rtol=1e-9
    )


@given(st.floats(1, 200), st.floats(1, 200), st.integers(8, 200), st.integers(8, 200))
def test_padded_box_lies_inside_the_input(width, height, H, W):
    boxes = torch.tensor([[5.0, -7.0, width, height]], dtype=torch.float64)
    corners = torch.tensor([[[5.0, -7.0], [5 + width, -7 + height]]], dtype=torch.float64)
    low, high = transform_points(crop_affine(boxes, (H, W)), corners)[0]
    assert (low >= 0).all()
    assert high[0] <= W + 1e-6
    assert high[1] <= H + 1e-6
    assert max((high[0] - low[0]) / W, (high[1] - low[1]) / H) == pytest.approx(1 / 1.25)


# --- warping


def test_warp_of_the_identity_is_the_image_and_outside_is_zero():
    images = torch.rand(2, 3, 5, 7) + 0.5
    warped = warp_images(images, torch.eye(2, 3).repeat(2, 1, 1), (6, 9))
    torch.testing.assert_close(warped[:, :, :5, :7], images)
    assert (warped[:, :, 5:] == 0).all()
    assert (warped[:, :, :, 7:] == 0).all()


def test_warp_interpolates_linearly_at_pixel_centres():
    ramp = torch.arange(10.0).expand(1, 3, 4, 10)
    affine = one([[2, 0, 1], [0, 1, 0]])  # input x = 2 source x + 1
    row = warp_images(ramp, affine, (4, 12))[0, 0, 1]
    torch.testing.assert_close(row[1:], torch.arange(11) / 2)
    torch.testing.assert_close(row[0], torch.tensor(0.0))


def test_warp_agrees_with_transform_points():
    images = torch.zeros(1, 3, 40, 50)
    images[0, :, 12, 31] = 1.0
    affine = udp_affine(one([20, 0, 20, 30]), (64, 48), rotation_deg=one(20))
    warped = warp_images(images, affine, (64, 48))[0, 0]
    total = warped.sum()
    found = (
        (warped.sum(0) * torch.arange(48)).sum() / total,
        (warped.sum(1) * torch.arange(64)).sum() / total,
    )
    assert [float(v) for v in found] == pytest.approx(at(affine, 31, 12), abs=0.05)


@given(st.integers(0, 10_000))
def test_flipped_warp_is_the_flip_of_the_warp(seed):
    images = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(seed))
    affine = crop_affine(one([4, 3, 12, 9]), (16, 24), rotation_deg=one(seed % 90))
    flipped = warp_images(images, compose(flip_affine((16, 24), affine), affine), (16, 24))
    torch.testing.assert_close(flipped, warp_images(images, affine, (16, 24)).flip(-1), atol=2e-5, rtol=0)


# --- recorded from mmpose 1.3.2

SIZE = (256, 192)


def test_recorded_matrices_and_points(golden):
    g = golden("codecs")
    boxes, turn = xywh(g.inputs["geom/bbox_xyxy"]).double(), {"rotation_deg": g.inputs["geom/rotation_deg"]}
    points = g.inputs["geom/points"].double()
    # The recorded plain matrix was solved from points rounded to float32, hence its tolerances.
    for make, name in ((crop_affine, ""), (udp_affine, "udp_")):
        affine = make(boxes, SIZE, padding=g.config["padding"], **turn)
        torch.testing.assert_close(affine.float(), g.outputs[f"geom/{name}warp_matrix"], atol=4e-3, rtol=1e-6)
        mapped = transform_points(affine, points).float()
        torch.testing.assert_close(mapped, g.outputs[f"geom/{name}warped_points"], atol=3e-4, rtol=1e-6)
        single = transform_points(affine.float(), points.float())
        torch.testing.assert_close(single, g.outputs[f"geom/{name}warped_points"], atol=1e-3, rtol=1e-6)
    stretched = crop_affine(boxes, SIZE, fix_aspect=False, **turn).float()
    torch.testing.assert_close(stretched, g.outputs["geom/warp_matrix_no_fix_aspect"], atol=4e-3, rtol=1e-6)
    inverse = invert_affine(g.outputs["geom/warp_matrix"].double()).float()
    torch.testing.assert_close(inverse, g.outputs["geom/warp_matrix_inv"], atol=4e-3, rtol=1e-6)


def test_recorded_way_back_to_the_image(golden):
    g = golden("codecs")
    boxes = xywh(g.inputs["geom/bbox_xyxy"])[:4]
    back = invert_affine(crop_affine(boxes, SIZE))
    points = transform_points(back, g.outputs["geom/warped_points"][:4])
    torch.testing.assert_close(points, g.outputs["geom/points_back_rot0"], atol=1e-3, rtol=0)


def test_recorded_flip(golden):
    g = golden("codecs")
    keypoints = flip_keypoints(g.inputs["keypoints"], COCO.flip_permutation, 192)
    torch.testing.assert_close(keypoints, g.outputs["flip/keypoints"])
    visible = g.inputs["keypoints_visible"][:, list(COCO.flip_permutation)]
    torch.testing.assert_close(visible, g.outputs["flip/visible"])


@pytest.mark.parametrize("half", ["upper", "lower"])
def test_recorded_half_body_boxes(golden, half):
    g = golden("codecs")
    ids = torch.zeros(17, dtype=torch.bool)
    ids[list(getattr(COCO, f"{half}_body"))] = True
    chosen = (g.inputs["keypoints_visible"] > 0) & ids
    boxes = keypoint_boxes(g.inputs["keypoints"], chosen, padding=g.config["half_body_padding"])
    centre, size = boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]
    torch.testing.assert_close(centre, g.outputs[f"halfbody/{half}_center"], atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(size, g.outputs[f"halfbody/{half}_scale"], atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize(("make", "name"), [(crop_affine, ""), (udp_affine, "udp_")])
def test_recorded_warp(golden, make, name):
    g = golden("codecs")
    centre, size = g.inputs["warp/center"][None], g.inputs["warp/scale"][None]
    boxes = torch.cat([centre - size / 2, size], dim=1)
    affine = make(boxes, (64, 48), padding=1.0, rotation_deg=g.inputs["warp/rot"].reshape(1))
    torch.testing.assert_close(affine[0], g.outputs[f"warp/{name}matrix"], atol=1e-4, rtol=1e-5)
    image = g.inputs["warp/img"].permute(2, 0, 1)[None]
    warped = warp_images(image, affine, (64, 48))[0].permute(1, 2, 0)
    assert (warped - g.outputs[f"warp/{name}img"]).abs().max() <= 0.51  # recorded in whole grey levels
