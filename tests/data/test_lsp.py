import numpy as np
import pytest
import scipy.io
from PIL import Image

from pctlib.data.lsp import read_lsp, read_lsp_extended
from pctlib.skeletons import LSP

RNG = np.random.default_rng(14)


def write(root, joints):
    root.mkdir(exist_ok=True)
    scipy.io.savemat(root / "joints.mat", {"joints": joints})
    return root


def original(count=1005):
    joints = RNG.uniform(10, 150, (3, 14, count))
    joints[2] = 0
    joints[2, 4, 1] = 1
    return joints


def test_original_flag_means_hidden(tmp_path):
    joints = original()
    people = read_lsp(write(tmp_path / "lsp", joints))
    assert people.skeleton is LSP
    assert people.image_files[1] == tmp_path / "lsp" / "images" / "im0002.jpg"
    assert people.visible[0].tolist() == [2] * 14
    assert people.visible[1].tolist() == [2] * 4 + [1] + [2] * 9
    np.testing.assert_allclose(people.keypoints_image[1, 4], joints[:2, 4, 1], rtol=1e-6)
    low, high = joints[:2, :, 1].min(1), joints[:2, :, 1].max(1)
    np.testing.assert_allclose(people.boxes_xywh[1], [*low, *(high - low)], rtol=1e-5)
    np.testing.assert_allclose(people.areas[1], 0.53 * (high - low).prod(), rtol=1e-5)


def test_original_splits_after_a_thousand(tmp_path):
    root = write(tmp_path / "lsp", original())
    train, test = read_lsp(root, "train"), read_lsp(root, "test")
    assert (len(train), len(test)) == (1000, 5)
    assert test.image_files[0].name == "im1001.jpg"
    with pytest.raises(ValueError, match="split must be 'train', 'test' or None, got 'val'"):
        read_lsp(root, "val")


def test_extended_flag_means_labelled(tmp_path):
    joints = RNG.uniform(10, 150, (14, 3, 4))
    joints[:, 2] = 1
    joints[13, :, 2] = [0, -5, 0]  # the dummy place of a joint that is not labelled
    joints[1:, :, 3] = 0  # one joint left
    people = read_lsp_extended(write(tmp_path / "lspet", joints))
    assert people.image_files[2] == tmp_path / "lspet" / "images" / "im00003.jpg"
    assert people.visible[2].tolist() == [2] * 13 + [0]
    assert (people.keypoints_image[2, 13] == 0).all()
    np.testing.assert_allclose(people.boxes_xywh[2, 0], joints[:13, 0, 2].min(), rtol=1e-6)
    assert (len(people), people.excluded) == (3, {"fewer than two joints": 1})


def test_the_sets_are_not_read_for_each_other(tmp_path):
    joints = original(3)
    with pytest.raises(ValueError, match=r"LSP-Extended needs .*got \(3, 14, 3\): this is LSP, whose flags"):
        read_lsp_extended(write(tmp_path / "a", joints))
    with pytest.raises(ValueError, match=r"LSP needs .*got \(14, 3, 3\): this is LSP-Extended"):
        read_lsp(write(tmp_path / "b", joints.transpose(1, 0, 2)))
    with pytest.raises(ValueError, match=r"got \(3, 15, 3\)$"):
        read_lsp(write(tmp_path / "c", np.zeros((3, 15, 3))))
    joints[2, 0, 0] = 7
    with pytest.raises(ValueError, match=r"joints\.mat: flags must be 0 or 1, got"):
        read_lsp(write(tmp_path / "d", joints))
    with pytest.raises(FileNotFoundError, match=r"joints\.mat"):
        read_lsp(tmp_path / "none")


def test_a_single_image_keeps_its_axis(tmp_path):
    assert len(read_lsp(write(tmp_path / "a", original(2)[..., :1]))) == 1


def test_local_sample(shared):
    people = read_lsp_extended(shared / "data/lsp")
    assert len(people) == 320
    sizes = np.array([Image.open(file).size for file in people.image_files])  # (width, height)
    inside = ((people.keypoints_image >= 0) & (people.keypoints_image <= sizes[:, None] - 1)).all(-1)
    assert (~inside[people.labelled]).sum() <= 3  # a few joints lie on the border
    upright = people.visible[:, [0, 5, 12]].all(1)
    above = people.keypoints_image[:, 12, 1] < people.keypoints_image[:, [0, 5], 1].min(1)
    assert above[upright].mean() > 0.6  # parkour and gymnastics: not all stand on their feet
    with pytest.raises(ValueError, match="this is LSP-Extended"):
        read_lsp(shared / "data/lsp")
