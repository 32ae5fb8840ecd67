"""What a renderer needs to know of a body mesh, found from the model, so that any SMPL-X file will do."""

from dataclasses import dataclass

import numpy as np
import torch

from pctlib.body_model import JOINT_NAMES, BodyModel
from pctlib.data.procedural.lofts import vertex_normals
from pctlib.data.procedural.parts import JOINTS

Array = np.ndarray
TORSO, ARM, LEG, FOOT, HEAD, EYE_WHITE = range(6)  # regions of the body, for clothes and colours

_J = {name: i for i, name in enumerate(JOINT_NAMES)}
_REGION_OF_JOINT = np.full(len(JOINT_NAMES), ARM)  # shoulders, elbows, wrists and all of the hands
for _names, _region in (
    (("pelvis", "spine1", "spine2", "spine3", "neck", "left_collar", "right_collar"), TORSO),
    (("left_hip", "right_hip", "left_knee", "right_knee"), LEG),
    (("left_ankle", "right_ankle", "left_foot", "right_foot"), FOOT),
    (("head", "jaw"), HEAD),
    (("left_eye", "right_eye"), EYE_WHITE),
):
    _REGION_OF_JOINT[[_J[name] for name in _names]] = _region
_HEAD_TOP = 1.731


@dataclass(frozen=True)
class Surface:
    """The rest mesh.

    joints [55, 3]; faces [F, 3] int32; normals [V, 3]; regions [F] and vertex_regions [V] (TORSO, ...);
    head_top: the highest vertex.
    places [V, 3]: where on the embedded body a vertex would be (metres, T pose), so that clothes fit every
    mesh.
    """

    joints: Array
    faces: Array
    normals: Array
    regions: Array
    vertex_regions: Array
    places: Array
    head_top: int

    @classmethod
    def of(cls, body: BodyModel) -> "Surface":
        """Look at a body model in T pose."""
        with torch.inference_mode():
            rest = body()
        vertices, joints = rest.vertices[0].numpy().astype(float), rest.joints[0].numpy().astype(float)
        faces = body.faces.numpy().astype(np.int32)
        region = _REGION_OF_JOINT[body.weights.numpy().argmax(1)]
        corners = region[faces]
        # a face between two regions belongs to the outer one, so that clothes end within a region
        regions = np.where(corners[:, 0] == corners[:, 1], corners[:, 0], corners.max(1))
        return cls(
            joints=joints,
            faces=faces,
            normals=vertex_normals(vertices, faces).astype(np.float32),
            regions=regions.astype(np.int32),
            vertex_regions=region,
            places=_places(vertices, joints, region).astype(np.float32),
            head_top=int(vertices[:, 1].argmax()),
        )


def _places(vertices: Array, joints: Array, region: Array) -> Array:
    """Return the places [V, 3] on the embedded body that correspond, by joints along limbs and trunk."""

    def along(
        axis: int, values: Array, names: tuple[str, ...], ends: tuple[tuple[float, float], ...]
    ) -> Array:
        pairs = [(joints[_J[name], axis], JOINTS[name][axis]) for name in names] + list(ends)
        theirs, ours = np.array(sorted(pairs)).T
        return np.interp(values, theirs, ours)

    x, y, z = vertices.T
    trunk = ("left_ankle", "left_knee", "left_hip", "spine1", "spine3", "neck", "left_eye")
    places_y = along(1, y, trunk, ((y.min(), 0.0), (y.max(), _HEAD_TOP)))
    arm = ("left_shoulder", "left_elbow", "left_wrist")
    places_x = np.sign(x) * along(0, np.abs(x), arm, ((0.0, 0.0), (np.abs(x).max(), 0.881)))
    places_x = np.where(region == ARM, places_x, x)
    head = np.isin(region, (HEAD, EYE_WHITE))
    shift = np.where(
        head, JOINTS["left_eye"][2] - joints[_J["left_eye"], 2], JOINTS["pelvis"][2] - joints[0, 2]
    )
    return np.stack([places_x, places_y, z + shift], 1)
