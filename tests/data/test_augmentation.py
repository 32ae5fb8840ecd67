import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pctlib.data.augmentation import Augmentation, _jitter, _truncated_normal, make_inputs
from pctlib.data.crops import (
    compose,
    crop_affine,
    invert_affine,
    keypoint_boxes,
    transform_points,
    udp_affine,
    warp_images,
)
from pctlib.data.images import denormalize, normalize
from pctlib.skeletons import COCO, LSP

SIZE, IMAGE = (48, 32), (90, 120)
PERMUTATION = list(COCO.flip_permutation)


def smooth(B, H, W, seed=0):
    """Return smooth random pictures [B, 3, H, W], 0..255."""
    noise = torch.rand(B, 3, H // 10, W // 10, generator=torch.Generator().manual_seed(seed)) * 255
    return torch.nn.functional.interpolate(noise, size=(H, W), mode="bicubic").clamp(0, 255).round()


def make_batch(B=6, *, margin=1.5, seed=0, visible=None):
    generator = torch.Generator().manual_seed(seed)
    images = smooth(B, *IMAGE, seed)
    boxes = torch.tensor([40.0, 20.0, 24.0, 40.0]) + torch.rand(B, 4, generator=generator) * 8
    P = round(48 * margin)
    move = torch.eye(2, 3)
    move[:, 2] = torch.tensor([(P - 32) / 2, (P - 48) / 2])
    affine = compose(move, crop_affine(boxes, SIZE))
    inside = boxes[:, None, :2] + torch.rand(B, 17, 2, generator=generator) * boxes[:, None, 2:]
    flags = (
        torch.randint(0, 3, (B, 17), generator=generator) if visible is None else torch.full((B, 17), visible)
    )
    return {
        "images": images,
        "patch": warp_images(images, affine, (P, P)).round().to(torch.uint8),
        "affine": affine,
        "keypoints_image": inside,
        "visible": flags.to(torch.uint8),
        "boxes_xywh": boxes,
        "area": torch.full((B,), 500.0),
        "index": torch.arange(B),
    }


def inputs(batch, augmentation=None, seed=0, **options):
    generator = None if augmentation is None else torch.Generator().manual_seed(seed)
    return make_inputs(batch, SIZE, skeleton=COCO, augmentation=augmentation, generator=generator, **options)


def same(a, b):
    return all(x is y is None or torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_without_augmentation_it_is_the_crop():
    batch = make_batch()
    got = inputs(batch)
    affine = crop_affine(batch["boxes_xywh"], SIZE)
    assert got.images.shape == (6, 3, 48, 32)
    torch.testing.assert_close(got.affine, affine)
    torch.testing.assert_close(got.keypoints, transform_points(affine, batch["keypoints_image"]))
    torch.testing.assert_close(got.visible, batch["visible"])
    # The crop is a part of the patch, pixel by pixel.
    middle = batch["patch"][:, :, 12:60, 20:52]
    assert (denormalize(got.images).int() - middle.int()).abs().max() <= 1


def test_the_default_augmentation_varies_nothing():
    batch = make_batch()
    varied, plain = inputs(batch, Augmentation()), inputs(batch)
    torch.testing.assert_close(varied.images, plain.images, atol=1e-4, rtol=0)
    torch.testing.assert_close(varied.keypoints, plain.keypoints)
    torch.testing.assert_close(varied.visible, plain.visible)


def test_padding_and_udp_change_the_affine():
    batch = make_batch()
    torch.testing.assert_close(
        inputs(batch, padding=1.0).affine, crop_affine(batch["boxes_xywh"], SIZE, padding=1.0)
    )
    torch.testing.assert_close(inputs(batch, udp=True).affine, udp_affine(batch["boxes_xywh"], SIZE))
    varied = inputs(batch, Augmentation(scale=(2.0, 2.0)), udp=True, padding=1.0)
    expected = udp_affine(batch["boxes_xywh"], SIZE, padding=1.0, scale=torch.full((6,), 2.0))
    torch.testing.assert_close(varied.affine, expected)


def test_flip_mirrors_pixels_and_exchanges_left_and_right():
    batch = make_batch()
    flipped, plain = inputs(batch, Augmentation(flip=1.0)), inputs(batch)
    torch.testing.assert_close(flipped.images, plain.images.flip(-1), atol=1e-4, rtol=0)
    mirrored = plain.keypoints[:, PERMUTATION] * torch.tensor([-1.0, 1.0]) + torch.tensor([31.0, 0.0])
    torch.testing.assert_close(flipped.keypoints, mirrored)
    torch.testing.assert_close(flipped.visible, plain.visible[:, PERMUTATION])
    some = inputs(make_batch(40), Augmentation(flip=0.5)).affine[:, 0, 0] < 0
    assert 5 < int(some.sum()) < 35


def sizes(affine):
    """Return how many times a length grows under each affine [B]."""
    return torch.linalg.det(affine[:, :, :2]).abs().sqrt()


def test_scale_lies_in_its_range():
    batch = make_batch(60)
    ratio = sizes(inputs(batch).affine) / sizes(inputs(batch, Augmentation(scale=(0.6, 1.4))).affine)
    assert 0.6 <= ratio.min() < 0.75
    assert 1.25 < ratio.max() <= 1.4


def angles(affine):
    return torch.rad2deg(torch.atan2(affine[:, 1, 0], affine[:, 0, 0]))


def test_rotation_lies_in_its_range_and_happens_as_often_as_said():
    batch = make_batch(60)
    always = angles(inputs(batch, Augmentation(rotation_deg=40, rotation_probability=1.0)).affine)
    assert 25 < always.abs().max() <= 40.001
    assert (always.abs() > 1e-3).all()
    assert {bool(a > 0) for a in always} == {True, False}
    sometimes = angles(inputs(batch, Augmentation(rotation_deg=40, rotation_probability=0.5)).affine)
    assert 15 < int((sometimes.abs() > 1e-3).sum()) < 45
    torch.testing.assert_close(sometimes[sometimes.abs() > 1e-3], always[sometimes.abs() > 1e-3])


def test_shift_is_a_share_of_the_padded_box_and_happens_as_often_as_said():
    batch = make_batch(60)
    middle = batch["boxes_xywh"][:, :2] + batch["boxes_xywh"][:, 2:] / 2
    always = inputs(batch, Augmentation(shift=0.2, shift_probability=1.0))
    shown = transform_points(invert_affine(always.affine), torch.tensor([16.0, 24.0]).expand(60, 1, 2))[:, 0]
    share = (shown - middle) / (1.25 * batch["boxes_xywh"][:, 2:])
    assert 0.15 < share.abs().max() <= 0.2001
    never = inputs(batch, Augmentation(shift=0.2, shift_probability=0.0)).affine
    torch.testing.assert_close(never, inputs(batch).affine)


def test_half_body_crops_the_chosen_half():
    batch = make_batch(40, visible=2)
    affine = inputs(batch, Augmentation(half_body=1.0)).affine
    halves = []
    for ids in (COCO.upper_body, COCO.lower_body):
        chosen = torch.zeros(40, 17, dtype=torch.bool)
        chosen[:, list(ids)] = True
        boxes = keypoint_boxes(batch["keypoints_image"], chosen, padding=1.5)
        expected = crop_affine(boxes, SIZE, padding=1.0)
        halves.append((affine - expected).abs().amax((1, 2)) < 1e-3)
    upper, lower = halves
    assert (upper ^ lower).all()
    assert 18 <= int(upper.sum()) <= 37  # preferred with probability 0.7
    rarely = inputs(batch, Augmentation(half_body=0.3)).affine
    changed = (rarely - inputs(batch).affine).abs().amax((1, 2)) > 1e-3
    assert 3 <= int(changed.sum()) <= 22


@pytest.mark.parametrize(
    ("upper", "lower", "expected"),
    [(6, 2, "none"), (7, 2, "upper"), (1, 6, "none"), (11, 6, "any"), (6, 3, "any")],
)
def test_half_body_needs_enough_keypoints(upper, lower, expected):
    batch = make_batch(20, visible=0)
    batch["visible"][:, :upper] = 1
    batch["visible"][:, 11 : 11 + lower] = 2
    affine = inputs(batch, Augmentation(half_body=1.0)).affine
    unchanged = (affine - inputs(batch).affine).abs().amax((1, 2)) < 1e-4
    assert unchanged.any() == unchanged.all() == (expected == "none")
    if expected != "none":
        chosen = torch.zeros(20, 17, dtype=torch.bool)
        chosen[:, :upper] = True
        boxes = keypoint_boxes(batch["keypoints_image"], chosen, padding=1.5)
        is_upper = (affine - crop_affine(boxes, SIZE, padding=1.0)).abs().amax((1, 2)) < 1e-3
        assert is_upper.any()
        assert is_upper.all() == (expected == "upper")


def test_half_body_of_keypoints_on_one_point_is_still_a_crop():
    batch = make_batch(4, visible=2)
    batch["keypoints_image"][:] = 50.0
    got = inputs(batch, Augmentation(half_body=1.0))
    assert torch.isfinite(got.affine).all()
    assert torch.isfinite(got.images).all()


def test_color_changes_pixels_alone():
    batch = make_batch()
    varied, plain = inputs(batch, Augmentation(color=0.4)), inputs(batch)
    assert ((varied.images - plain.images).abs().mean((1, 2, 3)) > 0.02).all()
    torch.testing.assert_close(varied.keypoints, plain.keypoints)
    torch.testing.assert_close(varied.visible, plain.visible)
    raw = varied.images * torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    raw = (raw + torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) * 255
    assert raw.min() >= -1e-3
    assert raw.max() <= 255.001


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (0, lambda x: x * 1.2),  # brightness
        (1, lambda x: (x - 100) * 1.2 + 100),  # contrast, around the mean grey level
        (2, lambda x: (x - grey(x)) * 1.2 + grey(x)),  # saturation, around each pixel's grey
        (4, lambda x: x * torch.tensor([1.0, 1.1, 1.0]).view(3, 1, 1)),  # gain of green
    ],
)
def test_each_color_change_worked_by_hand(position, expected):
    pixels = torch.tensor([[60.0, 60, 60], [140.0, 140, 140], [110.0, 90, 70], [90.0, 110, 130]])
    pixels[2:] += 100 - grey(pixels[2:].T[None])[0, 0].mean()  # so that the mean grey level is 100
    images = pixels.T.reshape(1, 3, 2, 2)
    change = torch.zeros(1, 6)
    change[0, position] = 0.2
    torch.testing.assert_close(_jitter(images, change), expected(images), atol=1e-3, rtol=0)


