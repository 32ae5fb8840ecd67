"""Page 14 at the tests' size: every method trains, is read back and measured; tables hold what they say."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.study_people import make_people

from pctlib.inference.predictor import Predictor
from pctlib.models.representations.lifting import Lifting
from pctlib.profiles.profile import load_profile
from pctlib.reporting.tables import interval_ends
from pctlib.skeletons import COCO, H36M
from pctlib.study.crops import predict_people
from pctlib.study.floor import FLOOR
from pctlib.study.methods import load_any
from pctlib.study.pages.pose3d import inside, measure, pictures, report
from pctlib.study.pages.pose3d.methods import Methods3D
from pctlib.study.pages.pose3d.people import lifting_features, splits_3d
from pctlib.study.pages.pose3d.tokenizers import Tokenizers3D
from pctlib.study.pages.pose3d.trainings import (
    BASE,
    DIRECT,
    LIFTED,
    LIFTED_TRUE,
    METHODS,
    PCT,
    TOKENIZERS,
    VOLUME,
    size_name,
    trainings,
)
from pctlib.study.people import Splits
from pctlib.study.predictions_3d import Predictions3D, judge_3d, load_predictions_3d, truth_3d
from pctlib.study.stages.heatmap import train_heatmap
from pctlib.study.stages.tokenizer import reconstruct
from pctlib.study.variants import run_folder
from pctlib.visualization.poses_3d import TRUTH

PROFILE = load_profile("smoke")


def people_3d(folder, count, seed):
    """Return people before a camera, with activities and occlusion."""
    people = make_people(folder, count, seed=seed)
    joints = people.keypoints_3d + np.array([0, 0, 4000], np.float32)
    return dataclasses.replace(
        people,
        keypoints_3d=joints,
        focal=np.full((count, 2), 200.0),
        principal_point=np.full((count, 2), 48.0),
        actions=np.array(["walking", "sitting"] * (count // 2)),
        occlusion=np.linspace(0, 0.6, count),
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return the studies of a page that has been trained, with their frames."""
    folder = tmp_path_factory.mktemp("pose3d")
    splits = Splits(people_3d(folder, 12, 1), people_3d(folder, 6, 2), "drawn")
    train_heatmap(PROFILE, splits, seed=0, out_dir=folder / "heatmap-seed0", progress=False)
    tokenizers = Tokenizers3D(PROFILE, splits, folder, progress=False)
    names = [BASE, size_name(2, 8)]
    token_rows = [
        {"variant": name, "seed": 0} | tokenizers(name, 0, run_folder(folder / TOKENIZERS / "seed0", name))
        for name in names
    ]
    study = Methods3D(PROFILE, splits, folder, folder, progress=False)
    rows = [
        {"variant": name, "seed": 0} | study(name, 0, run_folder(folder / METHODS / "seed0", name))
        for name in study.variants
    ]
    return tokenizers, study, pd.DataFrame(token_rows), pd.DataFrame(rows)


def test_what_is_trained_comes_in_the_order_it_needs():
    listed = trainings(PROFILE)
    assert [t.name for t in listed if t.group == TOKENIZERS] == [BASE, "M 2, V 8", "M 2, V 16"]
    tokens = next(t for t in listed if t.name == PCT)
    assert [t.name for t in tokens.after] == [BASE]
    assert all(not t.after for t in listed if t.name != PCT)


def test_every_method_is_measured_in_millimetres(page):
    _, study, _, frame = page
    assert list(frame["variant"]) == [LIFTED_TRUE, LIFTED, DIRECT, VOLUME, PCT]
    assert frame["MPJPE mm"].between(50, 2000).all()
    assert (frame["PA-MPJPE mm"] < frame["MPJPE mm"]).all()
    volume = frame.set_index("variant").loc[VOLUME]
    assert volume["supposed root: MPJPE mm"] != volume["MPJPE mm"]
    outside = (np.abs(truth_3d(study.people.val)[..., 2]) > 1000).mean()
    assert volume["joints outside the volume"] == pytest.approx(outside)
    for name in frame["variant"]:
        errors = judge_3d(study.people.val, study.predictions(name, 0))
        assert errors["MPJPE mm"] == pytest.approx(frame.set_index("variant")["MPJPE mm"][name], rel=1e-4)


