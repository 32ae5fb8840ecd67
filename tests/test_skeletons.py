import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.cocoeval import Params

from pctlib.skeletons import (
    COCO,
    COCO_WHOLEBODY,
    CROWDPOSE,
    H36M,
    LSP,
    MPII,
    SKELETONS,
    Skeleton,
    correspondence,
)

ALL = list(SKELETONS.values())
each = pytest.mark.parametrize("skeleton", ALL, ids=lambda s: s.name)


def coco_category(shared, file):
    return json.loads((shared / "data" / file).read_text())["categories"][0]


def test_sizes_and_names():
    sizes = {name: s.num_keypoints for name, s in SKELETONS.items()}
    flat = {"coco": 17, "coco_wholebody": 133, "mpii": 16, "crowdpose": 14, "lsp": 14}
    assert sizes == flat | {"h36m": 17, "smpl": 24}
    assert all(name == s.name for name, s in SKELETONS.items())


@each
def test_mirror_twice_changes_nothing(skeleton):
    permutation = skeleton.flip_permutation
    assert sorted(permutation) == list(range(skeleton.num_keypoints))
    assert [permutation[i] for i in permutation] == list(range(skeleton.num_keypoints))


@each
def test_every_left_name_is_paired_with_its_right_name(skeleton):
    for index, name in enumerate(skeleton.keypoint_names):
        other = skeleton.keypoint_names[skeleton.flip_permutation[index]]
        if name.startswith("left_"):
            assert other == name.replace("left_", "right_")
        elif not name.startswith(("right_", "face_")):
            assert other == name


@each
def test_limbs_join_all_keypoints_that_are_drawn_and_are_not_repeated(skeleton):
    assert len({frozenset(limb) for limb in skeleton.limbs}) == len(skeleton.limbs)
    unjoined = set(range(skeleton.num_keypoints)) - {i for limb in skeleton.limbs for i in limb}
    assert {skeleton.keypoint_names[i] for i in unjoined} <= {"left_hand_root", "right_hand_root"}


@each
def test_mirror_image_of_a_limb_is_a_limb(skeleton):
    permutation, limbs = skeleton.flip_permutation, {frozenset(limb) for limb in skeleton.limbs}
    face = {i for i, name in enumerate(skeleton.keypoint_names) if name.startswith("face_")}
    for a, b in skeleton.limbs:
        assert {a, b} <= face or frozenset((permutation[a], permutation[b])) in limbs


@each
def test_limb_colors_tell_left_from_right(skeleton):
    pattern = {"left": set(), "right": set()}
    for (a, b), color in zip(skeleton.limbs, skeleton.limb_colors, strict=True):
        assert len(color) == 7
        assert int(color[1:], 16) >= 0
        names = skeleton.keypoint_names[a], skeleton.keypoint_names[b]
        for side in pattern:
            if all(name.startswith(side) for name in names) and any(
                "elbow" in n or "knee" in n for n in names
            ):
                pattern[side].add(color)
    assert pattern == {"left": {"#2f7fc4"}, "right": {"#f07f1d"}}


@each
def test_body_halves_are_apart_and_each_closed_under_mirroring(skeleton):
    assert not set(skeleton.upper_body) & set(skeleton.lower_body)
    for half in (skeleton.upper_body, skeleton.lower_body):
        assert {skeleton.flip_permutation[i] for i in half} == set(half)


def test_coco_sigmas_are_those_of_pycocotools():
    assert COCO.sigmas == pytest.approx(Params("keypoints").kpt_oks_sigmas.tolist(), abs=1e-12)


def test_wholebody_sigmas_by_part():
    sigmas = COCO_WHOLEBODY.sigmas
    assert sigmas[:17] == COCO.sigmas
    assert sigmas[17:23] == (0.068, 0.066, 0.066, 0.092, 0.094, 0.094)
    assert (sigmas[23], sigmas[90], sigmas[91], sigmas[132]) == (0.042, 0.008, 0.029, 0.031)
    assert sigmas[91:112] == sigmas[112:133]
    assert sum(sigmas[23:91]) == pytest.approx(1.137)  # summed over the published table


def test_crowdpose_sigmas_are_cocos_where_the_joint_is_the_same():
    for target, source in enumerate(correspondence(COCO, CROWDPOSE)):
        assert CROWDPOSE.sigmas[target] == (0.079 if source is None else COCO.sigmas[source])


def test_sets_scored_by_distance_define_no_sigmas():
    assert [s.name for s in ALL if s.sigmas is None] == ["mpii", "lsp", "h36m", "smpl"]


def test_body_halves_of_coco():
    assert COCO.upper_body == tuple(range(11))
    assert COCO.lower_body == tuple(range(11, 17))


