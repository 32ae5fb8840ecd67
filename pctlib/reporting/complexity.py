"""What the systems of the published tables really need, beside what the tables say."""

from collections.abc import Iterable

import pandas as pd
import torch

from pctlib.complexity import count_flops, count_parameters
from pctlib.models.published import RIVALS, Published
from pctlib.reporting.tables import published

_COLUMNS = {"parameters": "params_m", "layers": "gflops", "layers and attention": "gflops"}


def published_number(number: Published) -> float:
    """Return a number as its table has it: millions of parameters or GFLOPs.

    Raises:
        ValueError: if the row it names is not exactly one row of the table.
    """
    frame = published(number.table)
    for column, value in number.row.items():
        frame = frame[frame[column] == value]
    if len(frame) != 1:
        raise ValueError(f"{number.table}: expected one row {dict(number.row)}, got {len(frame)}")
    return float(frame[_COLUMNS[number.counted]].item())


def complexity_table(names: Iterable[str] | None = None) -> pd.DataFrame:
    """Build systems at their published sizes, without weights, and count what they are and do.

    About a second a system.

    Args:
        names: keys of `RIVALS`; None: all.

    Returns:
        One row a published number: system; table and the method's name there; quantity ("parameters (M)" or
        "GFLOPs"); published; corrected (what is right where the table is not, else NaN); measured as the
        published number was counted; measured plainly (10^6 parameters, 10^9 multiply-adds with attention);
        remark; built.

    Raises:
        ValueError: if a name is unknown.
    """
    rows = []
    for name in RIVALS if names is None else names:
        if name not in RIVALS:
            raise ValueError(f"names: expected some of {', '.join(RIVALS)}, got {name!r}")
        rival = RIVALS[name]
        with torch.device("meta"):
            system = rival.build()
        parameters, flops = count_parameters(system), count_flops(system, rival.input_size)
        for number in rival.published:
            counts_parameters = number.counted == "parameters"
            rows.append(
                {
                    "system": name,
                    "table": number.table,
                    "method": number.row["method"],
                    "quantity": "parameters (M)" if counts_parameters else "GFLOPs",
                    "published": published_number(number),
                    "corrected": number.corrected,
                    "measured": number.measured(parameters, flops),
                    "plain": parameters / 1e6 if counts_parameters else flops.gflops,
                    "remark": number.remark,
                    "built": rival.built,
                }
            )
    return pd.DataFrame(rows).astype({"corrected": float})
