"""Keypoint sets of a user's file."""

import json

import pytest

from pctlib.skeleton_files import (
    choose_skeleton,
    describe_skeleton,
    known_skeleton,
    make_skeleton,
    read_skeleton,
)
from pctlib.skeletons import COCO, COCO_WHOLEBODY, CROWDPOSE, SKELETONS

HAND = """
name: paw
keypoints: [wrist, left_tip, right_tip]
limbs: [[wrist, left_tip], [0, 2]]
sigmas: [0.02, 0.03, 0.03]
"""


def test_a_yaml_file_gives_every_field(tmp_path):
    (tmp_path / "hand.yml").write_text(HAND)
    paw = read_skeleton(tmp_path / "hand.yml")
    assert paw.name == "paw"
    assert paw.keypoint_names == ("wrist", "left_tip", "right_tip")
    assert paw.flip_permutation == (0, 2, 1)
    assert paw.limbs == ((0, 1), (0, 2))
    assert paw.sigmas == (0.02, 0.03, 0.03)
    assert choose_skeleton(str(tmp_path / "hand.yml")) == paw


def test_without_a_name_it_is_that_of_the_file(tmp_path):
    (tmp_path / "dog.json").write_text(json.dumps({"keypoints": ["nose", "tail"]}))
    dog = read_skeleton(tmp_path / "dog.json")
    assert (dog.name, dog.flip_permutation, dog.sigmas, dog.limbs) == ("dog", (0, 1), None, ())


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_eye", "right_eye"),
        ("L_Eye", "R_Eye"),
        ("eye-left", "eye-right"),
        ("Left Ear", "Right Ear"),
        ("leftEye", "rightEye"),
        ("LeftEye", "RightEye"),
        ("L", "R"),
        ("front_l", "front_r"),
    ],
)
def test_flip_pairs_are_told_from_the_names_however_they_are_spelled(left, right):
    assert make_skeleton("s", [left, "nose", right]).flip_permutation == (2, 1, 0)


def test_letters_within_a_word_are_no_side():
    assert make_skeleton("s", ["lip", "rip", "ear", "eal", "cleft", "cright"]).flip_pairs == ()


def test_given_pairs_count_more_than_names():
    assert make_skeleton("s", ["left_a", "right_a", "b"], flip_pairs=[["left_a", "b"]]).flip_pairs == (
        (0, 2),
    )


def test_benchmarks_are_known_by_their_names_in_other_spellings():
    assert known_skeleton(make_skeleton("x", COCO.keypoint_names)) is COCO
    dashed = [name.replace("face_", "face-") for name in COCO_WHOLEBODY.keypoint_names]
    assert known_skeleton(make_skeleton("x", dashed)) is COCO_WHOLEBODY
    topped = ["top_head" if name == "head_top" else name for name in CROWDPOSE.keypoint_names]
    assert known_skeleton(make_skeleton("x", topped)) is CROWDPOSE
    other = make_skeleton("x", COCO.keypoint_names[::-1])
    assert known_skeleton(other) is other


def test_sets_are_chosen_by_name_with_dash_or_underscore():
    assert choose_skeleton("coco-wholebody") is COCO_WHOLEBODY
    assert all(choose_skeleton(name) is skeleton for name, skeleton in SKELETONS.items())
    with pytest.raises(ValueError, match=r"skeleton: expected one of coco, .*got 'cat'"):
        choose_skeleton("cat")
    with pytest.raises(FileNotFoundError, match=r"none\.yml"):
        choose_skeleton("none.yml")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[1, 2]", "expected a keypoint set"),
        ("keypoints: []", "expected a keypoint set"),
        ("keypoints: nose", "keypoints: expected a list of names, got 'nose'"),
        ("keypoints: [nose, 3]", r"keypoints\[1\]: expected a name, got 3"),
        ("keypoints: [a, b, a]", "keypoints: the name 'a' is there twice"),
        ("{keypoints: [a, b], colour: red}", "unknown field 'colour'"),
        ("{keypoints: [a, b], limbs: [[a, c]]}", r"limbs\[0\]: expected a name or 0\.\.1, got 'c'"),
        ("{keypoints: [a, b], limbs: [[0, 2]]}", r"limbs\[0\]: expected a name or 0\.\.1, got 2"),
        ("{keypoints: [a, b], limbs: [[a]]}", r"limbs\[0\]: expected a pair of keypoints"),
        ("{keypoints: [a, b], flip_pairs: [[a, a]]}", r"flip_pairs\[0\]: names one keypoint twice"),
        ("{keypoints: [a, b], sigmas: [0.1]}", "sigmas has 1 values, expected 2"),
        ("{keypoints: [a, b], sigmas: [0.1, 0]}", r"sigmas\[1\]: expected a number above 0, got 0"),
        ("{keypoints: [a, b], lower_body: [c]}", "lower_body: expected a name"),
    ],
)
def test_faults_name_file_and_field(tmp_path, text, fault):
    (tmp_path / "own.yml").write_text(text)
    with pytest.raises(ValueError, match=rf"own\.yml: .*{fault}"):
        read_skeleton(tmp_path / "own.yml")


@pytest.mark.parametrize("name", SKELETONS)
def test_a_known_set_is_made_again_from_its_description(name):
    skeleton = SKELETONS[name]
    described = json.loads(json.dumps(describe_skeleton(skeleton)))
    assert known_skeleton(make_skeleton(**described)) is skeleton
    own = make_skeleton(**{**described, "keypoints": [f"own {k}" for k in range(skeleton.num_keypoints)]})
    assert (own.flip_permutation, own.limbs) == (skeleton.flip_permutation, skeleton.limbs)
    assert (own.sigmas, own.lower_body) == (skeleton.sigmas, skeleton.lower_body)


@pytest.mark.parametrize(
    ("colors", "message"),
    [
        (["#112233"], "limb_colors: expected one of each of 2 limbs"),
        ("#112233", "limb_colors: expected one of each of 2 limbs"),
        (["#112233", "red"], r"limb_colors\[1\]: expected '#rrggbb', got 'red'"),
    ],
)
def test_colours_are_checked(colors, message):
    with pytest.raises(ValueError, match=message):
        make_skeleton("own", ["a", "b", "c"], limbs=[(0, 1), (1, 2)], limb_colors=colors)
