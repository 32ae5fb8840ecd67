import copy

import numpy as np
import pytest

from pctlib.body_model import JOINT_NAMES
from pctlib.data.procedural import Occlusion, render_person
from pctlib.data.procedural.annotate import TOLERANCES, annotate, joints_h36m, keypoints_world
from pctlib.data.procedural.body import embedded_body
from pctlib.data.procedural.people import draw_person
from pctlib.data.procedural.scene import _surface_of
from pctlib.skeletons import COCO, COCO_WHOLEBODY, H36M

SIZE = 96


def render(index, kind="none", level=0.0, **options):
    options = {"crowd": 0.0, "image_size": SIZE} | options
    return render_person(11, index, occlusion=Occlusion(kind, level), **options)


def flag(person, camera, name, *, in_front=0.0, owner=3):
    """Flag of one keypoint where the only surface is `in_front` metres before it and belongs to `owner`."""
    size = tuple(2 * n for n in camera.image_size)
    depth, owners = np.zeros(size, np.float32), np.full(size, -1, np.int16)
    x, y, z = camera.project(keypoints_world(person))[COCO_WHOLEBODY.index(name)]
    u, v = int(np.round(2 * x + 0.5)), int(np.round(2 * y + 0.5))
    if 0 <= u < size[1] and 0 <= v < size[0]:
        depth[v, u], owners[v, u] = 1 / (z - in_front), owner
    truth = annotate(person, camera, head_top=np.zeros(3), owner=3, depth_buffer=depth, owner_buffer=owners)
    return truth[1][COCO_WHOLEBODY.index(name)]


def test_same_arguments_same_picture_others_not():
    first, again = render(0), render(0)
    np.testing.assert_array_equal(first.image, again.image)
    assert first.image.shape == (SIZE, SIZE, 3)
    assert first.image.dtype == np.uint8
    for other in (
        render(1),
        render(0, activity="squatting"),
        render_person(12, 0, image_size=SIZE, crowd=0.0),
    ):
        assert (other.image != first.image).mean() > 0.3
    assert render(0, image_size=64).image.shape == (64, 64, 3)


def test_keypoints_are_the_projected_3d_joints():
    for index in range(6):
        sample = render(index)
        found, camera = sample.people[0], sample.camera
        x, y, z = found.joints_3d.T / 1000
        projected = camera.focal * np.stack([x / z, y / z], 1) + camera.principal_point
        for name in ("left_shoulder", "right_hip", "left_ankle", "right_wrist"):
            k = COCO.index(name)
            if found.visible[k]:
                expected = projected[H36M.index(name)]
                np.testing.assert_allclose(found.keypoints_image[k], expected, atol=1e-2)


def test_keypoints_lie_in_the_box_and_the_frame():
    for index in range(8):
        sample = render(index, "mixed", 0.4, crowd=1.0)
        for found in sample.people:
            inside = found.visible > 0
            points = found.keypoints_image[inside]
            assert (points >= -0.5).all()
            assert (points < SIZE - 0.5).all()
            assert (found.keypoints_image[~inside] == 0).all()
            x, y, w, h = found.box_xywh
            low, high = points - (x, y), (x + w, y + h) - points
            assert min(low.min(), high.min()) > -3  # joints inside the body lie inside its outline
            assert w * h >= found.area > 0


@pytest.mark.parametrize(
    "name", ["nose", "left_elbow", "right_hip", "left_big_toe", "face_30", "right_pinky_finger4"]
)
def test_visibility_rule_by_hand(name):
    sample = render(2)
    person, camera = sample.people[0].person, sample.camera
    kind = name.split("_")[0] if name in ("nose", "face_30") else name.split("_", 1)[1]
    tolerance = TOLERANCES.get(kind, TOLERANCES["finger"])
    assert flag(person, camera, name) == 2
    assert flag(person, camera, name, in_front=tolerance - 1e-3) == 2
    assert flag(person, camera, name, in_front=tolerance + 1e-3) == 1  # behind another part of the body
    assert flag(person, camera, name, in_front=-0.5) == 2  # nothing is in front
    assert flag(person, camera, name, owner=5) == 1  # somebody else's surface
    assert flag(person, camera.shifted(np.array([10.0 * SIZE, 0.0])), name) == 0  # outside the frame


