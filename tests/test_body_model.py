import numpy as np
import pytest
import torch

from pctlib.body_model import JOINT_NAMES, NAMED_VERTICES, BodyModel, contour_row, rotation_matrix

PARENTS = [
    *(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15),
    *(
        p
        for wrist, first in ((20, 25), (21, 40))
        for f in range(5)
        for p in (wrist, first + 3 * f, first + 3 * f + 1)
    ),
]


@pytest.fixture
def fields(rng):
    """A random mesh of 61 vertices that hangs on the real joint tree."""
    V, F = 61, 83
    weights = rng.random((V, 55)) ** 8
    regressor = rng.random((55, V))
    return {
        "v_template": rng.normal(size=(V, 3)),
        "f": rng.integers(0, V, (F, 3)).astype(np.uint32),
        "shapedirs": rng.normal(size=(V, 3, 20)) * 0.05,
        "posedirs": rng.normal(size=(V, 3, 486)) * 0.01,
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.stack([PARENTS, np.arange(55)]),
        "hands_componentsl": np.eye(45),
        "hands_componentsr": 2 * np.eye(45),
        "hands_meanl": rng.normal(size=45) * 0.1,
        "hands_meanr": rng.normal(size=45) * 0.1,
        "lmk_faces_idx": rng.integers(0, F, 51),
        "lmk_bary_coords": rng.dirichlet(np.ones(3), 51),
        "dynamic_lmk_faces_idx": rng.integers(0, F, (79, 17)),
        "dynamic_lmk_bary_coords": rng.dirichlet(np.ones(3), (79, 17)),
        "named_vertex_ids": rng.integers(0, V, 21),
    }


def pose_arguments(B, generator, scale=0.3):
    widths = {"root_pose": 3, "body_pose": 63, "jaw_pose": 3, "left_eye_pose": 3, "right_eye_pose": 3}
    widths |= {"left_hand_pose": 45, "right_hand_pose": 45, "translation": 3}
    return {name: torch.randn(B, width, generator=generator) * scale for name, width in widths.items()}


GOLDEN_NAMES = {
    "root_pose": "global_orient",
    "body_pose": "body_pose",
    "jaw_pose": "jaw_pose",
    "left_eye_pose": "leye_pose",
    "right_eye_pose": "reye_pose",
    "left_hand_pose": "left_hand_pose",
    "right_hand_pose": "right_hand_pose",
    "translation": "transl",
}


@pytest.fixture
def official(golden, shared):
    record = golden("osx_smplx_lbs")
    with np.load(shared / "golden" / "osx_smplx_lbs.npz", allow_pickle=False) as archive:
        fields = {name[6:]: archive[name] for name in archive.files if name.startswith("model/")}
    return record, fields | {"named_vertex_ids": record.inputs["extra_vertex_ids"].numpy()}


@pytest.mark.parametrize(("flat_hand", "part"), [(False, ""), (True, "flat/")])
def test_equals_the_official_layer(official, flat_hand, part):
    record, fields = official
    body = BodyModel(fields, flat_hand=flat_hand)
    arguments = {ours: record.inputs[theirs] for ours, theirs in GOLDEN_NAMES.items()}
    with torch.no_grad():
        output = body(record.inputs["betas"], record.inputs["expression"], **arguments)
    assert output.all_joints().shape == (5, 144, 3)
    torch.testing.assert_close(output.vertices, record.outputs[f"{part}vertices"], rtol=0, atol=2e-6)
    torch.testing.assert_close(output.all_joints(), record.outputs[f"{part}joints"], rtol=0, atol=2e-6)


