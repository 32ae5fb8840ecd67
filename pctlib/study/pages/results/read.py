"""The study's result: its runs side by side, and the index page that tells a reader what they say."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure as MatplotlibFigure

from pctlib.data.people import People
from pctlib.io import read_json
from pctlib.reporting.index import Figure, Highlight, IndexPage, Section
from pctlib.reporting.records import fill, read_history
from pctlib.reporting.run_card import RunCard, device_name, load_run_card
from pctlib.reporting.tables import Table, beside, interval_ends, mean_interval, published, signed
from pctlib.study.findings import ONE_SEED
from pctlib.study.methods import MAIN_METHODS, MEAN_POSE, trained_methods
from pctlib.study.people import load_splits
from pctlib.study.pictures import gallery_rows, person_pictures
from pctlib.study.predictions import (
    Predictions,
    choose_people,
    judge,
    load_predictions,
    mean_pose_predictions,
    person_errors,
    results_frame,
)
from pctlib.study.speed import costs
from pctlib.visualization import curves, galleries
from pctlib.workflow.layout import StudyLayout, run_name
from pctlib.workflow.pages import PAGES, page_named

_TOLERANCE = 0.1
_CARD = "run_card.json"

ABSTRACT = """
**Question.** How should a human pose be represented so that a network still gets it right when part of the
body is hidden?

**Method.** {people} people in {images} images ({source}) train each method, {val_people} others measure it,
cropped by their ground-truth boxes to {height} x {width} pixels. *PCT* writes a pose as {tokens} tokens of a
codebook of {entries} entries; the *heatmap control* is trained on the same frozen {backbone} features, for
as many epochs.

**Result.** The tokenizer gives poses back with an OKS-AP of {reconstruction_ap:.3f} and a mean error of
{reconstruction_px:.2f} image pixels. Within 0.2 of the box, PCT finds {pct_seen:.1f} % of the seen and
{pct_hidden:.1f} % of the hidden joints, the control {control_seen:.1f} % and {control_hidden:.1f} %, the mean
pose {floor_seen:.1f} % and {floor_hidden:.1f} %.{difference}

