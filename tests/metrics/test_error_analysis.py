import json

import numpy as np
import pytest

from pctlib.metrics.error_analysis import (
    ERROR_TYPES,
    GROUPINGS,
    error_table,
    keypoint_error_types,
    match_results,
    summarize_errors,
)
from pctlib.skeletons import COCO, H36M

L, R = COCO.index("left_wrist"), COCO.index("right_wrist")


def offset_for(similarity, joint, area):
    """Return the distance in pixels at which a keypoint has the similarity."""
    return np.sqrt(-2 * np.log(similarity) * area) * 2 * COCO.sigmas[joint]


@pytest.fixture
def pair(make_people):
    """Return two people of one image, far apart, everything labelled."""
    people = make_people(2, images=1)
    people.keypoints_image[1] += 2000
    return people


def types_of(people, guess, **options):
    codes = keypoint_error_types(people, guess, **options)
    return [[ERROR_TYPES[c] if c >= 0 else "" for c in row] for row in codes]


def test_each_type_by_hand(pair):
    guess = pair.keypoints_image.astype(np.float64)
    area = pair.areas[0]
    guess[0, 0, 0] += offset_for(0.86, 0, area)
    guess[0, 1, 0] += offset_for(0.84, 1, area)
    guess[0, 2, 0] += offset_for(0.49, 2, area)
    guess[0, [L, R]] = guess[0, [R, L]]
    guess[0, 11] = pair.keypoints_image[1, 11]  # the other person's left hip
    guess[0, 13] = pair.keypoints_image[1, 14]  # and the other side's knee
    pair.visible[0, 16] = 0
    found = types_of(pair, guess)
    assert found[0][:3] == ["good", "jitter", "miss"]
    assert [found[0][j] for j in (L, R)] == ["inversion", "inversion"]
    assert [found[0][j] for j in (11, 13)] == ["swap", "swap"]
    assert found[0][16] == ""
    assert set(found[1]) == {"good"}


def test_people_of_other_images_are_no_swaps(pair):
    guess = pair.keypoints_image.copy()
    guess[0] = pair.keypoints_image[1]
    assert set(types_of(pair, guess)[0]) == {"swap"}
    pair.image_ids[1] += 1
    assert set(types_of(pair, guess)[0]) == {"miss"}


def test_persons_not_found_are_no_errors_but_can_be_swapped_with(pair):
    guess = pair.keypoints_image.copy()
    guess[0] = pair.keypoints_image[1]
    codes = keypoint_error_types(pair, guess, found=np.array([True, False]))
    assert (codes[1] == -1).all()
    assert (codes[0] == ERROR_TYPES.index("swap")).all()


def test_unlabelled_side_is_no_inversion(pair):
    guess = pair.keypoints_image.astype(np.float64)
    guess[0, L] = pair.keypoints_image[0, R]
    pair.visible[0, R] = 0
    assert types_of(pair, guess)[0][L] == "miss"


def test_table_has_one_line_for_each_labelled_keypoint(make_people):
    visible = np.full((6, 17), 2)
    visible[0] = 1  # wholly hidden
    visible[1, :4] = 1  # 4 of 17
    visible[2, 5:] = 0
    people = make_people(visible=visible)
    people.areas[:] = [500, 5000, 50000, 32**2, 96**2, 96**2 + 1]
    guess = people.keypoints_image + np.array([3.0, 4.0])
    table = error_table(people, guess)
    assert len(table) == (visible > 0).sum()
    assert table["error_px"].to_numpy() == pytest.approx(5, abs=1e-3)
    assert table["error"].to_numpy() == pytest.approx(5 / 200, abs=1e-5)
    first = table.drop_duplicates("row").set_index("row")
    assert first["occlusion"].tolist() == ["over 50 %", "to 25 %", "none", "none", "none", "none"]
    assert first["size"].tolist() == ["small", "medium", "large", "small", "medium", "large"]
    assert first["visibility"].tolist() == ["hidden", "hidden", "seen", "seen", "seen", "seen"]
    assert first["annotation_id"].tolist() == people.annotation_ids.tolist()
    people.occlusion = np.array([0, 0.1, 0.25, 0.3, 0.5, 0.6], dtype=np.float32)
    first = error_table(people, guess).drop_duplicates("row")
    assert first["occlusion"].tolist() == ["none", "to 25 %", "to 25 %", "to 50 %", "to 50 %", "over 50 %"]
    found = np.arange(6) != 3
    assert set(error_table(people, guess, found=found)["row"]) == {0, 1, 2, 4, 5}


