"""Poses to play with: what a page holds of them, and that a browser moves them as the decoder does."""

import base64
import json

import numpy as np
import pytest
from bs4 import BeautifulSoup

from pctlib.reporting.page import Site, render_page
from pctlib.reporting.walks import SIDE, Backdrop, Walk, WalkExplorer
from pctlib.skeletons import Skeleton

pytest.importorskip("websocket", reason="the browser checks need websocket-client")
from helpers.browser import find_chromium, open_browser

SITE = Site("Study", (("Tokens", "tokens.html"),))
OWN = np.array([[0.0, 0], [20, 10], [40, 0], [20, 60]])
SKELETON = Skeleton(
    name="row",
    keypoint_names=("left_hand", "neck", "right_hand", "star"),
    flip_pairs=((0, 2),),
    limbs=((0, 1), (1, 2)),
    limb_colors=("#0000ff", "#ff8800"),
    sigmas=None,
    upper_body=(0, 1, 2),
    lower_body=(),
)


def walk(name, *shifts):
    """Return a token whose choices move joint 0 to the right."""
    keypoints = np.repeat(OWN[None], 1 + len(shifts), axis=0)
    keypoints[1:, 0, 0] += shifts
    return Walk(name, ["5, the pose's own", *(f"entry by {s}" for s in shifts)], keypoints)


def explorer(**changes):
    poses = {"one": [walk("0: arm", 6.0, -3.0), walk("1: leg", 12.0)], "two": [walk("0"), walk("1", 30.0)]}
    return WalkExplorer(**{"label": "A <pose>", "poses": poses, "skeleton": SKELETON} | changes)


def test_data_hold_every_choice_in_the_frame_of_its_pose():
    data = json.loads(explorer().data())
    pose = data["poses"][0]
    assert [token["name"] for token in pose["tokens"]] == ["0: arm", "1: leg"]
    assert [len(token["entries"]) for token in pose["tokens"]] == [3, 2]
    points = np.frombuffer(base64.b64decode(pose["points"]), "<i2").reshape(5, 4, 2)
    assert pose["step"] == pytest.approx(2 * 0.65 * 60 / SIDE)  # 60 px is the extent
    middle = [20, 30]
    expected = (np.stack([OWN] * 5) - middle) / pose["step"] + SIDE / 2
    expected[[1, 2, 4], 0, 0] += np.array([6, -3, 12]) / pose["step"]
    np.testing.assert_allclose(points, expected, atol=0.51)
    assert data["joints"] == ["left hand", "neck", "right hand", "star"]
    assert data["limbs"] == [[0, 1, "#0000ff"], [1, 2, "#ff8800"]]


def test_a_joint_that_is_not_known_has_the_least_number_and_no_part_in_the_frame():
    keypoints = np.stack([OWN, OWN])
    keypoints[:, 3] = np.nan
    data = json.loads(explorer(poses={"one": [Walk("t", ["own", "a"], keypoints)]}).data())
    points = np.frombuffer(base64.b64decode(data["poses"][0]["points"]), "<i2").reshape(2, 4, 2)
    assert (points[:, 3] == -32768).all()
    assert data["poses"][0]["step"] == pytest.approx(2 * 0.65 * 40 / SIDE)
    assert (np.abs(points[:, :3]) <= SIDE).all()


def test_pictures_make_the_frame_and_there_is_one_for_each_step():
    images = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    pose = {"one": [walk("0", 6.0, -3.0)]}
    data = json.loads(explorer(poses=pose, backdrops={"one": Backdrop(images, 10.0)}).data())
    shown = data["poses"][0]
    assert len(shown["pictures"]) == 2
    assert shown["step"] == pytest.approx(80 / SIDE)
    points = np.frombuffer(base64.b64decode(shown["points"]), "<i2").reshape(3, 4, 2)
    expected = (OWN + 5) / shown["step"]  # the first pixel, 10 units wide, is centred at 0
    np.testing.assert_allclose(points[0], expected, atol=0.51)
    with pytest.raises(ValueError, match="pose 'one', '0': expected 2 pictures, got 1"):
        explorer(poses=pose, backdrops={"one": Backdrop(images[:1])})


def test_a_page_keeps_the_explorer_and_brings_the_script_once():
    page = render_page(explorer()._repr_html_() * 2, site=SITE, page="tokens.html", kind="notebook")
    found = BeautifulSoup(page, "html.parser").select("[data-walks]")
    assert [json.loads(one["data-walks"]) for one in found] == [json.loads(explorer().data())] * 2
    assert page.count("See pctlib.reporting.walks") == 1
    bare = render_page("<p>x</p>", site=SITE, page="tokens.html", kind="notebook")
    assert "pctlib.reporting.walks" not in bare


