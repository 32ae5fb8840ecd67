"""Sub-structures of tokens: parts of the body, the random control, and what entries tokens share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pctlib.metrics.substructures import (
    PARTS,
    body_parts,
    co_movement,
    co_movement_by_kind,
    effective_joints,
    entry_groups,
    entry_overlap,
    locality,
    part_shares,
    perplexities,
    similar_order,
)
from pctlib.skeletons import COCO, COCO_WHOLEBODY, CROWDPOSE, H36M, MPII, SKELETONS

PAIR = {"arm": (0, 2, 4), "leg": (1, 3)}  # columns interleaved, so that a swapped index shows


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_every_joint_is_in_one_part(skeleton):
    parts = body_parts(skeleton)
    assert sorted(k for joints in parts.values() for k in joints) == list(range(skeleton.num_keypoints))
    assert list(parts) == [part for part in PARTS if part in parts]
    assert skeleton.index("left_hip") in parts["left leg"]


def test_parts_are_those_of_the_body():
    names = {part: {COCO.keypoint_names[k] for k in joints} for part, joints in body_parts(COCO).items()}
    assert names["head"] == {"nose", "left_eye", "right_eye", "left_ear", "right_ear"}
    assert names["right arm"] == {"right_shoulder", "right_elbow", "right_wrist"}
    assert list(names) == ["head", "left arm", "right arm", "left leg", "right leg"]
    assert body_parts(H36M)["trunk"] == tuple(H36M.index(name) for name in ("pelvis", "spine", "thorax"))
    assert body_parts(MPII)["head"] == (MPII.index("upper_neck"), MPII.index("head_top"))
    assert body_parts(CROWDPOSE)["head"] == (12, 13)
    whole = body_parts(COCO_WHOLEBODY)
    assert [len(whole[part]) for part in ("face", "left hand", "right leg")] == [68, 21, 6]


def test_effective_joints_count_equal_movements():
    influence = np.array([[2.0, 2, 2, 0], [0, 0, 5, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    np.testing.assert_allclose(effective_joints(influence), [3, 1, 4, np.nan])
    np.testing.assert_allclose(
        effective_joints([[3.0, 1.0]]), [np.exp(-(0.75 * np.log(0.75)) - 0.25 * np.log(0.25))]
    )


def test_part_shares_are_relative_to_other_tokens_and_to_the_size_of_a_part():
    influence = np.array([[1.0, 10, 1, 10, 1], [1, 10, 1, 10, 1], [0, 0, 0, 0, 0]])
    shares = part_shares(influence, PAIR)
    np.testing.assert_allclose(shares[:2], 0.5)  # legs always move ten times as far: no token's own doing
    assert np.isnan(shares[2]).all()
    shares = part_shares(np.array([[4.0, 2, 0, 0, 0], [4, 2, 4, 4, 4]]), PAIR)
    # relative movements 1 1 0 0 0 and 1 1 2 2 2: means of the parts 1/3 1/2 and 5/3 3/2
    np.testing.assert_allclose(shares, [[0.4, 0.6], [10 / 19, 9 / 19]])


def test_perfect_parts_are_found_and_chance_does_not_reach_them():
    influence = np.zeros((4, 9))
    parts = {"a": (0, 3, 6), "b": (1, 4, 7), "c": (2, 5, 8)}
    for token, part in enumerate(["a", "b", "c", "a"]):
        influence[token, list(parts[part])] = 2.0 + token
    found = locality(influence, parts, generator=rng(), permutations=200)
    assert found.part == ["a", "b", "c", "a"]
    np.testing.assert_allclose(found.share, 1)
    assert found.mean_share == 1
    assert (found.chance < 0.75).all()
    assert found.mean_p_value <= 3 / 201  # of 280 ways to part nine joints, one is that of the parts
    assert (found.low <= found.chance).all()
    assert (found.chance <= found.high).all()


def test_tokens_that_are_all_alike_have_no_part():
    influence = np.broadcast_to(np.arange(1.0, 6), (3, 5))
    found = locality(influence, PAIR, generator=rng(), permutations=50)
    np.testing.assert_allclose(found.share, 0.5)
    np.testing.assert_allclose(found.chance, 0.5)
    assert (found.p_value == 1).all()
    assert found.mean_p_value == 1


def test_p_values_are_even_where_joints_have_no_place():
    """Movements without structure pass the 5 % level in about 5 of 100 cases."""
    generator = rng()
    parts = body_parts(COCO)
    found = locality(generator.exponential(size=(400, 17)), parts, generator=generator, permutations=200)
    assert 0.01 < (found.p_value < 0.05).mean() < 0.1
    assert found.mean_share == pytest.approx(found.mean_chance, abs=0.02)


def test_tokens_that_resemble_each_other_are_no_evidence_for_parts():
    """Tokens that mix a few patterns without structure: the mean passes 5 % in about 5 of 100 decoders.

    Were the joints of each token exchanged by themselves, it would in about 25 of 100.
    """
    generator = rng()
    parts, found = body_parts(COCO), []
    for _ in range(120):
        patterns = generator.exponential(size=(generator.integers(2, 6), 17))
        mixed = generator.dirichlet(np.full(len(patterns), 0.5), size=34) @ patterns
        found.append(locality(mixed, parts, generator=generator, permutations=99).mean_p_value)
    assert 0.0 < np.mean(np.array(found) <= 0.05) < 0.12
    assert 0.35 < np.mean(found) < 0.65


def test_a_token_that_moves_nothing_has_no_part_and_spoils_no_mean():
    influence = np.array([[1.0, 0, 1, 0, 1], [0, 0, 0, 0, 0], [0, 1, 0, 1, 0]])
    found = locality(influence, PAIR, generator=rng(), permutations=20)
    assert found.part == ["arm", "none", "leg"]
    assert np.isnan([found.share[1], found.p_value[1]]).all()
    assert found.mean_share == 1
    nothing = locality(np.zeros((2, 5)), PAIR, generator=rng(), permutations=20)
    assert np.isnan([nothing.mean_share, nothing.mean_chance, nothing.mean_p_value]).all()


def test_the_control_follows_its_generator_and_parts_must_fit():
    influence = rng().random((3, 5))
    first, again = (locality(influence, PAIR, generator=rng(), permutations=30) for _ in range(2))
    np.testing.assert_array_equal(first.chance, again.chance)
    other = locality(influence, PAIR, generator=np.random.default_rng(1), permutations=30)
    assert not np.array_equal(first.chance, other.chance)
    with pytest.raises(ValueError, match="parts: expected each of 5 joints once"):
        locality(influence, {"arm": (0, 1), "leg": (1, 2)}, generator=rng())


def test_co_movement_is_the_correlation_of_shares():
    influence = np.array([[1.0, 1, 2, 0], [2, 2, 0, 4], [1, 1, 1, 1], [0, 0, 0, 0], [3, 3, 2, 2]])
    matrix = co_movement(influence)
    shares = influence[[0, 1, 2, 4]] / influence[[0, 1, 2, 4]].sum(1, keepdims=True)
    np.testing.assert_allclose(matrix, np.corrcoef(shares.T), atol=1e-12)
    assert matrix[0, 1] == pytest.approx(1)


def test_co_movement_is_unknown_without_differences():
    assert np.isnan(co_movement(np.ones((2, 3)))).all()
    assert np.isnan(co_movement(np.ones((5, 3)))).all()


def test_pairs_are_sorted_by_what_joins_them():
    matrix = np.full((17, 17), -0.5)
    for a, b in COCO.flip_pairs:
        matrix[a, b] = matrix[b, a] = 0.25
    for a, b in COCO.limbs:
        matrix[a, b] = matrix[b, a] = 1.0
    rows = co_movement_by_kind(matrix, COCO).values.tolist()
    joined = len(COCO.limbs)  # eyes, shoulders and hips are pairs that a bone joins
    assert rows == [
        ["joined by a bone", joined, 1.0],
        ["left and right, not joined", len(COCO.flip_pairs) - 3, 0.25],
        ["all others", 17 * 16 // 2 - joined - len(COCO.flip_pairs) + 3, -0.5],
    ]


def test_similar_rows_become_neighbours():
    rows = np.array([[9.0, 1, 0], [0, 1, 9], [18, 2, 0], [0, 2, 20]])  # 0 and 2 alike, 1 and 3 nearly
    order, tree = similar_order(rows)
    places = np.argsort(order)
    assert abs(places[0] - places[2]) == abs(places[1] - places[3]) == 1
    assert tree.shape == (3, 4)
    assert similar_order(rows[:1])[0].tolist() == [0]
    assert sorted(similar_order(np.zeros((3, 2)))[0]) == [0, 1, 2]


def test_overlap_groups_and_perplexity_of_entries():
    usage = np.array([[2, 2, 0, 0, 0], [30, 10, 0, 0, 0], [0, 0, 5, 5, 0], [0, 1, 49, 50, 0]])
    overlap = entry_overlap(usage)
    assert overlap[0, 1] == 0.75
    assert overlap[0, 2] == 0
    assert overlap[1, 3] == pytest.approx(0.01)
    np.testing.assert_allclose(np.diag(overlap), 1)
    groups = entry_groups(usage)
    assert groups[0] == groups[1] != groups[2] == groups[3]
    assert len(set(entry_groups(usage, least=0.005))) == 1
    np.testing.assert_allclose(perplexities(usage)[[0, 2]], 2)


@settings(max_examples=40, deadline=None)
@given(arrays(float, (5, 5), elements=st.integers(0, 100)), st.permutations(range(5)))
def test_the_order_of_tokens_does_not_matter(influence, order):
    np.testing.assert_allclose(
        part_shares(influence[order], PAIR), part_shares(influence, PAIR)[order], atol=1e-9
    )
    np.testing.assert_allclose(effective_joints(influence[order]), effective_joints(influence)[order])
    known = part_shares(influence, PAIR)[influence.sum(1) > 0]
    assert ((known >= 0) & (known <= 1 + 1e-9)).all()
