"""OSX's choice of joints, their mirror images, and the virtual camera."""

import torch

from pctlib.body_joints import BODY_FLIP
from pctlib.body_model import JOINT_NAMES, NAMED_VERTICES
from pctlib.models.osx.joints import (
    BODY,
    FACE,
    LEFT_HAND,
    OSX_FLIP,
    OSX_JOINTS,
    RIGHT_HAND,
    project,
    relative_to_parts,
)

NAMES = (*JOINT_NAMES, *NAMED_VERTICES)


def test_joints_are_those_of_the_parts():
    assert len(OSX_JOINTS) == len(set(OSX_JOINTS[:65])) + 72 == 137
    named = [NAMES[joint] for joint in OSX_JOINTS[:65]]
    assert all(name.startswith("left_") for name in named[LEFT_HAND])
    assert [name.replace("left", "right") for name in named[LEFT_HAND]] == named[RIGHT_HAND]
    assert named[LEFT_HAND.start : LEFT_HAND.start + 5] == [
        *("left_thumb1", "left_thumb2", "left_thumb3", "left_thumb_tip"),
        "left_index1",
    ]
    assert named[0] == "pelvis"
    assert named[7] == "neck"
    assert named[12:14] == ["left_wrist", "right_wrist"]
    assert named[24] == "nose"


def test_mirroring_twice_is_nothing_and_sides_change():
    for flip in (BODY_FLIP, OSX_FLIP):
        assert [flip[j] for j in flip] == list(range(len(flip)))
    for joint, other in enumerate(OSX_FLIP):
        assert BODY_FLIP[OSX_JOINTS[joint]] == OSX_JOINTS[other]
    assert OSX_FLIP[LEFT_HAND.start] == RIGHT_HAND.start
    assert OSX_FLIP[0] == 0
    assert OSX_FLIP[12] == 13


def test_parts_have_their_own_roots():
    joints = torch.randn(2, 137, 3)
    found = relative_to_parts(joints)
    torch.testing.assert_close(found[:, 3], joints[:, 3] - joints[:, 0])
    torch.testing.assert_close(found[:, LEFT_HAND.start], joints[:, LEFT_HAND.start] - joints[:, 12])
    torch.testing.assert_close(found[:, RIGHT_HAND.stop - 1], joints[:, RIGHT_HAND.stop - 1] - joints[:, 13])
    torch.testing.assert_close(found[:, FACE.start], joints[:, FACE.start] - joints[:, 7])
    assert BODY.stop == LEFT_HAND.start


def test_the_camera_looks_at_the_middle():
    joints = torch.tensor([[[0.0, 0, 0], [0.1, -0.2, 0]]])
    seen = project(joints, torch.tensor([[0.0, 0, 50]]), (256, 192))
    expected = torch.tensor([[[6.0, 8.0], [6 + 0.1 * 100 / 16, 8 - 0.2 * 100 / 16]]])
    torch.testing.assert_close(seen, expected, atol=1e-4, rtol=0)
