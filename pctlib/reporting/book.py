"""All pages of a report in one file to print, and that file as PDF by headless Chromium."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from pctlib.io import existing_file, write_text
from pctlib.reporting.page import TEMPLATES, Site, templates

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PRINT_S = 600
# What paper cannot open, play or follow.
_LEFT_OUT = "script, .code, .log, .download, .neighbours, .walks, .words, .provenance, .anchor, .meaning"


def write_book(folder: str | Path, site: Site) -> Path:
    """Write `book.html`: the pages of a report that are there, one behind the other, to be printed.

    Args:
        folder: of the report.
        site: its pages; those that are not there are left out.

    Raises:
        FileNotFoundError: if none of them is there.
    """
    folder = Path(folder)
    there = [file for _, file in site.pages if (folder / file).is_file()]
    if not there:
        raise FileNotFoundError(
            f"{folder}: none of the pages of {site.title!r} is there; run the study first"
        )
    chapters = [_chapter(folder / file, there) for file in there]
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    html = templates().get_template("book.html.j2").render(site=site, chapters=chapters, style=style)
    return write_text(folder / "book.html", html)


def print_pdf(html: str | Path, pdf: str | Path) -> Path:
    """Print an HTML file to PDF by the first Chromium or Chrome that is installed.

    Raises:
        FileNotFoundError: if there is no such file or no browser.
        ValueError: if the browser fails or writes nothing.
    """
    html, pdf = existing_file(html).resolve(), Path(pdf).resolve()
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise FileNotFoundError(
            f"printing needs one of {', '.join(BROWSERS)}; none is installed, but any browser prints {html}"
        )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        partial = Path(profile) / "book.pdf"
        command = [browser, "--headless", "--disable-gpu", "--no-first-run", "--no-pdf-header-footer"]
        command += ["--no-sandbox"] if os.geteuid() == 0 else []  # which Chromium refuses to give to root
        command += [f"--user-data-dir={profile}", f"--print-to-pdf={partial}", html.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PRINT_S, check=False)
        if done.returncode or not partial.is_file():
            raise ValueError(
                f"{browser}: no PDF of {html} (exit code {done.returncode}): {done.stderr[-300:]}"
            )
        shutil.move(partial, pdf)
    return pdf


def _chapter(path: Path, files: list[str]) -> str:
    """Return the content of a page, with anchors of its own and links to the other chapters."""
    main = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").find("main")
    for element in main.select(_LEFT_OUT):
        element.decompose()
    for fold in main.find_all("details"):
        fold["open"] = ""
    for element in main.find_all(id=True):
        element["id"] = f"{path.stem}--{element['id']}"
    for link in main.find_all("a", href=True):
        _lead_to_chapter(link, path.name, files)
    main.name = "article"
    main.attrs = {"class": "chapter", "id": path.stem}
    return str(main)


def _lead_to_chapter(link: Tag, page: str, files: list[str]) -> None:
    file, _, anchor = re.fullmatch(r"([^#]*)(#?)(.*)", str(link["href"])).groups()
    file = file or page
    if file not in files:
        link.unwrap()
        return
    link["href"] = f"#{Path(file).stem}" + (f"--{anchor}" if anchor else "")