def test_trained_heads_find_again_what_they_predicted(page):
    _, study, _, _ = page
    frozen = study.frozen(0)
    for name in (DIRECT, PCT, VOLUME):
        head = study.load(name, 0)
        found, affine = measure.find(head, frozen.stage, frozen.mirrored)
        poses = measure.to_people(head, found, affine, study.people.val).poses
        np.testing.assert_allclose(poses, study.predictions(name, 0).poses, atol=1e-2)
    assert isinstance(study.load(LIFTED, 0), Lifting)


def test_without_kept_features_a_head_learns_from_the_images(page, tmp_path):
    _, study, _, _ = page
    profile = load_profile("smoke", pose3d__classifier__cached_views=0)
    images = dataclasses.replace(study, profile=profile, runs=tmp_path)
    metrics = images(DIRECT, 0, tmp_path / "direct")
    assert images.frozen(0).stage.train_features is None
    assert 50 < metrics["MPJPE mm"] < 2000
    poses = load_predictions_3d(tmp_path / "direct" / measure.PREDICTIONS, study.people.val).poses
    assert judge_3d(study.people.val, Predictions3D(poses, poses[..., 0]))["MPJPE mm"] == (
        pytest.approx(metrics["MPJPE mm"], rel=1e-4)
    )


@pytest.mark.parametrize("method", [DIRECT, PCT, LIFTED])
def test_a_run_finds_poses_in_3d_in_photographs(page, method):
    """The predictor's millimetres are those of the study, its pixels those of the heatmaps."""
    _, study, _, _ = page
    frozen, people = study.frozen(0), study.people.val
    predictor = Predictor(run_folder(Path(study.runs) / METHODS / "seed0", method), batch_size=4)
    corners = np.concatenate(
        [people.boxes_xywh[:, :2], people.boxes_xywh[:, :2] + people.boxes_xywh[:, 2:]], 1
    )
    found = predictor(list(people.image_files), boxes=list(corners[:, None]))
    if method == LIFTED:
        poses = study.predictions(LIFTED, 0).poses
    else:
        poses = measure.to_people(
            study.load(method, 0), *measure.find(study.load(method, 0), frozen.stage, None), people
        ).poses
    flat = predict_people(frozen.heatmap, frozen.stage.val_crops).keypoints_image
    for row, person in enumerate(found):
        assert person.joints_3d.shape == (1, 17, 3)
        assert person.skeleton_3d == H36M
        assert person.vertices is None
        np.testing.assert_array_equal(person.joints_3d[:, 0], 0)
        assert np.abs(person.joints_3d[0] - poses[row]).max() < 15, "crops are cut once, not twice"
        assert np.median(np.abs(person.keypoints[0] - flat[row])) < 3
    entry = found[0].coco_results(1)[0]
    assert np.allclose(entry["joints_3d"], found[0].joints_3d.ravel(), atol=0.06)


def test_methods_that_need_more_than_an_image_say_so(page):
    _, study, _, _ = page
    runs = Path(study.runs) / METHODS / "seed0"
    with pytest.raises(ValueError, match="says pixels and depths: millimetres need the camera"):
        Predictor(run_folder(runs, VOLUME))
    with pytest.raises(ValueError, match="lifts true 2D joints and sees no images"):
        Predictor(run_folder(runs, LIFTED_TRUE))
    with pytest.raises(ValueError, match="finds people in 3D; it has no flip test"):
        Predictor(run_folder(runs, DIRECT), flip_test=True)
    with pytest.raises(ValueError, match="expected an estimator of poses, got Seen3D"):
        load_any(run_folder(runs, DIRECT))


