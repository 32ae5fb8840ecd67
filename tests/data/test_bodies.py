"""Bodies of people: rows, cameras, and the rule by which they follow a crop."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pctlib.body_joints import BODY_FLIP, BodyJoints, matrices_of, rest_pelvis
from pctlib.body_model import BodyModel, rotation_matrix
from pctlib.data.bodies import Bodies, before_camera, joints_in_crop
from pctlib.data.crops import transform_joints_3d, transform_points
from pctlib.data.procedural.bodies import EXPRESSION_MIRROR
from pctlib.data.procedural.body import build_body, embedded_body


def random_bodies(N=3, seed=0):
    """Bodies of any pose, a few metres before a camera."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    known, pose = torch.ones(N, dtype=torch.bool), 0.5 * normal(N, 55, 3)
    pose[:, 22] *= 0.1  # jaws hardly move
    return Bodies(
        annotation_ids=torch.arange(N) * 7 + 3,
        pose=pose,
        shape=normal(N, 10).clamp(-2, 2),
        expression=normal(N, 10).clamp(-2, 2),
        translation=torch.tensor([0.3, -0.4, 5.0]) + 0.2 * normal(N, 3),
        focal=torch.full((N, 2), 300.0),
        principal_point=torch.tensor([[100.0, 120.0]]).repeat(N, 1),
        pose_known=torch.ones(N, 55, dtype=torch.bool),
        shape_known=known,
        expression_known=known,
        expression_mirror=EXPRESSION_MIRROR,
        source="made here",
    )


def affine(angle_deg, scale, mirror, N=3):
    """An affine that turns, scales and may mirror."""
    angle = torch.deg2rad(torch.tensor(float(angle_deg)))
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    if mirror:
        turn = turn @ torch.tensor([[-1.0, 0], [0, 1]])
    return torch.cat((scale * turn, torch.tensor([[12.0], [-7.0]])), dim=1).repeat(N, 1, 1)


@settings(max_examples=25, deadline=None)
@given(st.floats(-180, 180), st.floats(0.1, 4), st.booleans(), st.integers(0, 1000))
def test_a_body_built_anew_in_the_crop_is_the_body_in_the_crop(angle, scale, mirror, seed):
    bodies, model = random_bodies(seed=seed), BodyJoints(embedded_body())
    move = affine(angle, scale, mirror)
    joints = bodies.joints(model)
    seen, pixels = joints_in_crop(bodies, joints, move)
    built = bodies.follow(move).joints(model)
    built = built - built[:, :1]
    if not mirror:
        torch.testing.assert_close(built, seen, atol=2e-5, rtol=0)
    # the shape directions of the embedded body are not exactly symmetric
    torch.testing.assert_close(built[:, :76], seen[:, :76], atol=3e-4, rtol=0)
    # and the triangles that landmarks lie on are not: an open mouth bends them differently
    torch.testing.assert_close(built[:, 76:], seen[:, 76:], atol=8e-3, rtol=0)
    expected = transform_points(move, bodies.pixels(joints))
    expected = expected[:, list(BODY_FLIP)] if mirror else expected
    torch.testing.assert_close(pixels, expected)


def test_the_jaw_goes_the_other_way_in_a_mirror():
    bodies, model = random_bodies(), BodyJoints(embedded_body())
    bodies = replace(bodies, expression=torch.eye(10)[[8, 8, 8]] * 2)
    wrong = replace(bodies, expression_mirror=torch.ones(10)).follow(affine(0, 1, True)).joints(model)
    right = bodies.follow(affine(0, 1, True)).joints(model)
    seen, _ = joints_in_crop(bodies, bodies.joints(model), affine(0, 1, True))
    still = replace(bodies, expression=torch.zeros(3, 10)).follow(affine(0, 1, True)).joints(model)
    chin = 76 + 51 + 8  # middle of the outline: its way to the side is the jaw's alone
    way = {name: (found - still)[:, chin].norm(dim=1) for name, found in (("right", right), ("wrong", wrong))}
    assert way["right"].min() > 5e-3
    assert way["wrong"].min() > 5e-3
    error = {n: (f - f[:, :1] - seen)[:, chin].norm(dim=1) for n, f in (("right", right), ("wrong", wrong))}
    assert error["right"].max() < 2e-3
    assert error["wrong"].min() > 1e-2


def test_twice_mirrored_is_as_before():
    bodies = random_bodies()
    twice = bodies.follow(affine(0, 1, True)).follow(affine(0, 1, True))
    torch.testing.assert_close(twice.pose, bodies.pose, atol=1e-5, rtol=0)
    torch.testing.assert_close(twice.expression, bodies.expression)


def test_what_is_known_changes_sides_with_the_hands():
    bodies = random_bodies()
    known = bodies.pose_known.clone()
    known[:, 25] = False  # left index
    pose = bodies.pose.clone()
    pose[:, 25] = torch.nan
    bodies = replace(bodies, pose=pose, pose_known=known)
    mirrored = bodies.follow(affine(0, 1, True))
    assert not mirrored.pose_known[:, 40].any()
    assert mirrored.pose_known[:, 25].all()
    assert torch.isfinite(bodies.joints(BodyJoints(embedded_body()))).all()


