"""OCHuman: heavily occluded people with COCO's 17 keypoints, for validation and testing only.

Source: Zhang et al. 2019, "Pose2Seg", arXiv:1803.10683, https://github.com/liruilong940607/OCHumanApi
"""

from pathlib import Path

from pctlib.data.coco import read_coco
from pctlib.data.people import People


def read_ochuman(
    annotation_file: str | Path,
    image_dir: str | Path | None = None,
    *,
    category: str | None = None,
    skip_invalid: bool = False,
) -> People:
    """Read one of the two files in COCO format that OCHuman is published with.

    Many of its people have a box and a segment but no keypoints; they are left out and counted as "too few
    keypoints". All others have the flags of COCO.

    Args:
        annotation_file: ochuman_coco_format_val_range_0.00_1.00.json, or the same with test. The file
            ochuman.json of the same release has a format of its own and is refused.
        image_dir: folder of the images; None where there are none.
        category: name of the category to be read; None: the rule of `read_annotations`.
        skip_invalid: leave out and count annotations with an empty box or area instead of refusing the file.

    Raises:
        FileNotFoundError, ValueError: as `read_coco`.
    """
    return read_coco(annotation_file, image_dir, category=category, skip_invalid=skip_invalid)
