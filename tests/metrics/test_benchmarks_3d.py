"""Human3.6M, 3DPW and H3WB from files of predictions to tables, against plain numpy and recorded values."""

import pickle

import numpy as np
import pytest
from helpers.whole_bodies import write_h3wb
from typer.testing import CliRunner

from pctlib.commands import app
from pctlib.data.h3wb import read_h3wb
from pctlib.data.h36m import read_h36m
from pctlib.data.threedpw import read_threedpw
from pctlib.metrics.benchmarks_3d import (
    COLUMNS,
    LSP_OF_SMPL,
    evaluate_h3wb,
    evaluate_h36m,
    evaluate_threedpw,
    read_predicted_poses,
)
from pctlib.skeletons import H36M, SMPL

FRAMES = {"S9": {"Directions": 4, "Walking": 6}, "S11": {"Walking": 3}, "S1": {"Eating": 2}}
P1, P2, SCALED, _ = COLUMNS.values()


def names():
    return [
        f"{subject}/{subject}_{action}_1.54138969_{frame + 1:06d}.jpg"
        for subject, actions in FRAMES.items()
        for action, count in actions.items()
        for frame in range(count)
    ]


def write_flat(path, poses_mm):
    N = len(poses_mm)
    np.savez(
        path,
        imgname=np.array(names()[:N]),
        center=np.full((N, 2), 400.0),
        scale=np.full(N, 2.0),
        part=np.concatenate([np.full((N, 17, 2), 300.0), np.ones((N, 17, 1))], axis=2),
        S=np.concatenate([poses_mm / 1000, np.ones((N, 17, 1))], axis=2),
    )