def test_settings_change_what_is_trained(page):
    tokenizers, study, token_frame, _ = page
    assert tokenizers.profile_of(BASE).tokenizer == PROFILE.pose3d.tokenizer
    small = tokenizers.profile_of("M 2, V 8").tokenizer
    assert (small.num_tokens, small.codebook_size, small.training.epochs) == (2, 8, 1)
    assert token_frame["bits"].tolist() == [16, 6]
    changed = dataclasses.replace(
        study, profile=load_profile("smoke", pose3d__depth_cells=6, pose3d__lifting__width=9)
    )
    changed._frozen = study._frozen
    assert changed.build(VOLUME, 0).depth.cells == 6
    assert changed.build(LIFTED, 0).leave.in_features == 9
    with pytest.raises(ValueError, match="guidance looks up 2D keypoints; in 3D it must be 0"):
        load_profile("smoke", pose3d__tokenizer__guide_ratio=0.5)


def test_table_runs_from_the_floor_to_the_bound(page):
    _, study, token_frame, frame = page
    table = report.method_table(frame, token_frame, study)
    names = list(table["method"])
    assert names[0] == FLOOR
    assert names[-1] == report.BOUND
    assert f"{VOLUME}{report.TRUE_ROOT}" in names
    assert f"{VOLUME}{report.SUPPOSED_ROOT}" in names
    floor = np.linalg.norm(truth_3d(study.people.val) - truth_3d(study.people.train).mean(0), axis=-1).mean()
    assert float(table[report.ERROR].iloc[0]) == pytest.approx(floor, rel=1e-5)
    base = token_frame.set_index("variant")["MPJPE mm"][BASE]
    assert interval_ends(table[report.ERROR].iloc[-1])["value"] == pytest.approx(base)
    assert len(report.tokenizer_table(token_frame)) == 2
    assert report.grid_bars(token_frame)["tokens"].tolist() == ["M 2"]


def test_activities_levels_and_the_finding(page):
    _, study, _, frame = page
    found = report.found_by_method(frame, study, 0)
    table = report.activity_table(found, study).set_index("activity")
    assert list(table.index) == ["sitting", "walking", "mean of actions", "all poses"]
    floor = judge_3d(study.people.val, found[FLOOR])["MPJPE mm"]
    assert table.loc["all poses", FLOOR] == pytest.approx(floor)
    assert table["poses"].tolist() == [3, 3, 6, 6]
    levels = report.level_bars(found, study)
    assert set(levels["method"]) == set(found)
    assert levels[levels["method"] == PCT]["people"].sum() == 6
    text = report.finding(frame, study)
    assert "Tokens against direct regression, in mm: all joints" in text
    assert "One seed" in text
    failed = frame.assign(failed=[None, None, "no memory", None, None])
    assert DIRECT not in report.found_by_method(failed, study, 0)
    assert "no memory" in report.finding(failed, study)


def test_a_patch_is_worst_where_it_is_worst(page):
    _, study, _, _ = page
    crops = study.frozen(0).stage.val_crops
    table = measure.worst_places(study.finders(0), crops, PROFILE, device=torch.device("cpu"), progress=False)
    assert set(table["method"]) == {LIFTED, DIRECT, VOLUME, PCT}, "true 2D joints see no patch"
    assert sorted(table["patch"].unique()) == [0, 80]
    worst, plain = (table[table["patch"] == patch].set_index("method") for patch in (80, 0))
    assert (worst["MPJPE mm"] >= worst["mean of places"] - 1e-6).all()
    truth = truth_3d(study.people.val)[:2]
    poses = study.predictions(LIFTED, 0).poses[:2]
    expected = np.linalg.norm(poses - truth, axis=-1).mean()
    assert plain.loc[LIFTED, "MPJPE mm"] == pytest.approx(expected, rel=0.02)


def test_pictures_show_the_chosen_people_and_tokens(page):
    tokenizers, study, _, frame = page
    found = report.found_by_method(frame, study, 0)
    shown = {name: found[name] for name in report.drawn(found)}
    assert list(shown) == [DIRECT, PCT]
    rows = pictures.pose_rows(shown, study, by=PCT)
    assert [row.label for row in rows] == ["least error", "median error", "largest error"]
    figure = pictures.draw_rows(rows, study)
    scene = pictures.pose_scene(rows, study, picture=figure)
    assert list(scene.colors) == ["truth", DIRECT, PCT]
    assert scene.picture.startswith(b"\x89PNG")
    changed = pictures.token_rows(tokenizers.load(0), tokenizers.poses[1])
    assert len(changed) == 2
    assert all(not np.allclose(*row.poses.values()) for row in changed)


