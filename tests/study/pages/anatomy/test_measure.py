"""Token anatomy: influence in closed form, the draws behind it, and what the report shows."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers.hand_made_tokenizer import HandMadeTokenizer
from helpers.study_people import make_people

from pctlib.data.crops import transform_points
from pctlib.models.tokenizer import GuidedTokenizer
from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO, H36M
from pctlib.study.pages.anatomy import measure as module
from pctlib.study.pages.anatomy.measure import (
    Anatomy,
    box_lengths,
    draw_alternatives,
    entry_usage,
    load_any_tokenizer,
    measure_anatomy,
    token_movement,
    untrained_tokenizer,
)
from pctlib.study.pages.anatomy.pictures import (
    clear_pose,
    entry_walks,
    exemplary_tokens,
    shown_poses,
    token_walks,
)
from pctlib.study.poses import load_poses
from pctlib.study.stages.heatmap import build_backbone
from pctlib.study.stages.tokenizer import build_tokenizer, initialise_codebook, reconstruct, save_tokenizer

MOVES = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 0, 1, 1]], dtype=bool)  # 3 tokens, 5 joints


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_tokenizer(load_profile("smoke"), num_keypoints=17).eval()


@pytest.fixture
def poses(tmp_path):
    return load_poses(make_people(tmp_path, 24), load_profile("smoke"), training=False)


def test_influence_of_a_hand_made_decoder_is_its_plan():
    """With two entries 4 px apart every replaced token moves its own joints by exactly 4 px."""
    tokenizer = HandMadeTokenizer(MOVES, [-1.0, 3.0])
    indices = torch.randint(0, 2, (7, 3), generator=seeded())
    usage = torch.tensor([[5, 2], [1, 1], [9, 1]])
    movement = token_movement(tokenizer, indices, usage=usage, draws=3, generator=seeded())
    np.testing.assert_allclose(movement, np.broadcast_to(4.0 * MOVES, (7, 3, 5)))


def test_influence_weighs_entries_by_their_use():
    """Own entry 0: the others lie 1 and 5 away and are used 3 : 1, so the mean movement is 2."""
    tokenizer = HandMadeTokenizer(MOVES, [0.0, 1.0, 5.0])
    indices = torch.zeros(4000, 3, dtype=torch.int64)
    usage = torch.tensor([[100, 3, 1], [0, 30, 10], [7, 0, 2]])
    movement = token_movement(tokenizer, indices, usage=usage, draws=4, generator=seeded()).mean(0)
    expected = np.array([2.0, 2.0, 5.0])[:, None] * MOVES
    np.testing.assert_allclose(movement, expected, atol=0.05)  # standard error 1.7 / sqrt(16000)


def test_a_token_with_one_entry_moves_nothing():
    tokenizer = HandMadeTokenizer(MOVES, [0.0, 1.0])
    usage = torch.tensor([[8, 0], [4, 4], [4, 4]])
    movement = token_movement(
        tokenizer, torch.zeros(2, 3, dtype=torch.int64), usage=usage, draws=2, generator=seeded()
    )
    np.testing.assert_allclose(movement.sum((0, 2)), [0, 2, 6])


def test_a_batch_decodes_what_a_loop_does(model, monkeypatch):
    indices = torch.randint(0, 16, (5, 4), generator=seeded())
    usage = torch.randint(1, 9, (4, 16), generator=seeded(1))
    monkeypatch.setattr(module, "_ELEMENTS", 2 * 4 * 4 * 8)  # two poses at a time
    movement = token_movement(model, indices, usage=usage, draws=2, generator=seeded(2))
    generator, expected = seeded(2), torch.zeros(5, 4, 17)
    with torch.no_grad():
        before = model.decode(model.codebook.look_up(indices))
        for _ in range(2):
            others = draw_alternatives(indices, usage, generator=generator)
            for token in range(4):
                changed = indices.clone()
                changed[:, token] = others[:, token]
                after = model.decode(model.codebook.look_up(changed))
                expected[:, token] += (after - before).norm(dim=-1) / 2
    torch.testing.assert_close(movement, expected, rtol=1e-4, atol=1e-4)
    assert (movement.mean(0) > 0).all()


def test_alternatives_follow_the_use_without_the_own_entry():
    usage = torch.tensor([[4, 0, 12, 4, 0], [0, 0, 0, 6, 0], [1, 2, 3, 4, 5]])
    own = torch.tensor([2, 3, 1]).repeat(20000, 1)
    drawn = draw_alternatives(own, usage, generator=seeded())
    counts = entry_usage(drawn, 5) / 20000
    np.testing.assert_allclose(counts[0], [0.5, 0, 0, 0.5, 0], atol=0.02)
    np.testing.assert_allclose(counts[1], [0, 0, 0, 1, 0])  # no other entry: it stays
    np.testing.assert_allclose(counts[2], np.array([1, 0, 3, 4, 5]) / 13, atol=0.02)
    unseen = draw_alternatives(torch.tensor([[1, 0, 0]]), usage, generator=seeded())
    assert usage[0, unseen[0, 0]] > 0  # an own entry that was never counted
    assert unseen[0, 1] == 3
    assert torch.equal(drawn, draw_alternatives(own, usage, generator=seeded()))
    assert not torch.equal(drawn, draw_alternatives(own, usage, generator=seeded(1)))


def test_usage_counts_each_token_by_itself():
    usage = entry_usage(torch.tensor([[0, 2], [0, 1], [3, 2]]), 4)
    assert usage.tolist() == [[2, 0, 0, 1], [0, 1, 2, 0]]


def test_box_lengths_are_those_of_the_crops(poses):
    corners = torch.stack([poses.boxes_xywh[:, :2], poses.boxes_xywh[:, :2] + poses.boxes_xywh[:, 2:]], dim=1)
    inside = transform_points(poses.crops()[1], corners)  # [N, 2, 2]
    torch.testing.assert_close(box_lengths(poses), (inside[:, 1] - inside[:, 0]).amax(dim=1))


def test_anatomy_is_a_share_of_the_box_or_millimetres(model, poses):
    counted = dataclasses.replace(poses, keypoints=poses.keypoints + 1)
    initialise_codebook(model, counted, seed=0)
    found = measure_anatomy(model, counted, poses, draws=3, seed=5)
    assert found.unit == "% of the box"
    assert found.skeleton is COCO
    assert (found.usage.sum(axis=1) == 24).all()
    assert torch.equal(found.indices, reconstruct(model, poses)[1])
    generator = torch.Generator().manual_seed(module.mix_seed(5, "anatomy: other entries"))
    usage = torch.from_numpy(found.usage)
    movement = token_movement(model, found.indices, usage=usage, draws=3, generator=generator)
    shares = 100 * movement / box_lengths(poses)[:, None, None]
    np.testing.assert_allclose(found.influence, shares.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.standard_error, shares.std(0) / 24**0.5, rtol=1e-4)
    np.testing.assert_allclose(found.strength, found.influence.mean(1))
    for change in ({"draws": 1, "seed": 5}, {"draws": 3, "seed": 6}):
        assert not np.array_equal(measure_anatomy(model, counted, poses, **change).influence, found.influence)
    with pytest.raises(ValueError, match="draws: expected 1 or more, got 0"):
        measure_anatomy(model, poses, poses, draws=0)


def test_anatomy_in_three_dimensions_is_in_millimetres(poses):
    profile = load_profile("smoke")
    solid = load_poses(poses.people, profile, training=False, num_dims=3)
    torch.manual_seed(0)
    model = build_tokenizer(profile, num_keypoints=17, num_dims=3).eval()
    initialise_codebook(model, solid, seed=0)
    found = measure_anatomy(model, solid, solid, draws=1)
    assert found.unit == "mm"
    assert found.skeleton is H36M
    assert list(found.parts)[:2] == ["head", "trunk"]
    assert found.keypoints.shape == (24, 17, 3)
    assert found.influence.max() > 0
    walks = token_walks(model, found, exemplary_tokens(found), pose=clear_pose(found.keypoints))
    assert walks["pose"].shape == (17, 2)


def test_one_pose_has_no_spread(model, poses):
    one = load_poses(poses.people.select([3]), load_profile("smoke"), training=False)
    assert (measure_anatomy(model, poses, one).standard_error == 0).all()


def test_walks_take_the_most_used_entries_but_the_own(model, poses):
    found = measure_anatomy(model, poses, poses)
    usage = np.zeros((4, 16), dtype=int)
    own = int(found.indices[6, 2])
    others = [entry for entry in range(16) if entry != own][:4]
    usage[2, [own, *others]] = [50, 10, 30, 0, 20]
    found = dataclasses.replace(found, usage=usage)
    walks = token_walks(model, found, [(2, "why")], pose=6, entries=2, shown=1)
    ((name, moved, titles),) = walks["rows"]
    assert name == "token 2\nwhy"
    assert titles == [f"entry {others[1]}, 27.3 %"]  # 30 of 110
    changed = found.indices[[6, 6]]
    changed[:, 2] = torch.tensor([others[1], others[3]])
    with torch.no_grad():
        expected = model.decode(model.codebook.look_up(changed))
    np.testing.assert_allclose(moved, expected, atol=1e-4)
    np.testing.assert_allclose(walks["pose"], found.keypoints[6], atol=1e-4)
    assert walks["skeleton"] is COCO
    nothing = token_walks(model, found, [(0, "unused")], pose=6)["rows"][0]
    assert nothing[1].shape == (0, 17, 2)
    assert nothing[2] == []


def anatomy(strengths):
    influence = np.array(strengths, dtype=float)[:, None] * np.ones((1, 17))
    M = len(influence)
    return Anatomy(
        COCO, "px", influence, 0 * influence, np.ones((M, 3), int), torch.zeros(1, M), np.zeros((1, 17, 2))
    )


def test_exemplary_tokens_are_the_extremes_and_the_middle():
    assert exemplary_tokens(anatomy([3, 9, 1, 5, 4])) == [
        (1, "largest movement"),
        (4, "median movement"),
        (2, "least movement"),
    ]
    assert exemplary_tokens(anatomy([2, 7])) == [(1, "largest movement"), (0, "median movement")]
    assert exemplary_tokens(anatomy([2])) == [(0, "largest movement")]


def test_the_clear_pose_is_ordinary_and_its_joints_lie_apart():
    line = np.stack([np.zeros(4), np.arange(4.0)], axis=1)
    folded = np.array([[0, 0], [0, 3], [0.1, 0], [0.1, 3.0]])  # as large, but joints on top of each other
    square = np.array([[0, 0], [0, 3], [3, 0], [3, 3.0]])  # the clearest, but far from the others
    assert clear_pose(np.stack([folded, square + 50, line, square - 50, folded])) == 2
    assert clear_pose(np.stack([folded, square, line, square, folded])) in (1, 3)
    assert clear_pose(line[None]) == 0


def test_tokenizers_are_read_with_or_without_a_guide(model, tmp_path):
    save_tokenizer(model, load_profile("smoke"), COCO, tmp_path)
    loaded = load_any_tokenizer(tmp_path, tmp_path / "no backbone is needed")
    assert not loaded.training
    torch.testing.assert_close(loaded.state_dict(), model.state_dict())
    with pytest.raises(FileNotFoundError, match=r"model\.json"):
        load_any_tokenizer(tmp_path / "nowhere", tmp_path)


def test_an_untrained_tokenizer_has_the_size_and_other_weights(model, poses):
    profile = load_profile("smoke")
    fresh = untrained_tokenizer(model, profile, poses, seed=1)
    again, other = (untrained_tokenizer(model, profile, poses, seed=seed) for seed in (1, 2))
    assert not fresh.training
    weights = [tokenizer.to_coordinates.weight for tokenizer in (fresh, again, other, model)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])
    assert (measure_anatomy(fresh, poses, poses).usage > 0).sum() > 4  # more than one entry a token
    solid = build_tokenizer(profile, num_keypoints=17, num_dims=3)
    in_space = load_poses(poses.people, profile, training=False, num_dims=3)
    assert untrained_tokenizer(solid, profile, in_space, seed=1).num_dims == 3


def test_an_untrained_guided_tokenizer_keeps_the_guide(poses):
    profile = load_profile("smoke", tokenizer__guide_ratio=0.5, classifier__cached_views=0)
    backbone = build_backbone(profile)
    tokenizer = build_tokenizer(profile, num_keypoints=17, guide_channels=backbone.channels[-1])
    guided = GuidedTokenizer(backbone, tokenizer).eval()
    seen = load_poses(poses.people, profile, training=False)
    fresh = untrained_tokenizer(guided, profile, seen, seed=1)
    torch.testing.assert_close(fresh.guide.state_dict(), backbone.state_dict())
    assert fresh.guide is not backbone
    assert measure_anatomy(fresh, seen, seen).influence.shape == (4, 17)


def test_poses_to_play_with_are_an_ordinary_one_and_the_farthest(model, poses):
    keypoints = np.zeros((11, 2, 2))
    keypoints[:, 1, 0] = 10
    keypoints[:, :, 1] = np.arange(11)[:, None]  # row 5 is the mean pose, 10 and 0 the farthest
    keypoints[4, 1, 0] = 10.5
    shown = shown_poses(keypoints)
    assert shown["an ordinary pose"] == clear_pose(keypoints)
    assert {shown["an unusual pose"], shown["the most unusual pose"]} == {0, 10}
    assert list(shown_poses(keypoints[:1])) == ["an ordinary pose"]


def test_choices_of_a_page_are_what_the_decoder_gives(model, poses):
    found = measure_anatomy(model, poses, poses)
    explorer = entry_walks(model, found, notes=list("abcd"), unit="px", entries=3)
    assert explorer.skeleton is COCO
    for name, row in shown_poses(found.keypoints).items():
        for token, walk in enumerate(explorer.poses[name]):
            own = int(found.indices[row, token])
            assert walk.name == f"{token}: {'abcd'[token]}"
            assert walk.entries[0] == f"{own}, the pose's own"
            assert len(walk.entries) <= 4
            named = [int(entry.split(",")[0]) for entry in walk.entries]
            assert len(set(named)) == len(named)
            changed = found.indices[row].repeat(len(named), 1)
            changed[:, token] = torch.tensor(named)
            with torch.no_grad():
                expected = model.decode(model.codebook.look_up(changed))
            np.testing.assert_allclose(walk.keypoints, expected, atol=1e-4)
