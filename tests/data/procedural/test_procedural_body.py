import numpy as np
import pytest
import torch

from pctlib.body_model import JOINT_NAMES, NAMED_VERTICES, BodyModel
from pctlib.data.procedural.body import SHAPE_NAMES, build_body, embedded_body, write_body
from pctlib.data.procedural.lofts import chain_weights, loft, ring, vertex_normals
from pctlib.data.procedural.parts import JOINTS, all_parts
from pctlib.data.procedural.surface import ARM, FOOT, HEAD, LEG, TORSO, Surface


@pytest.fixture(scope="module")
def rest():
    with torch.inference_mode():
        return embedded_body()()


def test_joints_are_where_they_were_put(rest):
    expected = torch.tensor([JOINTS[name] for name in JOINT_NAMES], dtype=torch.float32)
    torch.testing.assert_close(rest.joints[0], expected, rtol=0, atol=1e-4)


def test_the_body_is_the_same_on_both_sides(rest):
    vertices = rest.vertices[0].numpy()
    mirrored = vertices * (-1, 1, 1)
    distance = np.abs(vertices[:, None] - mirrored[None]).sum(-1).min(1)
    assert distance.max() < 1e-5
    names = dict(zip(NAMED_VERTICES, rest.named_vertices[0].numpy(), strict=True))
    for name, point in names.items():
        if name.startswith("left"):
            assert point[0] > 0
            np.testing.assert_allclose(names["right" + name[4:]], point * (-1, 1, 1), atol=1e-5)


def test_human_proportions(rest):
    vertices = rest.vertices[0].numpy()
    height, span = np.ptp(vertices[:, 1]), np.ptp(vertices[:, 0])
    assert 1.65 < height < 1.80
    assert 0.97 < span / height < 1.06  # arm span is about stature
    head = rest.named_vertices[0, NAMED_VERTICES.index("nose")].numpy()
    assert head[2] > 0.09
    assert 1000 < len(vertices) < 3000


def test_every_piece_is_closed_and_faces_outward():
    for name, part in all_parts().items():
        if name == "nose":  # lies open on the face
            continue
        edges = np.sort(
            np.concatenate([part.faces[:, [0, 1]], part.faces[:, [1, 2]], part.faces[:, [2, 0]]]), 1
        )
        _, counts = np.unique(edges, axis=0, return_counts=True)
        assert set(counts) == {2}, name
        a, b, c = np.moveaxis(part.vertices[part.faces], 1, 0)
        assert np.einsum("ij,ij->", a, np.cross(b, c)) > 0, name
        np.testing.assert_allclose(part.weights.sum(1), 1, atol=1e-6)


def test_shape_coefficients_do_what_they_are_called():
    body, eye = embedded_body(), torch.eye(10)
    with torch.inference_mode():
        shaped = {name: body(2 * eye[i : i + 1]) for i, name in enumerate(SHAPE_NAMES)}
        rest = body()

    def joint(output, name):
        return output.joints[0, JOINT_NAMES.index(name)].numpy()

    assert np.ptp(shaped["stature"].vertices[0, :, 1].numpy()) > np.ptp(rest.vertices[0, :, 1].numpy()) + 0.08
    leg = np.linalg.norm(joint(shaped["leg_length"], "left_hip") - joint(shaped["leg_length"], "left_ankle"))
    assert leg > np.linalg.norm(joint(rest, "left_hip") - joint(rest, "left_ankle")) + 0.03
    assert joint(shaped["arm_length"], "left_wrist")[0] > joint(rest, "left_wrist")[0] + 0.02
    assert joint(shaped["shoulder_breadth"], "left_shoulder")[0] > joint(rest, "left_shoulder")[0] + 0.01
    for name, output in shaped.items():
        assert (output.vertices - rest.vertices).abs().max() > 0.005, name


def test_contour_turns_with_the_head():
    body, turned = embedded_body(), torch.zeros(1, 63)
    turned[0, 3 * (JOINT_NAMES.index("neck") - 1) + 1] = -0.5  # to the person's right
    with torch.inference_mode():
        straight, side = body(), body(body_pose=turned)
    back = torch.tensor([[np.cos(0.5), 0, np.sin(0.5)], [0, 1, 0], [-np.sin(0.5), 0, np.cos(0.5)]])
    neck = straight.joints[0, JOINT_NAMES.index("neck")]
    in_head = (side.contour[0] - neck) @ back.float().T + neck
    assert (in_head[12:, 2] < straight.contour[0, 12:, 2] - 0.005).all()  # further round on the left


def test_written_file_is_deterministic_and_loads(tmp_path, rest):
    first, second = write_body(tmp_path / "a.npz"), write_body(tmp_path / "b.npz")
    assert first.read_bytes() == second.read_bytes()
    torch.testing.assert_close(BodyModel.from_npz(first)().vertices, rest.vertices.clone())


def test_surface_of_another_mesh_finds_the_same_places(rng):
    """A mesh in another vertex order, 1.1 times as large, moved, and with 400 shape columns."""
    fields = build_body()
    order = rng.permutation(len(fields["v_template"]))
    other = dict(fields)
    for name in ("v_template", "posedirs", "weights"):
        other[name] = fields[name][order]
    other["v_template"] = 1.1 * other["v_template"] + (0, -1.2, 0.05)
    other["shapedirs"] = np.zeros((len(order), 3, 400), np.float32)
    other["J_regressor"] = fields["J_regressor"][:, order]
    inverse = np.argsort(order)
    other["f"], other["named_vertex_ids"] = inverse[fields["f"]], inverse[fields["named_vertex_ids"]]
    ours, theirs = Surface.of(embedded_body()), Surface.of(BodyModel(other))
    np.testing.assert_array_equal(theirs.regions, ours.regions)
    np.testing.assert_allclose(theirs.places[:, 1], ours.places[order][:, 1], atol=0.01)
    assert order[theirs.head_top] == ours.head_top


def test_regions():
    surface = Surface.of(embedded_body())
    x, y, _ = surface.places[surface.faces].mean(1).T
    for region, inside in (
        (HEAD, y > 1.49),
        (FOOT, y < 0.16),
        (ARM, np.abs(x) > 0.09),
        (LEG, y < 0.95),
        (TORSO, (y > 0.75) & (np.abs(x) < 0.2)),
    ):
        assert inside[surface.regions == region].all(), region


def test_ring_and_loft_make_a_cylinder():
    x, y, z = np.eye(3)
    rings = np.stack([ring(h * z, x, y, 2.0, 2.0, count=64) for h in (0.0, 3.0)])
    vertices, faces = loft(rings)
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    assert np.einsum("ij,ij->", a, np.cross(b, c)) / 6 == pytest.approx(np.pi * 4 * 3, rel=0.01)
    side = vertex_normals(vertices, faces)[:64]
    assert (np.einsum("ij,ij->i", side, rings[0] / 2) > 0.5).all()


def test_chain_weights_pass_from_joint_to_joint():
    weights = chain_weights(np.array([-9.0, 1.0, 1.5, 9.0]), [4, 7, 2], (1.0, 3.0), (0.5, 0.1))
    np.testing.assert_allclose(weights[:, [4, 7, 2]], [(1, 0, 0), (0.5, 0.5, 0), (0, 1, 0), (0, 0, 1)])