**Limits.** {limits}
"""

_WHAT_DIFFERS = (
    "*Heatmap control* and *PCT* are heads on the same frozen features, trained on the same views for the "
    "same epochs: they differ in the representation alone. *Heatmap* is the whole network that the backbone "
    "was trained in. *Mean pose* ignores the image."
)


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
        parts: step -> what its page found, of every ablation, comparison and protocol that ran.
        costs: method -> parameters, GFLOPs and speed, measured while reading.
        measured_on: device and threads of the speed.
        run_card: facts of all runs together.
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

    @classmethod
    def read(cls, layout: StudyLayout, study_dir: Path) -> "StudyResults":
        """Read the runs of a study.

        Raises:
            FileNotFoundError: if a run is missing.
            ValueError: if a run was made on other people, or by other settings than those of the study.
        """
        cards = _read_cards(layout, study_dir)
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
        parts = {
            step: read_json(study_dir / step / "metrics.json")
            for step, seed in layout.runs()
            if seed is None and step != "data"
        }
        card = _joined_card(layout, study_dir, cards)
        costs = _costs(layout, study_dir)
        measured_on = f"{device_name(str(layout.profile.torch_device))}, {torch.get_num_threads()} threads"
        return cls(layout, study_dir, people, metrics, first, tokenizer, parts, costs, measured_on, card)

    def table(self) -> Table:
        """Return the main table: measured metrics by method, means with intervals over the seeds."""
        frame = pd.DataFrame([_mean_row(method, runs) for method, runs in self.metrics.items()])
        best = {c: "min" if c.startswith("error") else "max" for c in frame.columns[1:]}
        many = len(self.layout.profile.seeds) > 1
        spread = "mean and 95 % interval over the seeds " if many else "seed "
        seeds = ", ".join(str(seed) for seed in self.layout.profile.seeds)
        caption = (
            f"**Main table.** Measured on {len(self.people)} validation people, {spread}{seeds}; "
            f"{self._flip_test}."
        )
        return Table(frame, caption, name="results", best=best)

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
        """Show PCK@0.2 of seen and of hidden joints by method."""
        return curves.bars(
            self._visibility_frame(),
            group="method",
            series="joints",
            value="PCK@0.2",
            low="low",
            high="high",
            label="share of joints within 0.2 of the longer box side",
        )

    def gallery_figure(self) -> MatplotlibFigure:
        """Show people of the least, median and largest mean errors with the poses of each method."""
        shown = {name: p for name, p in self.predictions.items() if name != MEAN_POSE}
        chosen = choose_people(np.mean([person_errors(self.people, p) for p in shown.values()], axis=0))
        rows = gallery_rows(self.people, chosen, shown)
        return galleries.prediction_gallery(rows, skeleton=self.people.skeleton, tolerance=_TOLERANCE)

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

    def summary(self) -> dict[str, Any]:
        """Return the numbers that the index's prose takes, and all metrics by method and seed."""
        profile = self.layout.profile
        pct, control, floor = (self._percent(m) for m in ("PCT", "Heatmap control", MEAN_POSE))
        return {
            "people": self.run_card.counts["training people"],
            "images": self.run_card.counts["training images"],
            "val_people": len(self.people),
            "source": self.source,
            "height": profile.crop.input_height,
            "width": profile.crop.input_width,
            "tokens": profile.tokenizer.num_tokens,
            "entries": profile.tokenizer.codebook_size,
            "backbone": profile.heatmap.backbone,
            "reconstruction_ap": float(np.mean([t["AP"] for t in self.tokenizer])),
            "reconstruction_px": float(np.mean([t["error px"] for t in self.tokenizer])),
            "pct_seen": pct[0],
            "pct_hidden": pct[1],
            "control_seen": control[0],
            "control_hidden": control[1],
            "floor_seen": floor[0],
            "floor_hidden": floor[1],
            "difference": self._difference(),
            "limits": self._limits(),
            "methods": self.metrics,
            "costs": self.costs,
            "findings": self.findings(),
        }

    def findings(self) -> dict[str, str]:
        """Return step -> what its page found, in words, in the order of the pages."""
        said = {step: found.get("headline", found.get("finding")) for step, found in self.parts.items()}
        return {step: words for step, words in said.items() if words}

    def findings_text(self) -> str:
        """Return the findings as a markdown list, each with a link to its page; what holds for all once."""
        findings = self.findings()
        if not findings:
            return "Only the main comparison ran in this profile."
        lines = [
            f"- **[{page.title}]({page.notebook}.html).** {findings[page.name].replace(ONE_SEED, '').strip()}"
            for page in PAGES
            if page.name in findings
        ]
        once = (
            f"{ONE_SEED} What each page measured in its one run; an interval below is over people, and tells "
            "networks apart, not methods:\n\n"
        )
        return ("" if len(self.layout.profile.seeds) > 1 else once) + "\n".join(lines)

    def index_page(self) -> IndexPage:
        """Return the content of the report's index."""
        numbers = self.summary()
        return IndexPage(
            title="Human pose representations",
            lead="How should a human pose be represented so that a network still gets it right when part of "
            "the body is hidden?",
            abstract=fill(ABSTRACT, numbers),
            highlights=(
                Highlight(
                    f"{numbers['reconstruction_ap']:.3f}", "OKS-AP of poses written as tokens and read back"
                ),
                Highlight(f"{numbers['pct_seen']:.1f} %", "of seen joints found by PCT (PCK@0.2)"),
                Highlight(f"{numbers['pct_hidden']:.1f} %", "of hidden joints found by PCT (PCK@0.2)"),
                Highlight(
                    f"{numbers['control_hidden']:.1f} %", "of hidden joints found by the heatmap control"
                ),
            ),
            sections=(
                Section("Findings", (self.findings_text(),)),
                self._results_section(),
                self._people_section(),
                self._learning_section(),
                self._steps(),
            ),
            run_card=self.run_card,
        )

    def _results_section(self) -> Section:
        figure = Figure(
            self.visibility_figure(),
            "**Seen and hidden joints.** Share of joints within 0.2 of the longer box side, by method.",
            "Bars of PCK at 0.2 by method, for seen and for hidden joints; the values are in the download.",
            data=self._visibility_frame(),
            name="visibility",
        )
        return Section(
            "Results",
            (
                self.table(),
                _WHAT_DIFFERS,
                self.cost_table(),
                figure,
                self.published_table(),
            ),
        )

    def _people_section(self) -> Section:
        gallery = Figure(
            self.gallery_figure(),
            "**Predictions.** The validation people with the least, median and largest mean error over the "
            f"methods. Hidden joints found within {_TOLERANCE} of the longer box side are ringed green, "
            "missed ones red.",
            "Rows of people: the image, the annotated pose and the pose found by each method.",
            name="gallery",
        )
        rows = range(0, min(180, len(self.people)), 10)
        sheet = galleries.contact_sheet(
            *person_pictures(self.people, rows, size=160).columns(), skeleton=self.people.skeleton, columns=6
        )
        contact = Figure(
            sheet,
            "**Contact sheet.** Every tenth of the first validation people; seen joints filled, hidden ones "
            "hollow.",
            "A grid of people with their annotated skeletons.",
            name="contact_sheet",
        )
        return Section("People", (gallery, contact))

    def _learning_section(self) -> Section:
        seed = self.layout.profile.seeds[0]
        blocks = []
        for title, step, below, wanted in (
            ("Tokenizer", "tokenizer", ".", ["val_error px", "val_AP"]),
            ("Heatmap backbone", "heatmap", ".", ["val_PCK@0.2 seen", "val_PCK@0.2 hidden"]),
            ("Token classifier", "classifier", ".", ["val_PCK@0.2 seen", "val_PCK@0.2 hidden"]),
        ):
            history = read_history(self.study_dir / run_name(step, seed) / below / "history.jsonl")
            metrics = [name for name in wanted if name in history.columns]
            blocks.append(
                Figure(
                    curves.learning_curves(history, metrics=metrics),
                    f"**{title}.** Training loss and validation metrics by epoch, seed {seed}.",
                    f"Curves of {', '.join(['the training loss', *metrics])} by epoch; see the download.",
                    data=history,
                    name=f"learning_{step}",
                )
            )
        return Section("Learning curves", tuple(blocks))

    def _steps(self) -> Section:
        links = "\n".join(f"- [{title}]({file})" for title, file in self.layout.pages()[1:])
        return Section(
            "Every step", (f"Each step is a notebook; its page shows code, figures and run card.\n\n{links}",)
        )

    def _visibility_frame(self) -> pd.DataFrame:
        rows = [
            {"method": method, "joints": kind} | interval_ends(mean_interval(values))
            for method, runs in self.metrics.items()
            for kind in ("seen", "hidden")
            if np.isfinite(values := [m[f"PCK@0.2 {kind}"] for m in runs]).all()
        ]
        return pd.DataFrame(rows).rename(columns={"value": "PCK@0.2"})

    def _percent(self, method: str) -> tuple[float, float]:
        return tuple(
            100 * float(np.mean([m[f"PCK@0.2 {kind}"] for m in self.metrics[method]]))
            for kind in ("seen", "hidden")
        )

    def _difference(self) -> str:
        """Return how far PCT is from its control, paired by seed; empty for one seed, which shows nothing."""
        if len(self.layout.profile.seeds) == 1:
            return ""
        changes = []
        for kind in ("seen", "hidden"):
            sides = (
                [m[f"PCK@0.2 {kind}"] for m in self.metrics[name]] for name in ("PCT", "Heatmap control")
            )
            change = 100 * np.subtract(*sides)
            if np.isfinite(change).all():
                changes.append(f"{signed(mean_interval(change), 2)} points on {kind} joints")
        if not changes:
            return ""
        seeds = len(self.layout.profile.seeds)
        return f" PCT minus control: {' and '.join(changes)} (95 % intervals over {seeds} seeds)."

    def _limits(self) -> str:
        profile = self.layout.profile
        seeds = len(profile.seeds)
        runs = "one seed, so no interval" if seeds == 1 else f"{seeds} seeds"
        people = "procedural people" if self.layout.dataset == "procedural" else "people"
        return (
            f"This is the {profile.name} profile ({profile.description.rstrip('.')}), with {runs}. The "
            f"numbers are of {people} in ground-truth boxes: they compare methods with each other, and are "
            "no benchmark scores."
        )


