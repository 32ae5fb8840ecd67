"""Bodies of procedural people: their joints are where the people's keypoints are."""

import numpy as np
import pytest
import torch

from pctlib.body_joints import BodyJoints
from pctlib.data.procedural.annotate import _KEYPOINT_SOURCE
from pctlib.data.procedural.bodies import EXPRESSION_MIRROR, read_bodies
from pctlib.data.procedural.body import EXPRESSION_NAMES, embedded_body
from pctlib.data.procedural.generate import generate
from pctlib.data.procedural.reader import read_procedural


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("people")
    generate(root, split="val", count=6, seed=11, image_size=128, progress=False)
    return root


def test_joints_appear_where_the_keypoints_are(folder):
    people = read_procedural(folder, "val", whole_body=True)
    bodies = read_bodies(folder, "val").of(people.annotation_ids)
    joints = bodies.joints(BodyJoints(embedded_body()))
    pixels = bodies.pixels(joints)[:, _KEYPOINT_SOURCE].numpy()
    distance = np.linalg.norm(pixels - people.keypoints_image, axis=-1)
    inner = np.r_[0:3, 5:23, 40:133]  # hats and hair move the ears, and the outline follows the camera here
    assert (distance[:, inner][people.visible[:, inner] > 0] < 0.05).all()
    pelvis = people.keypoints_3d[:, 0] / 1000
    np.testing.assert_allclose(joints[:, 0].numpy(), pelvis, atol=1e-4)


def test_upright_people_before_a_camera_are_half_turns(folder):
    root = read_bodies(folder, "val").pose[:, 0].norm(dim=1)
    assert root.median() > 2.5


def test_a_file_without_a_field_is_refused(folder, tmp_path):
    (tmp_path / "annotations").mkdir()
    with np.load(folder / "annotations" / "person_3d_val.npz") as archive:
        fields = {name: archive[name] for name in archive.files if name != "focal"}
    np.savez(tmp_path / "annotations" / "person_3d_val.npz", **fields)
    with pytest.raises(ValueError, match=r"person_3d_val.npz: the fields focal are missing"):
        read_bodies(tmp_path, "val")
    fields["focal"] = np.zeros(len(fields["shape"]), np.float32)
    np.savez(tmp_path / "annotations" / "person_3d_val.npz", **fields)
    with pytest.raises(ValueError, match=r"person_3d_val.npz: focal of row 0"):
        read_bodies(tmp_path, "val")


def test_one_expression_changes_sign_in_a_mirror():
    assert [EXPRESSION_NAMES[i] for i in torch.nonzero(EXPRESSION_MIRROR < 0).flatten()] == ["jaw_left"]