def test_published_tables_are_marked():
    for table in (report.published_h36m(), report.published_threedpw()):
        assert {group for group, _ in table.columns} == {"", "published"}
    assert 50.8 in report.published_h36m()["published", "MPJPE (mm)"].tolist()


def test_people_without_3d_joints_give_way_to_procedural_ones(tmp_path, monkeypatch):
    flat = dataclasses.replace(make_people(tmp_path, 2), keypoints_3d=None)
    asked = []
    monkeypatch.setattr(
        "pctlib.study.pages.pose3d.people.load_splits",
        lambda name, profile, root="": asked.append((name, root)),
    )
    splits_3d(Splits(flat, flat, "coco"), PROFILE)
    splits_3d(Splits(flat, flat, "coco"), load_profile("smoke", pose3d__h36m="/data/h36m"))
    assert asked == [("procedural", ""), ("h36m", "/data/h36m")]
    whole = Splits(make_people(tmp_path, 2), make_people(tmp_path, 2), "drawn")
    assert splits_3d(whole, PROFILE) is whole


def test_lifted_poses_are_mirrored_with_their_joints(tmp_path):
    people = people_3d(tmp_path, 4, 3)
    labelled = people.visible > 0
    options = {"skeleton": COCO, "input_size": (64, 48), "padding": 1.25}
    features = lifting_features(people, people.keypoints_image, labelled, mirrored=True, **options)
    assert features.views == 2
    plain, mirrored = features.maps.split(4)
    left, right = COCO.index("left_hip"), COCO.index("right_hip")
    both = torch.from_numpy(labelled[:, left])
    torch.testing.assert_close(mirrored[both, right, 0], 47 - plain[both, left, 0])
    assert mirrored[~torch.from_numpy(labelled[:, list(COCO.flip_permutation)])].isnan().all()
    first, second = features.keypoints_3d.split(4)
    torch.testing.assert_close(
        second[:, H36M.index("left_knee")], first[:, H36M.index("right_knee")] * torch.tensor([-1.0, 1, 1])
    )


def test_a_twin_differs_in_depth_alone(page):
    poses = page[0].poses[1]
    joints, about = [H36M.index("left_elbow"), H36M.index("left_wrist")], H36M.index("left_shoulder")
    twins = inside.mirrored_in_depth(poses, joints, about=about)
    moved = (twins.keypoints != poses.keypoints).any(0)  # [K, 3]
    assert moved.nonzero().tolist() == [[joint, 2] for joint in joints]
    middle = (twins.keypoints + poses.keypoints)[:, joints, 2] / 2
    torch.testing.assert_close(middle, poses.keypoints[:, about, None, 2].expand_as(middle))
    again = inside.mirrored_in_depth(twins, joints, about=about)
    torch.testing.assert_close(again.keypoints, poses.keypoints)


def test_tokens_of_a_person_and_of_the_twin_are_drawn_as_they_are_read_back(page):
    tokenizers, study, *_ = page
    model, poses = tokenizers.load(0), tokenizers.poses[1]
    twins = inside.mirrored_in_depth(poses, [15, 16], about=14)
    tokens, rows = inside.written(model, {"own": poses, "twin": twins}, 3)
    assert [row.label for row in rows] == ["own", "twin"]
    for version, found, row in zip((poses, twins), tokens, rows, strict=True):
        restored, indices = reconstruct(model, version)
        assert torch.equal(found, indices[3])
        np.testing.assert_array_equal(row.poses[inside.READ_BACK], restored[3])
        np.testing.assert_array_equal(row.poses[TRUTH], version.keypoints[3])
    assert len(pictures.draw_rows(rows, study).axes) == 6
