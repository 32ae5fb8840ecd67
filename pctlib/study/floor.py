"""The mean pose, which ignores the image: the floor under every table."""

from collections.abc import Mapping

import pandas as pd

from pctlib.study.crops import Crops
from pctlib.study.predictions import Predictions, judge, mean_pose_predictions

FLOOR = "mean pose"
"""Its name in tables of variants."""


def mean_pose_of(train: Crops, val: Crops) -> Predictions:
    """Return the mean pose of the people to learn from for those to measure on, in the crops networks see."""
    return mean_pose_predictions(train.people, val.people, val.profile.crop)


def floor_of(train: Crops, val: Crops) -> dict[str, float]:
    """Return what the mean pose reaches, as `judge`."""
    return judge(val.people, mean_pose_of(train, val))


def with_floor(table: pd.DataFrame, values: Mapping[str, float]) -> pd.DataFrame:
    """Return a table of variants with the mean pose as its first row.

    Args:
        table: its first column names the variants.
        values: heading -> value of the mean pose, in the units of the table.
    """
    row = {table.columns[0]: FLOOR} | dict(values)
    return pd.concat([pd.DataFrame([row]), table], ignore_index=True)[[*table.columns]]
