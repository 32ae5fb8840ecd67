import pytest

from pctlib.skeletons import Skeleton


@pytest.fixture
def skeleton():
    """Return a skeleton of 4 keypoints in a row, with a free fourth."""
    return Skeleton(
        name="row",
        keypoint_names=("left_hand", "neck", "right_hand", "star"),
        flip_pairs=((0, 2),),
        limbs=((0, 1), (1, 2)),
        limb_colors=("#0000ff", "#ff8800"),
        sigmas=None,
        upper_body=(0, 1, 2),
        lower_body=(),
    )