def _costs(layout: StudyLayout, study_dir: Path) -> dict[str, dict[str, float]]:
    """Return what the estimators of the first seed cost, measured now."""
    seed, profile = layout.profile.seeds[0], layout.profile
    loaders = trained_methods(study_dir, [seed])
    models = {method: of_seed[seed]()[:2] for method, of_seed in loaders.items()}
    return costs(models, device=profile.torch_device)


def _mean_row(method: str, runs: list[dict[str, float]]) -> dict[str, Any]:
    """Return a method's row of the main table: means with intervals over its runs; NaN where undefined."""
    frame = results_frame({str(number): metrics for number, metrics in enumerate(runs)})
    columns = frame.drop(columns="method")
    means = {name: mean_interval(v) if np.isfinite(v).all() else np.nan for name, v in columns.items()}
    return {"method": method, **means}


def _measured_people(val: People, run: Path) -> People:
    """Return the validation people that could be measured: those whose image could be read."""
    with np.load(run / "predictions.npz", allow_pickle=False) as archive:
        return val.select(np.isin(val.annotation_ids, archive["annotation_ids"]))


def _read_cards(layout: StudyLayout, study_dir: Path) -> dict[tuple[str, int | None], RunCard]:
    """Return the card of every run by page and seed.

    Raises:
        FileNotFoundError: if a run is missing.
        ValueError: if a run has other settings than the study asks for; names the run.
    """
    cards = {}
    for step, seed in layout.runs():
        path = study_dir / run_name(step, seed) / _CARD
        cards[step, seed] = card = load_run_card(path)
        if card.settings != layout.settings(page_named(step), seed):
            raise ValueError(
                f"{path.parent}: this run was made by other settings than those of profile "
                f"{layout.profile.name} on {layout.dataset}; run the study again, or its notebook with these"
            )
    return cards


def _joined_card(
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
