"""The index page, which tells a reader what the study found, and the numbers that its prose takes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pctlib.paths import project_root
from pctlib.reporting.index import Answer, Card, Figure, Highlight, IndexPage, Section, card_of, said
from pctlib.reporting.provenance import Provenance
from pctlib.reporting.records import fill, read_history
from pctlib.reporting.run_card import git_revision, now
from pctlib.reporting.tables import ONE_SEED, mean_interval, signed
from pctlib.study.methods import MEAN_POSE
from pctlib.study.pages.results import answer, committed
from pctlib.study.pages.results.made import steps_read
from pctlib.study.pages.results.read import TOLERANCE, StudyResults
from pctlib.study.pictures import person_pictures
from pctlib.visualization import curves, galleries, timeline
from pctlib.workflow.layout import StudyLayout, run_name
from pctlib.workflow.pages import PAGES, page_named

METHOD = """
**Method.** {people} people in {images} images ({source}) train each method, {val_people} others measure it,
cropped by their ground-truth boxes to {height} x {width} pixels. *PCT* writes a pose as {tokens} tokens of a
codebook of {entries} entries, and gives poses back with a mean error of {reconstruction_px:.2f} image pixels;
the *heatmap control* is trained on the same frozen {backbone} features, for as many epochs. A joint is found
if it lies within 0.1 of the longer side of the person's box (PCK@0.1); it is hidden if anything covers it,
the own body included, or the frame cuts it off.

**Limits.** {limits}
"""

_WHAT_DIFFERS = (
    "*Heatmap control* and *PCT* are heads on the same frozen features, trained on the same views for the "
    "same epochs: they differ in the representation alone. *Heatmap* is the whole network that the backbone "
    "was trained in. *Mean pose* ignores the image."
)


def summary(results: StudyResults) -> dict[str, Any]:
    """Return the numbers that the index's prose takes, and all metrics by method and seed."""
    profile = results.layout.profile
    pct, control, floor = (_percent(results, m) for m in ("PCT", "Heatmap control", MEAN_POSE))
    return {
        "people": results.run_card.counts["training people"],
        "images": results.run_card.counts["training images"],
        "val_people": len(results.people),
        "source": results.source,
        "height": profile.crop.input_height,
        "width": profile.crop.input_width,
        "tokens": profile.tokenizer.num_tokens,
        "entries": profile.tokenizer.codebook_size,
        "backbone": profile.heatmap.backbone,
        "reconstruction_ap": float(np.mean([t["AP"] for t in results.tokenizer])),
        "reconstruction_px": float(np.mean([t["error px"] for t in results.tokenizer])),
        "pct_seen": pct[0],
        "pct_hidden": pct[1],
        "control_seen": control[0],
        "control_hidden": control[1],
        "floor_seen": floor[0],
        "floor_hidden": floor[1],
        "difference": _difference(results),
        "limits": _limits(results),
        "methods": results.metrics,
        "costs": results.costs,
        "findings": findings(results),
    }


def findings(results: StudyResults) -> dict[str, str]:
    """Return step -> what its page found, in words, in the order of the pages."""
    found = {step: said(metrics) for step, metrics in results.parts.items()}
    return {step: words for step, words in found.items() if words}


def findings_text(results: StudyResults) -> str:
    """Return the findings as a markdown list, each with a link to its page; what holds for all once."""
    found = findings(results)
    if not found:
        return "Only the main comparison ran in this profile."
    lines = [
        f"- **[{page.title}]({page.notebook}.html).** {found[page.name].replace(ONE_SEED, '').strip()}"
        for page in PAGES
        if page.name in found
    ]
    return "\n".join([*([_seeds_note(results), ""] if _seeds_note(results) else []), *lines])


def _seeds_note(results: StudyResults) -> str:
    """Return how to read what one seed measured; empty for several."""
    if len(results.layout.profile.seeds) > 1:
        return ""
    return (
        f"{ONE_SEED} This is what each page measured in its one run; an interval is over people, and tells "
        "networks apart, not methods."
    )


def cards(results: StudyResults) -> tuple[Card, ...]:
    """Return a card for each page but that of the results: its question, and what it found."""
    finding = findings(results)
    found: dict[str, Card] = {}
    for (name, seed), (title, file) in zip(results.layout.runs(), results.layout.pages()[1:], strict=False):
        to_come = (name, seed) in results.to_come
        card = card_of(title, file, page_named(name).question, finding.get(name, ""), to_come=to_come)
        found.setdefault(name, card)  # of several seeds the first
    return tuple(found.values())


def index_page(results: StudyResults) -> IndexPage:
    """Return the content of the report's index."""
    numbers = summary(results)
    return IndexPage(
        title="Human pose representations",
        lead="How should a human pose be represented so that a network still gets it right when part of "
        "the body is hidden?",
        answer=_answer(results, numbers),
        cards=cards(results),
        cards_note=_seeds_note(results),
        sections=(
            Section("How it was measured", (fill(METHOD, numbers),)),
            *_results_sections(results),
            *_longer_section(results.layout),
            _people_section(results),
            _learning_section(results),
            *_made_section(results),
        ),
        run_card=results.run_card,
    )


def provenance(layout: StudyLayout) -> Provenance:
    """Return where the index of a study comes from."""
    notebook = f"notebooks/{page_named('results').notebook}.ipynb"
    return Provenance(notebook, layout.command, git_revision(project_root()), now())


