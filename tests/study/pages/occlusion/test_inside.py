"""The protocol on one person, with shares of one's own."""

from types import SimpleNamespace

import numpy as np
import pytest

from pctlib.profiles.profile import load_profile
from pctlib.study.pages.occlusion.inside import one_person
from pctlib.study.pages.occlusion.people import ProceduralSource


def page_of(profile):
    return SimpleNamespace(settings=profile, splits=None, layout=SimpleNamespace(dataset="procedural"))


def test_the_same_person_is_seen_at_other_shares():
    profile = load_profile("smoke")
    alone, own = one_person(page_of(profile), 1, kind="object", shares=[0, 0.5])
    assert len(alone) == 1
    assert own.occlusion.kinds == ("object",)
    assert own.occlusion.shares == (0, 0.5)
    assert profile.occlusion.shares == (0, 0.3, 0.6)  # the page's own stay
    first, half = alone.views(0, "object")
    source = ProceduralSource(profile)
    np.testing.assert_array_equal(first.image, source.views(1, "object")[0].image)
    assert first.share == 0
    assert 0.3 < half.share < 0.7
    assert alone.skeleton is source.skeleton


def test_shares_that_are_no_levels_are_refused():
    alone, _ = one_person(page_of(load_profile("smoke")), 0, kind="object", shares=[0.5, 0.2])
    with pytest.raises(ValueError, match="shares: expected numbers that rise from 0"):
        alone.views(0, "object")