def grey(x):
    weights = torch.tensor([0.299, 0.587, 0.114]).reshape(-1, *[1] * (x.ndim - 2))
    return (x * weights).sum(1, keepdim=True)


def test_occluder_hides_the_visible_keypoints_under_it_and_no_others():
    batch = make_batch(40, visible=2)
    batch["visible"][:, 0], batch["visible"][:, 1] = 0, 1
    covered, plain = inputs(batch, Augmentation(occluder=1.0)), inputs(batch)
    changed = (covered.images - plain.images).abs().amax(1) > 1e-3  # [B, H, W]
    assert 0.02 < changed.float().mean() < 0.4
    assert (covered.visible[:, :2] == plain.visible[:, :2]).all()
    hidden = covered.visible < plain.visible
    assert hidden.any()
    assert (covered.visible[hidden] == 1).all()
    x, y = (plain.keypoints.round().long()[..., i].clamp(0, n) for i, n in ((0, 31), (1, 47)))
    under = changed[torch.arange(40)[:, None], y, x][:, 2:]
    assert (under == hidden[:, 2:]).float().mean() > 0.97  # all but those on the rim
    torch.testing.assert_close(covered.keypoints, plain.keypoints)


def test_occluder_comes_as_often_and_as_large_as_said():
    batch = make_batch(60)
    plain = inputs(batch).images

    def shares(**options):
        covered = inputs(batch, Augmentation(**options)).images
        return ((covered - plain).abs().amax(1) > 1e-3).float().mean((1, 2))

    assert 15 <= int((shares(occluder=0.5) > 0).sum()) <= 45
    assert (
        shares(occluder=1.0, occluder_size=(0.1, 0.2)).mean()
        < shares(occluder=1.0, occluder_size=(0.6, 0.7)).mean()
    )