def test_a_thing_in_front_hides():
    pairs = [(render(i).people[0], render(i, "object", 0.9).people[0]) for i in range(6)]
    for free, hidden in pairs:
        np.testing.assert_allclose(hidden.keypoints_image, free.keypoints_image)
        np.testing.assert_allclose(hidden.box_xywh, free.box_xywh)
        assert hidden.area == free.area
        assert hidden.occlusion == pytest.approx(0.9, abs=0.04)
        assert not ((hidden.visible == 2) & (free.visible == 1)).any()
        assert ((hidden.visible > 0) == (free.visible > 0)).all()
    free, hidden = (sum((pair[i].visible == 2).sum() for pair in pairs) for i in (0, 1))
    assert hidden < 0.3 * free


@pytest.mark.parametrize("kind", ["object", "person", "truncation"])
def test_more_is_hidden_at_a_higher_level(kind):
    levels = (0.0, 0.2, 0.45, 0.7)
    for index in range(4):
        people = [render(index, kind, level).people[0] for level in levels]
        share = [p.truncation if kind == "truncation" else p.occlusion for p in people]
        assert (np.diff(share) > -0.01).all()
        np.testing.assert_array_equal(people[0].person.axis_angle, people[-1].person.axis_angle)
        if kind != "person":  # a person may not be large enough to hide so much
            np.testing.assert_allclose(share, levels, atol=0.06)
        seen = [(p.visible[:17] == 2).sum() for p in people]
        assert seen[-1] <= seen[0]


def test_seen_from_the_front_left_is_on_the_right():
    sides = []
    for index in range(12):
        sample = render(index, activity="standing")
        found = sample.people[0]
        if (found.visible[:3] == 2).all():  # the face can be seen
            left, right = (found.keypoints_image[COCO.index(f"{s}_shoulder"), 0] for s in ("left", "right"))
            sides.append(left > right)
        elif not (found.visible[:3] == 2).any() and found.visible[0] == 1:
            continue
    assert len(sides) >= 2
    assert np.mean(sides) > 0.9


def test_standing_people_touch_the_ground_with_their_feet():
    body = embedded_body()
    surface = _surface_of(body)
    for seed in range(10):
        person = draw_person(np.random.default_rng(seed), body, surface, activity="standing")
        assert abs(person.vertices[:, 1].min()) < 1e-5
        ankles = person.joints[[JOINT_NAMES.index(f"{s}_ankle") for s in ("left", "right")], 1]
        assert ankles.max() < 0.22
        assert person.joints[JOINT_NAMES.index("head"), 1] > 1.2
        assert person.joints[0, 0] == pytest.approx(0, abs=1e-5)


def test_h36m_joints_from_bottom_to_top():
    body = embedded_body()
    person = draw_person(np.random.default_rng(1), body, _surface_of(body), activity="standing")
    joints = joints_h36m(person, person.vertices[_surface_of(body).head_top])
    order = [H36M.index(name) for name in ("right_ankle", "right_knee", "pelvis", "spine", "thorax", "head")]
    assert (np.diff(joints[order, 1]) > 0.05).all()


def test_pictures_vary():
    samples = [render(index, crowd=0.3) for index in range(24)]
    means = np.array([sample.image.mean((0, 1)) for sample in samples])
    assert means.std(0).min() > 12
    assert all(sample.image.std() > 8 for sample in samples)
    sizes = [sample.people[0].box_xywh[3] / SIZE for sample in samples]
    assert np.ptp(sizes) > 0.3
    assert len({sample.people[0].activity for sample in samples}) >= 8
    assert max(len(sample.people) for sample in samples) > 1


def test_another_body_model_takes_the_place():
    other = copy.deepcopy(embedded_body())
    other.template *= 1.2
    sample, usual = render(0, body=other), render(0)
    height = np.ptp(sample.people[0].person.vertices[:, 1]) / np.ptp(usual.people[0].person.vertices[:, 1])
    assert height > 1.1


@pytest.mark.parametrize("bad", [{"seed": -1}, {"index": -1}, {"image_size": 8}, {"crowd": 1.5}])
def test_bad_arguments_are_named(bad):
    arguments = {"seed": 0, "index": 0} | bad
    with pytest.raises(ValueError, match="expected seed, index >= 0"):
        render_person(arguments.pop("seed"), arguments.pop("index"), **arguments)
