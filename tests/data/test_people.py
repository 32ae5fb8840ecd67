from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pctlib.data.people import People, concatenate, convert
from pctlib.skeletons import COCO, CROWDPOSE, H36M, LSP


def make_people(N=5, *, skeleton=CROWDPOSE, seed=0, **changes):
    rng = np.random.default_rng(seed)
    K = skeleton.num_keypoints
    values = {
        "skeleton": skeleton,
        "image_files": [Path(f"{i // 2}.jpg") for i in range(N)],
        "image_ids": np.arange(N) // 2,
        "annotation_ids": np.arange(N) + 10,
        "boxes_xywh": rng.uniform(1, 50, (N, 4)),
        "areas": rng.uniform(1, 50, N),
        "keypoints_image": rng.uniform(-5, 60, (N, K, 2)),
        "visible": rng.integers(0, 3, (N, K)),
        "image_sizes": np.full((N, 2), (48, 64)),
        "source": "toy.json",
    }
    return People(**{**values, **changes})


def test_types_and_labelled():
    people = make_people()
    assert len(people) == 5
    assert (people.keypoints_image.dtype, people.visible.dtype) == (np.float32, np.uint8)
    assert (people.image_ids.dtype, people.image_sizes.dtype) == (np.int64, np.int32)
    np.testing.assert_array_equal(people.labelled, people.visible > 0)


def test_a_set_may_be_empty():
    people = make_people(0)
    assert len(people) == 0
    assert [len(part) for part in people.split(0.5, seed=1)] == [0, 0]


@pytest.mark.parametrize(
    ("field", "index", "value", "message"),
    [
        ("boxes_xywh", (3, 0), np.nan, r"boxes_xywh of row 3 \(annotation 13, image 1\) must be finite"),
        ("boxes_xywh", (2, 3), 0.0, r"boxes_xywh of row 2 .* needs width and height above 0"),
        ("boxes_xywh", (2, 2), -1.0, r"boxes_xywh of row 2 .* needs width and height above 0"),
        ("areas", (1,), 0.0, r"areas of row 1 .* must be above 0, got 0"),
        ("areas", (1,), np.nan, r"areas of row 1 .* must be above 0"),
        ("keypoints_image", (4, 2, 1), np.inf, r"keypoints_image of row 4 .* must be finite"),
        ("visible", (0, 1), 3, r"visible of row 0 .* must be 0, 1 or 2"),
        ("image_sizes", (0, 1), -3, r"image_sizes of row 0 .* must not be negative"),
        ("annotation_ids", (0,), 11, r"annotation_ids must be unique, 11 is there twice"),
        ("keypoints_3d", (0, 1, 2), np.nan, r"keypoints_3d of row 0 .* must be finite"),
        ("occlusion", (2,), 1.5, r"occlusion of row 2 .* must be in 0..1"),
    ],
)
def test_bad_value_is_named(field, index, value, message):
    extra = {"keypoints_3d": np.zeros((5, 17, 3)), "occlusion": np.zeros(5)}
    array = np.array(getattr(make_people(**extra), field))
    array[index] = value
    with pytest.raises(ValueError, match=f"toy.json: {message}"):
        make_people(**{**extra, field: array})


@pytest.mark.parametrize(
    ("field", "shape", "expected"),
    [
        ("image_ids", (4,), r"\[5\]"),
        ("boxes_xywh", (5, 3), r"\[5, 4\]"),
        ("keypoints_image", (5, 17, 2), r"\[5, 14, 2\]"),
        ("visible", (5, 14, 1), r"\[5, 14\]"),
        ("keypoints_3d", (5, 9, 2), r"\[5, 'K3', 3\]"),
    ],
)
def test_bad_shape_is_named(field, shape, expected):
    with pytest.raises(ValueError, match=rf"toy.json: {field} needs shape {expected}, got"):
        make_people(**{field: np.ones(shape)})


def test_select_takes_rows_in_order_and_masks():
    people = make_people(keypoints_3d=np.arange(5 * 3 * 3).reshape(5, 3, 3), occlusion=np.linspace(0, 1, 5))
    chosen = people.select([4, 1])
    assert chosen.annotation_ids.tolist() == [14, 11]
    assert chosen.image_files == [Path("2.jpg"), Path("0.jpg")]
    assert chosen.occlusion.tolist() == [1.0, 0.25]
    assert chosen.keypoints_3d[0, 0, 0] == 36
    assert people.select(people.image_ids == 1).annotation_ids.tolist() == [12, 13]
    assert len(people.select([])) == 0
    with pytest.raises(ValueError, match=r"mask needs shape \[5\], got \[3\]"):
        people.select(np.ones(3, bool))