def test_occluder_of_a_single_sample_does_not_copy_the_sample():
    batch = make_batch(1)
    changed = [
        (inputs(batch, Augmentation(occluder=1.0), seed).images - inputs(batch).images).abs().max()
        for seed in range(8)
    ]
    assert sum(float(value) > 0.1 for value in changed) >= 7


def test_keypoints_outside_the_input_stay_where_they_are():
    batch = make_batch(visible=2)
    batch["keypoints_image"][:, 3] = torch.tensor([500.0, -300.0])
    got = inputs(batch, Augmentation(rotation_deg=30))
    outside = (got.keypoints < 0) | (got.keypoints >= 48)
    assert outside[:, 3].any(-1).all()
    assert (got.visible == 2).all()


EVERYTHING = Augmentation(
    flip=0.5, scale=(0.7, 1.3), rotation_deg=45, shift=0.1, half_body=0.3, color=0.3, occluder=0.5
)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_keypoints_pixels_and_affine_agree_whatever_is_drawn(seed):
    batch = make_batch(4, seed=seed % 7)
    geometric = Augmentation(flip=0.5, scale=(0.8, 1.2), rotation_deg=45, shift=0.1, half_body=0.3)
    got = inputs(batch, geometric, seed)
    mapped = transform_points(got.affine, batch["keypoints_image"])
    flipped = torch.linalg.det(got.affine[:, :, :2]) < 0
    mapped[flipped] = mapped[flipped][:, PERMUTATION]
    torch.testing.assert_close(got.keypoints, mapped, atol=1e-3, rtol=1e-4)
    direct = warp_images(batch["images"], got.affine, SIZE)  # out of the whole image
    corners = transform_points(
        compose(batch["affine"], invert_affine(got.affine)),
        torch.tensor([[0.0, 0.0], [31.0, 0.0], [0.0, 47.0], [31.0, 47.0]]).expand(4, 4, 2),
    )
    in_patch = ((corners > 0) & (corners < 71)).all(2).all(1)  # the patch has an end, the image goes on
    difference = (normalize(direct) - got.images).abs().mean((1, 2, 3)) * 255 * 0.225
    assert (difference[in_patch] < 2.5).all()  # of 255 levels; the patch was sampled twice


