"""What a representation loses before anything is learned: the truth written and read back."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pctlib.data.crops import invert_affine, transform_points
from pctlib.data.people import People
from pctlib.metrics.coco import coco_ap
from pctlib.profiles.profile import Profile
from pctlib.study.pages.comparison.codings import Coding
from pctlib.study.pages.comparison.heads import HEADS
from pctlib.study.poses import load_poses
from pctlib.study.stages.tokenizer import load_tokenizer

_ROWS = 256  # people of one batch


def all_codings(profile: Profile, tokenizer_dir: str | Path) -> dict[str, Coding]:
    """Return how each of `HEADS` writes poses, at the sizes of a profile, by name.

    Args:
        profile: input size and width of the Gaussians.
        tokenizer_dir: folder of a trained tokenizer. One with image guidance needs images to write a pose,
            and is left out.

    Raises:
        FileNotFoundError: if the folder holds no trained tokenizer.
    """
    tokenizer = load_tokenizer(tokenizer_dir)
    found: dict[str, Coding] = {}
    for head in HEADS.values():
        found |= head.coding(profile, tokenizer)
    return found


@torch.inference_mode()
def quantisation_table(people: People, profile: Profile, codings: Mapping[str, Coding]) -> pd.DataFrame:
    """Return what each coding loses of the true poses of people.

    Args:
        people: N people.
        profile: their crops.
        codings: by name.

    Returns:
        One row a coding: "representation", "mean error (px)", "expected (px)", "95 % below (px)", "largest
        (px)" over the joints that can be written, in input pixels; "not written (%)" of the labelled joints;
        "OKS-AP (%)" of the poses read back.
    """
    poses = load_poses(people, profile.model_copy(update={"tokenizer": _unguided(profile)}), training=False)
    keypoints, affine = poses.crops()
    rows = []
    for name, coding in codings.items():
        parts = zip(keypoints.split(_ROWS), poses.visible.split(_ROWS), strict=True)
        found = [coding.restore(*part) for part in parts]
        read, written = (torch.cat(column) for column in zip(*found, strict=True))
        labelled = poses.visible > 0
        error = torch.linalg.vector_norm(read - keypoints, dim=-1)[written & labelled].double().numpy()
        values = {"mean error (px)": error.mean() if len(error) else np.nan}
        values["expected (px)"] = coding.expected
        values["95 % below (px)"] = np.quantile(error, 0.95) if len(error) else np.nan
        values["largest (px)"] = error.max() if len(error) else np.nan
        values["not written (%)"] = 100 * float((labelled & ~written).sum() / labelled.sum().clamp(min=1))
        if people.skeleton.sigmas is not None:
            image = transform_points(invert_affine(affine), read).numpy()
            values["OKS-AP (%)"] = 100 * coco_ap(people, image, np.ones(len(people)))["AP"]
        rows.append({"representation": name, **values})
    return pd.DataFrame(rows)


def _unguided(profile: Profile) -> object:
    return profile.tokenizer.model_copy(update={"guide_ratio": 0.0})
