"""CrowdPose: 14 keypoints of people in crowds, in the COCO format.

Source: Li et al. 2019, arXiv:1812.00324, https://github.com/Jeff-sjtu/CrowdPose
"""

from pathlib import Path

from pctlib.data.coco import read_coco
from pctlib.data.people import People
from pctlib.skeletons import CROWDPOSE


def read_crowdpose(
    annotation_file: str | Path,
    image_dir: str | Path | None = None,
    *,
    category: str | None = None,
    skip_invalid: bool = False,
) -> People:
    """Read CrowdPose.

    `num_keypoints` of the file leaves out head and neck, so it is not looked at: a person is kept if any of
    its 14 keypoints is labelled. (The authors' evaluation ignores persons whose `num_keypoints` is 0; that is
    for the metric to decide, from the file.) Areas are box areas x 0.53, since the file has none.

    Args:
        annotation_file: crowdpose_train.json, or another split, or mmpose's copy of it.
        image_dir: folder of the images; None where there are none.
        category: name of the category to be read; None: the rule of `read_annotations`.
        skip_invalid: leave out and count annotations with an empty box instead of refusing the file.

    Raises:
        FileNotFoundError, ValueError: as `read_coco`.
    """
    return read_coco(
        annotation_file, image_dir, skeleton=CROWDPOSE, category=category, skip_invalid=skip_invalid
    )