def _answer(results: StudyResults, numbers: Mapping[str, Any]) -> Answer:
    figure = Figure(
        answer.dots_figure(results),
        "**Found within 0.1 of the box**, by method; lines are 95 % intervals over "
        f"{answer.over(results)}; dashed: the mean pose, which ignores the image.",
        "Dots of PCK at 0.1 by method, for seen and for hidden joints; the values are in the download.",
        data=answer.dots_frame(results),
        name="answer",
    )
    picture = Figure(
        answer.example_figure(results),
        "**One person**, of median error. Truth: seen joints filled, hidden ones hollow. Hidden joints that "
        "a method finds are ringed green, missed ones red and dashed.",
        "A person with the true pose, and with the poses found by heatmaps and by tokens.",
        name="example",
    )
    highlights = (
        Highlight(f"{numbers['pct_hidden']:.1f} %", "of hidden joints found by PCT (PCK@0.1)"),
        Highlight(f"{numbers['control_hidden']:.1f} %", "of hidden joints found by the heatmap control"),
        Highlight(f"{numbers['floor_hidden']:.1f} %", "of hidden joints found by the mean pose"),
        Highlight(
            f"{100 * numbers['reconstruction_ap']:.1f} %", "OKS-AP of poses written as tokens and read back"
        ),
    )
    return Answer(answer.verdict(results), figure, highlights, picture)


def _results_sections(results: StudyResults) -> tuple[Section, ...]:
    return (
        Section("Main table", (results.table(), _WHAT_DIFFERS)),
        Section("What the methods cost", (results.cost_table(),), folded=True),
        Section("Beside the papers", (results.published_table(),), folded=True),
    )


def _longer_section(layout: StudyLayout) -> tuple[Section, ...]:
    """Return what `extended` found, beside a study that is shorter; nothing where it is not committed."""
    numbers = committed.longer(project_root())
    if numbers is None or layout.dataset != "procedural" or layout.profile.name == committed.LONGER:
        return ()
    table = committed.main_table(numbers)
    words = (
        f"Not this run: the profile *{committed.LONGER}*, {numbers['people']:,} people and hours on two "
        "cores; its files are in `docs/results`. "
        + " ".join(f"Of {kind} joints: {committed.sentence(numbers, kind)}." for kind in answer.KINDS)
    )
    return (Section("What the longer study found", (words, table)),)


def _people_section(results: StudyResults) -> Section:
    gallery = Figure(
        results.gallery_figure(),
        "**Predictions.** The validation people with the least, median and largest mean error over the "
        f"methods. Hidden joints found within {TOLERANCE} of the longer box side are ringed green, "
        "missed ones red.",
        "Rows of people: the image, the annotated pose and the pose found by each method.",
        name="gallery",
    )
    rows = range(0, min(180, len(results.people)), 10)
    sheet = galleries.contact_sheet(
        *person_pictures(results.people, rows, size=160).columns(),
        skeleton=results.people.skeleton,
        columns=6,
    )
    contact = Figure(
        sheet,
        "**Contact sheet.** Every tenth of the first validation people; seen joints filled, hidden ones "
        "hollow.",
        "A grid of people with their annotated skeletons.",
        name="contact_sheet",
    )
    return Section("People", (gallery, contact))


def _learning_section(results: StudyResults) -> Section:
    seed = results.layout.profile.seeds[0]
    blocks = []
    for title, step, below, wanted in (
        ("Tokenizer", "tokenizer", ".", ["val_error px", "val_AP"]),
        ("Heatmap backbone", "heatmap", ".", ["val_PCK@0.1 seen", "val_PCK@0.1 hidden"]),
        ("Token classifier", "classifier", ".", ["val_PCK@0.1 seen", "val_PCK@0.1 hidden"]),
    ):
        history = read_history(results.study_dir / run_name(step, seed) / below / "history.jsonl")
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
    return Section("Learning curves", tuple(blocks), folded=True)


def _made_section(results: StudyResults) -> tuple[Section, ...]:
    """Return what ran when, and what it read; nothing where no card tells."""
    steps = results.steps
    if steps.empty:
        return ()
    figure = Figure(
        timeline.timeline(steps, edges=steps_read(results.layout, steps)),
        "**How this report was made.** Minutes of work of every step, the main comparison in dark; lines "
        "lead from what a step reads. Time in which nothing ran is left out, as are the start of Python and "
        "drawing.",
        "Bars over time, one a step of the study; the values are in the download.",
        data=steps,
        name="steps",
    )
    return (Section("How this report was made", (figure,), folded=True),)


def _percent(results: StudyResults, method: str) -> tuple[float, float]:
    return tuple(
        100 * float(np.mean([m[f"PCK@0.1 {kind}"] for m in results.metrics[method]]))
        for kind in ("seen", "hidden")
    )


def _difference(results: StudyResults) -> str:
    """Return how far PCT is from its control, paired by seed; empty for one seed, which shows nothing."""
    if len(results.layout.profile.seeds) == 1:
        return ""
    changes = []
    for kind in ("seen", "hidden"):
        sides = ([m[f"PCK@0.1 {kind}"] for m in results.metrics[name]] for name in ("PCT", "Heatmap control"))
        change = 100 * np.subtract(*sides)
        if np.isfinite(change).all():
            changes.append(f"{signed(mean_interval(change), 2)} points on {kind} joints")
    if not changes:
        return ""
    seeds = len(results.layout.profile.seeds)
    return f" PCT minus control: {' and '.join(changes)} (95 % intervals over {seeds} seeds)."


def _limits(results: StudyResults) -> str:
    profile = results.layout.profile
    seeds = len(profile.seeds)
    runs = "one seed, so no interval" if seeds == 1 else f"{seeds} seeds"
    people = "procedural people" if results.layout.dataset == "procedural" else "people"
    return (
        f"This is the {profile.name} profile ({profile.description.rstrip('.')}), with {runs}. The "
        f"numbers are of {people} in ground-truth boxes: they compare methods with each other, and are "
        "no benchmark scores."
    )
