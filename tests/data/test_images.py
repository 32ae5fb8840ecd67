import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from pctlib.data.images import (
    MAX_PIXELS_VARIABLE,
    ORIENTATIONS,
    denormalize,
    explain_size,
    image_size,
    normalize,
    orientation,
    read_image,
    read_photograph,
    reduction_affine,
)


def gradient(H=48, W=64):
    """Return uint8 [H, W, 3]: red grows to the right, green downwards, blue is constant."""
    y, x = np.mgrid[:H, :W]
    return np.stack([x * 255 / (W - 1), y * 255 / (H - 1), np.full((H, W), 80)], -1).round().astype(np.uint8)


def save(path, pixels, mode=None, **options):
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def test_png_is_read_exactly_and_never_reduced(tmp_path):
    file = save(tmp_path / "a.png", gradient())
    pixels, scale = read_image(file, min_scale=0.1)
    np.testing.assert_array_equal(pixels, gradient())
    assert (scale, pixels.dtype, pixels.flags.writeable) == (1.0, np.uint8, True)


@pytest.mark.parametrize(
    ("min_scale", "scale"),
    [(1.0, 1), (2.0, 1), (0.51, 1), (0.5, 0.5), (0.3, 0.5), (0.25, 0.25), (0.01, 0.125)],
)
def test_jpeg_is_decoded_at_the_smallest_size_that_serves(tmp_path, min_scale, scale):
    file = save(tmp_path / "a.jpg", gradient(41, 66), quality=95)
    pixels, got = read_image(file, min_scale=min_scale)
    assert got == scale
    assert pixels.shape == (-int(-41 * scale // 1), -int(-66 * scale // 1), 3)


@pytest.mark.parametrize("scale", [1, 0.5, 0.25, 0.125])
def test_reduction_affine_finds_the_same_colour(tmp_path, scale):
    file = save(tmp_path / "a.jpg", gradient(64, 128), quality=100, subsampling=0)
    pixels, got = read_image(file, min_scale=scale)
    affine = reduction_affine(got)
    x, y = 5, 3  # of the reduced image; its colour tells where it lies in the stored one
    stored = torch.linalg.solve(affine[:, :2], torch.tensor([x, y], dtype=torch.float32) - affine[:, 2])
    assert pixels[y, x, 0] == pytest.approx(float(stored[0]) * 255 / 127, abs=2)
    assert pixels[y, x, 1] == pytest.approx(float(stored[1]) * 255 / 63, abs=2)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_every_kind_of_image_becomes_rgb(tmp_path, mode):
    file = save(tmp_path / ("a.jpg" if mode == "CMYK" else "a.png"), gradient(), mode)
    pixels, _ = read_image(file)
    assert pixels.shape == (48, 64, 3)
    assert pixels.dtype == np.uint8
    grey = np.array(Image.fromarray(gradient()).convert("L"))
    assert abs(pixels.mean() - (grey if mode in ("L", "1", "LA") else gradient()).mean()) < 12


def test_16_bit_grey_keeps_its_upper_bits(tmp_path):
    values = (np.arange(12, dtype=np.uint16) * 5461).reshape(3, 4)
    pixels, _ = read_image(save(tmp_path / "a.png", values))
    np.testing.assert_array_equal(pixels, np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=2))


def test_transparency_is_dropped(tmp_path):
    rgba = np.dstack([gradient(), np.zeros((48, 64), np.uint8)])
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", rgba))[0], gradient())


def test_orientation_tag_is_ignored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees for display
    file = save(tmp_path / "a.jpg", gradient(), exif=exif)
    assert read_image(file)[0].shape == (48, 64, 3)
    assert image_size(file) == (48, 64)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file: .*gone\.jpg"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_image(tmp_path)


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "bmp"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_truncated_file_is_named(tmp_path, ending, keep):
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    file = save(tmp_path / f"cut.{ending}", noise)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(ValueError, match=rf"cut\.{ending}: "):
        read_image(file)


@pytest.mark.parametrize(
    "content", [b"", b"hello, not an image", b"\xff\xd8\xff\xe0" + b"\0" * 50, b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_image_is_named(tmp_path, content):
    file = tmp_path / "fake.jpg"
    file.write_bytes(content)
    for read in (read_image, image_size):
        with pytest.raises(ValueError, match=r"fake\.jpg: (the file is empty|not an image|the image is)"):
            read(file)


def test_float_pixels_are_refused(tmp_path):
    file = save(tmp_path / "a.tiff", np.ones((4, 5), np.float32))
    with pytest.raises(ValueError, match=r"a\.tiff.*pixels of type 'F'"):
        read_image(file)


def test_scale_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="min_scale must be above 0, got 0"):
        read_image(tmp_path / "a.jpg", min_scale=0)


def test_normalize_worked_by_hand_and_back():
    images = torch.tensor([0.0, 127.5, 255.0]).view(1, 3, 1, 1).expand(2, 3, 4, 5)
    normal = normalize(images)
    by_hand = torch.tensor([-0.485 / 0.229, (0.5 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    torch.testing.assert_close(normal[1, :, 2, 3], by_hand)
    levels = torch.arange(120, dtype=torch.uint8).view(2, 3, 4, 5)
    assert normalize(levels).dtype == torch.float32
    torch.testing.assert_close(denormalize(normalize(levels)), levels)


def tiff(bits, kind, samples=1):
    """Return a TIFF of 4 x 3 pixels, values of `bits` bits (kind 1 unsigned, 2 signed, 3 float), all ones."""
    entries, extra, start = [], b"", 8 + 2 + 9 * 12 + 4
    data_at = start + 4 * samples
    fields = {256: [4], 257: [3], 258: [bits] * samples, 259: [1], 262: [1 if samples == 1 else 2]}
    fields |= {273: [data_at], 277: [samples], 279: [12 * samples * bits // 8], 339: [kind] * samples}
    for tag, values in fields.items():
        raw = struct.pack(f"<{len(values)}H", *values)
        if len(raw) > 4:
            raw, extra = struct.pack("<I", start + len(extra)), extra + raw
        entries.append(struct.pack("<HHI", tag, 3, len(values)) + raw.ljust(4, b"\0"))
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4) + extra
    return head.ljust(data_at, b"\0") + b"\1" * (12 * samples * bits // 8)


@pytest.mark.parametrize(
    ("bits", "kind", "samples"), [(32, 1, 1), (32, 2, 1), (32, 3, 1), (64, 3, 1), (32, 3, 3), (32, 1, 3)]
)
def test_deeper_values_than_16_bits_are_named(tmp_path, bits, kind, samples):
    (tmp_path / "deep.tif").write_bytes(tiff(bits, kind, samples))
    message = rf"deep\.tif: .*{bits} bits a value are not supported; save it with 8 or 16"
    with pytest.raises(ValueError, match=message):
        read_image(tmp_path / "deep.tif")


@pytest.mark.parametrize(("bits", "samples"), [(8, 1), (8, 3), (16, 1), (16, 3)])
def test_tiff_of_8_and_16_bits_is_read(tmp_path, bits, samples):
    (tmp_path / "a.tif").write_bytes(tiff(bits, 1, samples))
    pixels, _ = read_image(tmp_path / "a.tif")
    assert (pixels == 1).all()
    assert pixels.shape == (3, 4, 3)


def test_grey_of_16_bits_in_a_pgm_keeps_its_upper_bits(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 65535\n" + bytes([0x12, 0x34, 0xAB, 0xCD]))
    assert read_image(tmp_path / "a.pgm")[0][0, :, 0].tolist() == [0x12, 0xAB]


def test_an_image_above_the_limit_of_pixels_is_named_with_how_to_raise_it(tmp_path):
    """A JPEG whose header says 15,000 x 13,000."""
    content = bytearray(save(tmp_path / "a.jpg", gradient()).read_bytes())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", 13_000, 15_000)
    (tmp_path / "huge.jpg").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"huge\.jpg: .*limit of 178956970.*PCTLIB_MAX_PIXELS raises it.*195000000"
    ):
        image_size(tmp_path / "huge.jpg")
    run = "from pctlib.data.images import image_size; print(image_size('huge.jpg'))"
    environment = {**os.environ, MAX_PIXELS_VARIABLE: "200000000"}
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "(13000, 15000)\n"


@pytest.mark.parametrize(
    ("content", "meaning"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC photograph"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "a video"),
        (b"<svg width='3'>", "SVG"),
    ],
)
def test_files_that_are_no_images_are_named_for_what_they_are(tmp_path, content, meaning):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.jpg: not an image that can be read \(.*{meaning}"):
        read_image(tmp_path / "a.jpg")


def rotated(path, tag, size=(48, 64)):
    exif = Image.Exif()
    exif[0x0112] = tag
    return save(path, gradient(*size), exif=exif)


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_pixels_are_read_as_stored_whatever_their_orientation(tmp_path, tag, ending):
    """COCO's convention: viewers would mirror or turn what the tags 2 to 8 are on."""
    file = rotated(tmp_path / f"a.{ending}", tag)
    pixels, _ = read_image(file)
    assert orientation(file) == tag
    assert image_size(file) == pixels.shape[:2] == (48, 64)
    red = pixels[24, :, 0].astype(int)
    assert red[-4] - red[4] > 200  # red grows to the right, as it was stored
    green = pixels[:, 32, 1].astype(int)
    assert green[-4] - green[4] > 180


@pytest.mark.parametrize("tag", range(1, 9))
def test_the_cause_of_an_exchanged_size_is_named(tmp_path, tag):
    file = rotated(tmp_path / "a.jpg", tag)
    why = explain_size(file, (64, 48))
    if tag >= 5:
        assert f"its EXIF orientation is {tag} (viewers {ORIENTATIONS[tag]})" in why
        assert "pixels as stored" in why
    else:
        assert why == "width and height look exchanged, as in CrowdPose's files before March 2021"
    assert explain_size(file, (65, 48)) == ""


def test_an_unknown_orientation_is_none(tmp_path):
    assert orientation(rotated(tmp_path / "a.jpg", 9)) == 1
    assert orientation(save(tmp_path / "b.jpg", gradient())) == 1


@pytest.mark.parametrize("tag", [1, *ORIENTATIONS])
def test_photographs_are_turned_as_viewers_show_them(tmp_path, tag):
    exif = Image.Exif()
    exif[274] = tag
    stored = gradient(32, 48)
    file = save(tmp_path / "a.png", stored, exif=exif)
    shown = read_photograph(file)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    np.testing.assert_array_equal(shown, expected)
    assert shown.flags.c_contiguous
    np.testing.assert_array_equal(read_photograph(Image.open(file)), expected)
    np.testing.assert_array_equal(read_image(file)[0], stored)


def test_photographs_of_other_kinds(tmp_path):
    alpha = np.dstack([gradient(), np.zeros((48, 64), np.uint8)])
    alpha[:, 32:, 3] = 255
    for name in ("a.png", "a.webp"):
        options = {"lossless": True} if name.endswith("webp") else {}
        shown = read_photograph(save(tmp_path / name, alpha, **options))
        assert (shown[:, :32] == 255).all()
        np.testing.assert_array_equal(shown[:, 32:], gradient()[:, 32:])
    grey = read_photograph(save(tmp_path / "grey.png", gradient()[..., 0]))
    np.testing.assert_array_equal(grey, np.repeat(gradient()[..., :1], 3, 2))
    deep = Image.fromarray(gradient()[..., 0].astype(np.uint16) * 257)
    deep.save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_photograph(tmp_path / "deep.png"), grey)
    palette = save(tmp_path / "palette.png", np.full((4, 4, 3), 204, np.uint8), mode="P")
    assert (read_photograph(palette) == 204).all()


def test_what_is_no_photograph(tmp_path):
    picture = gradient()
    assert read_photograph(picture) is picture
    for wrong, message in (
        (picture.astype(np.float32), r"expected uint8 \[H, W, 3\] in RGB, got float32 \[48, 64, 3\]"),
        (picture[:0], r"has no pixels, its shape is \[0, 64, 3\]"),
        (3, "expected a file, an image of Pillow or an array, got int"),
    ):
        with pytest.raises(ValueError, match=message):
            read_photograph(wrong)
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(ValueError, match=r"text\.jpg: not an image"):
        read_photograph(tmp_path / "text.jpg")