@given(st.integers(0, 30), st.floats(0, 1), st.integers(0, 99))
def test_split_shares_no_image_and_loses_no_one(N, fraction, seed):
    people = make_people(N)
    first, second = people.split(fraction, seed)
    assert not set(first.image_ids) & set(second.image_ids)
    assert sorted([*first.annotation_ids, *second.annotation_ids]) == people.annotation_ids.tolist()
    assert len(set(first.image_ids)) == round(fraction * len(set(people.image_ids)))
    again = people.split(fraction, seed)[0]
    np.testing.assert_array_equal(again.annotation_ids, first.annotation_ids)


def test_split_depends_on_the_seed_and_refuses_a_bad_fraction():
    people = make_people(60)
    parts = {tuple(people.split(0.5, seed)[0].annotation_ids) for seed in range(5)}
    assert len(parts) == 5
    with pytest.raises(ValueError, match=r"fraction must be in 0..1, got 1.5"):
        people.split(1.5, seed=0)


def test_concatenate_keeps_ids_that_are_distinct():
    a, b = (
        make_people(2, excluded={"crowd": 1}),
        make_people(
            3,
            annotation_ids=[90, 91, 92],
            image_ids=[70, 70, 71],
            excluded={"crowd": 2, "tiny": 1},
            source="b.json",
        ),
    )
    both = concatenate([a, b])
    assert both.annotation_ids.tolist() == [10, 11, 90, 91, 92]
    assert both.image_ids.tolist() == [0, 0, 70, 70, 71]
    assert both.excluded == {"crowd": 3, "tiny": 1}
    assert both.source == "toy.json, b.json"
    assert both.image_files == a.image_files + b.image_files
    np.testing.assert_array_equal(both.visible, np.concatenate([a.visible, b.visible]))


def test_concatenate_keeps_images_apart_when_ids_collide():
    both = concatenate([make_people(4), make_people(0), make_people(3)])
    assert len(set(both.annotation_ids)) == 7
    assert both.image_ids.tolist() == [0, 0, 1, 1, 2, 2, 3]


def test_concatenate_drops_a_field_that_not_all_have_and_refuses_mixed_skeletons():
    with_depth = make_people(2, keypoints_3d=np.zeros((2, 17, 3)))
    assert concatenate([with_depth, make_people(1)]).keypoints_3d is None
    assert concatenate([with_depth, with_depth]).keypoints_3d.shape == (4, 17, 3)
    with pytest.raises(ValueError, match=r"one skeleton, got \['coco', 'crowdpose'\]"):
        concatenate([make_people(1), make_people(1, skeleton=COCO)])
    with pytest.raises(ValueError, match="at least one"):
        concatenate([])


def test_convert_moves_keypoints_by_name():
    people = make_people(3)
    converted = convert(people, LSP)
    assert converted.skeleton is LSP
    for name in LSP.keypoint_names:  # LSP and CrowdPose mark the same 14 places in another order
        k, source = LSP.index(name), CROWDPOSE.index(name)
        np.testing.assert_array_equal(converted.keypoints_image[:, k], people.keypoints_image[:, source])
        np.testing.assert_array_equal(converted.visible[:, k], people.visible[:, source])
    back = convert(converted, CROWDPOSE)
    for f in fields(People):
        np.testing.assert_array_equal(getattr(back, f.name), getattr(people, f.name))


def test_convert_leaves_what_is_missing_unlabelled():
    converted = convert(make_people(2, visible=np.full((2, 14), 2)), H36M)
    missing = [H36M.index(name) for name in ("pelvis", "spine", "thorax", "neck_nose", "head")]
    assert (converted.visible[:, missing] == 0).all()
    assert (converted.keypoints_image[:, missing] == 0).all()
    assert (np.delete(converted.visible, missing, axis=1) == 2).all()


def test_box_scores_follow_their_rows_and_must_be_finite():
    people = make_people(box_scores=np.arange(5) / 10)
    np.testing.assert_allclose(people.select([4, 1]).box_scores, [0.4, 0.1], rtol=1e-6)
    np.testing.assert_allclose(convert(people, LSP).box_scores, people.box_scores)
    assert concatenate([people, people]).box_scores.shape == (10,)
    assert concatenate([people, make_people()]).box_scores is None
    with pytest.raises(ValueError, match=r"box_scores of row 2 .* must be a finite number, got nan"):
        make_people(box_scores=np.array([0, 1, np.nan, 3, 4]))
