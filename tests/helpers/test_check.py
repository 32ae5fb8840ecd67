import re

import pytest
from helpers.check import check_site

from pctlib.reporting.page import TEMPLATES


@pytest.fixture
def check(tmp_path):
    """Return a function that checks a folder of one page with the given body."""

    def run(body):
        (tmp_path / "a.html").write_text(body, encoding="utf-8")
        return check_site(tmp_path)

    return run


GOOD = (
    '<h2 id="x">X</h2><a href="#x">x</a><a href="a.html#x">x</a><a download href="data:text/csv,1">c</a>'
    '<img src="data:," alt="a"><p>see arxiv.org and http://arxiv.org</p>'
    "<style>b{background:url(data:,)}</style>"
)


def test_good_page_has_no_problem(check):
    assert check(GOOD) == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<script src="https://cdn.org/x.js"></script>', "remote address in <script src>"),
        ('<script src="">', "loads another file: ''"),
        ('<link rel="stylesheet" href="style.css">', "loads another file: 'style.css'"),
        ('<a href="https://arxiv.org">x</a>', "remote address in <a href>"),
        ('<img src="//x.org/a.png" alt="a">', "remote address in <img src>"),
        ('<img src="data:,">', "image without alternative text"),
        ('<img src="data:," alt=" ">', "image without alternative text"),
        ("<style>@import 'x.css';</style>", "style loads 'x.css'"),
        ("<style>b { background: url( 'http://x.org/y.png' ) }</style>", "style loads 'http://x.org/y.png'"),
        ('<p style="background: url(y.png)">', "style loads 'y.png'"),
        ('<a href="b.html">b</a>', "link to a missing page: 'b.html'"),
        ('<a href="#y">y</a>', "link to a missing anchor: '#y'"),
        ('<p id="x"></p><p id="x"></p>', "id 'x' occurs more than once"),
    ],
)
def test_each_problem_is_found(check, body, problem):
    problems = check(body)
    assert len(problems) == 1
    assert problem in problems[0]
    assert problems[0].startswith("a.html: ")


def test_links_to_other_files_resolve(check, tmp_path):
    (tmp_path / "values.csv").write_text("a")
    assert check('<a href="values.csv">v</a>') == []


def test_empty_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no HTML page"):
        check_site(tmp_path)


# Names of the colours in which the style sheet sets letters.
LETTERS = "ink muted accent measured published code-ink keyword string number comment name"


def luminance(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def palettes():
    """Return the colours of the light and the dark theme from the style sheet."""
    css = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks[:2]]
    return {"light": found[0], "dark": {**found[0], **found[1]}}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "soft", "stripe"])
def test_text_colours_have_wcag_aa_contrast(theme, ground):
    palette = palettes()[theme]
    for word in LETTERS.split():
        dark, light = sorted([luminance(palette[word]), luminance(palette[ground])])
        assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{word} on {ground}"