@pytest.mark.parametrize(
    ("poses", "message"),
    [
        ({}, "expected at least one"),
        ({"one": []}, "each with at least one walk"),
        ({"one": [Walk("t", ["a"], np.zeros((2, 4, 2)))]}, r"pose 'one', 't': expected \(1, 4, 2\)"),
        ({"one": [Walk("t", ["a"], np.zeros((1, 4, 3)))]}, r"expected \(1, 4, 2\), got \(1, 4, 3\)"),
        ({"one": [Walk("t", ["a"], np.full((1, 4, 2), np.nan))]}, "must be finite"),
        ({"one": [Walk("t", ["a"], np.full((1, 4, 2), np.inf))]}, "must be finite"),
    ],
)
def test_bad_walks_are_named(poses, message):
    with pytest.raises(ValueError, match=message):
        explorer(poses=poses)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.skipif(find_chromium() is None, reason="no Chromium")
def test_a_browser_moves_the_pose_as_the_decoder_does(tmp_path, width):
    path = tmp_path / "tokens.html"
    html = f"<h1>Tokens</h1>{explorer()._repr_html_()}"
    path.write_text(render_page(html, site=SITE, page="tokens.html", kind="notebook"))
    state = (
        "(() => { const box = document.querySelector('.walks');"
        "return [box.querySelector('[role=status]').textContent,"
        "box.querySelector('circle').getAttribute('cx'),"
        "box.querySelector('input').disabled]; })()"
    )
    choose = (
        "(() => {{ const box = document.querySelector('.walks');"
        "const made = box.querySelectorAll('select, input')[{}];"
        "made.value = {}; made.dispatchEvent(new Event('{}')); }})()"
    )
    step = 2 * 0.65 * 60 / SIDE
    start = 500 - 20 / step
    with open_browser(find_chromium()) as browser:
        assert browser.visit(path, width=width).all_problems == []
        said, place, _ = browser.evaluate(state)
        assert said == "Entry entry by 6.0. Farthest: left hand, 6.0 px; mean of all joints 1.5 px."
        assert float(place) == pytest.approx(start + 6 / step, abs=0.6)
        browser.evaluate(choose.format(1, 1, "change"))
        assert float(browser.evaluate(state)[1]) == pytest.approx(start + 12 / step, abs=0.6)
        browser.evaluate(choose.format(2, 0, "input"))
        assert browser.evaluate(state)[:2] == ["Entry 5, the pose's own. ", str(round(start))]
        browser.evaluate(choose.format(0, 1, "change"))
        assert "Farthest: left hand, 30.0 px" in browser.evaluate(state)[0]
        browser.evaluate(choose.format(1, 0, "change"))
        assert browser.evaluate(state)[2], "a token that takes one entry only has nothing to choose"


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium")
def test_a_browser_leaves_out_what_is_not_known_and_names_the_controls(tmp_path):
    keypoints = np.stack([OWN, OWN + np.array([8, 0])])
    keypoints[0, 3] = np.nan
    keypoints[1, 0] = np.nan
    made = explorer(poses={"one": [Walk("16", ["own", "= 4"], keypoints)]}, controls=("Pose", "V", "M"))
    path = tmp_path / "tokens.html"
    path.write_text(render_page(made._repr_html_(), site=SITE, page="tokens.html", kind="notebook"))
    with open_browser(find_chromium()) as browser:
        assert browser.visit(path).all_problems == []
        said, circles, names = browser.evaluate(
            "(() => { const box = document.querySelector('.walks');"
            "return [box.querySelector('[role=status]').textContent, box.querySelectorAll('circle').length,"
            "[...box.querySelectorAll('label span')].map(one => one.textContent)]; })()"
        )
    assert said == "M = 4. Farthest: neck, 8.0 px; mean of all joints 8.0 px."
    assert circles == 3
    assert names == ["Pose", "V", "M"]


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium")
def test_a_browser_shows_the_picture_of_each_step(tmp_path):
    images = np.stack([np.full((8, 8, 3), value, dtype=np.uint8) for value in (40, 200)])
    made = explorer(poses={"one": [walk("0", 6.0, -3.0)]}, backdrops={"one": Backdrop(images, 10.0)})
    path = tmp_path / "tokens.html"
    path.write_text(render_page(made._repr_html_(), site=SITE, page="tokens.html", kind="notebook"))
    pictures = json.loads(made.data())["poses"][0]["pictures"]
    with open_browser(find_chromium()) as browser:
        assert browser.visit(path).all_problems == []
        for step, expected in ((0, pictures[0]), (1, pictures[0]), (2, pictures[1])):
            shown = browser.evaluate(
                "(() => { const box = document.querySelector('.walks'), step = box.querySelector('input');"
                f"step.value = {step}; step.dispatchEvent(new Event('input'));"
                "return box.querySelector('image').getAttribute('href'); })()"
            )
            assert shown == expected