def test_summary_by_hand(make_people):
    visible = np.full((6, 17), 2)
    visible[:, 10:] = 1
    people = make_people(visible=visible)
    guess = people.keypoints_image.copy()
    guess[:3, 10:] += 5000
    table = error_table(people, guess)
    summary = summarize_errors(table, "visibility")
    assert list(summary.index) == ["seen", "hidden", "all"]
    assert summary.loc["hidden", ["keypoints", "PCK@0.2", "miss", "good"]].tolist() == [42, 0.5, 0.5, 0.5]
    assert summary.loc["seen", ["keypoints", "error_px", "error", "good"]].tolist() == [60, 0, 0, 1]
    assert summary.loc["all", "miss"] == pytest.approx(21 / 102)
    assert list(summarize_errors(table, "joint").index) == [*COCO.keypoint_names, "all"]
    shares = summarize_errors(table, "joint")[list(ERROR_TYPES)].sum(axis=1)
    assert shares.to_numpy() == pytest.approx(1)
    with pytest.raises(ValueError, match="expected one of joint, visibility, occlusion, size, got 'colour'"):
        summarize_errors(table, "colour")


def test_a_skeleton_without_sigmas_has_errors_but_no_types(make_people):
    people = make_people(skeleton=H36M)
    table = error_table(people, people.keypoints_image)
    assert "type" not in table
    assert "miss" not in summarize_errors(table, "size")
    with pytest.raises(ValueError, match="h36m has no OKS sigmas"):
        keypoint_error_types(people, people.keypoints_image)


def test_bad_predictions_are_named(pair):
    with pytest.raises(ValueError, match="row 1 has a number"):
        error_table(pair, np.where(np.arange(2)[:, None, None] == 1, np.nan, pair.keypoints_image))
    with pytest.raises(ValueError, match=r"\(2, 17, 2\)"):
        keypoint_error_types(pair, pair.keypoints_image[:, :16])


def test_results_are_matched_with_persons(coco_set, save):
    content, _ = coco_set(images=5)
    people = [a for a in content["annotations"] if a["num_keypoints"] and not a["iscrowd"]]
    poses = [{"image_id": a["image_id"], "keypoints": a["keypoints"], "score": 0.5} for a in people[:-1]]
    far = {"image_id": 10, "keypoints": [9e4] * 51, "score": 0.9}
    matched, keypoints, found, counts = match_results(save(content), [far, *poses])
    assert matched.annotation_ids.tolist() == [a["id"] for a in people]
    assert found.tolist() == [True] * len(poses) + [False]
    np.testing.assert_allclose(keypoints, matched.keypoints_image, rtol=1e-6)
    assert list(counts.values()) == [len(poses), 1, 1]
    moved = [{**p, "keypoints": (np.array(p["keypoints"]) + 3).tolist()} for p in poses]
    assert match_results(save(content), moved, threshold=0.999)[3]["persons matched"] == 0


def test_real_poses(shared):
    path = shared / "data/coco-poses/person_keypoints_trainsplit.json"
    people = [
        a for a in json.loads(path.read_text())["annotations"] if a["num_keypoints"] and not a["iscrowd"]
    ]
    results = [{"image_id": a["image_id"], "keypoints": a["keypoints"], "score": 1.0} for a in people]
    matched, keypoints, found, _ = match_results(path, results)
    table = error_table(matched, keypoints, found=found)
    for grouping in GROUPINGS:
        assert (summarize_errors(table, grouping)["good"] > 0.99).all()
