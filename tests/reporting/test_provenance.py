import re

import pytest
import yaml

from pctlib.paths import project_root
from pctlib.reporting.page import Site, render_page
from pctlib.reporting.provenance import Provenance

CITATION = yaml.safe_load((project_root() / "CITATION.cff").read_text(encoding="utf-8"))
REFERENCES = CITATION["references"]
ORIGIN = Provenance("notebooks/01_tokenizer.ipynb", "make study PROFILE=smoke", "abc123", "2026-01-02")


def test_a_page_cites_the_project_and_the_papers_that_it_names_in_order():
    cited = ORIGIN.bibtex("As van den Oord et al. (arXiv:1711.00937) and arXiv:2303.11638, arXiv:1711.00937.")
    assert re.findall(r"@\w+{(\w+)", cited) == ["pctlib", "oord2017_1711", "geng2023_2303"]
    assert "revision abc123" in cited
    assert CITATION["version"] in cited
    assert "author = {van den Oord, Aaron and Vinyals, Oriol and Kavukcuoglu, Koray}" in cited
    assert "title = {{Human Pose as Compositional Tokens}}" in cited


def test_a_paper_that_is_not_known_is_not_cited():
    assert ORIGIN.bibtex("arXiv:9999.99999") == ORIGIN.bibtex("")
    assert Provenance("a", "b").bibtex("").count("note") == 0


def test_every_entry_is_closed_and_has_a_key_of_its_own():
    text = " ".join(reference["notes"] for reference in REFERENCES)
    cited = ORIGIN.bibtex(text)
    keys = re.findall(r"^@\w+{(.+),$", cited, flags=re.MULTILINE)
    assert len(set(keys)) == len(keys) == 1 + len(REFERENCES)
    assert cited.count("{") == cited.count("}")
    assert "None" not in cited


@pytest.mark.parametrize("path", sorted((project_root() / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_every_paper_of_a_notebook_can_be_cited(path):
    named = set(re.findall(r"arXiv:\d{4}\.\d{4,5}", path.read_text(encoding="utf-8")))
    assert named <= {reference["notes"] for reference in REFERENCES}


def test_the_foot_of_a_page_says_where_it_comes_from():
    site = Site("Study", (("Overview", "index.html"),))
    body = "<h1>Tokens</h1><p>Masked (He et al. 2022, arXiv:2111.06377).</p>"
    page = render_page(body, site=site, page="index.html", kind="notebook", provenance=ORIGIN)
    for part in ("notebooks/01_tokenizer.ipynb", "make study PROFILE=smoke", "abc123", "he2022_2111.06377"):
        assert part in page
    assert "geng2023" not in page
    bare = render_page(body, site=site, page="index.html", kind="notebook")
    assert "he2022" not in bare
