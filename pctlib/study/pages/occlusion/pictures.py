"""Pictures of the occlusion protocol: who is shown follows from the errors, never from a choice by hand."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from pctlib.data.crops import transform_points
from pctlib.data.occlusion.levels import KINDS, View
from pctlib.reporting.walks import Backdrop, Walk, WalkExplorer
from pctlib.study.pages.occlusion.people import Source
from pctlib.study.pages.occlusion.protocol import OcclusionRun, cut_out, view_table
from pctlib.study.predictions import choose_people
from pctlib.visualization.galleries import GalleryRow
from pctlib.visualization.occlusion import StripRow

_PADDING = 1.25


def hidden_errors(run: OcclusionRun, methods: Sequence[str], *, kind: str, level: int) -> np.ndarray:
    """Return [N] mean error of hidden joints over methods and seeds; NaN for people with none hidden."""
    place = run.kinds.index(kind), level
    hidden = run.visible[place] == 1  # [N, K]
    errors = [run.errors(m, seed)[place] for m in methods for seed in run.predictions[m]]
    total = np.where(hidden, np.mean(errors, axis=0), 0).sum(axis=1)
    return np.divide(total, hidden.sum(axis=1), out=np.full(len(total), np.nan), where=hidden.any(axis=1))


def gallery(
    run: OcclusionRun,
    source: Source,
    methods: Sequence[str],
    *,
    level: int | None = None,
    kinds: Sequence[str] | None = None,
    size: int = 224,
) -> list[GalleryRow]:
    """Return, for each kind, the people whose hidden joints have the least, median and largest mean error.

    Args:
        run: of the protocol.
        source: of its people; their pictures are made again.
        methods: whose mean error chooses, and that are shown, with their first seed.
        level: that is shown; None for the middle one.
        kinds: of occlusion; None for those of the run.
        size: side of the square pictures, pixels.
    """
    level = len(run.wanted) // 2 if level is None else level
    rows = []
    for kind in kinds or run.kinds:
        errors = hidden_errors(run, methods, kind=kind, level=level)
        for person, why in choose_people(errors, best=1, median=1, worst=1):
            view = source.views(person, kind)[level]
            label = f"{KINDS[kind]}, level {level}\n{why}"
            rows.append(_picture(run, view, (kind, level, person), methods, label, size))
    return rows


def median_person(run: OcclusionRun, methods: Sequence[str]) -> int:
    """Return who has the median error of hidden joints, averaged over methods, kinds and levels above 0.

    Levels that hide nothing of a person do not count for this person; the first person where none has hidden
    joints.
    """
    errors = [
        hidden_errors(run, methods, kind=kind, level=level)
        for kind in run.kinds
        for level in range(1, len(run.wanted))
    ]
    means = pd.DataFrame(errors).mean()  # of those that are known
    if means.isna().all():
        return 0
    [(person, _)] = choose_people(means.to_numpy(), best=0, median=1, worst=0)
    return person


def protocol_strip(run: OcclusionRun, source: Source, person: int, *, size: int = 160) -> list[StripRow]:
    """Return one person at every level of every kind, with the true pose."""
    return [
        StripRow(KINDS[kind], _cells(run, source, person, kind, [], size, with_share=False))
        for kind in run.kinds
    ]


def method_strip(
    run: OcclusionRun, source: Source, person: int, methods: Sequence[str], *, kind: str, size: int = 160
) -> list[StripRow]:
    """Return one person at every level of one kind: the true pose, then what each method found."""
    cells = _cells(run, source, person, kind, methods, size, with_share=True)
    return [StripRow("Ground truth", cells), *(StripRow(method, cells, method) for method in methods)]


def level_walks(
    run: OcclusionRun, source: Source, person: int, methods: Sequence[str], *, size: int = 240
) -> WalkExplorer:
    """Return one person for a reader who chooses kind, method and level; lengths in per cent of the box.

    Args:
        run: of the protocol.
        source: of its people; the pictures are made again.
        person: which of them.
        methods: that may be chosen, with their first seed.
        size: side of the square pictures, pixels.
    """
    poses, backdrops = {}, {}
    for kind in run.kinds:
        cells = _cells(run, source, person, kind, methods, size, with_share=True)
        scale = 100 / cells[0].length
        truth = np.where(cells[0].visible[:, None] > 0, cells[0].truth, np.nan)
        names = ["of none: the true pose", *(cell.label.removeprefix("level ") for cell in cells)]
        poses[KINDS[kind]] = [
            Walk(method, names, scale * np.stack([truth, *(cell.predictions[method] for cell in cells)]))
            for method in methods
        ]
        backdrops[KINDS[kind]] = Backdrop(np.stack([cell.image for cell in cells]), scale)
    label = "A person at one level of occlusion, the true pose in white, and in colour what a method finds"
    controls = ("Hidden by", "Method", "Level")
    return WalkExplorer(label, poses, run.skeleton, "% of the box", controls, backdrops)


def _cells(
    run: OcclusionRun,
    source: Source,
    person: int,
    kind: str,
    methods: Sequence[str],
    size: int,
    *,
    with_share: bool,
) -> list[GalleryRow]:
    cells = []
    for level, view in enumerate(source.views(person, kind)):
        share = view.share if with_share else run.wanted[level]
        label = f"level {level}: {100 * share:.0f} %"
        cells.append(_picture(run, view, (kind, level, person), methods, label, size))
    return cells


def _picture(
    run: OcclusionRun,
    view: View,
    place: tuple[str, int, int],
    methods: Sequence[str],
    label: str,
    size: int,
) -> GalleryRow:
    """Return the crop of a view, with what the methods found at (kind, level, person)."""
    kind, level, person = place
    patches = cut_out(view_table([view], run.skeleton), [view], (size, size), padding=_PADDING)
    found = {}
    for method in methods:
        first = next(iter(run.predictions[method].values()))
        found[method] = _moved(patches.affines, first[run.kinds.index(kind), level, person])
    return GalleryRow(
        image=patches[0]["patch"].permute(1, 2, 0).numpy(),
        truth=_moved(patches.affines, view.keypoints_image),
        visible=view.visible,
        predictions=found,
        length=float(view.box_xywh[2:].max() * patches.affines[0, 0, 0]),
        label=label,
    )


def _moved(affines: torch.Tensor, points: np.ndarray) -> np.ndarray:
    return transform_points(affines, torch.from_numpy(points).float()[None])[0].numpy()
