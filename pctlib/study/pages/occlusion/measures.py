"""How much methods lose under occlusion: metrics with their intervals, by method, kind, level and joint."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from pctlib.data.occlusion.levels import KINDS
from pctlib.metrics.bootstrap import half_width, pooled_draws
from pctlib.metrics.plausibility import PoseLimits
from pctlib.reporting.tables import Interval, interval_ends, mean_interval
from pctlib.skeletons import Skeleton
from pctlib.study.methods import MEAN_POSE
from pctlib.study.pages.occlusion.protocol import OcclusionRun

METRICS = (
    *("error hidden", "error seen", "PCK@0.2 hidden", "PCK@0.2 seen", "PCK@0.1 hidden", "PCK@0.1 seen"),
    "implausible",
)
"""In per cent: mean error over the longer box side; joints whose error is below a share of it; poses."""

_FLAGS = {"seen": 2, "hidden": 1}
_HEAD = ("nose", "eye", "ear", "head_top")
_Counts = tuple[np.ndarray, np.ndarray]  # for each person: sum of what a metric counts, how much is counted


class Part(NamedTuple):
    """What of a run is pooled: kinds by name, levels and joints by number; None: all."""

    kinds: Sequence[str] | None = None
    levels: Sequence[int] | None = None
    joints: Sequence[int] | None = None


EVERYTHING = Part()


@dataclass(frozen=True)
class Robustness:
    """A run of the protocol, measured.

    Attributes:
        run: what the methods predicted.
        limits: of plausible poses.
    """

    run: OcclusionRun
    limits: PoseLimits

    @property
    def seeds(self) -> list[int]:
        """Seeds of the trained methods."""
        return sorted(
            {seed for name, runs in self.run.predictions.items() if name != MEAN_POSE for seed in runs}
        )

    @property
    def hidden_levels(self) -> list[int]:
        """The levels above 0."""
        return list(range(1, len(self.run.wanted)))

    @property
    def interval_note(self) -> str:
        """What the intervals are over."""
        if len(self.seeds) > 1:
            return f"95 % intervals over {len(self.seeds)} seeds"
        people = self.run.truth.shape[2]
        return f"one seed, so 95 % intervals by bootstrap over the {people} people, not over trainings"

    def interval(self, method: str, metric: str, part: Part = EVERYTHING) -> Interval | float:
        """Return a metric in per cent, pooled over a part of the run; NaN where nothing counts."""
        counts = [self._counts(method, seed, metric, part) for seed in self.run.predictions[method]]
        return self._estimate(counts)

    def difference(
        self,
        metric: str,
        method: str,
        base: str,
        part: Part = EVERYTHING,
    ) -> Interval | float:
        """Return a metric of one method minus that of another, paired by seed; by person if there is one.

        Raises:
            ValueError: if no seed has both.
        """
        both = sorted(set(self.run.predictions[method]) & set(self.run.predictions[base]))
        if not both:
            raise ValueError(f"{metric}: no seed has both {method!r} and {base!r}")
        return self._estimate(
            *([self._counts(name, seed, metric, part) for seed in both] for name in (method, base))
        )

    def table(self) -> pd.DataFrame:
        """Return one row a method, kind and level, with an `Interval` of each of `METRICS`.

        `wanted` and `hidden` are the shares, in per cent, of the joints seen at level 0 that were to be
        hidden, and that were.
        """
        rows = []
        for method in self.run.methods:
            for k, kind in enumerate(self.run.kinds):
                for level, wanted in enumerate(self.run.wanted):
                    part = Part([kind], [level])
                    row = {"method": method, "kind": KINDS[kind], "level": level, "wanted": 100 * wanted}
                    row["hidden"] = 100 * float(self.run.shares[k, level].mean())
                    rows.append(row | {metric: self.interval(method, metric, part) for metric in METRICS})
        return pd.DataFrame(rows)

    def by_joint(self, methods: Sequence[str], *, metric: str = "error hidden") -> pd.DataFrame:
        """Return a metric of each joint, left and right together, and of both halves of the body.

        Pooled over all kinds and the levels above 0.

        Returns:
            Columns `joint`, `method`, `value`, `low`, `high`, in per cent.
        """
        rows = []
        for joint, members in joint_groups(self.run.skeleton).items():
            part = Part(levels=self.hidden_levels, joints=members)
            for method in methods:
                found = self.interval(method, metric, part)
                rows.append({"joint": joint, "method": method} | interval_ends(found))
        return pd.DataFrame(rows).dropna(subset="value")

    def differences(self, method: str, bases: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
        """Return how a method differs from others at each level, as the points of curves.

        Returns:
            Columns `method` (the other one), `kind`, `level`, `metric`, `value`, `low`, `high`, in per cent.
        """
        rows = []
        for base, metric in itertools.product(bases, metrics):
            for kind, level in itertools.product(self.run.kinds, range(len(self.run.wanted))):
                found = self.difference(metric, method, base, Part([kind], [level]))
                row = {"method": base, "kind": KINDS[kind], "level": level, "metric": metric}
                rows.append(row | interval_ends(found))
        return pd.DataFrame(rows)

    def _counts(self, method: str, seed: int, metric: str, part: Part) -> _Counts:
        run = self.run
        kinds = [run.kinds.index(kind) for kind in (run.kinds if part.kinds is None else part.kinds)]
        levels = list(range(len(run.wanted)) if part.levels is None else part.levels)
        chosen = np.ix_(kinds, levels)
        if metric == "implausible":
            poses = run.predictions[method][seed][chosen]  # [T, L, N, K, 2]
            flags = self.limits.implausible(poses.reshape(-1, *poses.shape[3:])).reshape(poses.shape[:3])
            return flags.sum(axis=(0, 1)), np.full(poses.shape[2], len(kinds) * len(levels))
        name, joints = metric.split()
        members = slice(None) if part.joints is None else list(part.joints)
        errors = run.errors(method, seed)[chosen][..., members]
        counted = run.visible[chosen][..., members] == _FLAGS[joints]
        values = errors if name == "error" else errors < float(name.removeprefix("PCK@"))
        return np.where(counted, values, 0).sum(axis=(0, 1, 3)), counted.sum(axis=(0, 1, 3))

    def _estimate(self, counts: list[_Counts], base: list[_Counts] | None = None) -> Interval | float:
        """Return the interval of a pooled metric, or of its difference from `base`, one entry a seed."""
        sides = [counts] if base is None else [counts, base]
        if any(count.sum() == 0 for side in sides for _, count in side):
            return float("nan")
        if len(self.seeds) > 1:
            values = [[100 * total.sum() / count.sum() for total, count in side] for side in sides]
            return mean_interval(values[0] if base is None else np.subtract(*values))
        drawn = [100 * pooled_draws(*side[0]) for side in sides]
        drawn = drawn[0] if base is None else drawn[0] - drawn[1]
        people = min(int((count > 0).sum()) for side in sides for _, count in side)
        return Interval(float(drawn[0]), half_width(drawn) if people > 1 else None, people)


def joint_groups(skeleton: Skeleton) -> dict[str, list[int]]:
    """Return joints by name, left and right together and the head as one, then both halves of the body."""
    groups: dict[str, list[int]] = {}
    for k, name in enumerate(skeleton.keypoint_names):
        plain = name.removeprefix("left_").removeprefix("right_")
        groups.setdefault("head" if plain in _HEAD else plain, []).append(k)
    halves = {"upper body": list(skeleton.upper_body), "lower body": list(skeleton.lower_body)}
    return groups | halves
