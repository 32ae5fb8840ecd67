"""Which representation knows best when it is wrong: scores of joints against what they should tell."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from pctlib.data.people import People
from pctlib.inference.calibration import calibrate, cross_calibrated
from pctlib.metrics.coco import coco_ap
from pctlib.metrics.confidence import separation
from pctlib.reporting.tables import Interval, mean_interval, signed
from pctlib.study.crops import Crops, predict_people
from pctlib.study.pages.comparison.networks import FROZEN, Variant
from pctlib.study.pages.comparison.trainings import PCT
from pctlib.study.predictions import Predictions, load_predictions
from pctlib.study.runs import load_estimator
from pctlib.study.variants import run_folder

FOUND, SEEN = "found above missed joints (%)", "seen above hidden joints (%)"
ERROR, AP, CALIBRATED = "calibration error (points)", "OKS-AP (%)", "OKS-AP by calibrated scores (%)"
PUBLISHED_SCORE = "one score a person, as published"


def confidence_of(people: People, found: Predictions) -> dict[str, float]:
    """Return what the scores of one network tell, in per cent and points.

    A joint is found where its term of the OKS is at least 1/2. What needs a fit is measured on the half of
    the images that it was not made on.

    Args:
        people: N people that were measured.
        found: their poses and scores.
    """
    keypoints, scores = found.keypoints_image, found.scores
    fitted = calibrate(people, keypoints, scores)
    labelled = people.labelled
    told = cross_calibrated(people, keypoints, scores)
    return {
        FOUND: 100 * fitted.separation,
        SEEN: 100 * separation(scores[labelled], people.visible[labelled] == 2),
        ERROR: 100 * fitted.error,
        AP: 100 * coco_ap(people, keypoints, scores)["AP"],
        CALIBRATED: 100 * coco_ap(people, keypoints, told)["AP"],
    }


def confidence_table(
    folder: str | Path,
    seeds: Sequence[int],
    variants: Mapping[str, Variant],
    crops: Crops,
    *,
    flip_test: bool,
    device: str,
) -> pd.DataFrame:
    """Return one row a head on the frozen features, means with intervals over the seeds.

    Tokens have two rows: the score of each joint, from the spread that doubt about the tokens leaves, and the
    published one, which is one number for all joints of a person.

    Args:
        folder: of the page, with a folder a seed and in it one a variant; those that failed are left out.
        seeds: of the runs.
        variants: of the profile.
        crops: of the validation people.
        flip_test: merge mirrored images, as the runs were measured.
        device: where networks run.
    """
    rows = []
    for name, variant in variants.items():
        runs = [run_folder(Path(folder) / f"seed{seed}", name) for seed in seeds]
        runs = [run for run in runs if variant.kind == FROZEN and (run / "model.safetensors").is_file()]
        if not runs:
            continue
        kept = [load_predictions(run / "predictions.npz", crops.people) for run in runs]
        scored = {variant.title: kept}
        if variant.representation == PCT:
            by_joint = [_by_joint(run, crops, flip_test=flip_test, device=device) for run in runs]
            scored = {variant.title: by_joint, f"{variant.title}: {PUBLISHED_SCORE}": kept}
        for title, found in scored.items():
            values = [confidence_of(crops.people, one) for one in found]
            means = {key: _mean([value[key] for value in values]) for key in values[0]}
            rows.append({"representation": title, **means})
    return pd.DataFrame(rows, columns=["representation", FOUND, SEEN, ERROR, AP, CALIBRATED])


def _mean(values: Sequence[float]) -> Interval | float:
    """Return the mean over the seeds, NaN where no seed has a value: all joints found, or none."""
    return float("nan") if all(map(math.isnan, values)) else mean_interval(values)


def _by_joint(run: Path, crops: Crops, *, flip_test: bool, device: str) -> Predictions:
    """Return the poses of a token head with a score for each joint, which its run has not kept."""
    model = load_estimator(run).model.to(device)
    return predict_people(model, crops, flip_test=flip_test, joint_scores=True)


def confidence_finding(table: pd.DataFrame) -> str:
    """Return in words whose scores tell found from missed joints best, and what calibration does to AP."""
    if table.empty:
        return "no head was trained, so that no score can be judged."
    known = table[[not math.isnan(float(entry)) for entry in table[FOUND]]].reset_index(drop=True)
    if known.empty:
        return "every joint is found, or none, so that no score can tell them apart."
    order = sorted(range(len(known)), key=lambda row: float(known[FOUND][row]))
    best, worst = order[-1], order[0]
    gain = [float(b) - float(a) for a, b in zip(table[AP], table[CALIBRATED], strict=True)]
    high, low = (float(known[FOUND][row]) for row in (best, worst))
    return (
        f"{known.representation[best]} knows best when it is wrong: a found joint scores more than a missed "
        f"one in {high:.0f} % of the pairs, against {low:.0f} % of {known.representation[worst]} (50 % is "
        f"chance). Calibration changes AP by {signed(min(gain))} to {signed(max(gain))} points."
    )
