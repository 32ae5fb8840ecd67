import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.coloured_joints import SKELETON, network, picture
from helpers.official_vitpose import random_vitpose
from PIL import Image

import pctlib
from pctlib.inference import detector as detectors
from pctlib.inference.predictor import Predictor

JOINTS = np.array([[50.0, 40.0], [90.0, 70.0]])
BOX = [[30, 20, 110, 90]]


@pytest.mark.parametrize("udp", [False, True])
@pytest.mark.parametrize(("scale", "radius"), [(1, 4), (3, 12), (12, 48)])
def test_keypoints_are_pixels_of_the_photograph(udp, scale, radius):
    image = picture(JOINTS * scale, (120 * scale, 160 * scale), radius)
    found = Predictor(network(udp=udp))(image, boxes=np.array(BOX) * scale)
    assert found.keypoints.shape == (1, 2, 2)
    # UDP scales the sides by other factors, which bends the disc, not its middle; a tenth of an input pixel
    assert np.abs(found.keypoints[0] - JOINTS * scale).max() < 0.25 * scale
    assert found.skeleton is SKELETON
    assert found.boxes_xyxy.tolist() == (np.array(BOX) * scale).tolist()


def test_a_list_is_batched_and_keeps_its_order(tmp_path):
    seen = []
    plain = network()

    def find(crops):
        seen.append(len(crops))
        return plain.find(crops)

    joints = [JOINTS + np.array([3, -2]) * n for n in range(5)]
    pictures = [picture(each) for each in joints]
    Image.fromarray(pictures[1]).save(tmp_path / "b.png")
    file = tmp_path / "b.png"
    mixed = [pictures[0], file, str(file), Image.fromarray(pictures[3]), pictures[4]]
    expected = [joints[0], joints[1], joints[1], joints[3], joints[4]]
    counting = type(plain)(find, SKELETON, plain.input_size)
    found = Predictor(counting, batch_size=2)(mixed, boxes=[BOX, BOX, BOX * 2, [], BOX])
    assert [len(each) for each in found] == [1, 1, 1, 0, 1]  # the doubled box is one person
    assert seen == [2, 2, 1]
    for each, where in zip(found, expected, strict=True):
        assert all(np.abs(pose - where).max() < 0.25 for pose in each.keypoints)
    assert [each.file for each in found] == ["", *[str(tmp_path / "b.png")] * 2, "", ""]


def test_the_whole_image_or_a_function_of_the_user_gives_the_box():
    image, calls = picture(JOINTS), []

    def own(pixels):
        calls.append(pixels.shape)
        return np.array([[30, 20, 110, 90, 0.25]])

    predictor = Predictor(network(), detector=own)
    found = predictor(image)
    assert calls == [(120, 160, 3)]
    assert found.box_scores.tolist() == [0.25]
    assert found.person_scores == pytest.approx([0.25 * found.scores.mean()])
    whole = predictor(image, whole_image=True)
    assert whole.boxes_xyxy.tolist() == [[0, 0, 160, 120]]
    assert len(calls) == 1
    assert len(Predictor(network(), detector=lambda pixels: [])(image)) == 0


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[10, 10, 10, 40]], r"photograph: box 0 has no extent"),
        ([BOX[0], [170, 0, 200, 50]], r"box 1 lies outside the picture of 160 x 120 pixels: \[170.0, 0"),
        ([[0, 0, float("nan"), 9]], r"box 0 is not finite"),
        ([1, 2, 3, 4], r"boxes: expected \[N, 4\] left, top, right, bottom, or \[N, 5\].*got \[4\]"),
    ],
)
def test_boxes_that_do_not_fit_are_refused(boxes, message):
    with pytest.raises(ValueError, match=message):
        Predictor(network())(picture(JOINTS), boxes=boxes)


def test_other_bad_arguments(tmp_path):
    predictor = Predictor(network())
    with pytest.raises(ValueError, match="give boxes or take the whole image, not both"):
        predictor(picture(JOINTS), boxes=BOX, whole_image=True)
    with pytest.raises(ValueError, match="boxes: expected one array a photograph, 2, got 1"):
        predictor([picture(JOINTS)] * 2, boxes=[BOX])
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        Predictor(network(), batch_size=0)
    with pytest.raises(FileNotFoundError, match=r"none\.jpg"):
        predictor(tmp_path / "none.jpg", whole_image=True)


def test_without_detector_weights_one_error_names_all_ways(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def offline(*args, **options):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(ValueError, match=r"cannot be fetched \(no network\)") as error:
        Predictor(network())(picture(JOINTS))
    for way in ("put the file there", "boxes=", "--boxes", "whole_image=True", "--whole-image", "detector="):
        assert way in str(error.value)
    told = capsys.readouterr().out
    assert told.startswith("detector fasterrcnn_mobilenet_v3_large_fpn: fetching 74 MB, once, to ")
    with pytest.raises(ValueError, match="detector: expected auto or one of fasterrcnn"):
        Predictor(network(), detector="yolo")(picture(JOINTS))


def test_a_detector_of_torchvision_gives_people_above_the_limit():
    class Found(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images):
            assert images[0].shape == (3, 120, 160)
            assert 0 <= images[0].min() < images[0].max() <= 1
            boxes = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])
            scores, labels = torch.tensor([0.9, 0.9, 0.4]), torch.tensor([1, 2, 1])
            return [{"boxes": boxes, "labels": labels, "scores": scores}]

    detect = detectors._detect_with(Found(), 1, 0.5)
    np.testing.assert_allclose(detect(picture(JOINTS)), [[1, 2, 3, 4, 0.9]])


def test_official_weights_in_three_lines(tmp_path):
    torch.save({"state_dict": random_vitpose(0, dim=384, depth=1, decoder="simple")}, tmp_path / "vit.pth")
    Image.fromarray(picture(JOINTS)).save(tmp_path / "photo.png")
    predictor = pctlib.Predictor(tmp_path / "vit.pth")
    people = predictor(tmp_path / "photo.png", whole_image=True)
    people.draw(tmp_path / "out.jpg")
    assert (tmp_path / "out.jpg").is_file()
    assert people.keypoints.shape == (1, 17, 2)
    assert people.skeleton.name == "coco"
    both = Predictor(tmp_path / "vit.pth", flip_test=True)(tmp_path / "photo.png", whole_image=True)
    assert np.abs(both.scores - people.scores).max() > 1e-3
    wider = Predictor(tmp_path / "vit.pth", padding=2.0, udp=False)
    assert (wider.network.padding, wider.network.udp) == (2.0, False)
    assert (predictor.network.padding, predictor.network.udp) == (1.25, True)


def test_the_package_imports_no_torch_until_it_predicts():
    code = "import sys, pctlib; assert 'torch' not in sys.modules; pctlib.Predictor; sys.modules['torch']"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        getattr(pctlib, "Nothing")  # noqa: B009
