"""A small OSX, a target for it, and what the release's tests call them."""

import torch

from pctlib.models.deformable import DecoderSize
from pctlib.models.osx.size import OSXSize
from pctlib.models.osx.terms import JointTarget, MeshTarget
from pctlib.models.vit import ViTSize

SMALL = OSXSize(
    ViTSize(16, 1, 2),
    input_size=(64, 48),
    body_depth=5,
    hand_cells=6,
    face_cells=4,
    box_width=8,
    regressor_width=8,
    decoder=DecoderSize(width=16, num_layers=2, hidden=24, num_heads=4, groups=4, dropout=0.0),
)
PARTS = ("lhand", "rhand", "face")
# ours -> the release's
LOSSES = {
    "pose": "smplx_pose",
    "shape": "smplx_shape",
    "expression": "smplx_expr",
    "joints_3d": "joint_cam",
    "fitted_joints_3d": "smplx_joint_cam",
    "left_hand_box": "lhand_bbox",
    "right_hand_box": "rhand_bbox",
    "face_box": "face_bbox",
    "projection": "joint_proj",
    "places": "joint_img",
    "fitted_places": "smplx_joint_img",
    "face_places": "joint_img_face",
}


def recorded_target(inputs):
    """Return the target of `osx_forward`."""

    def joints(prefix):
        return JointTarget(
            inputs[f"target/{prefix}joint_img"],
            inputs[f"target/{prefix}joint_cam"],
            inputs[f"meta_info/{prefix}joint_valid"][..., 0],
            inputs[f"meta_info/{prefix}joint_trunc"][..., 0],
        )

    def boxes(what):
        return torch.stack([inputs[f"target/{part}_bbox_{what}"] for part in PARTS], dim=1)

    parameters = {}
    for ours, theirs in (("pose", "pose"), ("shape", "shape"), ("expression", "expr")):
        parameters[ours] = inputs[f"target/smplx_{theirs}"]
        parameters[f"{ours}_valid"] = inputs[f"meta_info/smplx_{theirs}_valid"]
    return MeshTarget(
        **parameters,
        own=joints(""),
        fitted=joints("smplx_"),
        is_3d=inputs["meta_info/is_3D"],
        box_center=boxes("center"),
        box_size=boxes("size"),
        box_valid=torch.stack([inputs[f"meta_info/{part}_bbox_valid"] for part in PARTS], dim=1),
    )


def random_target(B=2, seed=0):
    """Return a target with everything known."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    def joints():
        return JointTarget(2 + normal(B, 137, 3), normal(B, 137, 3), torch.ones(B, 137), torch.ones(B, 137))

    return MeshTarget(
        pose=0.3 * normal(B, 159),
        pose_valid=torch.ones(B, 159),
        shape=normal(B, 10),
        shape_valid=torch.ones(B),
        expression=normal(B, 10),
        expression_valid=torch.ones(B),
        own=joints(),
        fitted=joints(),
        is_3d=torch.ones(B),
        box_center=2 + normal(B, 3, 2),
        box_size=2 + normal(B, 3, 2).abs(),
        box_valid=torch.ones(B, 3),
    )