@pytest.fixture
def h36m(tmp_path):
    """Return a flat annotation file of 15 frames, its poses, and noisy predictions."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 300, (15, 17, 3)) + np.array([0, 0, 5000])
    write_flat(tmp_path / "h36m_test.npz", truth)
    return tmp_path / "h36m_test.npz", truth, truth + rng.normal(0, 50, truth.shape)


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def plain_mpjpe(poses, truth):
    poses, truth = poses - poses[:, :1], truth - truth[:, :1]
    return np.sqrt(((poses - truth) ** 2).sum(-1)).mean()


def test_protocol_of_h36m_against_plain_numpy(h36m):
    file, truth, poses = h36m
    evaluation = evaluate_h36m(read_h36m(file, ""), poses)
    kept = [row for row, name in enumerate(names()) if not name.startswith("S1/")]
    truth = truth.astype(np.float32).astype(float)  # as the table keeps them
    by_action = {
        action: plain_mpjpe(*(p[[row for row in kept if action in names()[row]]] for p in (poses, truth)))
        for action in ("Directions", "Walking")
    }
    rows = evaluation.rows
    assert list(rows) == ["Directions", "Walking", "mean of actions", "all poses"]
    for action, expected in by_action.items():
        assert rows[action][P1] == pytest.approx(expected, rel=1e-5)
    assert rows["mean of actions"][P1] == pytest.approx(np.mean(list(by_action.values())), rel=1e-5)
    assert rows["all poses"][P1] == pytest.approx(plain_mpjpe(poses[kept], truth[kept]), rel=1e-5)
    assert rows["all poses"]["poses"] == 13
    assert evaluation.counts["poses of other subjects or actions, not counted"] == 2
    assert rows["all poses"][P2] < rows["all poses"][SCALED] < rows["all poses"][P1] + 1e-9


def test_a_shifted_pose_has_no_error_and_a_turned_one_only_in_protocol_1(h36m):
    file, truth, _ = h36m
    people = read_h36m(file, "")
    shifted = evaluate_h36m(people, truth + np.array([500.0, -200, 90])).rows["all poses"]
    assert shifted[P1] == pytest.approx(0, abs=1e-2)
    turned = (truth - truth[:, :1]) @ np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    row = evaluate_h36m(people, turned).rows["all poses"]
    assert row[P1] > 100
    assert row[P2] == pytest.approx(0, abs=1e-2)


def test_command_gives_the_recorded_errors(golden, tmp_path):
    recorded = golden("metrics")
    pred, gt = (recorded.inputs[f"mpjpe/{key}"].double().numpy()[:15] for key in ("pred", "gt"))
    write_flat(tmp_path / "h36m_test.npz", gt)
    np.savez(tmp_path / "predictions.npz", poses=pred)
    out = tmp_path / "table.csv"
    paths = ("--annotations", tmp_path / "h36m_test.npz", "--predictions", tmp_path / "predictions.npz")
    options = [x for subject in FRAMES for x in ("--subject", subject)]
    done = run("h36m", *paths, *options, "--no-align-root", "--out", out)
    assert done.exit_code == 0, done.output
    last = out.read_text().splitlines()[-1].split(",")
    expected = np.linalg.norm(pred - gt, axis=-1).mean()
    assert last[0] == "all poses"
    assert float(last[1]) == pytest.approx(expected, rel=1e-6)
    aligned = recorded.outputs["mpjpe/aligned"].numpy()[:15]
    assert float(last[2]) == pytest.approx(np.linalg.norm(aligned - gt, axis=-1).mean(), rel=1e-5)


def test_predictions_are_found_by_name_in_any_order(h36m, tmp_path):
    file, _, poses = h36m
    people, order = read_h36m(file, ""), np.random.default_rng(1).permutation(15)
    extra = np.concatenate([poses[order], poses[:1]])
    path = tmp_path / "by_name.npz"
    np.savez(
        path, poses=extra, imgname=np.array([*np.array(names())[order], "S9_Other_1.54138969_000001.jpg"])
    )
    np.testing.assert_array_equal(read_predicted_poses(path, people), poses)
    np.savez(path, poses=poses[order], annotation_ids=people.annotation_ids[order])
    np.testing.assert_array_equal(read_predicted_poses(path, people), poses)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: {"poses": p[:3]}, "has 3 poses without annotation_ids or imgname, the data set 15"),
        (lambda p: {"poses": p[:, :16]}, r"poses need shape \[N, 17, 3\] \(h36m\), got \[15, 16, 3\]"),
        (lambda p: {"poses": p / 1000}, "the file seems to be in metres"),
        (
            lambda p: {"poses": np.where(p == p[4, 2, 1], np.nan, p)},
            r"row 4, 3D joint 2 \(right_knee\) is not",
        ),
        (
            lambda p: {"poses": p[:9], "imgname": np.array(names()[:9])},
            "6 of 15 rows have no pose, the first S",
        ),
        (lambda p: {"poses": p, "imgname": np.array(names()[:1] * 15)}, "imgname name 14 poses twice"),
        (lambda p: {"poses": p, "annotation_ids": np.arange(3)}, "has 15 poses but 3 annotation_ids"),
    ],
)
def test_bad_predictions_are_named(h36m, tmp_path, change, message):
    file, _, poses = h36m
    np.savez(tmp_path / "bad.npz", **change(poses))
    with pytest.raises(ValueError, match=rf"bad\.npz: .*{message}"):
        read_predicted_poses(tmp_path / "bad.npz", read_h36m(file, ""))


def test_subjects_and_actions_that_are_not_there_are_named(h36m):
    file, _, poses = h36m
    people = read_h36m(file, "")
    with pytest.raises(ValueError, match="subject S5 is not in the file, it has S1, S11, S9"):
        evaluate_h36m(people, poses, subjects=["S5"])
    with pytest.raises(ValueError, match="action Sitting is not in the file, it has Directions"):
        evaluate_h36m(people, poses, actions=["Sitting"])
    assert evaluate_h36m(people, poses, actions=["Directions"]).rows["all poses"]["poses"] == 4


def film(frames=4, persons=2, seed=0, **changes):
    """Return what a pickle of 3DPW holds; the camera looks along the world's z axis from 6 m away."""
    rng = np.random.default_rng(seed)
    extrinsics = np.tile(np.eye(4), (frames, 1, 1))
    extrinsics[:, 2, 3] = 6.0
    intrinsics = np.array([[1960.0, 0, 540], [0, 1961, 960], [0, 0, 1]])
    return {
        "sequence": "a",
        "jointPositions": [rng.normal(0, 0.3, (frames, 72)) for _ in range(persons)],
        "cam_poses": extrinsics,
        "cam_intrinsics": intrinsics,
        "campose_valid": [np.array([1] * (frames - 1) + [0]) for _ in range(persons)],
        "img_frame_ids": np.arange(frames),
    } | changes


