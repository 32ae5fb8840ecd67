import numpy as np
import pytest

from pctlib.data.check_3d import check_sides, check_units
from pctlib.skeletons import H36M

# A person who stands facing the camera (x right, y down, z forward), knees slightly bent forwards; mm.
STANDING = np.array(
    [
        [0, 0, 0], [-130, 0, 0], [-130, 440, -60], [-130, 880, 0],
        [130, 0, 0], [130, 440, -60], [130, 880, 0],
        [0, -230, 0], [0, -480, 0], [0, -560, -60], [0, -680, 0],
        [160, -460, 0], [200, -180, 0], [220, 70, -40], [-160, -460, 0], [-200, -180, 0], [-220, 70, -40],
    ],
    dtype=np.float64,
)  # fmt: skip


def turned(count, seed=0):
    """Return the person seen from all sides, jittered."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-np.pi, np.pi, count)
    cos, sin, zero, one = np.cos(angle), np.sin(angle), np.zeros(count), np.ones(count)
    rotation = np.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], axis=1).reshape(-1, 3, 3)
    return STANDING @ rotation.transpose(0, 2, 1) + rng.normal(0, 10, (count, 17, 3))


def test_a_person_in_millimetres_passes():
    check_units(turned(10), H36M, "a.npz")
    check_sides(turned(10), H36M, "a.npz")


@pytest.mark.parametrize(
    ("factor", "unit"), [(1e-3, "in metres"), (0.05, "in centimetres"), (1e3, "millimetres taken for metres")]
)
def test_other_units_are_told_by_the_size_of_the_body(factor, unit):
    with pytest.raises(ValueError, match=rf"a\.npz: the limbs .* mm long on average.*{unit}"):
        check_units(factor * turned(5), H36M, "a.npz")


def test_not_a_number_is_named_with_row_and_joint():
    poses = turned(3)
    poses[1, 4, 2] = np.nan
    with pytest.raises(ValueError, match=r"a\.npz: row 1, 3D joint 4 \(left_hip\) is not a finite number"):
        check_units(poses, H36M, "a.npz")


def test_exchanged_legs_are_named():
    poses = turned(10)
    poses[:, [1, 2, 3, 4, 5, 6]] = poses[:, [4, 5, 6, 1, 2, 3]]
    with pytest.raises(ValueError, match="in the legs or the arms"):
        check_sides(poses, H36M, "a.npz")


def test_exchanged_sides_and_mirrored_poses_are_named():
    for poses in (turned(10)[:, list(H36M.flip_permutation)], turned(10) * [-1, 1, 1]):
        with pytest.raises(ValueError, match="the knees bend backwards"):
            check_sides(poses, H36M, "a.npz")


def test_fixture_legs_are_right_first(shared):
    """The category names of h36m_coco.json say otherwise; the data do not."""
    from pctlib.data.h36m import read_h36m

    folder = shared / "data" / "fixtures" / "h36m"
    poses = read_h36m(folder / "test_h36m_body3d.npz", folder).keypoints_3d
    check_sides(poses, H36M, "fixture")
    exchanged = poses[:, [0, 4, 5, 6, 1, 2, 3, *range(7, 17)]]
    with pytest.raises(ValueError, match="exchanged"):
        check_sides(exchanged, H36M, "fixture")
