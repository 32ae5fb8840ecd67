"""Keypoints of a person and whether they can be seen.

Visibility of a keypoint (COCO flags), from the depth buffer of the finished scene:

- 0: outside the frame (its coordinates are then 0, as in COCO).
- 2: in one of the 3 x 3 cells around it (a cell is half a pixel) the nearest surface belongs to the same
person and
  is at most a tolerance in front of the keypoint. The tolerance is 2 to 3 cm for points on the surface (face,
  toes, heels, finger tips) and the thickness of the part, clothes included, for joints inside the body
  (TOLERANCES).
- 1: everything else: behind another person, a thing, or another part of the own body.
"""

from dataclasses import dataclass

import numba
import numpy as np

from pctlib.body_model import JOINT_NAMES, NAMED_VERTICES
from pctlib.data.procedural.camera import Camera
from pctlib.data.procedural.people import Person
from pctlib.skeletons import COCO_WHOLEBODY, H36M

Array = np.ndarray
# Keypoint without its side -> metres between it and the nearest surface in front of it, at most.
TOLERANCES = {
    **{"nose": 0.025, "eye": 0.025, "ear": 0.03, "shoulder": 0.11, "elbow": 0.075, "wrist": 0.055},
    **{"hip": 0.16, "knee": 0.095, "ankle": 0.075, "big_toe": 0.03, "small_toe": 0.03, "heel": 0.04},
    **{"face": 0.025, "hand_root": 0.055, "finger": 0.025},
}
_MODEL_FINGER = {
    "thumb": "thumb",
    "forefinger": "index",
    "middle_finger": "middle",
    "ring_finger": "ring",
    "pinky_finger": "pinky",
}


@dataclass(frozen=True)
class PersonAnnotation:
    """What is known of one person in a picture.

    Args:
        keypoints_image: [133, 2] float32 pixels, in the order of COCO-WholeBody (the first 17 are COCO's).
        visible: [133] uint8, see the module.
        box_xywh: [4] float32 pixels, tight around the part of the person in the frame, hidden or not.
        area: pixels of that part.
        joints_3d: [17, 3] float32 millimetres, camera frame (x right, y down), Human3.6M order.
        occlusion: share of the part in the frame that other people or things hide, 0..1.
        truncation: share of the whole person outside the frame, 0..1.
        activity: a name of `activities.ACTIVITIES`.
        person: body parameters and the posed mesh, world frame.
    """

    keypoints_image: Array
    visible: Array
    box_xywh: Array
    area: float
    joints_3d: Array
    occlusion: float
    truncation: float
    activity: str
    person: Person


def keypoints_world(person: Person) -> Array:
    """Return the 133 keypoints [133, 3] of a person, metres, world frame."""
    sources = np.concatenate([person.joints, person.named_vertices, person.landmarks, person.contour])
    return sources[_KEYPOINT_SOURCE]


def joints_h36m(person: Person, head_top: Array) -> Array:
    """Return the Human3.6M joints [17, 3], metres, world frame.

    The spine is the middle spine joint, the thorax the base of the neck, `neck_nose` the middle of nose and
    head joint, the head its highest point.
    """
    nose = person.named_vertices[NAMED_VERTICES.index("nose")]
    extra = np.stack([(nose + person.joints[JOINT_NAMES.index("head")]) / 2, head_top])
    return np.concatenate([person.joints, extra])[_H36M_SOURCE]


def annotate(
    person: Person,
    camera: Camera,
    *,
    head_top: Array,
    owner: int,
    depth_buffer: Array,
    owner_buffer: Array,
) -> tuple[Array, Array, Array]:
    """Return keypoints_image [133, 2], visible [133] and joints_3d [17, 3] of a person.

    Args:
        person: whose keypoints.
        camera: who sees them.
        head_top: [3] the highest point of the head, metres, world.
        owner: the person's number in `owner_buffer`.
        depth_buffer: [2H, 2W] float32 inverse depth of the scene.
        owner_buffer: [2H, 2W] int16, whose surface is nearest; -1 is nobody's.
    """
    points = camera.project(keypoints_world(person))  # [133, 3]
    H, W = camera.image_size
    x, y, depth = points.T
    inside = (x >= -0.5) & (x < W - 0.5) & (y >= -0.5) & (y < H - 0.5) & (depth > 0)
    seen = _seen(points, _TOLERANCE, owner, depth_buffer, owner_buffer)
    visible = np.where(inside, 1 + seen, 0).astype(np.uint8)
    keypoints = np.where(inside[:, None], points[:, :2], 0).astype(np.float32)
    joints = camera.to_camera(joints_h36m(person, head_top)) * 1000
    return keypoints, visible, joints.astype(np.float32)


@numba.njit(cache=True, error_model="numpy")
def _seen(points, tolerances, owner, depth_buffer, owner_buffer):
    H, W = depth_buffer.shape
    seen = np.zeros(len(points), np.int64)
    for k in range(len(points)):
        u, v = int(np.floor(2 * points[k, 0] + 1)), int(np.floor(2 * points[k, 1] + 1))
        for y in range(max(v - 1, 0), min(v + 2, H)):
            for x in range(max(u - 1, 0), min(u + 2, W)):
                if owner_buffer[y, x] == owner and points[k, 2] - 1 / depth_buffer[y, x] <= tolerances[k]:
                    seen[k] = 1
    return seen


def _model_point(name: str) -> int:
    """Return the row of a COCO-WholeBody keypoint among joints, named vertices, landmarks and contour."""
    if name.startswith("face_"):
        number = int(name.removeprefix("face_"))
        return 55 + 21 + (51 + number if number < 17 else number - 17)
    side, _, rest = name.partition("_")
    if rest == "hand_root":
        return JOINT_NAMES.index(f"{side}_wrist")
    if rest[:-1] in _MODEL_FINGER:
        finger, number = _MODEL_FINGER[rest[:-1]], int(rest[-1])
        if number == 4:
            return 55 + NAMED_VERTICES.index(f"{side}_{finger}_tip")
        return JOINT_NAMES.index(f"{side}_{finger}{number}")
    if name in NAMED_VERTICES:
        return 55 + NAMED_VERTICES.index(name)
    return JOINT_NAMES.index(name)


def _tolerance(name: str) -> float:
    kind = name.partition("_")[2] if name.startswith(("left_", "right_")) else name.partition("_")[0]
    return TOLERANCES.get(kind, TOLERANCES["finger"])


_KEYPOINT_SOURCE = np.array([_model_point(name) for name in COCO_WHOLEBODY.keypoint_names])
_TOLERANCE = np.array([_tolerance(name) for name in COCO_WHOLEBODY.keypoint_names])
_H36M_NAMES = {
    "spine": JOINT_NAMES.index("spine2"),
    "thorax": JOINT_NAMES.index("neck"),
    "neck_nose": 55,
    "head": 56,
}
_H36M_SOURCE = np.array(
    [_H36M_NAMES[name] if name in _H36M_NAMES else JOINT_NAMES.index(name) for name in H36M.keypoint_names]
)
