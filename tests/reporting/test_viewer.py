"""Scenes that can be turned: what they hold, that a page keeps them, and that a browser draws them."""

import json

import numpy as np
import pytest
from bs4 import BeautifulSoup
from helpers.browser import find_chromium, open_browser

from pctlib.reporting.page import Site, render_page
from pctlib.reporting.viewer import Scene, viewer_script

SITE = Site("Study", (("Index", "index.html"), ("Poses", "poses.html")))
PNG = b"\x89PNG not really"


def scene(**changes):
    points = np.array([[0.0, 0, 0], [100.4, 0, 0], [0, 200, -50]])
    values = {
        "label": 'a "pose"',
        "figures": {"one": {"truth": points, "PCT": points + 10}, "two": {"truth": points, "PCT": points}},
        "colors": {"truth": "#555555", "PCT": "#d62728"},
        "lines": [(0, 1), (1, 2)],
        "picture": PNG,
    }
    return Scene(**values | changes)


def element(html):
    return BeautifulSoup(html, "html.parser").select_one("[data-scene]")


def test_data_hold_points_in_whole_millimetres():
    data = json.loads(scene().data())
    assert [figure["name"] for figure in data["figures"]] == ["one", "two"]
    assert data["figures"][0]["layers"][0] == {
        "name": "truth",
        "color": "#555555",
        "points": [0, 0, 0, 100, 0, 0, 0, 200, -50],
    }
    assert data["lines"] == [0, 1, 1, 2]
    assert data["faces"] == []
    assert json.loads(scene(lines=(), faces=[(0, 1, 2)]).data())["faces"] == [0, 1, 2]


def test_a_page_keeps_the_scene_and_brings_the_script_once():
    page = render_page(scene()._repr_html_() * 2, site=SITE, page="poses.html", kind="notebook")
    found = element(page)
    assert json.loads(found["data-scene"]) == json.loads(scene().data())
    assert found.select_one("img")["alt"] == 'a "pose"'
    assert page.count("pctlib.reporting.viewer") == 1
    assert "pctlib.reporting.viewer" not in render_page(
        "<p>x</p>", site=SITE, page="poses.html", kind="notebook"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"figures": {}}, "figures: expected at least one"),
        (
            {"figures": {"a": {"truth": np.zeros((3, 3))}}},
            r"figure 'a': expected the layers \['truth', 'PCT'\]",
        ),
        ({"lines": [(0, 7)]}, r"layer 'truth': expected points \[8 or more, 3\], got \[3, 3\]"),
        (
            {"figures": {"a": {"truth": np.full((3, 3), np.nan), "PCT": np.zeros((3, 3))}}},
            "layer 'truth': points must be finite",
        ),
    ],
)
def test_bad_scenes_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        scene(**changes)


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium")
def test_a_browser_draws_the_scene_without_complaint(tmp_path):
    path = tmp_path / "poses.html"
    html = render_page(scene(picture=b"")._repr_html_(), site=SITE, page="poses.html", kind="notebook")
    path.write_text(html)
    assert "getContext" in viewer_script()
    with open_browser(find_chromium()) as browser:
        visit = browser.visit(path)
        drawn = browser.evaluate(
            "(() => { const c = document.querySelector('canvas'); const before = c.toDataURL();"
            "c.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft'}));"
            "return [before.length, before !== c.toDataURL()]; })()"
        )
        boxes = browser.evaluate("document.querySelectorAll('.viewer input[type=checkbox]').length")
    assert visit.all_problems == []
    assert drawn[0] > 3000, "an empty canvas is smaller"
    assert drawn[1], "a key turns the figure"
    assert boxes == 2
