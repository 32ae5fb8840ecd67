"""One procedural person: shape, pose and outfit put on a body model and set on the ground."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pctlib.body_model import JOINT_NAMES, BodyModel, rotation_matrix
from pctlib.data.procedural.activities import Pose, draw_pose
from pctlib.data.procedural.anatomy import ANGLES, HIGH, LOW, joint_rotations
from pctlib.data.procedural.body import PARENTS
from pctlib.data.procedural.outfits import Outfit, displacement, draw_outfit
from pctlib.data.procedural.surface import Surface

Array = np.ndarray
_J = {name: i for i, name in enumerate(JOINT_NAMES)}
_BODY_JOINTS = 22
# Share of the body mass near each joint: de Leva 1996 (J. Biomech. 29), segments halved between their ends.
_MASS = np.zeros(_BODY_JOINTS)
for _name, _mass in {
    **{"pelvis": 0.14, "spine1": 0.08, "spine2": 0.08, "spine3": 0.12, "neck": 0.04, "head": 0.06},
    **{
        "hip": 0.085,
        "knee": 0.09,
        "ankle": 0.025,
        "foot": 0.01,
        "shoulder": 0.02,
        "elbow": 0.02,
        "wrist": 0.013,
    },
}.items():
    for _joint, _i in _J.items():
        if _i < _BODY_JOINTS and _name in (_joint, _joint.partition("_")[2]):
            _MASS[_i] = _mass
_MASS /= _MASS.sum()


@dataclass
class Person:
    """A posed body in the world: metres, y up, the ground at y = 0.

    vertices [V, 3]; joints [55, 3]; named_vertices [21, 3]; landmarks [51, 3]; contour [17, 3].
    shape [10], expression [10] are body model coefficients, pose [55, 3] axis-angle in radians with the root
    first, translation [3] metres, so that the body model gives `vertices` without clothes.
    """

    pose: Pose
    outfit: Outfit
    shape: Array
    expression: Array
    axis_angle: Array
    translation: Array
    vertices: Array
    joints: Array
    named_vertices: Array
    landmarks: Array
    contour: Array
    seat_height: float = 0.0

    def moved(self, offset: Array) -> "Person":
        """Return the same person `offset` [3] metres away."""
        move = np.asarray(offset, np.float32)
        values = {
            name: getattr(self, name) + move
            for name in ("translation", "vertices", "joints", "named_vertices", "landmarks", "contour")
        }
        return Person(**{**self.__dict__, **values})


def draw_person(
    rng: np.random.Generator, body: BodyModel, surface: Surface, *, activity: str | None = None
) -> Person:
    """Draw a person who stands, sits or lies at the origin of the ground, turned to any side.

    Args:
        rng: where every draw comes from.
        body: the body model; with flat hands.
        surface: what `body` looks like in T pose, see `Surface`.
        activity: a name of `activities.ACTIVITIES`, drawn if None.
    """
    pose = draw_pose(rng, activity=activity)
    shape = np.clip(rng.normal(size=10), -2.2, 2.2).astype(np.float32)
    expression = np.clip(rng.normal(size=10), -2, 2).astype(np.float32)
    outfit = draw_outfit(rng)
    axis_angle, root = _stand(pose, surface.joints)
    heading = rotation_matrix(torch.tensor([0, rng.uniform(-np.pi, np.pi), 0])).double().numpy()
    axis_angle[0] = _axis_angle(heading @ root)
    return _put_on_ground(body, surface, pose, outfit, shape, expression, axis_angle)


def _put_on_ground(
    body: BodyModel,
    surface: Surface,
    pose: Pose,
    outfit: Outfit,
    shape: Array,
    expression: Array,
    axis_angle: Array,
) -> Person:
    """Pose the body above the origin, its lowest point on the ground or lifted by the pose."""
    with torch.inference_mode():
        rows = torch.from_numpy(axis_angle.astype(np.float32))
        output = body(
            torch.from_numpy(shape)[None],
            torch.from_numpy(expression)[None],
            root_pose=rows[:1].reshape(1, 3),
            body_pose=rows[1:22].reshape(1, 63),
            jaw_pose=rows[22:23],
            left_eye_pose=rows[23:24],
            right_eye_pose=rows[24:25],
            left_hand_pose=rows[25:40].reshape(1, 45),
            right_hand_pose=rows[40:55].reshape(1, 45),
            displacement=torch.from_numpy(displacement(outfit, surface))[None],
        )
    contour = output.landmarks[:, :17] if output.contour is None else output.contour
    parts = (output.vertices, output.joints, output.named_vertices, output.landmarks, contour)
    vertices, joints, named, landmarks, contour = (part[0].numpy() for part in parts)
    pelvis = joints[0]
    drop = np.array([-pelvis[0], -vertices[:, 1].min() + pose.lift, -pelvis[2]], np.float32)
    near_pelvis = np.abs(vertices[:, [0, 2]] - pelvis[[0, 2]]).max(1) < 0.16
    person = Person(
        pose=pose,
        outfit=outfit,
        shape=shape,
        expression=expression,
        axis_angle=axis_angle.astype(np.float32),
        translation=np.zeros(3, np.float32),
        vertices=vertices,
        joints=joints,
        named_vertices=named,
        landmarks=landmarks,
        contour=contour,
    ).moved(drop)
    person.seat_height = float(person.vertices[near_pelvis, 1].min()) if pose.seat else 0.0
    return person


def _stand(pose: Pose, rest_joints: Array) -> tuple[Array, Array]:
    """Return joint rotations [55, 3] and the root rotation [3, 3], balanced if the feet carry.

    The ankle angles of `pose` are changed, within their limits, so that carrying soles are flat.
    """
    tilt = rotation_matrix(torch.deg2rad(torch.tensor([pose.tilt[0], 0.0, pose.tilt[1]]))).double().numpy()
    if pose.support == "body":
        return joint_rotations(pose.angles), tilt
    axis_angle = joint_rotations(pose.angles)
    positions, turns = _forward_kinematics(axis_angle, rest_joints)
    mass_center = _MASS @ positions
    feet = np.stack(
        [(positions[_J[f"{s}_ankle"]] + positions[_J[f"{s}_foot"]]) / 2 for s in ("left", "right")]
    )
    # the foot that is further along the line from the trunk carries
    down = feet.mean(0) - mass_center
    reach = (feet - mass_center) @ down / np.linalg.norm(down)
    share = np.exp((reach - reach.max()) / 0.04)
    foot = share @ feet / share.sum()
    upright = np.array([0.0, 1.0, 0.0])
    root = tilt @ _shortest_turn(mass_center - foot, upright) if pose.support == "feet" else tilt
    for side, carries in zip(("left", "right"), share > 0.3, strict=True):
        if carries:
            shank = root @ turns[_J[f"{side}_knee"]]
            index = ANGLES[f"{side}_ankle_dorsiflexion"]
            flat = np.rad2deg(np.arctan2(-shank[1, 2], shank[1, 1]))
            pose.angles[index] = np.clip(flat, LOW[index], HIGH[index])
    return joint_rotations(pose.angles), root


def _forward_kinematics(axis_angle: Array, rest_joints: Array) -> tuple[Array, Array]:
    """Return positions [22, 3] and rotations [22, 3, 3] of the body joints, root at rest."""
    local = rotation_matrix(torch.from_numpy(axis_angle[:_BODY_JOINTS])).numpy()
    positions, turns = rest_joints[:_BODY_JOINTS].astype(float), local.copy()
    for joint in range(1, _BODY_JOINTS):
        parent = PARENTS[joint]
        positions[joint] = positions[parent] + turns[parent] @ (rest_joints[joint] - rest_joints[parent])
        turns[joint] = turns[parent] @ local[joint]
    return positions, turns


def _shortest_turn(start: Array, end: Array) -> Array:
    """Return the rotation [3, 3] by the smallest angle that brings direction `start` to `end`."""
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis, cosine = np.cross(start, end), float(start @ end)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + max(cosine, -0.99))


def _axis_angle(rotation: Array) -> Array:
    """Return the axis-angle vector [3] of a rotation [3, 3]."""
    return Rotation.from_matrix(rotation).as_rotvec()
