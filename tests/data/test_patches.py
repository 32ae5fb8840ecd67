from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pctlib.data.coco import read_coco
from pctlib.data.crops import compose, crop_affine, invert_affine, transform_points, warp_images
from pctlib.data.images import read_image
from pctlib.data.patches import Patches, collate, make_loader
from pctlib.data.people import People
from pctlib.skeletons import LSP

H, W, SIZE = 90, 120, (48, 32)  # image height, width; input size


def picture(seed=0):
    """Return a smooth uint8 picture [H, W, 3]."""
    noise = np.random.default_rng(seed).integers(0, 256, (H // 10, W // 10, 3)).astype(np.uint8)
    return np.array(Image.fromarray(noise).resize((W, H), Image.Resampling.BICUBIC))


def make_people(folder, N=5, *, ending="png", per_image=2, box=(30, 30, 20, 30), **changes):
    for i in range(-(-N // per_image)):
        Image.fromarray(picture(i)).save(folder / f"{i}.{ending}")
    rng = np.random.default_rng(1)
    values = {
        "skeleton": LSP,
        "image_files": [folder / f"{i // per_image}.{ending}" for i in range(N)],
        "image_ids": np.arange(N) // per_image,
        "annotation_ids": np.arange(N) + 100,
        "boxes_xywh": np.array([[box[0] + 3 * i, box[1] - 2 * i, *box[2:]] for i in range(N)]),
        "areas": np.full(N, 300.0),
        "keypoints_image": rng.uniform(0, 90, (N, 14, 2)),
        "visible": rng.integers(0, 3, (N, 14)),
        "image_sizes": np.tile([[H, W]], (N, 1)),
        "source": "toy",
    }
    return People(**{**values, **changes})


class Counting:
    """Read images and remember which."""

    def __init__(self):
        self.calls = []

    def __call__(self, file, *, min_scale):
        self.calls.append((Path(file).name, min_scale))
        return read_image(file, min_scale=min_scale)


def test_item_and_collate_have_the_stated_shapes(tmp_path):
    people = make_people(tmp_path)
    patches = Patches(people, SIZE)
    P = patches.patch_size
    item = patches[3]
    shapes = {name: tuple(value.shape) for name, value in item.items()}
    assert shapes == {
        **{"patch": (3, P, P), "affine": (2, 3), "index": (), "keypoints_image": (14, 2), "visible": (14,)},
        **{"boxes_xywh": (4,), "area": ()},
    }
    assert (len(patches), item["patch"].dtype, int(item["index"])) == (5, torch.uint8, 3)
    batch = collate([patches[0], patches[4]])
    assert batch["patch"].shape == (2, 3, P, P)
    assert batch["index"].tolist() == [0, 4]
    torch.testing.assert_close(batch["keypoints_image"][1], torch.from_numpy(people.keypoints_image[4]))


@pytest.mark.parametrize(
    ("size", "margin", "P"), [((48, 32), 1.25, 60), ((31, 47), 1.3, 63), ((48, 32), 1, 48)]
)
def test_patch_size_leaves_whole_pixels_on_both_sides(tmp_path, size, margin, P):
    patches = Patches(make_people(tmp_path, 1), size, margin=margin)
    assert patches.patch_size == P
    assert (P - max(size)) % 2 == 0


def test_input_crop_is_a_part_of_the_patch(tmp_path):
    people = make_people(tmp_path, 2)
    patches = Patches(people, SIZE)
    affine = crop_affine(torch.from_numpy(people.boxes_xywh), SIZE)
    P = patches.patch_size
    offset = torch.tensor([(P - SIZE[1]) / 2, (P - SIZE[0]) / 2])
    torch.testing.assert_close(patches.affines[:, :, :2], affine[:, :, :2])
    torch.testing.assert_close(patches.affines[:, :, 2], affine[:, :, 2] + offset)


@pytest.mark.parametrize(("option", "value"), [("padding", 1.6), ("margin", 1.6)])
def test_padding_and_margin_change_the_patch(tmp_path, option, value):
    people = make_people(tmp_path, 1)
    plain, changed = Patches(people, SIZE), Patches(people, SIZE, **{option: value})
    assert not torch.equal(plain.affines, changed.affines)
    assert (changed.patch_size > plain.patch_size) == (option == "margin")


def test_patch_holds_the_pixels_its_affine_points_at(tmp_path):
    people = make_people(tmp_path, 2)
    patches = Patches(people, SIZE)
    image = torch.from_numpy(picture(0)).permute(2, 0, 1)[None].float()
    P = patches.patch_size
    for row in range(2):
        direct = warp_images(image, patches.affines[row : row + 1], (P, P))[0]
        assert (patches[row]["patch"].float() - direct).abs().max() <= 1.01  # both round to whole levels


@settings(max_examples=20, deadline=None)
@given(st.floats(-60, 60), st.floats(0.7, 1.3), st.floats(-0.1, 0.1))
def test_warped_patch_is_close_to_the_warped_image(tmp_path_factory, angle, scale, shift):
    folder = tmp_path_factory.mktemp("warp")
    people = make_people(folder, 1, box=(35, 25, 40, 50))
    item = Patches(people, SIZE, margin=1.6)[0]
    change = {"rotation_deg": torch.tensor([angle]), "scale": torch.tensor([scale])}
    affine = crop_affine(item["boxes_xywh"][None], SIZE, shift=torch.tensor([[shift, -shift]]), **change)
    image = torch.from_numpy(picture(0)).permute(2, 0, 1)[None].float()
    direct = warp_images(image, affine, SIZE)
    from_patch = compose(affine, invert_affine(item["affine"][None]))
    warped = warp_images(item["patch"][None].float(), from_patch, SIZE)
    assert (warped - direct).abs().mean() < 2.5  # of 255 levels; the patch is sampled twice
    keypoints = item["keypoints_image"][None]
    through = transform_points(from_patch, transform_points(item["affine"][None], keypoints))
    torch.testing.assert_close(through, transform_points(affine, keypoints), atol=1e-3, rtol=1e-4)


def test_a_jpeg_is_decoded_no_larger_than_its_people_need(tmp_path):
    read = Counting()
    people = make_people(tmp_path, 2, ending="jpg", boxes_xywh=[[10, 5, 80, 80], [30, 30, 20, 30]])
    patches = Patches(people, (24, 16), read=read)
    patches.batch([0, 1])
    ((name, min_scale),) = read.calls
    assert name == "0.jpg"
    assert min_scale == pytest.approx(24 / (30 * 1.25))  # the smaller person needs more pixels


def test_reduced_decoding_gives_nearly_the_same_patch(tmp_path):
    people = make_people(tmp_path, 1, ending="jpg", box=(5, 5, 100, 80))
    small = Patches(people, (24, 16))[0]["patch"].float()
    full = Patches(people, (24, 16), read=lambda file, min_scale: read_image(file))[0]["patch"].float()
    assert (small - full).abs().mean() < 4


def test_a_batch_decodes_each_image_once_and_keeps_the_order(tmp_path):
    read = Counting()
    patches = Patches(make_people(tmp_path, 6), SIZE, read=read)
    batch = patches.batch([5, 0, 4, 1])
    assert batch["index"].tolist() == [5, 0, 4, 1]
    assert len(read.calls) == 2
    plain = Patches(make_people(tmp_path, 6), SIZE)
    torch.testing.assert_close(batch["patch"], torch.stack([plain[i]["patch"] for i in (5, 0, 4, 1)]))


def test_cached_patches_are_the_same_and_read_no_more_files(tmp_path):
    read = Counting()
    patches = Patches(make_people(tmp_path, 6), SIZE, read=read)
    cached = patches.cached(10**7)
    assert (cached.is_cached, patches.is_cached, len(read.calls)) == (True, False, 3)
    batch, again = cached.batch([4, 1]), patches.batch([4, 1])
    assert len(read.calls) == 5
    for name in batch:
        torch.testing.assert_close(batch[name], again[name])
    torch.testing.assert_close(cached[2]["patch"], patches[2]["patch"])
    with pytest.raises(ValueError, match=r"6 patches of 60 x 60 need 0.1 MB, more than max_bytes"):
        patches.cached(1000)


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_gives_the_batches_asked_for_in_order(tmp_path, workers):
    patches = Patches(make_people(tmp_path, 6), SIZE)
    batches = [[5, 1], [0], [3, 4, 2]]
    loader = make_loader(patches, batches, workers=workers)
    got = list(loader)
    assert len(loader) == 3
    assert [batch["index"].tolist() for batch in got] == batches
    torch.testing.assert_close(got[2]["patch"], patches.batch([3, 4, 2])["patch"])


def test_loader_refuses_rows_that_are_not_there(tmp_path):
    patches = Patches(make_people(tmp_path, 2), SIZE)
    for batches in ([[0], [2]], [[0], [-1]], [[0], []]):
        with pytest.raises(ValueError, match=r"batch 1 must name rows in 0..1"):
            make_loader(patches, batches)
    with pytest.raises(ValueError, match="workers must not be negative"):
        make_loader(patches, [[0]], workers=-1)


def break_image(people, row):
    file = people.image_files[row]
    file.write_bytes(file.read_bytes()[:200])
    return file


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_an_error_that_names_it(tmp_path, workers):
    people = make_people(tmp_path, 4)
    break_image(people, 2)
    with pytest.raises(ValueError, match=r"1\.png: the image is damaged"):
        list(make_loader(Patches(people, SIZE), [[0], [3]], workers=workers))
    people.image_files[3].unlink()
    with pytest.raises(FileNotFoundError, match=r"1\.png") as caught:
        list(make_loader(Patches(people, SIZE), [[0], [3]], workers=workers))
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cached", [False, True])
def test_broken_images_are_skipped_and_listed_if_allowed(tmp_path, workers, cached):
    people = make_people(tmp_path, 6)
    broken = break_image(people, 2)
    patches = Patches(people, SIZE, skip_broken=True)
    patches = patches.cached(10**7) if cached else patches
    batches = make_loader(patches, [[0, 2, 3], [2, 3], [5, 3]], workers=workers)
    assert [batch["index"].tolist() for batch in batches] == [[0], [5]]
    assert [file for file, _ in patches.broken] == [broken]
    assert "damaged" in patches.broken[0][1]


def test_an_image_of_another_size_than_annotated_is_named(tmp_path):
    people = make_people(tmp_path, 1, image_sizes=[[W, H]])
    with pytest.raises(
        ValueError, match=r"0\.png: the image is \[90, 120\] .*its annotation says \[120, 90\]"
    ):
        Patches(people, SIZE)[0]
    Patches(make_people(tmp_path, 1, image_sizes=[[0, 0]]), SIZE)[0]


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="margin must be at least 1, got 0.5"):
        Patches(make_people(tmp_path, 1), SIZE, margin=0.5)
    with pytest.raises(ValueError, match="toy: row 0 has no image file"):
        Patches(make_people(tmp_path, 1, image_files=[Path()]), SIZE)


def test_real_patches_hold_the_person(shared):
    data = shared / "data/coco-mini"
    people = read_coco(data / "annotations/person_keypoints_val2017.json", data / "val2017")
    patches = Patches(people, (256, 192))
    batch = patches.batch(range(0, len(people), 5))
    inside = transform_points(batch["affine"], batch["keypoints_image"])
    labelled = batch["visible"] > 0
    P = patches.patch_size
    assert ((inside >= 0) & (inside < P)).all(-1)[labelled].float().mean() > 0.95
    assert (batch["patch"].flatten(1).float().std(1) > 5).all()


def test_patches_that_are_already_cut_are_taken_as_they_are(tmp_path):
    patches = Patches(make_people(tmp_path), SIZE)
    pixels = torch.randint(0, 256, (5, 3, patches.patch_size, patches.patch_size), dtype=torch.uint8)
    for file in tmp_path.iterdir():
        file.unlink()  # nothing is read
    batch = patches.holding(pixels).batch([3, 1])
    torch.testing.assert_close(batch["patch"], pixels[[3, 1]], rtol=0, atol=0)
    torch.testing.assert_close(batch["affine"], patches.affines[[3, 1]])
    assert patches.holding(pixels).on(torch.device("cpu")).is_cached
    with pytest.raises(ValueError, match=r"expected the patches as torch.uint8 \[5, 3"):
        patches.holding(pixels[:4])
    with pytest.raises(ValueError, match=r"got torch.float32"):
        patches.holding(pixels.float())
