"""How a study was made: which step ran when, and what it read."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import pandas as pd

from pctlib.reporting.run_card import RunCard, load_run_card
from pctlib.workflow.layout import StudyLayout, run_name
from pctlib.workflow.pages import PAGES, page_named

_PAUSE = 0.5  # minutes in which nothing ran that are left out
_TRAINING = ": training"


def steps_frame(
    layout: StudyLayout, study_dir: Path, cards: Mapping[tuple[str, int | None], RunCard]
) -> pd.DataFrame:
    """Return one line a step: "step", "start" and "minutes" of work, "main": of the main comparison.

    Jobs that trained ahead of a page are a step of their own. Steps are in the order they began; time in
    which nothing ran is left out. Minutes are those that cards count: without the start of Python and
    drawing.

    Args:
        layout: of the study.
        study_dir: its folder.
        cards: of its runs; those without a time of their start are left out.
    """
    main = {PAGES[0].name, *PAGES[-1].needs}
    rows = []
    for (name, seed), card in cards.items():
        page = page_named(name)
        title = _title(layout, name, seed)
        seeds = layout.profile.seeds if seed is None else (seed,)
        jobs = [study_dir / run_name(name, seed) / job for one in seeds for job in layout.jobs(page, one)]
        trained = [load_run_card(job) for job in jobs if job.is_file()]
        for step, of_step in ((f"{title}{_TRAINING}", trained), (title, [card])):
            spans = [span for one in of_step if (span := _span(one)) is not None]
            if spans:
                start, end = min(span[0] for span in spans), max(span[1] for span in spans)
                rows.append({"step": step, "start": start, "minutes": end - start, "main": name in main})
    frame = pd.DataFrame(rows, columns=["step", "start", "minutes", "main"]).sort_values(
        "start", kind="stable"
    )
    return _without_pauses(frame.reset_index(drop=True))


def steps_read(layout: StudyLayout, steps: pd.DataFrame) -> list[tuple[str, str]]:
    """Return (earlier, later) of the steps that read what another has made.

    Args:
        layout: of the study.
        steps: of `steps_frame`.
    """
    there = set(steps["step"])
    edges = []
    for name, seed in layout.runs():
        page, title = page_named(name), _title(layout, name, seed)
        readers = [step for step in (f"{title}{_TRAINING}", title) if step in there]
        if len(readers) == 2:
            edges.append((readers[0], readers[1]))
        seeds = layout.seeds_of(page) if seed is None else (seed,)
        for other in (*page.needs, *page.after):
            of_other = page_named(other) if other != "*" else None
            for one in seeds if of_other is not None else ():
                source = _title(layout, other, one if of_other.seeds == "each" else None)
                trained = f"{source}{_TRAINING}"
                source = trained if trained in there else source
                edges += [(source, readers[0])] if source in there and readers else []
    return list(dict.fromkeys(edges))


def _title(layout: StudyLayout, name: str, seed: int | None) -> str:
    many = seed is not None and len(layout.profile.seeds) > 1
    return f"{page_named(name).title}, seed {seed}" if many else page_named(name).title


def _span(card: RunCard) -> tuple[float, float] | None:
    """Return start and end of a run in minutes; None where its card does not tell."""
    if not card.started:
        return None
    start = datetime.fromisoformat(card.started).timestamp() / 60
    return start, start + sum(card.wall_times.values()) / 60


def _without_pauses(frame: pd.DataFrame) -> pd.DataFrame:
    """Return steps, sorted by start, with starts from 0 and without the time in which nothing ran."""
    starts, shift, end = [], 0.0, None
    for start, minutes in zip(frame["start"], frame["minutes"], strict=True):
        if end is None:
            shift, end = start, start
        shift += max(0.0, start - end - _PAUSE)
        starts.append(start - shift)
        end = max(end, start + minutes)
    return frame.assign(start=starts)