def test_same_seed_same_inputs_and_the_global_generator_is_left_alone():
    batch = make_batch()
    state = torch.get_rng_state()
    first, again, other = (inputs(batch, EVERYTHING, seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert same(first, again)
    assert not same(first, other)


def test_one_setting_leaves_the_draws_of_the_others_alone():
    batch = make_batch()
    geometric = inputs(batch, Augmentation(flip=0.5, rotation_deg=30))
    with_color = inputs(batch, Augmentation(flip=0.5, rotation_deg=30, color=0.2, occluder=0.5))
    torch.testing.assert_close(with_color.affine, geometric.affine)


def test_batch_is_not_written_to():
    batch = make_batch()
    before = {name: value.clone() for name, value in batch.items()}
    inputs(batch, EVERYTHING)
    assert all(torch.equal(batch[name], value) for name, value in before.items())


def test_a_sample_is_the_same_alone_and_in_a_batch():
    batch = make_batch(5)
    one = {name: value[3:4] for name, value in batch.items()}
    torch.testing.assert_close(inputs(one).images[0], inputs(batch).images[3], atol=1e-5, rtol=0)


def test_truncated_normal_has_the_stated_spread():
    draws = _truncated_normal(torch.rand(20000, generator=torch.Generator().manual_seed(0)))
    assert draws.abs().max() <= 1.0001
    assert abs(float(draws.mean())) < 0.015
    assert float(draws.std()) == pytest.approx(0.54, abs=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": 1.5}, r"flip must be in 0..1, got 1.5"),
        ({"rotation_deg": -1}, r"rotation_deg must be in 0..180, got -1"),
        ({"color": 1.0}, r"color must be in 0..0.9, got 1.0"),
        ({"half_body": float("nan")}, r"half_body must be in 0..1, got nan"),
        ({"scale": (1.2, 0.8)}, r"scale must be 0 < low <= high, got \(1.2, 0.8\)"),
        ({"occluder_size": (0, 0.5)}, r"occluder_size must be 0 < low <= high"),
        ({"shift": -0.1}, r"shift must be in 0..1"),
        ({"rotation_probability": 2}, r"rotation_probability must be in 0..1"),
        ({"shift_probability": 2}, r"shift_probability must be in 0..1"),
        ({"occluder": 2}, r"occluder must be in 0..1"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=f"augmentation: {message}"):
        Augmentation(**options)


def test_bad_calls_are_named():
    batch = make_batch(2)
    with pytest.raises(ValueError, match="augmentation needs a generator"):
        make_inputs(batch, SIZE, skeleton=COCO, augmentation=Augmentation())
    with pytest.raises(ValueError, match="skeleton lsp has 14 keypoints, the batch has 17"):
        make_inputs(batch, SIZE, skeleton=LSP)


@pytest.mark.gpu
def test_device_makes_no_difference():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    batch = make_batch(8)
    on_cpu = inputs(batch, EVERYTHING)
    on_gpu = inputs({name: value.cuda() for name, value in batch.items()}, EVERYTHING)
    torch.testing.assert_close(on_gpu.keypoints.cpu(), on_cpu.keypoints, atol=1e-3, rtol=1e-4)
    assert (on_gpu.visible.cpu() == on_cpu.visible).float().mean() > 0.99
    difference = (on_gpu.images.cpu() - on_cpu.images).abs()
    assert np.quantile(difference.numpy(), 0.99) < 1e-2
