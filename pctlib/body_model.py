"""Linear blend skinning for models in the SMPL-X file format.

The layer reads the fields of an SMPL-X npz file and nothing else, so the embedded low-poly body of
`pctlib.data.procedural.body` and a licensed `SMPLX_NEUTRAL.npz` go through the same code. Whatever depends on
the mesh (vertex ids, landmark triangles) comes from the file.

Source: Pavlakos et al. 2019, arXiv:1904.05866 (SMPL-X), section 3.1; Loper et al. 2015 (SMPL),
equations 2-10.

Long, as reading, checking and skinning a body belong to one file format.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pctlib.io import existing_file

NUM_JOINTS = 55
NUM_SHAPE = 10
NUM_EXPRESSION = 10
JOINT_NAMES = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle"),
    *("right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("jaw", "left_eye", "right_eye"),
    *(f"left_{f}{i}" for f in ("index", "middle", "pinky", "ring", "thumb") for i in (1, 2, 3)),
    *(f"right_{f}{i}" for f in ("index", "middle", "pinky", "ring", "thumb") for i in (1, 2, 3)),
)
NAMED_VERTICES = (
    *("nose", "right_eye", "left_eye", "right_ear", "left_ear"),
    *(f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel")),
    *(f"{side}_{f}_tip" for side in ("left", "right") for f in ("thumb", "index", "middle", "ring", "pinky")),
)
# Joints and their number of pose parameters, in the order of the pose vector.
POSE_PARTS = {
    "root_pose": 1,
    "body_pose": 21,
    "jaw_pose": 1,
    "left_eye_pose": 1,
    "right_eye_pose": 1,
    "left_hand_pose": 15,
    "right_hand_pose": 15,
}
# The vertices NAMED_VERTICES of the published 10475-vertex mesh, whose file does not hold them.
_OFFICIAL_VERTICES = 10475
_OFFICIAL_NAMED_VERTICES = (
    *(9120, 9929, 9448, 616, 6, 5770, 5780, 8846, 8463, 8474, 8635),
    *(5361, 4933, 5058, 5169, 5286, 8079, 7669, 7794, 7905, 8022),
)
_NECK = JOINT_NAMES.index("neck")
_CONTOUR_ROWS = 79  # 0..39 for a yaw of 0..39 degrees, 40..78 for -1..-39


class BodyOutput(NamedTuple):
    """A posed body; metres, in the frame of the model plus the translation.

    vertices [B, V, 3]; joints [B, 55, 3] in the order JOINT_NAMES; named_vertices [B, 21, 3] in the order
    NAMED_VERTICES; landmarks [B, 51, 3] inner face points, iBUG order 17-67; contour [B, 17, 3] face outline,
    iBUG order 0-16, or None where the file has no contour table.
    """

    vertices: Tensor
    joints: Tensor
    named_vertices: Tensor
    landmarks: Tensor
    contour: Tensor | None

    def all_joints(self) -> Tensor:
        """Return [B, 144, 3] (127 without contour): joints, named vertices, landmarks, contour."""
        points = (self.joints, self.named_vertices, self.landmarks, self.contour)
        return torch.cat([part for part in points if part is not None], dim=1)


class BodyModel(nn.Module):
    """Pose and shape a mesh: 10 shape and 10 expression coefficients, 55 joint rotations, a translation.

    Buffers are not part of the state dict: the model file is licensed apart from any network's weights.

    Args:
        fields: the arrays of an SMPL-X npz file by name, V vertices and F faces; `named_vertex_ids` [21] is
            an extra field of ours, needed unless the mesh is the published one of 10475 vertices.
        flat_hand: pose parameters of the hands are absolute instead of relative to the mean hand pose.
        source: where the fields come from, for error messages.

    Raises:
        ValueError: if a field is missing, has another shape or points outside the mesh.
    """

    def __init__(
        self, fields: Mapping[str, np.ndarray], *, flat_hand: bool = False, source: str = "body"
    ) -> None:
        super().__init__()
        _check_fields(fields, source)
        self.parents = [-1, *(int(p) for p in np.asarray(fields["kintree_table"])[0, 1:])]
        self._levels = _levels(self.parents, source)
        shape_columns, expression_columns = _columns(np.asarray(fields["shapedirs"]).shape[2], source)
        self._keep("template", fields["v_template"])  # [V, 3]
        self._keep("shape_dirs", np.asarray(fields["shapedirs"])[..., shape_columns])  # [V, 3, 10]
        self._keep("expression_dirs", np.asarray(fields["shapedirs"])[..., expression_columns])  # [V, 3, 10]
        self._keep("joint_regressor", fields["J_regressor"])  # [55, V]
        self._keep("weights", fields["weights"])  # [V, 55]
        pose_dirs = np.asarray(fields["posedirs"])  # [V, 3, 486]
        # Without correctives (all zero) the largest product of the layer can be left out.
        self._keep("pose_dirs", np.moveaxis(pose_dirs, 2, 0) if pose_dirs.any() else None)  # [486, V, 3]
        self._keep_index("faces", fields["f"])  # [F, 3]
        self._keep_index("named_vertex_ids", _named_vertex_ids(fields, source))  # [21]
        self._keep_index("landmark_faces", fields["lmk_faces_idx"])  # [51]
        self._keep("landmark_weights", fields["lmk_bary_coords"])  # [51, 3]
        self._keep_index("contour_faces", fields.get("dynamic_lmk_faces_idx"))  # [79, 17]
        self._keep("contour_weights", fields.get("dynamic_lmk_bary_coords"))  # [79, 17, 3]
        # known without looking at a tensor, which may be on a device or on none
        self.bends_hands = not flat_hand and any(np.any(fields[f"hands_mean{side}"]) for side in "lr")
        for side in ("left", "right"):
            self._keep(
                f"{side}_hand_mean", np.asarray(fields[f"hands_mean{side[0]}"]) * (not flat_hand)
            )  # [45]
            self._keep(f"{side}_hand_components", fields[f"hands_components{side[0]}"])  # [45, 45]

    @classmethod
    def from_npz(cls, path: str | Path, *, flat_hand: bool = False) -> "BodyModel":
        """Read a model file, without running anything in it.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is not an npz file of plain arrays, or a field is missing or malformed.
        """
        path = existing_file(path)
        try:
            with np.load(path, allow_pickle=False) as archive:
                wanted = {*_shapes(0, 0), *_OPTIONAL}
                fields = {name: archive[name] for name in archive.files if name in wanted}
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"{path}: not an npz file of plain arrays ({error})") from error
        return cls(fields, flat_hand=flat_hand, source=str(path))

    def forward(
        self,
        shape: Tensor | None = None,
        expression: Tensor | None = None,
        *,
        root_pose: Tensor | None = None,
        body_pose: Tensor | None = None,
        jaw_pose: Tensor | None = None,
        left_eye_pose: Tensor | None = None,
        right_eye_pose: Tensor | None = None,
        left_hand_pose: Tensor | None = None,
        right_hand_pose: Tensor | None = None,
        translation: Tensor | None = None,
        displacement: Tensor | None = None,
    ) -> BodyOutput:
        """Pose the body. Everything left out is zero; poses are axis-angle vectors in radians.

        Args:
            shape: [B, 10].
            expression: [B, 10].
            root_pose: [B, 3] rotation of the whole body about the pelvis.
            body_pose: [B, 63], joints 1 to 21.
            jaw_pose: [B, 3].
            left_eye_pose: [B, 3].
            right_eye_pose: [B, 3].
            left_hand_pose: [B, 45], added to the mean hand pose unless the model was made with `flat_hand`.
            right_hand_pose: [B, 45].
            translation: [B, 3] metres, added last.
            displacement: [B, V, 3] metres, added to the shaped vertices but unknown to the joints (clothes).

        Raises:
            ValueError: if an argument has another shape or the batch sizes differ.
        """
        given = {
            "root_pose": root_pose,
            "body_pose": body_pose,
            "jaw_pose": jaw_pose,
            "left_eye_pose": left_eye_pose,
            "right_eye_pose": right_eye_pose,
            "left_hand_pose": left_hand_pose,
            "right_hand_pose": right_hand_pose,
        }
        widths = {name: (3 * joints,) for name, joints in POSE_PARTS.items()}
        given |= {
            "shape": shape,
            "expression": expression,
            "translation": translation,
            "displacement": displacement,
        }
        widths |= {"shape": (NUM_SHAPE,), "expression": (NUM_EXPRESSION,), "translation": (3,)}
        widths["displacement"] = tuple(self.template.shape)
        B = _batch_size(given, widths)
        zero = {
            name: self.template.new_zeros(B, *width)
            for name, width in widths.items()
            if name != "displacement"
        }
        values = zero | {name: value for name, value in given.items() if value is not None}

        values["left_hand_pose"] = values["left_hand_pose"] + self.left_hand_mean
        values["right_hand_pose"] = values["right_hand_pose"] + self.right_hand_mean
        pose = torch.cat([values[name] for name in POSE_PARTS], dim=1)  # [B, 165]
        return self.posed(
            values["shape"],
            values["expression"],
            rotation_matrix(pose.reshape(B, NUM_JOINTS, 3)),
            translation=values["translation"],
            displacement=displacement,
        )

    def posed(
        self,
        shape: Tensor,
        expression: Tensor,
        rotations: Tensor,
        *,
        translation: Tensor | None = None,
        displacement: Tensor | None = None,
    ) -> BodyOutput:
        """Pose the body by matrices, which have no cut; nothing is added to those of the hands.

        Args:
            shape: [B, 10].
            expression: [B, 10].
            rotations: [B, 55, 3, 3] of all joints, relative to their parents, in the order JOINT_NAMES.
            translation: [B, 3] metres, added last; None for none.
            displacement: as in `forward`.
        """
        shaped = self.template + torch.einsum("vds,bs->bvd", self.shape_dirs, shape)
        shaped = shaped + torch.einsum("vde,be->bvd", self.expression_dirs, expression)  # [B, V, 3]
        rest_joints = self._rest_joints(shaped, shape, expression)
        if displacement is not None:
            shaped = shaped + displacement
        if self.pose_dirs is not None:
            feature = (rotations[:, 1:] - torch.eye(3).to(rotations)).flatten(1)  # [B, 486]
            shaped = shaped + torch.einsum("bp,pvd->bvd", feature, self.pose_dirs)
        vertices, joints = self._skin(shaped, rest_joints, rotations)
        if translation is not None:
            vertices, joints = vertices + translation[:, None], joints + translation[:, None]
        return self._output(vertices, joints, rotations)

    def _rest_joints(self, shaped: Tensor, shape: Tensor, expression: Tensor) -> Tensor:
        """Return the joints [B, 55, 3] of the shaped mesh [B, V, 3] at rest."""
        return self.joint_regressor @ shaped

    def pca_hand_pose(self, coefficients: Tensor, *, side: str) -> Tensor:
        """Return the hand pose [B, 45] of the first n principal components, `coefficients` [B, n]."""
        components = getattr(self, f"{side}_hand_components")
        return coefficients @ components[: coefficients.shape[1]]

    def _skin(self, shaped: Tensor, rest_joints: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
        """Carry the rotations down the tree, blend them; returns vertices [B, V, 3], joints [B, 55, 3]."""
        turns: list[Tensor] = [rotations[:, 0]] * NUM_JOINTS
        positions: list[Tensor] = [rest_joints[:, 0]] * NUM_JOINTS
        for level, above in self._levels:
            parent_rotations = torch.stack([turns[p] for p in above], 1)  # [B, n, 3, 3]
            offsets = (rest_joints[:, level] - rest_joints[:, above])[..., None]  # [B, n, 3, 1]
            moved = torch.stack([positions[p] for p in above], 1) + (parent_rotations @ offsets)[..., 0]
            turned = parent_rotations @ rotations[:, level]  # [B, n, 3, 3]
            for i, joint in enumerate(level):
                turns[joint], positions[joint] = turned[:, i], moved[:, i]
        rotation, joints = torch.stack(turns, 1), torch.stack(positions, 1)
        shift = joints - (rotation @ rest_joints[..., None])[..., 0]  # [B, 55, 3]
        transforms = torch.cat([rotation, shift[..., None]], -1).flatten(2)  # [B, 55, 12]
        blended = (self.weights @ transforms).unflatten(2, (3, 4))  # [B, V, 3, 4]
        vertices = (blended[..., :3] @ shaped[..., None])[..., 0] + blended[..., 3]
        return vertices, joints

    def _output(self, vertices: Tensor, joints: Tensor, rotations: Tensor) -> BodyOutput:
        landmarks = self._on_faces(
            vertices, self.landmark_faces.expand(len(vertices), -1), self.landmark_weights
        )
        contour = None
        if self.contour_faces is not None:
            row = contour_row(neck_yaw_deg(rotations, self.parents))  # [B]
            contour = self._on_faces(vertices, self.contour_faces[row], self.contour_weights[row])
        return BodyOutput(vertices, joints, vertices[:, self.named_vertex_ids], landmarks, contour)

    def _on_faces(self, vertices: Tensor, faces: Tensor, weights: Tensor) -> Tensor:
        """Return the points [B, n, 3] with barycentric `weights` [(B,) n, 3] on `faces` [B, n]."""
        corners = self.faces[faces]  # [B, n, 3]
        batch = torch.arange(len(vertices), device=vertices.device)[:, None, None]
        return (vertices[batch, corners] * weights[..., None]).sum(-2)

    def _keep(self, name: str, value: np.ndarray | None) -> None:
        tensor = None if value is None else torch.as_tensor(np.asarray(value, np.float32).copy())
        self.register_buffer(name, tensor, persistent=False)

    def _keep_index(self, name: str, value: np.ndarray | None) -> None:
        tensor = None if value is None else torch.as_tensor(np.asarray(value).astype(np.int64))
        self.register_buffer(name, tensor, persistent=False)


def rotation_matrix(axis_angle: Tensor) -> Tensor:
    """Return the rotation matrices [..., 3, 3] of axis-angle vectors [..., 3] in radians (Rodrigues).

    The gradient is finite at the zero rotation.
    """
    angle = (axis_angle * axis_angle).sum(-1, keepdim=True).clamp(min=1e-16).sqrt()
    x, y, z = (axis_angle / angle).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    sine, cosine = angle.sin()[..., None], angle.cos()[..., None]
    return torch.eye(3).to(axis_angle) + sine * cross + (1 - cosine) * (cross @ cross)


def neck_yaw_deg(rotations: Tensor, parents: list[int]) -> Tensor:
    """Return the yaw [B] in degrees of the product of `rotations` [B, 55, 3, 3] from root to neck."""
    joint, product = _NECK, torch.eye(3).to(rotations).expand(len(rotations), 3, 3)
    while joint >= 0:
        product, joint = rotations[:, joint] @ product, parents[joint]
    horizontal = (product[:, 0, 0] ** 2 + product[:, 1, 0] ** 2).sqrt()
    return torch.rad2deg(torch.atan2(-product[:, 2, 0], horizontal))


def contour_row(yaw_deg: Tensor) -> Tensor:
    """Return the row [B] of the contour table for a neck yaw [B]: 0-39 for 0..-39 degrees, then 1..39."""
    angle = (-yaw_deg.detach()).round().clamp(-39, 39).long()
    return torch.where(angle < 0, 39 - angle, angle)


_OPTIONAL = ("dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords", "named_vertex_ids")


def _shapes(V: int, F: int) -> dict[str, tuple[int | None, ...]]:
    """Return the shape of each needed field; None is free."""
    return {
        "v_template": (V, 3),
        "f": (F, 3),
        "shapedirs": (V, 3, None),
        "posedirs": (V, 3, 9 * (NUM_JOINTS - 1)),
        "J_regressor": (NUM_JOINTS, V),
        "weights": (V, NUM_JOINTS),
        "kintree_table": (2, NUM_JOINTS),
        "hands_componentsl": (45, 45),
        "hands_componentsr": (45, 45),
        "hands_meanl": (45,),
        "hands_meanr": (45,),
        "lmk_faces_idx": (51,),
        "lmk_bary_coords": (51, 3),
    }


def _check_fields(fields: Mapping[str, np.ndarray], source: str) -> None:
    missing = [name for name in _shapes(0, 0) if name not in fields]
    if missing:
        raise ValueError(f"{source}: not a body model, missing the fields {missing}")
    V, F = len(fields["v_template"]), len(fields["f"])
    contour = {
        "dynamic_lmk_faces_idx": (_CONTOUR_ROWS, 17),
        "dynamic_lmk_bary_coords": (_CONTOUR_ROWS, 17, 3),
    }
    has_contour = [name in fields for name in contour]
    if any(has_contour) and not all(has_contour):
        raise ValueError(f"{source}: of the contour table {tuple(contour)} one field is missing")
    for name, expected in (_shapes(V, F) | (contour if all(has_contour) else {})).items():
        got = np.shape(fields[name])
        same = len(got) == len(expected) and all(e in (None, g) for g, e in zip(got, expected, strict=True))
        if not same:
            raise ValueError(f"{source}: field {name} should have the shape {expected}, got {got}")
    limits = {"f": V, "lmk_faces_idx": F} | ({"dynamic_lmk_faces_idx": F} if all(has_contour) else {})
    for name, limit in limits.items():
        values = np.asarray(fields[name]).astype(np.int64)
        if values.min() < 0 or values.max() >= limit:
            raise ValueError(
                f"{source}: field {name} should index 0..{limit - 1}, got {values.min()}..{values.max()}"
            )


def _columns(width: int, source: str) -> tuple[slice, slice]:
    """Return the columns of `shapedirs` that are shape and expression."""
    start = {NUM_SHAPE + NUM_EXPRESSION: NUM_SHAPE, 400: 300}.get(width)
    if start is None:
        raise ValueError(
            f"{source}: field shapedirs should have 20 (10 + 10) or 400 (300 + 100) columns, got {width}"
        )
    return slice(0, NUM_SHAPE), slice(start, start + NUM_EXPRESSION)


def _named_vertex_ids(fields: Mapping[str, np.ndarray], source: str) -> np.ndarray:
    V = len(fields["v_template"])
    if "named_vertex_ids" not in fields:
        if V != _OFFICIAL_VERTICES:
            raise ValueError(
                f"{source}: a mesh of {V} vertices needs the field named_vertex_ids [{len(NAMED_VERTICES)}]"
            )
        return np.asarray(_OFFICIAL_NAMED_VERTICES)
    ids = np.asarray(fields["named_vertex_ids"])
    if ids.shape != (len(NAMED_VERTICES),) or ids.min() < 0 or ids.max() >= V:
        raise ValueError(
            f"{source}: field named_vertex_ids should be {len(NAMED_VERTICES)} ids below {V}, got {ids}"
        )
    return ids


def _levels(parents: list[int], source: str) -> list[tuple[list[int], list[int]]]:
    """Return (joints, their parents) by depth below the root, so that one product serves a whole level."""
    depth = [0] * len(parents)
    for joint, parent in enumerate(parents[1:], start=1):
        if not 0 <= parent < joint:
            raise ValueError(
                f"{source}: field kintree_table: joint {joint} needs a parent before it, got {parent}"
            )
        depth[joint] = depth[parent] + 1
    levels = [[j for j, d in enumerate(depth) if d == level] for level in range(1, max(depth) + 1)]
    return [(level, [parents[j] for j in level]) for level in levels]


def _batch_size(given: Mapping[str, Tensor | None], widths: Mapping[str, tuple[int, ...]]) -> int:
    sizes = {}
    for name, value in given.items():
        if value is None:
            continue
        if tuple(value.shape[1:]) != widths[name]:
            raise ValueError(f"{name} should have the shape [B, {widths[name]}], got {tuple(value.shape)}")
        sizes[name] = len(value)
    if len(set(sizes.values())) > 1:
        raise ValueError(f"the batch sizes differ: {sizes}")
    return next(iter(sizes.values()), 1)