@pytest.fixture
def films(tmp_path):
    """Return sequenceFiles with a film in the test and one in the validation split."""
    for split, name in (("test", "downtown_bar_00"), ("validation", "outdoors_golf_00")):
        (tmp_path / split).mkdir()
        (tmp_path / split / f"{name}.pkl").write_bytes(pickle.dumps(film(seed=len(name))))
    return tmp_path


def test_threedpw_is_read_in_the_frame_of_its_camera(films):
    people = read_threedpw(films / "test", "images")
    joints = 1000 * (film(seed=15)["jointPositions"][0][0].reshape(24, 3) + np.array([0, 0, 6]))
    np.testing.assert_allclose(people.keypoints_3d[0], joints, rtol=1e-4, atol=0.05)
    pixels = joints[:, :2] / joints[:, 2:] * [1960, 1961] + [540, 960]
    np.testing.assert_allclose(people.keypoints_image[0], pixels, atol=0.05)
    np.testing.assert_allclose(people.joints_image, people.keypoints_image, atol=0.05)
    assert len(people) == 6
    assert people.excluded["camera not aligned"] == 2
    assert str(people.image_files[1]) == "images/downtown_bar_00/image_00001.jpg"
    assert people.image_ids[0] == people.image_ids[3], "two persons of one frame share the image"


def test_the_occluded_part_spans_the_splits(films):
    assert set(read_threedpw(films, "").actions) == {"downtown_bar_00", "outdoors_golf_00"}
    assert set(read_threedpw(films, "", occluded=True).actions) == {"outdoors_golf_00"}
    with pytest.raises(FileNotFoundError, match="no film of the occluded part of 3DPW"):
        read_threedpw(films / "test", "", occluded=True)


def test_errors_on_threedpw(films, tmp_path):
    people = read_threedpw(films / "test", "")
    offset = np.zeros((6, 24, 3))
    offset[:, SMPL.index("left_hand")] = [30, 0, 40]  # no joint of LSP
    offset[:, SMPL.index("left_wrist")] = [0, 28, 0]
    poses = people.keypoints_3d + offset
    assert evaluate_threedpw(people, poses).metrics["MPJPE"] == pytest.approx(2, rel=1e-4)
    assert evaluate_threedpw(people, poses, joints=24).metrics["MPJPE"] == pytest.approx(78 / 24, rel=1e-4)
    assert len(set(LSP_OF_SMPL)) == 14
    np.savez(tmp_path / "predictions.npz", poses=poses)
    done = run("threedpw", "--annotations", films / "test", "--predictions", tmp_path / "predictions.npz")
    assert done.exit_code == 0, done.output
    assert "2.00" in done.output
    assert "camera not aligned" in done.output
    with pytest.raises(ValueError, match="joints: expected 14 or 24, got 17"):
        evaluate_threedpw(people, poses, joints=17)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "expected a dict of one film, got list"),
        ({"sequence": "a"}, "field jointPositions is missing, it has sequence"),
        (film(cam_poses=np.zeros((4, 3, 3))), r"cam_poses needs shape \(frames, 4, 4\), got \(4, 3, 3\)"),
        (film(campose_valid=[np.ones(4)]), "need one entry a person, got 1 and 2"),
        (film(jointPositions=[np.ones((3, 72))] * 2), "person 0 have 3 frames, cam_poses 4"),
        (
            film(jointPositions=[1000 * np.ones((4, 24, 3)) * np.arange(24)[:, None]] * 2),
            "millimetres taken for",
        ),
        (print, "refused or damaged pickle"),
    ],
)
def test_bad_films_are_named(tmp_path, content, message):
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=rf"bad\.pkl: .*{message}"):
        read_threedpw(tmp_path, "")


