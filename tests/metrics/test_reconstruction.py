import numpy as np
import pytest

from pctlib.metrics.coco import coco_ap
from pctlib.metrics.pck import pck_metrics
from pctlib.metrics.reconstruction import reconstruction_metrics
from pctlib.skeletons import SKELETONS


def test_pixels_by_visibility(make_people):
    visible = np.tile([2] * 8 + [1] * 6 + [0] * 3, (6, 1))
    people = make_people(visible=visible)
    guess = people.keypoints_image.copy()
    guess[:, :8] += [3, 4]
    guess[:, 8:14] += [6, 8]
    metrics = reconstruction_metrics(people, guess)
    assert metrics["error px seen"] == pytest.approx(5, rel=1e-5)
    assert metrics["error px hidden"] == pytest.approx(10, rel=1e-5)
    assert metrics["error px"] == pytest.approx((8 * 5 + 6 * 10) / 14, rel=1e-5)
    assert metrics["AP"] == coco_ap(people, guess, np.ones(6))["AP"]
    assert metrics.items() >= pck_metrics(people, guess).items()


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_a_perfect_reconstruction_of_any_skeleton(make_people, skeleton):
    people = make_people(skeleton=skeleton)
    metrics = reconstruction_metrics(people, people.keypoints_image)
    assert metrics["error px"] == 0
    assert metrics["PCK@0.2 all"] == 1
    assert ("AP" in metrics) == (skeleton.sigmas is not None)
    assert metrics.get("AP", 1) == pytest.approx(1)
