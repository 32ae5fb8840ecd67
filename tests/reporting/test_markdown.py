"""Markdown as reports have it."""

import pytest

from pctlib.reporting.markdown import first_sentence


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two is 0.5 % more. Three.", ("One.", "Two is 0.5 % more. Three.")),
        ("'A' against 'B': +1.0 points.", ("'A' against 'B': +1.0 points.", "")),
        ("", ("", "")),
    ],
)
def test_the_first_sentence_ends_at_a_point_before_a_capital(text, parts):
    assert first_sentence(text) == parts
