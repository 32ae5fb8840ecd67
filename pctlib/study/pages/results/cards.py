"""The run cards of a whole study: whether each run is the one that is asked for, and all of them as one."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pctlib.reporting.run_card import RunCard, load_run_card
from pctlib.workflow.layout import StudyLayout, run_name
from pctlib.workflow.pages import page_named
from pctlib.workflow.seals import damaged

CARD = "run_card.json"


def read_cards(
    layout: StudyLayout, study_dir: Path, *, so_far: bool = False
) -> dict[tuple[str, int | None], RunCard]:
    """Return the card of every run by page and seed.

    Args:
        layout: of the study.
        study_dir: its folder.
        so_far: leave out what is not made yet, or will be made again for other settings, but for the runs of
            the main comparison.

    Raises:
        FileNotFoundError: if a run is missing.
        ValueError: if a run has other settings than the study asks for, or was damaged since it was made;
            names the run.
    """
    cards = {}
    main = layout.main_runs()
    for step, seed in layout.runs():
        path = study_dir / run_name(step, seed) / CARD
        waits = so_far and (step, seed) not in main
        if waits and not (path.is_file() and path.with_name("metrics.json").is_file()):
            continue
        if found := damaged(path.parent):
            names = ", ".join(str(file) for file, _ in found)
            raise ValueError(f"{path.parent}: damaged since it was made: {names}; run the study again")
        card = load_run_card(path)
        if card.settings == layout.settings(page_named(step), seed):
            cards[step, seed] = card
        elif not waits:
            raise ValueError(
                f"{path.parent}: this run was made by other settings than those of profile "
                f"{layout.profile.name} on {layout.dataset}; run the study again, or its notebook with these"
            )
    return cards


def joined_card(
    layout: StudyLayout, study_dir: Path, cards: Mapping[tuple[str, int | None], RunCard]
) -> RunCard:
    """Return one card for all runs: facts of the last one, wall times by step and seed, in order.

    What was trained ahead of a page, in jobs with cards of their own, is counted, too.
    """
    *_, last = cards.values()
    many = len(layout.profile.seeds) > 1
    times: dict[str, float] = {}
    for (step, seed), card in cards.items():
        page = page_named(step)
        for one in layout.profile.seeds if seed is None and page.seeds != "none" else (seed,):
            jobs = [] if one is None else layout.jobs(page, one)
            files = [study_dir / run_name(step, seed) / job for job in jobs]
            name = f"{step}, seed {one}" if many else step
            times |= _spent(f"{name}: jobs ahead", files)
        name = f"{step}, seed {seed}" if many and seed is not None else step
        times |= {f"{name}: {what}": seconds for what, seconds in card.wall_times.items()}
    first = cards["data", None]
    seeds = ", ".join(map(str, layout.profile.seeds))
    return replace(last, wall_times=times, seed=seeds, started=first.started, counts=first.counts)


def _spent(name: str, paths: list[Path]) -> dict[str, float]:
    """Return name -> seconds of those jobs that have a card; nothing if none has."""
    times = [sum(load_run_card(path).wall_times.values()) for path in paths if path.is_file()]
    return {name: sum(times)} if times else {}
