"""What masked pretraining gave: filled-in crops, the table of the variants, and the finding in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pctlib.models.mae import MaskedAutoencoder, draw_visible, hide
from pctlib.profiles.pages import MaskedProfile
from pctlib.study.findings import difference_in_words, failures, one_seed_note
from pctlib.study.inside import crop_pictures
from pctlib.study.pages.masked.study import MaskedStudy
from pctlib.study.pages.masked.trainings import LONGER, PRETRAINED, SCRATCH, VARIANTS
from pctlib.study.predictions import choose_people
from pctlib.study.variants import ACCURACY, summarise


@torch.inference_mode()
def restored_crops(study: MaskedStudy, model: MaskedAutoencoder, *, each: int = 2) -> dict[str, Any]:
    """Return the arguments of `masked_gallery`: crops of the least, median and largest error.

    Args:
        study: whose validation people are shown.
        model: trained.
        each: how many crops of each kind.
    """
    batches = list(study.task(model).validation(model.eval()))
    errors = torch.cat([model.errors(model(*batch), *batch) for batch in batches]).cpu().numpy()
    chosen = choose_people(errors, best=each, median=each, worst=each)
    rows = [row for row, _ in chosen]
    images, visible = (torch.cat(parts)[rows] for parts in zip(*batches, strict=True))
    titles = [f"{why}\n{errors[row]:.2f}" for row, why in chosen]
    return {**_pictures(model, images, visible), "titles": titles}


@torch.inference_mode()
def masked_at(model: MaskedAutoencoder, images: Tensor, ratios: Sequence[float]) -> dict[str, Any]:
    """Return the arguments of `masked_gallery`: one crop with several shares of its patches hidden.

    The same draw decides at every share, so that what is hidden at one is hidden at each larger one.

    Args:
        model: trained.
        images: [1, 3, H, W] the crop.
        ratios: shares of hidden patches.

    Raises:
        ValueError: if a share leaves no patch visible, or none hidden.
    """
    height, width = model.encoder.grid_size
    parts: list[dict[str, Any]] = []
    for ratio in ratios:
        draw = torch.Generator().manual_seed(0)
        visible = draw_visible(1, height * width, mask_ratio=ratio, generator=draw).to(images.device)
        error = model.errors(model(images, visible), images, visible).item()
        title = f"{100 * ratio:g} % hidden\n{error:.2f}"
        parts.append({**_pictures(model, images, visible), "titles": [title]})
    return {name: [part[name][0] for part in parts] for name in parts[0]}


def _pictures(model: MaskedAutoencoder, images: Tensor, visible: Tensor) -> dict[str, list[np.ndarray]]:
    """Return crops [B, 3, H, W], what is visible of them, and what a model fills in, as pictures."""
    restored = model.restore(model(images, visible), images, visible)
    shown = {"original": images, "masked": hide(images, visible), "restored": restored}
    return {name: crop_pictures(value) for name, value in shown.items()}


def masked_table(frame: pd.DataFrame, section: MaskedProfile) -> pd.DataFrame:
    """Return one row a variant: accuracy in per cent, and what it was trained for.

    Args:
        frame: of `train_variants`.
        section: of the profile.
    """
    table = summarise(frame, ACCURACY)
    masked = dict.fromkeys(VARIANTS, 0) | {PRETRAINED: section.pretraining.training.epochs}
    epochs = frame.groupby("variant")["epochs"].first()
    table.insert(1, "epochs masked", table["variant"].map(masked))
    table.insert(2, "epochs of poses", table["variant"].map(epochs))
    return table


def masked_finding(frame: pd.DataFrame) -> str:
    """Return in plain words what pretraining buys at equal epochs of poses, and at equal compute."""
    what = "points of PCK@0.1"
    sentences = [
        difference_in_words(frame, "PCK@0.1 all", PRETRAINED, base, what=what) for base in (SCRATCH, LONGER)
    ]
    return " ".join(filter(None, [*sentences, one_seed_note(frame), failures(frame)]))
