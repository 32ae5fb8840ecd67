"""What the page of token anatomy says in numbers and words."""

import numpy as np
import pytest
import torch

from pctlib.metrics.substructures import body_parts, locality
from pctlib.skeletons import COCO
from pctlib.study.pages.anatomy.measure import Anatomy
from pctlib.study.pages.anatomy.report import (
    anatomy_table,
    compare_anatomies,
    describe_anatomy,
    describe_untrained,
    describe_usage,
    summarise_anatomy,
)


def anatomy(influence, usage):
    M = len(influence)
    return Anatomy(
        COCO, "% of the box", influence, 0 * influence, usage, torch.zeros(1, M), np.zeros((1, 17, 2))
    )


@pytest.fixture
def perfect():
    """Return the anatomy of five tokens, one a body part, in two groups of entries."""
    influence = np.zeros((5, 17))
    for token, joints in enumerate(body_parts(COCO).values()):
        influence[token, list(joints)] = token + 1.0
    usage = np.array([[4, 4, 0, 0, 0, 0]] * 2 + [[0, 0, 2, 2, 4, 0]] * 3)
    return anatomy(influence, usage)


def judged(found):
    return locality(found.influence, found.parts, generator=np.random.default_rng(0), permutations=99)


def test_a_row_a_token(perfect):
    table = anatomy_table(perfect, judged(perfect))
    assert table["token"].tolist() == [0, 1, 2, 3, 4]
    assert table["body part"].tolist() == ["head", "left arm", "right arm", "left leg", "right leg"]
    assert table["joints moved"].tolist() == pytest.approx([5, 3, 3, 3, 3])
    np.testing.assert_allclose(table["share there (%)"], 100)
    assert table["moved most"][1] == "left shoulder, left elbow, left wrist"
    np.testing.assert_allclose(table["movement (% of the box)"], [5 / 17, 6 / 17, 9 / 17, 12 / 17, 15 / 17])
    assert table["entries used"].tolist() == [2, 2, 3, 3, 3]
    assert table["perplexity"][0] == pytest.approx(2)


def test_the_summary_and_its_words(perfect):
    summary = summarise_anatomy(perfect, judged(perfect))
    assert (summary["tokens"], summary["joints"], summary["parts"], summary["entries"]) == (5, 17, 5, 6)
    assert summary["joints moved"] == pytest.approx(3.4)
    assert summary["share in strongest part"] == pytest.approx(1)
    assert summary["tokens mostly in one part"] == 5
    assert summary["p"] == pytest.approx(0.01)
    assert summary["tokens that use an entry"] == pytest.approx(13 / 5)  # the sixth entry is not used
    assert summary["overlap of two tokens"] == pytest.approx((2 + 6) / 20)
    assert summary["groups without common entries"] == 2
    words = describe_anatomy(summary)
    assert words.startswith("Replacing one of 5 tokens moves 3.4 of 17 joints (effective number), and 100 %")
    assert "5 tokens move mostly one part. On the whole these tokens are sub-structures" in words
    usage = describe_usage(summary)
    assert "A token uses 3 of 6 entries" in usage
    assert "2 groups that have practically no entry in common" in usage
    assert "no group of tokens has entries of its own: two tokens have 40 % of their use in common" in (
        describe_usage(summary | {"groups without common entries": 1})
    )


def test_tokenizers_side_by_side(perfect):
    summary = summarise_anatomy(perfect, judged(perfect))
    assert summary["co-movement of joined joints"] > 0 > summary["co-movement of other joints"]
    other = summary | {"joints moved": 16.04, "share in strongest part": 0.244, "share by chance": 0.26}
    table = compare_anatomies({"trained": summary, "untrained": other}).set_index("tokenizer")
    assert table.loc["untrained", "in one part (%)"] == pytest.approx(24.4)
    assert table.loc["trained", "joints moved"] == pytest.approx(3.4)
    assert table["tokens p < 0.05"].tolist() == [summary["tokens beyond chance"]] * 2
    assert describe_untrained(other) == (
        "An untrained tokenizer of the same size moves 16.0 joints, with 24 % in one part "
        "against 26 % by chance."
    )


@pytest.mark.parametrize(
    ("share", "p", "reading"),
    [
        (0.8, 0.001, "On the whole these tokens are sub-structures"),
        (0.4, 0.001, "the sub-structures that the paper describes are weak here"),
        (0.4, 0.2, "are not the sub-structures that the paper describes"),
        (float("nan"), float("nan"), "nothing can be said"),
    ],
)
def test_the_reading_follows_the_numbers(perfect, share, p, reading):
    summary = summarise_anatomy(perfect, judged(perfect)) | {"share in strongest part": share, "p": p}
    assert reading in describe_anatomy(summary)


def test_tokens_without_a_second_entry_are_told(perfect):
    still = anatomy(np.zeros((2, 17)), np.array([[3, 0], [3, 0]]))
    found = judged(still)
    table = anatomy_table(still, found)
    assert table["body part"].tolist() == table["moved most"].tolist() == ["none", "none"]
    assert "nothing can be said" in describe_anatomy(summarise_anatomy(still, found))
