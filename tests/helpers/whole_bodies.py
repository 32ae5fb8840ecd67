"""Files of H3WB with standing people, for tests of its reader and of its errors."""

import numpy as np

from pctlib.skeletons import COCO_WHOLEBODY

# Of a person who faces the camera: x to the right, y down, z away, millimetres from the middle of the hips.
_STANDING = {
    "nose": (0, -650, -60),
    "left_shoulder": (180, -500, 0),
    "right_shoulder": (-180, -500, 0),
    "left_hip": (100, 0, 0),
    "right_hip": (-100, 0, 0),
    "left_knee": (100, 440, -40),
    "right_knee": (-100, 440, -40),
    "left_ankle": (100, 880, 0),
    "right_ankle": (-100, 880, 0),
}
K = np.array([[1.1, 0, 0.5], [0, 1.2, 0.6], [0, 0, 1]])  # thousands of pixels


def standing(count, seed=0):
    """Return people [count, 133, 3], millimetres, about 5 m away; the other keypoints lie anywhere."""
    rng = np.random.default_rng(seed)
    poses = rng.normal(0, 200, (count, COCO_WHOLEBODY.num_keypoints, 3))
    for name, place in _STANDING.items():
        poses[:, COCO_WHOLEBODY.index(name)] = place
    return poses + np.array([0, 0, 5000.0]) + rng.normal(0, 5, poses.shape)


def view(poses):
    """Return what the file has of one camera."""
    return {"camera_3d": poses, "pose_2d": 1000 * (poses / poses[..., 2:] @ K.T)[..., :2], "sample_id": 0}


def films():
    """Return the content of a file: S1 with two films, one of them seen by two cameras, and S7 with one."""
    frames = {"Eating": (5, 25), "Walking 1": (60,)}
    data = {
        "S1": {
            action: {"frame_id": np.array(ids), "global_3d": standing(len(ids), seed=9)}
            for action, ids in frames.items()
        },
        "S7": {"Eating": {"frame_id": np.array([7]), "global_3d": standing(1, seed=9)}},
    }
    for seed, (subject, action, camera) in enumerate(KEYS):
        film = data[subject][action]
        film[camera] = view(standing(len(film["frame_id"]), seed=seed))
    lens = {"K": K[None], "R": np.eye(3)[None], "Distortion": np.array([[0.1, 0.2, 0.01, 0.02, 0.3]])}
    metadata = {subject: {camera: lens for s, _, camera in KEYS if s == subject} for subject in data}
    boxes = {
        (subject, action, camera, int(frame)): {
            "x_min": 100 + i,
            "y_min": 50,
            "x_max": 300 + i,
            "y_max": 450,
        }
        for i, (subject, action, camera) in enumerate(KEYS)
        for frame in data[subject][action]["frame_id"]
    }
    return {"train_data": data, "metadata": metadata, "bbox": boxes}


KEYS = (
    ("S1", "Eating", "54138969"),
    ("S1", "Eating", "60457274"),
    ("S1", "Walking 1", "54138969"),
    ("S7", "Eating", "54138969"),
)


def write_h3wb(path, content=None):
    """Write a file as H3WB is published: every member a pickled dict."""
    members = {name: np.array(value, dtype=object) for name, value in (content or films()).items()}
    np.savez(path, **members)
    return path
