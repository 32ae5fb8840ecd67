"""Reading procedural people back into the one table."""

import dataclasses
from pathlib import Path

import numpy as np

from pctlib.data.coco import read_coco, read_coco_wholebody
from pctlib.data.people import People
from pctlib.data.procedural.generate import load_3d


def read_procedural(root: str | Path, split: str, *, whole_body: bool = False) -> People:
    """Read a split that `generate` wrote, with 3D joints, cameras, activities and occlusion.

    Args:
        root: folder of the data set.
        split: name of the part.
        whole_body: the 133 keypoints of COCO-WholeBody instead of COCO's 17.

    Returns:
        People; `keypoints_3d` are the 17 joints of Human3.6M in millimetres, camera frame.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the 3D file does not belong to the annotations.
    """
    root = Path(root)
    name, read = ("coco_wholebody", read_coco_wholebody) if whole_body else ("person_keypoints", read_coco)
    people = read(root / "annotations" / f"{name}_{split}.json", root / split)
    truth = load_3d(root, split)
    row = {number: i for i, number in enumerate(truth["annotation_ids"].tolist())}
    unknown = [number for number in people.annotation_ids.tolist() if number not in row]
    if unknown:
        raise ValueError(
            f"{root}: annotations/person_3d_{split}.npz lacks {len(unknown)} annotations "
            f"of {name}_{split}.json, the first is {unknown[0]}"
        )
    rows = np.array([row[number] for number in people.annotation_ids.tolist()], np.int64)
    return dataclasses.replace(
        people,
        keypoints_3d=truth["joints_3d"][rows],
        occlusion=truth["occlusion"][rows].astype(np.float32),
        actions=truth["activity"][rows],
        focal=np.repeat(truth["focal"][rows, None], 2, axis=1),
        principal_point=truth["principal_point"][rows],
    )
