"""What the page of the token classifier says."""

from collections.abc import Mapping

from pctlib.study.predictions import joints_found


def finding(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """Return in plain words what tokens and heatmaps find on the same frozen features.

    Args:
        metrics: of "PCT" and of "heatmap control", as `judge`.
    """
    pct, control = metrics["PCT"], metrics["heatmap control"]
    text = (
        f"Within 0.1 of the box, PCT finds {joints_found(pct)}, heatmaps on the same frozen features "
        f"{joints_found(control)}."
    )
    if "AP" in pct:
        text += f" OKS-AP is {100 * pct['AP']:.1f} % and {100 * control['AP']:.1f} %."
    return text