def test_equals_the_official_layer_with_hands_from_principal_components(official):
    record, fields = official
    body = BodyModel({name: value for name, value in fields.items() if not name.startswith("dynamic")})
    arguments = {ours: record.inputs[theirs] for ours, theirs in GOLDEN_NAMES.items()}
    for side in ("left", "right"):
        coefficients = record.inputs[f"pca/{side}_hand_pose"]
        arguments[f"{side}_hand_pose"] = body.pca_hand_pose(coefficients, side=side)
    output = body(record.inputs["betas"], record.inputs["expression"], **arguments)
    torch.testing.assert_close(output.vertices, record.outputs["pca/vertices"], rtol=0, atol=2e-6)
    torch.testing.assert_close(output.all_joints(), record.outputs["pca/joints"], rtol=0, atol=2e-6)


def test_rest_pose_is_the_template(fields):
    output = BodyModel(fields, flat_hand=True)()
    template = torch.as_tensor(fields["v_template"], dtype=torch.float32)
    torch.testing.assert_close(output.vertices[0], template, rtol=0, atol=1e-5)
    joints = torch.as_tensor(fields["J_regressor"] @ fields["v_template"], dtype=torch.float32)
    torch.testing.assert_close(output.joints[0], joints, rtol=0, atol=1e-5)
    corners = fields["v_template"][fields["f"][fields["lmk_faces_idx"][7]]]
    expected = torch.as_tensor(fields["lmk_bary_coords"][7] @ corners, dtype=torch.float32)
    torch.testing.assert_close(output.landmarks[0, 7], expected, rtol=0, atol=1e-5)


def test_root_rotation_turns_everything_about_the_pelvis(fields):
    body, generator = BodyModel(fields), torch.Generator().manual_seed(0)
    arguments = pose_arguments(2, generator) | {"root_pose": torch.zeros(2, 3)}
    turn = torch.tensor([[0.3, -0.8, 0.5], [1.0, 0.1, -0.2]])
    still, turned = body(**arguments), body(**arguments | {"root_pose": turn})
    pelvis, R = still.joints[:, :1], rotation_matrix(turn)
    for before, after in ((still.vertices, turned.vertices), (still.joints, turned.joints)):
        torch.testing.assert_close(after, (before - pelvis) @ R.mT + pelvis, rtol=0, atol=2e-5)


def test_translation_moves_every_output(fields):
    body, move = BodyModel(fields), torch.tensor([[1.0, -2.0, 3.0]])
    still, moved = body(), body(translation=move)
    for before, after in zip(still, moved, strict=True):
        torch.testing.assert_close(after, before + move, rtol=0, atol=1e-5)


def test_an_elbow_moves_only_what_hangs_on_it(fields):
    body_pose = torch.zeros(1, 21, 3)
    elbow = JOINT_NAMES.index("left_elbow")
    body_pose[0, elbow - 1, 1] = 1.0
    body = BodyModel(fields)
    moved = (body(body_pose=body_pose.flatten(1)).joints - body().joints)[0].norm(dim=-1) > 1e-6
    expected = {
        name
        for name in JOINT_NAMES
        if name.startswith("left_") and name[5:-1] in "index middle pinky ring thumb"
    }
    assert {JOINT_NAMES[i] for i in moved.nonzero()[:, 0]} == expected | {"left_wrist"}


def test_batch_equals_single_bodies(fields):
    body, arguments = BodyModel(fields), pose_arguments(3, torch.Generator().manual_seed(1))
    together = body(torch.ones(3, 10), **arguments)
    alone = body(torch.ones(1, 10), **{name: value[1:2] for name, value in arguments.items()})
    torch.testing.assert_close(together.all_joints()[1], alone.all_joints()[0], rtol=0, atol=1e-5)


def test_every_argument_has_a_finite_gradient_also_at_rest(fields):
    body, arguments = BodyModel(fields), pose_arguments(2, torch.Generator().manual_seed(0), scale=0.0)
    arguments |= {"shape": torch.zeros(2, 10), "expression": torch.zeros(2, 10)}
    arguments["displacement"] = torch.zeros(2, 61, 3)
    for value in arguments.values():
        value.requires_grad_()
    # a quadratic: the gradient of a sum would vanish for a rotation about the mean
    (body(**arguments).vertices * torch.randn(61, 3)).sum().backward()
    for name, value in arguments.items():
        assert value.grad.isfinite().all(), name
        assert value.grad.abs().max() > 0, name


