"""The bodies of procedural people, as the camera sees them."""

from pathlib import Path

import torch

from pctlib.body_model import BodyModel
from pctlib.data.bodies import Bodies, before_camera
from pctlib.data.procedural.body import EXPRESSION_NAMES, embedded_body
from pctlib.data.procedural.generate import load_3d

_FIELDS = ("shape", "expression", "pose", "translation", "camera_rotation", "camera_position", "focal")
# What the mirror turns round: the jaw's way to the left
EXPRESSION_MIRROR = torch.tensor([-1.0 if name == "jaw_left" else 1.0 for name in EXPRESSION_NAMES])


def read_bodies(root: str | Path, split: str, *, body: BodyModel | None = None) -> Bodies:
    """Read the bodies of a split that `pctlib.data.procedural.generate` wrote; everything of them is known.

    They are undressed: clothes are in the pictures, not in the parameters.

    Args:
        root: folder of the data set.
        split: name of the part.
        body: the model that the people were made with; None for the embedded one.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if the file lacks a field, or a number is not finite; names the file.
    """
    body = body or embedded_body()
    path = Path(root) / "annotations" / f"person_3d_{split}.npz"
    truth = load_3d(root, split)
    missing = [name for name in (*_FIELDS, "principal_point", "annotation_ids") if name not in truth]
    if missing:
        raise ValueError(f"{path}: the fields {', '.join(missing)} are missing")
    values = {name: torch.from_numpy(truth[name]).float() for name in (*_FIELDS, "principal_point")}
    rotation, N = values["camera_rotation"], len(values["pose"])
    root_pose, translation = before_camera(
        body,
        values["pose"][:, 0],
        values["shape"],
        values["expression"],
        values["translation"],
        rotation=rotation,
        offset=-(rotation @ values["camera_position"][..., None])[..., 0],
    )
    return Bodies(
        annotation_ids=torch.from_numpy(truth["annotation_ids"]).long(),
        pose=torch.cat((root_pose[:, None], values["pose"][:, 1:]), dim=1),
        shape=values["shape"],
        expression=values["expression"],
        translation=translation,
        focal=values["focal"][:, None].repeat(1, 2),
        principal_point=values["principal_point"],
        pose_known=torch.ones(N, 55, dtype=torch.bool),
        shape_known=torch.ones(N, dtype=torch.bool),
        expression_known=torch.ones(N, dtype=torch.bool),
        expression_mirror=EXPRESSION_MIRROR,
        source=str(path),
    )
