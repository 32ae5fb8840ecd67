"""UBody: frames of fifteen kinds of video, mostly of upper bodies, with the 133 keypoints of COCO-WholeBody.

Source: Lin et al. 2023, "One-Stage 3D Whole-Body Mesh Recovery with Component Aware Transformer",
arXiv:2303.16160, https://github.com/IDEA-Research/OSX. DWPose trains on all of its scenes beside COCO.
"""

from pathlib import Path

from pctlib.data.coco import read_coco_wholebody
from pctlib.data.people import People, concatenate

_FILE = "keypoint_annotation.json"


def read_ubody(root: str | Path, *, skip_invalid: bool = False) -> People:
    """Read the people of every scene that is there.

    The videos must have been cut into frames, and the annotation files need their section of categories:
    `video2image.py` and `add_cat.py` in the repository of DWPose do both.

    Args:
        root: has `annotations/<scene>/keypoint_annotation.json` and `images/<scene>/`.
        skip_invalid: leave out and count annotations with an empty box or area instead of refusing the file.

    Raises:
        FileNotFoundError: if there is no scene, or a scene has no folder of images.
        ValueError: as `read_coco_wholebody`.
    """
    root = Path(root)
    files = sorted(root.glob(f"annotations/*/{_FILE}"))
    if not files:
        raise FileNotFoundError(f"UBody: expected {root / 'annotations' / '<scene>' / _FILE}, found none")
    scenes = [(file, root / "images" / file.parent.name) for file in files]
    return concatenate(
        [read_coco_wholebody(file, images, skip_invalid=skip_invalid) for file, images in scenes]
    )