def test_displacement_leaves_the_joints_alone_and_turns_with_the_body(fields):
    body, turn = BodyModel(fields, flat_hand=True), torch.tensor([[0.3, -0.8, 0.5]])
    displacement = 0.1 * torch.randn(1, 61, 3, generator=torch.Generator().manual_seed(0))
    for root_pose in (torch.zeros(1, 3), turn):
        still = body(root_pose=root_pose)
        moved = body(root_pose=root_pose, displacement=displacement)
        torch.testing.assert_close(moved.joints, still.joints)
        expected = displacement @ rotation_matrix(root_pose).mT
        torch.testing.assert_close(moved.vertices - still.vertices, expected, rtol=0, atol=1e-6)


def test_wide_shapedirs_take_expression_from_column_300(fields):
    wide = np.zeros((61, 3, 400))
    wide[..., :10], wide[..., 300:310] = fields["shapedirs"][..., :10], fields["shapedirs"][..., 10:]
    shape, expression = torch.ones(1, 10), torch.linspace(-1, 1, 10)[None]
    narrow = BodyModel(fields)(shape, expression)
    torch.testing.assert_close(
        BodyModel(fields | {"shapedirs": wide})(shape, expression).vertices, narrow.vertices
    )
    assert (narrow.vertices - BodyModel(fields)(shape).vertices).abs().max() > 0.01


def test_contour_rows():
    yaw = torch.tensor([0.0, -1.0, -39.0, -80.0, 1.0, 39.0, 80.0])
    assert contour_row(yaw).tolist() == [0, 1, 39, 39, 40, 78, 78]


def test_names():
    assert (len(JOINT_NAMES), len(NAMED_VERTICES)) == (55, 21)
    assert (JOINT_NAMES[22], JOINT_NAMES[25], JOINT_NAMES[54]) == ("jaw", "left_index1", "right_thumb3")


def test_round_trip_through_a_file(fields, tmp_path):
    np.savez(tmp_path / "body.npz", **fields)
    torch.testing.assert_close(
        BodyModel.from_npz(tmp_path / "body.npz")().vertices, BodyModel(fields)().vertices
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": None}, r"missing the fields \['weights'\]"),
        (
            {"J_regressor": np.zeros((54, 61))},
            r"J_regressor should have the shape \(55, 61\), got \(54, 61\)",
        ),
        ({"shapedirs": np.zeros((61, 3, 310))}, "shapedirs should have 20 .* got 310"),
        ({"f": np.full((83, 3), 61)}, "field f should index 0..60, got 61..61"),
        ({"named_vertex_ids": None}, "needs the field named_vertex_ids"),
        ({"dynamic_lmk_faces_idx": None}, "contour table"),
        ({"kintree_table": np.full((2, 55), 60)}, "joint 1 needs a parent before it, got 60"),
    ],
)
def test_bad_fields_are_named(fields, change, message):
    fields |= change
    with pytest.raises(ValueError, match=message):
        BodyModel({name: value for name, value in fields.items() if value is not None}, source="x.npz")


def test_bad_arguments_are_named(fields, tmp_path):
    with pytest.raises(ValueError, match="body_pose should have the shape"):
        BodyModel(fields)(body_pose=torch.zeros(2, 66))
    with pytest.raises(ValueError, match="batch sizes differ"):
        BodyModel(fields)(torch.zeros(2, 10), torch.zeros(3, 10))
    with pytest.raises(FileNotFoundError, match=r"absent\.npz"):
        BodyModel.from_npz(tmp_path / "absent.npz")
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match=r"broken\.npz"):
        BodyModel.from_npz(tmp_path / "broken.npz")
