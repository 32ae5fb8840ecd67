"""The index while pages are still being made: the answer as soon as the main comparison has run."""

from pathlib import Path
from typing import Any

from pctlib.io import finite
from pctlib.paths import resolve
from pctlib.reporting.index import write_index, write_to_come
from pctlib.study.pages.results.index import index_page, provenance, summary
from pctlib.study.pages.results.read import StudyResults
from pctlib.workflow.layout import StudyLayout
from pctlib.workflow.pages import PAGES
from pctlib.workflow.seals import unseal


def write_index_so_far(layout: StudyLayout) -> tuple[Path, dict[str, Any]]:
    """Write the index of a study with what has run so far, and a page for each that is still being made.

    Args:
        layout: of the study, whose main comparison has run.

    Returns:
        The index; and its numbers, as `summary`, with the files of the pages that are "to come".

    Raises:
        FileNotFoundError: if a run of the main comparison is missing.
        ValueError: as `StudyResults.read`.
    """
    folder, site = resolve(layout.folder), layout.site()
    results = StudyResults.read(layout, folder, so_far=True)
    unseal(folder / PAGES[-1].name)  # whose seal holds the index
    to_come = [file for _, file in site.pages[1:] if not (folder / file).is_file()]
    for file in to_come:
        write_to_come(folder / file, site=site)
    index = write_index(folder / "index.html", index_page(results), site=site, provenance=provenance(layout))
    return index, finite({"to come": to_come} | summary(results))
