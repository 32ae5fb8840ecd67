"""Where a page comes from: notebook, command that makes it again, revision, and how to cite it."""

import re
from dataclasses import dataclass
from functools import cache

import yaml

from pctlib.io import existing_file
from pctlib.paths import project_root

_ARXIV = re.compile(r"\barXiv:(\d{4}\.\d{4,5})")


@dataclass(frozen=True)
class Provenance:
    """Where a page comes from.

    Attributes:
        notebook: that made it, as a path in the project.
        command: that makes it again.
        revision: of the code; "" where it is not known.
        made: date and time.
    """

    notebook: str
    command: str
    revision: str = ""
    made: str = ""

    def bibtex(self, text: str) -> str:
        """Return how to cite a page: the project with the revision of the page, and the papers that it names.

        Args:
            text: of the page; a paper is named by its arXiv id, "arXiv:2303.11638".

        Raises:
            FileNotFoundError: if the project has no CITATION.cff.
        """
        citation = _citation()
        project = {
            "title": citation["title"],
            "author": _authors(citation["authors"]),
            "version": citation["version"],
            "note": f"revision {self.revision}" if self.revision else "",
        }
        papers = {_arxiv(paper): paper for paper in citation["references"]}
        named = dict.fromkeys(_ARXIV.findall(text))
        found = [_paper(papers[number], number) for number in named if number in papers]
        return "\n\n".join([_entry("software", "pctlib", project), *found])


@cache
def _citation() -> dict:
    return yaml.safe_load(existing_file(project_root() / "CITATION.cff").read_text(encoding="utf-8"))


def _arxiv(paper: dict) -> str:
    return _ARXIV.search(paper["notes"]).group(1)


def _paper(paper: dict, number: str) -> str:
    """Return a reference of CITATION.cff as BibTeX; one of a year by the same author keeps its arXiv id."""
    venue = paper.get("collection-title", "")
    fields = {
        "title": f"{{{paper['title']}}}",
        "author": _authors(paper["authors"]),
        "booktitle": venue,
        "year": paper["year"],
        "eprint": number,
        "archivePrefix": "arXiv",
    }
    key = f"{paper['authors'][0]['family-names'].lower()}{paper['year']}_{number}"
    return _entry("inproceedings" if venue else "misc", key, fields)


def _authors(people: list[dict]) -> str:
    return " and ".join(
        f"{{{person['name']}}}"
        if "name" in person
        else f"{person.get('name-particle', '')} {person['family-names']}, {person['given-names']}".strip()
        for person in people
    )


def _entry(kind: str, key: str, fields: dict) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])