def test_file_names_that_rows_share_are_refused(films, tmp_path):
    for split in ("test", "validation"):
        (films / "test" / f"{split}_00.pkl").write_bytes(pickle.dumps(film()))
    people = read_threedpw(films / "test", "")
    names = np.array(["image_00000.jpg", "image_00001.jpg", "image_00002.jpg"])
    np.savez(tmp_path / "p.npz", poses=people.keypoints_3d[:3], imgname=names)
    with pytest.raises(ValueError, match=r"p\.npz: rows of .* share file names; annotation_ids tell them"):
        read_predicted_poses(tmp_path / "p.npz", people)


def test_parts_of_h3wb_by_hand(tmp_path):
    file = write_h3wb(tmp_path / "h3wb_train.npz")
    people = read_h3wb(file, "")
    poses = people.keypoints_3d.astype(float) + np.array([300.0, -20, 900])  # the root is at 0 anyway
    poses[:, 23:91] += [0, 0, 30]
    poses[:, 91:112] += [40, 0, 0]
    poses[:, 92:112] += [0, 30, 0]  # beyond the left wrist
    poses[:, 15] += [0, 46, 0]
    hands = (40 + 20 * 50) / 42
    expected = {
        "whole body": (46 + 68 * 30 + 42 * hands) / 133,
        "body and feet": 46 / 23,
        "face": 30,
        "face, noses together": 30,
        "hands": hands,
        "hands, wrists together": 30 * 20 / 21 / 2,
    }
    rows = evaluate_h3wb(people, poses).rows
    assert {name: row["MPJPE"] for name, row in rows.items()} == pytest.approx(expected, rel=1e-4)
    poses[:, 0] += [0, 0, 30]
    assert evaluate_h3wb(people, poses).metrics["face, noses together MPJPE"] == pytest.approx(0, abs=1e-3)


def test_command_scores_h3wb(tmp_path):
    file = write_h3wb(tmp_path / "h3wb_train.npz")
    people = read_h3wb(file, "", subjects=["S1"])
    order = [3, 1, 0, 4, 2]
    poses = people.keypoints_3d[order].astype(float)
    poses[:, 91:133] += [0, 12, 0]
    ids = people.annotation_ids[order]
    np.savez(tmp_path / "poses.npz", poses=poses, annotation_ids=ids)
    paths = ("--annotations", file, "--predictions", tmp_path / "poses.npz")
    done = run("h3wb", *paths, "--subject", "S1", "--out", tmp_path / "table.csv")
    assert done.exit_code == 0, done.output
    table = dict(line.rsplit(",", 1) for line in (tmp_path / "table.csv").read_text().splitlines()[1:])
    assert float(table["hands"]) == pytest.approx(12, rel=1e-4)
    assert float(table['"hands, wrists together"']) == pytest.approx(0, abs=1e-3)
    assert float(table["whole body"]) == pytest.approx(12 * 42 / 133, rel=1e-4)


def test_the_sample_of_h36m_is_scored_by_the_command(shared, tmp_path):
    """One joint of each of its four frames is moved; test_protocol_of_h36m_... stands alone."""
    root = shared / "data/fixtures/h36m"
    people = read_h36m(root / "test_h36m_body3d.npz", root)
    poses = people.keypoints_3d.astype(float)
    poses[:, H36M.index("right_wrist")] += [0, 0, 170]
    order = [2, 0, 3, 1]
    names = np.array([file.name for file in people.image_files])[order]
    np.savez(tmp_path / "poses.npz", poses=poses[order] + [10, 20, 30], imgname=names)
    out = tmp_path / "table.csv"
    subjects = [x for subject in ("S1", "S5", "S7", "S8") for x in ("--subject", subject)]
    paths = ("--annotations", root / "test_h36m_body3d.npz", "--predictions", tmp_path / "poses.npz")
    done = run("h36m", *paths, *subjects, "--out", out)
    assert done.exit_code == 0, done.output
    rows = {line.split(",")[0]: line.split(",")[1:] for line in out.read_text().splitlines()}
    assert set(rows) >= {"Directions", "SittingDown", "Greeting", "WalkDog", "mean of actions", "all poses"}
    for action in ("Directions", "SittingDown", "Greeting", "WalkDog", "mean of actions"):
        assert float(rows[action][0]) == pytest.approx(10, rel=1e-3), "170 mm of one joint of 17"
