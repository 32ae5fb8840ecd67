"""The report on paper: every page once, its links inside the file, nothing that paper cannot do."""

import pytest
from bs4 import BeautifulSoup

from pctlib.reporting import book
from pctlib.reporting.book import print_pdf, write_book
from pctlib.reporting.page import Site, render_page

SITE = Site("Study", (("Overview", "index.html"), ("Data", "00_data.html"), ("Later", "01_later.html")))
DATA = (
    "<h1>Data</h1><h2>People</h2><p>See <a href='index.html#people'>there</a> and Figure 1, "
    "<a href='01_later.html'>later</a>.</p><details class='code'><summary>Code</summary>x</details>"
    "<figure><p>x</p><figcaption><p><strong>Figure 1.</strong> One.</p></figcaption></figure>"
)


@pytest.fixture
def report(tmp_path):
    index = "<h1>Study</h1><h2>People</h2><p><a href='00_data.html'>Data</a></p>"
    for file, body in (("index.html", index), ("00_data.html", DATA)):
        (tmp_path / file).write_text(render_page(body, site=SITE, page=file, kind="notebook"))
    return tmp_path


def test_pages_that_are_there_are_chapters_whose_links_stay_inside(report):
    path = write_book(report, SITE)
    soup = BeautifulSoup(path.read_text(), "html.parser")
    assert [chapter["id"] for chapter in soup.select("article")] == ["index", "00_data"]
    ids = [element["id"] for element in soup.find_all(id=True)]
    assert len(set(ids)) == len(ids)
    links = [link["href"] for link in soup.select("article a")]
    assert links == ["#00_data", "#index--people", "#00_data--figure-1"]
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert "later" in soup.get_text()
    assert soup.select("script, details.code, nav") == []


def test_a_report_without_a_page_is_no_book(tmp_path):
    with pytest.raises(FileNotFoundError, match="none of the pages of 'Study'"):
        write_book(tmp_path, SITE)


def test_without_a_browser_it_says_what_is_needed(report, monkeypatch):
    monkeypatch.setattr(book.shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="printing needs one of chromium"):
        print_pdf(write_book(report, SITE), report / "report.pdf")


def test_a_browser_that_fails_is_named(report, monkeypatch):
    monkeypatch.setattr(book.shutil, "which", lambda name: "/bin/false")
    with pytest.raises(ValueError, match="/bin/false: no PDF of .*book.html"):
        print_pdf(write_book(report, SITE), report / "report.pdf")
    assert not (report / "report.pdf").exists()


@pytest.mark.skipif(not any(map(book.shutil.which, book.BROWSERS)), reason="no Chromium")
def test_a_chapter_starts_a_page_of_the_pdf(report):
    path = print_pdf(write_book(report, SITE), report / "report.pdf")
    content = path.read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Type /Page\n") == 2