def test_wholebody_face_pairs_worked_by_hand():
    pairs = {
        COCO_WHOLEBODY.keypoint_names[a]: COCO_WHOLEBODY.keypoint_names[b]
        for a, b in COCO_WHOLEBODY.flip_pairs
    }
    by_hand = {
        0: 16,
        7: 9,
        17: 26,
        21: 22,
        31: 35,
        36: 45,
        39: 42,
        40: 47,
        41: 46,
        48: 54,
        55: 59,
        60: 64,
        65: 67,
    }
    for first, second in by_hand.items():
        assert pairs[f"face_{first}"] == f"face_{second}"
    assert not {f"face_{i}" for i in (8, 27, 28, 29, 30, 33, 51, 57, 62, 66)} & {*pairs, *pairs.values()}
    assert len(pairs) == 8 + 3 + 29 + 21


def test_published_orders():
    assert [LSP.keypoint_names[i] for i in (0, 2, 3, 6, 9, 12, 13)] == [
        *("right_ankle", "right_hip", "left_hip", "right_wrist", "left_shoulder", "neck", "head_top")
    ]
    assert [MPII.keypoint_names[i] for i in (0, 5, 6, 7, 8, 9, 10, 15)] == [
        *(
            "right_ankle",
            "left_ankle",
            "pelvis",
            "thorax",
            "upper_neck",
            "head_top",
            "right_wrist",
            "left_wrist",
        )
    ]
    assert [H36M.keypoint_names[i] for i in (0, 1, 6, 7, 8, 10, 11, 16)] == [
        *("pelvis", "right_hip", "left_ankle", "spine", "thorax", "head", "left_shoulder", "right_wrist")
    ]


def test_names_and_bones_are_those_of_the_annotation_files(shared):
    category = coco_category(shared, "fixtures/coco/test_coco.json")
    assert tuple(category["keypoints"]) == COCO.keypoint_names
    assert {frozenset((a - 1, b - 1)) for a, b in category["skeleton"]} == {
        frozenset(limb) for limb in COCO.limbs
    }
    crowdpose = coco_category(shared, "fixtures/crowdpose/test_crowdpose.json")["keypoints"]
    assert ["head_top" if name == "head" else name for name in crowdpose] == list(CROWDPOSE.keypoint_names)


def test_flip_order_of_the_recorded_pipeline(golden):
    config = golden("codecs").config
    assert list(COCO.flip_permutation) == config["flip_indices"]
    assert list(COCO.upper_body) == config["upper_body_ids"]
    assert list(COCO.lower_body) == config["lower_body_ids"]


def test_correspondence_by_name():
    assert correspondence(COCO_WHOLEBODY, COCO) == list(range(17))
    assert correspondence(COCO, COCO_WHOLEBODY)[17:] == [None] * 116
    to_lsp = dict(zip(LSP.keypoint_names, correspondence(MPII, LSP), strict=True))
    assert (to_lsp["neck"], to_lsp["head_top"], to_lsp["left_wrist"]) == (8, 9, 15)
    assert correspondence(LSP, MPII)[6:10] == [None, None, 12, 13]
    assert correspondence(MPII, H36M)[7:11] == [None, 7, None, None]


@given(st.sampled_from(ALL), st.sampled_from(ALL))
def test_correspondence_there_and_back(a, b):
    back = correspondence(b, a)
    for target, source in enumerate(correspondence(a, b)):
        assert source is None or back[source] == target


def test_index_names_the_skeleton_in_its_error():
    assert H36M.index("neck_nose") == 9
    with pytest.raises(ValueError, match=r"skeleton mpii has no keypoint 'nose'"):
        MPII.index("nose")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoint_names": ("a", "a", "c")}, "name twice"),
        ({"sigmas": (0.1,)}, "sigmas has 1 values, expected 3"),
        ({"limb_colors": ()}, "limb_colors has 0 values, expected 1"),
        ({"flip_pairs": ((0, 1), (1, 2))}, "flip_pairs names a keypoint twice"),
        ({"lower_body": (3,)}, r"indices \[3\] are outside 0..2"),
    ],
)
def test_bad_skeleton_is_refused(change, message):
    good = {
        **{"name": "toy", "keypoint_names": ("a", "left_b", "right_b"), "flip_pairs": ((1, 2),)},
        **{
            "limbs": ((0, 1),),
            "limb_colors": ("#000000",),
            "sigmas": None,
            "upper_body": (0,),
            "lower_body": (),
        },
    }
    Skeleton(**good)
    with pytest.raises(ValueError, match=f"skeleton toy: .*{message}"):
        Skeleton(**{**good, **change})
