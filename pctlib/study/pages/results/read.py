"""The study's result: what its runs left behind, side by side."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure as MatplotlibFigure

from pctlib.data.people import People
from pctlib.io import read_json
from pctlib.reporting.columns import column
from pctlib.reporting.run_card import RunCard, device_name
from pctlib.reporting.tables import Table, beside, interval_ends, mean_interval, published
from pctlib.study.methods import MAIN_METHODS, MEAN_POSE, trained_methods
from pctlib.study.pages.results.cards import joined_card, read_cards
from pctlib.study.pages.results.made import steps_frame
from pctlib.study.people import load_splits
from pctlib.study.pictures import gallery_rows
from pctlib.study.predictions import (
    Predictions,
    choose_people,
    judge,
    load_predictions,
    mean_pose_predictions,
    person_errors,
)
from pctlib.study.speed import costs
from pctlib.study.variants import interval_of
from pctlib.visualization import curves, galleries
from pctlib.workflow.layout import StudyLayout, run_name

METRICS = (
    *("PCK@0.1 seen", "PCK@0.1 hidden", "AP", "PCK@0.2 seen", "PCK@0.2 hidden"),
    *("AR", "NME seen", "NME hidden"),
)
TOLERANCE = 0.1  # of the longer box side, for the rings of the gallery
MANY_JOINTS = 12  # labelled joints of a person worth showing


@dataclass
class StudyResults:
    """Everything the runs of a study left behind.

    Attributes:
        layout: of the study.
        study_dir: folder of the study.
        people: validation people that every method was measured on.
        metrics: method -> metrics of each seed.
        predictions: method -> predictions of the first seed.
        tokenizer: reconstruction metrics of each seed.
        parts: step -> what its page found, of those with a run for each seed the first.
        costs: method -> parameters, GFLOPs and speed, measured while reading.
        measured_on: device and threads of the speed.
        run_card: facts of all runs together.
        to_come: runs that are still being made, by name and seed.
        steps: how the study was made, `steps_frame`.
    """

    layout: StudyLayout
    study_dir: Path
    people: People
    metrics: dict[str, list[dict[str, float]]]
    predictions: dict[str, Predictions]
    tokenizer: list[dict[str, Any]]
    parts: dict[str, dict[str, Any]]
    costs: dict[str, dict[str, float]]
    measured_on: str
    run_card: RunCard
    to_come: tuple[tuple[str, int | None], ...] = ()
    steps: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def read(cls, layout: StudyLayout, study_dir: Path, *, so_far: bool = False) -> "StudyResults":
        """Read the runs of a study.

        Args:
            layout: of the study.
            study_dir: its folder.
            so_far: do without the runs that are still being made; those of the main comparison must be there.

        Raises:
            FileNotFoundError: if a run is missing.
            ValueError: if a run was made on other people, or by other settings than those of the study.
        """
        cards = read_cards(layout, study_dir, so_far=so_far)
        splits = load_splits(layout.dataset, layout.profile, root=layout.root, progress=False)
        people = _measured_people(splits.val, study_dir / run_name("heatmap", layout.profile.seeds[0]))
        floor = mean_pose_predictions(splits.train, people, layout.profile.crop)
        metrics = {MEAN_POSE: [judge(people, floor)]}
        first = {MEAN_POSE: floor}
        for method, folder in MAIN_METHODS.items():
            runs = [
                load_predictions(study_dir / folder.format(seed=seed) / "predictions.npz", people)
                for seed in layout.profile.seeds
            ]
            metrics[method] = [judge(people, run) for run in runs]
            first[method] = runs[0]
        tokenizer = [
            read_json(study_dir / run_name("tokenizer", seed) / "metrics.json")
            for seed in layout.profile.seeds
        ]
        first_seed = (None, layout.profile.seeds[0])
        parts = {
            step: read_json(study_dir / run_name(step, seed) / "metrics.json")
            for step, seed in cards
            if seed in first_seed
        }
        card = joined_card(layout, study_dir, cards)
        costs = _costs(layout, study_dir)
        measured_on = f"{device_name(str(layout.profile.torch_device))}, {torch.get_num_threads()} threads"
        to_come = tuple(run for run in layout.runs() if run not in cards)
        return cls(
            layout,
            study_dir,
            people,
            metrics,
            first,
            tokenizer,
            parts,
            costs,
            measured_on,
            card,
            to_come,
            steps_frame(layout, study_dir, cards),
        )

    def table(self) -> Table:
        """Return the main table: measured metrics by method, means with intervals over the seeds."""
        frame = pd.DataFrame([mean_row(method, runs) for method, runs in self.metrics.items()])
        many = len(self.layout.profile.seeds) > 1
        spread = "mean and 95 % interval over the seeds " if many else "seed "
        seeds = ", ".join(str(seed) for seed in self.layout.profile.seeds)
        caption = (
            f"**Main table.** Measured on {len(self.people)} validation people, {spread}{seeds}; "
            f"{self._flip_test}."
        )
        return Table(frame, caption, name="results")

    def cost_table(self) -> Table:
        """Return parameters, multiply-adds and speed by method."""
        frame = pd.DataFrame([{"method": method} | costs for method, costs in self.costs.items()])
        caption = (
            "**What they cost.** Parameters and multiply-adds of one image; speed of prediction: "
            f"{self.measured_on}, without flip test."
        )
        return Table(frame, caption, name="costs", best={"images/s": "max"})

    @property
    def _flip_test(self) -> str:
        """Which of the networks are measured with mirrored images merged."""
        heatmap, heads = self.layout.profile.heatmap.flip_test, self.layout.profile.classifier.flip_test
        if heatmap == heads:
            return "flip test" if heads else "no flip test"
        return f"flip test of {'the whole network' if heatmap else 'the heads'} alone"

    def visibility_figure(self) -> MatplotlibFigure:
        """Show PCK@0.1 of seen and of hidden joints by method."""
        return curves.bars(
            self.visibility_frame(),
            group="method",
            series="joints",
            value="PCK@0.1",
            low="low",
            high="high",
            label="share of joints within 0.1 of the longer box side",
        )

    def gallery_figure(self) -> MatplotlibFigure:
        """Show people of the least, median and largest mean errors with the poses of each method."""
        shown = {name: p for name, p in self.predictions.items() if name != MEAN_POSE}
        errors = np.mean([person_errors(self.people, p) for p in shown.values()], axis=0)
        whole = self.people.labelled.sum(1) >= MANY_JOINTS
        chosen = choose_people(np.where(whole, errors, np.nan) if whole.any() else errors)
        rows = gallery_rows(self.people, chosen, shown)
        return galleries.prediction_gallery(rows, skeleton=self.people.skeleton, tolerance=TOLERANCE)

    def published_table(self) -> Table:
        """Return AP of the papers beside AP of this study."""
        paper = published("coco_body_pct_table1")
        paper = pd.DataFrame(
            {
                "method": [f"{r.method}, {r.backbone}, {r.input_size}" for r in paper.itertuples()],
                "COCO val AP": paper.val_ap.to_numpy(),
                "GFLOPs": paper.gflops.to_numpy(),
                "images/s, their GPU": paper.fps.to_numpy(),
            }
        )
        crop, backbone = self.layout.profile.crop, self.layout.profile.heatmap.backbone
        measured = pd.DataFrame(
            [
                {
                    "method": f"{method}, {backbone}, {crop.input_height}x{crop.input_width}",
                    f"{self.source} AP": 100 * np.mean([m.get("AP", np.nan) for m in self.metrics[method]]),
                    **self.costs.get(method, {}),
                }
                for method in MAIN_METHODS
            ]
        )
        caption = (
            "**Beside the papers.** Published: COCO val2017, detector boxes (Geng et al. 2023, table 1). "
            f"Measured: {self.source}, ground-truth boxes, the {self.layout.profile.name} profile."
        )
        return Table(beside(paper, measured, on="method"), caption, name="published")

    @property
    def source(self) -> str:
        """Name of the data set."""
        return "procedural people" if self.layout.dataset == "procedural" else self.layout.dataset.upper()

    def visibility_frame(self) -> pd.DataFrame:
        """Return the bars of `visibility_figure`."""
        rows = [
            {"method": method, "joints": kind} | interval_ends(mean_interval(values))
            for method, runs in self.metrics.items()
            for kind in ("seen", "hidden")
            if np.isfinite(values := [m[f"PCK@0.1 {kind}"] for m in runs]).all()
        ]
        return pd.DataFrame(rows).rename(columns={"value": "PCK@0.1"})


def _costs(layout: StudyLayout, study_dir: Path) -> dict[str, dict[str, float]]:
    """Return what the estimators of the first seed cost, measured now."""
    seed, profile = layout.profile.seeds[0], layout.profile
    loaders = trained_methods(study_dir, [seed])
    models = {method: of_seed[seed]()[:2] for method, of_seed in loaders.items()}
    return costs(models, device=profile.torch_device)


def mean_row(method: str, runs: list[dict[str, float]]) -> dict[str, Any]:
    """Return a method's row of the main table: means with intervals over its runs; NaN where undefined."""
    frame, row = pd.DataFrame(runs), {"method": method}
    for metric in METRICS:
        known = metric in frame and np.isfinite(frame[metric]).all()
        shown = column(metric)
        row[shown.heading] = interval_of(frame, metric, shown.scale) if known else np.nan
    return row


def _measured_people(val: People, run: Path) -> People:
    """Return the validation people that could be measured: those whose image could be read."""
    with np.load(run / "predictions.npz", allow_pickle=False) as archive:
        return val.select(np.isin(val.annotation_ids, archive["annotation_ids"]))
