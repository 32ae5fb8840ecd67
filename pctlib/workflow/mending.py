"""Looking after the finished runs of a study before it goes on: what was damaged is named and made again."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pctlib.workflow.layout import StudyLayout, html_stem, run_name
from pctlib.workflow.pages import PAGES, Page
from pctlib.workflow.seals import Damage, Reason, damaged, is_sealed, seal, set_aside, unseal

_WORDS: dict[Reason, str] = {
    "missing": "is missing",
    "cut": "is shorter than when its run was finished",
    "changed": "is not what it was when its run was finished",
    "unreadable": "cannot be read",
}
_SHOWN = ("metrics.json", "run_card.json", "executed.ipynb")  # what a page adds to what was trained


class Run(NamedTuple):
    """A run of a study; paths are relative to the checkout.

    Attributes:
        folder: of the run.
        outputs: sets of files that a job makes together; the run is finished if all of one are there.
        training: files of jobs without which the workflow makes it again.
        card: of a variant, without which it is not read back but measured again.
        page: the same, where only what shows the training is to be made again.
        shown: files that only show the training.
        beside: those of them that lie outside the folder.
    """

    folder: str
    outputs: tuple[tuple[str, ...], ...]
    training: tuple[str, ...]
    page: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    card: str = ""


def mend(root: Path, layout: StudyLayout, *, dry_run: bool = False) -> list[str]:
    """Name every file of a finished run that was damaged, and see to it that the run is made again.

    Damaged files are moved to `<run>.damaged`; those that tell the workflow that the run is there are
    removed. A training then goes on from its newest sound checkpoint. A run without a seal is sealed as it
    is: it was made before there were seals. Only runs that the study has are looked at.

    Args:
        root: folder of the checkout.
        layout: says which pages, seeds and variants there are.
        dry_run: only name them.

    Returns:
        The files that the workflow must be asked for: in a dry run those that would be removed, and those
        that are gone, or miss a variant, where there are results already: the workflow would not miss them.
    """
    planned = planned_runs(layout)
    runs = [run for run in planned if is_sealed(root / run.folder) or _is_finished(root, run)]
    found = {run: damage for run in runs if (damage := _damage(root, run))}
    if dry_run:
        outputs = [name for run, damage in found.items() for name in _again(root, run, damage)]
        for damage in found.values():
            _name(root, damage)
        there = [name for name in outputs if (root / name).is_file()]
        return list(dict.fromkeys([*there, *_missing(root, layout, planned)]))
    for run, damage in found.items():
        kept = set_aside(root / run.folder, [one.path for one in damage])
        _name(root, damage, kept if kept.exists() else None)
    for run, damage in found.items():
        for name in filter(None, (run.card, *_again(root, run, damage))):
            (root / name).unlink(missing_ok=True)
            for parent in (root / name).relative_to(root / layout.folder).parents:
                unseal(root / layout.folder / parent)
    for run in runs:
        if run not in found and not is_sealed(root / run.folder) and _is_finished(root, run):
            seal(root / run.folder, beside=[root / name for name in run.beside])
    return _missing(root, layout, planned)


def seal_page(folder: Path, notebook: str, html: Path) -> None:
    """Seal the run of a page that its notebook, named without ending, has made with its HTML."""
    last = notebook == PAGES[-1].notebook
    seal(folder, beside=[html, html.with_name("index.html")] if last else [html])


def _name(root: Path, damage: Sequence[Damage], kept: Path | None = None) -> None:
    """Say in one line a file which is damaged, and what becomes of it."""
    place = f" (what is left: {kept.relative_to(root)})" if kept is not None else ""
    for path, reason in damage:
        print(
            f"damaged: {path.relative_to(root)}: {_WORDS[reason]}; its run is made again{place}",
            file=sys.stderr,
        )


def planned_runs(layout: StudyLayout) -> list[Run]:
    """Return the runs that a study has once it is finished: variants before what is made from them."""
    people = (layout.people,)
    runs = [Run(str(Path(layout.people).parent), outputs=(people,), training=people)]
    for page in layout.steps:
        runs += [*_variants(layout, page), *_pages(layout, page)]
    return runs


def _missing(root: Path, layout: StudyLayout, planned: Sequence[Run]) -> list[str]:
    """Return the files of jobs that are gone, or below which a variant is, though the study has its results.

    None where it has yet to run.
    """
    results = [root / layout.file(PAGES[-1].name, name) for name in ("metrics.json", "run_card.json")]
    if not any(path.is_file() for path in results):
        return []
    gone = [name for run in planned for name in run.training if not (root / name).is_file()]
    gone += [name for run in planned if run.card and not (root / run.card).is_file() for name in run.training]
    return list(dict.fromkeys(gone))


def _is_finished(root: Path, run: Run) -> bool:
    return any(all((root / name).is_file() for name in names) for names in run.outputs)


def _damage(root: Path, run: Run) -> list[Damage]:
    """Return the damaged files of a run.

    Where all that a job makes is gone, the workflow has deleted it to make it again, and was then killed.
    """
    found = damaged(root / run.folder)
    for names in run.outputs:
        paths = {root / name for name in names}
        if len(paths) > 1 and not any(path.exists() for path in paths):
            found = [damage for damage in found if damage.path not in paths]
    return found


def _variants(layout: StudyLayout, page: Page) -> Iterator[Run]:
    for seed in layout.profile.seeds:
        for training in page.trainings(layout.profile):
            folder = layout.variant_dir(page, training, seed)
            card, again = f"{folder}/run_card.json", tuple(layout.made_from(page, training, seed))
            yield Run(folder, ((card, f"{folder}/metrics.json"),), again, card=card)


def _pages(layout: StudyLayout, page: Page) -> Iterator[Run]:
    for seed in layout.profile.seeds if page.seeds == "each" else (None,):
        name = run_name(page.name, seed)
        html = layout.page(html_stem(page, seed))
        beside = (html, layout.page("index")) if page is PAGES[-1] else (html,)
        shown = tuple(layout.file(name, file) for file in _SHOWN)
        jobs = () if seed is None else tuple(layout.file(name, job) for job in layout.jobs(page, seed))
        trained = (tuple(layout.trained(page, seed)),) if jobs else ()
        yield Run(
            f"{layout.folder}/{name}",
            outputs=((*shown[:2], *beside), *trained),
            training=(shown[0], *jobs),
            page=shown[:1],
            shown=(*shown, *beside),
            beside=beside,
        )


def _again(root: Path, run: Run, found: Sequence[Damage]) -> tuple[str, ...]:
    """Return the files whose absence makes the workflow make a damaged run again."""
    shown = {root / name for name in run.shown}
    return run.page if all(damage.path in shown for damage in found) else run.training