def test_rows_are_found_by_annotation():
    bodies = random_bodies()
    found = bodies.of(np.array([17, 3]))
    assert found.annotation_ids.tolist() == [17, 3]
    assert torch.equal(found.pose, bodies.pose[[2, 0]])
    with pytest.raises(ValueError, match="made here: annotation 4 has no body"):
        bodies.of([3, 4])


def test_before_the_camera_a_world_point_is_where_the_camera_sees_it():
    bodies, model = random_bodies(), embedded_body()
    rotation = rotation_matrix(torch.tensor([[0.2, 2.5, -0.4]]).repeat(3, 1))
    offset = torch.tensor([[0.5, 1.0, 4.0]]).repeat(3, 1)
    root, translation = before_camera(
        model,
        bodies.pose[:, 0],
        bodies.shape,
        bodies.expression,
        bodies.translation,
        rotation=rotation,
        offset=offset,
    )
    world = bodies.vertices(model, torch.arange(3))
    moved = replace(
        bodies, pose=torch.cat((root[:, None], bodies.pose[:, 1:]), dim=1), translation=translation
    )
    expected = world @ rotation.mT + offset[:, None]
    torch.testing.assert_close(moved.vertices(model, torch.arange(3)), expected, atol=1e-5, rtol=0)


def test_pinhole_pixels():
    bodies = random_bodies(1)
    points = torch.tensor([[[0.0, 0, 2], [1, -0.5, 2], [0, 0, -1]]])
    pixels = bodies.pixels(points)
    torch.testing.assert_close(pixels[:, :2], torch.tensor([[[100.0, 120], [250, 45]]]))
    assert pixels[0, 2].isnan().all()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("pose", torch.nan, r"made here: pose of row 1 \(annotation 10\) must be finite"),
        ("translation", torch.inf, "translation of row 1"),
        ("focal", 0.0, "focal of row 1 .* above 0"),
        ("shape", torch.nan, "shape of row 1"),
    ],
)
def test_bad_numbers_are_named(field, value, message):
    bodies = random_bodies()
    broken = getattr(bodies, field).clone()
    broken[1] = value
    with pytest.raises(ValueError, match=message):
        replace(bodies, **{field: broken})


def test_wrong_shapes_and_ids_are_named():
    bodies = random_bodies()
    with pytest.raises(ValueError, match=r"pose: expected shape \(3, 55, 3\), got \(3, 22, 3\)"):
        replace(bodies, pose=bodies.pose[:, :22])
    with pytest.raises(ValueError, match="annotation_ids: expected each once"):
        replace(bodies, annotation_ids=torch.tensor([1, 1, 2]))


def _real_form(V=90, seed=0):
    """A random model with all that the embedded one lacks: correctives and mean hands."""
    rng = np.random.default_rng(seed)
    fields = dict(build_body())
    keep = rng.choice(len(fields["v_template"]), V, replace=False)
    weights = rng.random((V, 55))
    regressor = rng.random((55, V))
    return fields | {
        "v_template": fields["v_template"][keep],
        "f": rng.integers(0, V, (40, 3)),
        "shapedirs": 0.01 * rng.normal(size=(V, 3, 400)),
        "posedirs": 0.01 * rng.normal(size=(V, 3, 486)),
        "weights": weights / weights.sum(1, keepdims=True),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "lmk_faces_idx": rng.integers(0, 40, 51),
        "dynamic_lmk_faces_idx": rng.integers(0, 40, (79, 17)),
        "named_vertex_ids": rng.choice(V, 21, replace=False),
        "hands_meanl": 0.3 * rng.normal(size=45),
        "hands_meanr": 0.3 * rng.normal(size=45),
    }


@pytest.mark.parametrize("flat_hand", [False, True])
def test_joints_alone_are_the_joints_of_the_whole_model(flat_hand):
    model = BodyModel(_real_form(), flat_hand=flat_hand)
    bodies, light = random_bodies(), BodyJoints(model)
    pose = bodies.pose
    whole = model(
        bodies.shape,
        bodies.expression,
        root_pose=pose[:, 0],
        body_pose=pose[:, 1:22].flatten(1),
        jaw_pose=pose[:, 22],
        left_eye_pose=pose[:, 23],
        right_eye_pose=pose[:, 24],
        left_hand_pose=pose[:, 25:40].flatten(1),
        right_hand_pose=pose[:, 40:].flatten(1),
        translation=bodies.translation,
    )
    torch.testing.assert_close(bodies.joints(light), whole.all_joints(), atol=1e-5, rtol=0)
    torch.testing.assert_close(bodies.vertices(model, torch.arange(3)), whole.vertices, atol=1e-5, rtol=0)
    assert not light.state_dict()
    pelvis = rest_pelvis(light, bodies.shape, bodies.expression)
    torch.testing.assert_close(pelvis, rest_pelvis(model, bodies.shape, bodies.expression))
    torch.testing.assert_close(whole.joints[:, 0], pelvis + bodies.translation, atol=1e-5, rtol=0)
    unbent = matrices_of(model, torch.zeros(1, 55, 3))[0, 25:40]
    assert torch.allclose(unbent, torch.eye(3)) == flat_hand


def test_joints_of_the_embedded_body_need_few_vertices():
    light = BodyJoints(embedded_body())
    assert len(light.template) < 300
    shown = transform_joints_3d(affine(0, 1, False), torch.zeros(3, 144, 3), BODY_FLIP)
    assert shown.shape == (3, 144, 3)
