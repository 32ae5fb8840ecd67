"""What every notebook starts and ends with, and every training job: settings, people, folders, run card."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pctlib.io import finite, write_json
from pctlib.paths import project_root, resolve
from pctlib.profiles.profile import Profile, load_profile
from pctlib.reporting.run_card import RunCard, collect, now
from pctlib.reporting.tables import Table
from pctlib.study.parameters import refuse_unknown_parameters
from pctlib.study.people import Splits, load_splits
from pctlib.study.variants import Study, check_variant, train_variants
from pctlib.training.fingerprint import fingerprint
from pctlib.workflow.layout import LAB, StudyLayout, out_folder, run_name, training_code
from pctlib.workflow.pages import Page, page_named
from pctlib.workflow.seals import unseal


@dataclass
class OpenPage:
    """A page that is being made, by a notebook or by a job that trains ahead of it.

    Attributes:
        record: of the page.
        layout: the study, with the settings of this page.
        seeds: of its runs.
        folder: gets every file of it.
        study_dir: folder of the study whose runs of other pages it reads.
        others: settings that are in no profile.
        card: facts of the run.
    """

    record: Page
    layout: StudyLayout
    seeds: list[int]
    folder: Path
    study_dir: Path
    others: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Profile:
        """The profile with what this page changes."""
        return self.layout.profile

    @property
    def section(self) -> Any:
        """The page's own section of the profile."""
        return getattr(self.settings, self.record.name)

    @property
    def seed(self) -> int:
        """The first seed: of a page that has one for each seed, its own."""
        return self.seeds[0]

    @property
    def device(self) -> str:
        """Where networks run."""
        return str(self.settings.torch_device)

    @property
    def spread(self) -> str:
        """What a caption says of the seeds."""
        return (
            "means over the seeds with 95 % intervals" if len(self.seeds) > 1 else "one seed, so no intervals"
        )

    @cached_property
    def card(self) -> RunCard:
        """Facts of the run; its counts are those of the people."""
        return collect(
            profile=self.settings.name,
            seed=self.seeds if self.record.seeds == "all" else self.seed,
            data=self.layout.dataset,
            device=self.device,
            settings=self._hash(self.others),
            root=project_root(),
        )

    @cached_property
    def splits(self) -> Splits:
        """The people of the study."""
        return self.people()

    def people(self, *, whole_body: bool = False) -> Splits:
        """Return training and validation people, and count them on the card."""
        splits = load_splits(self.layout.dataset, self.settings, root=self.layout.root, whole_body=whole_body)
        self.card.counts = splits.counts()
        return splits

    def run(self, step: str, seed: int | None = None) -> Path:
        """Return the folder of a run of another page."""
        return self.study_dir / run_name(step, seed)

    def train(
        self,
        study: Study,
        *,
        variants: Sequence[str] | None = None,
        timed: str = "training",
        all_may_fail: bool = False,
    ) -> pd.DataFrame:
        """Train all variants of a study with all seeds, or read back those that are finished.

        Args:
            study: of this page.
            variants: only these; None for all.
            timed: what the card calls it.
            all_may_fail: where the page has more to show than these runs.

        Returns:
            One row a run, as `train_variants`.

        Raises:
            ValueError: for a variant that the study does not have.
            RuntimeError: if every run failed and `all_may_fail` is False.
        """
        names = list(study.variants) if variants is None else list(variants)
        for name in names:
            check_variant(name, study.variants)
        runs = self.folder / study.group
        with self.card.timed(timed):
            return train_variants(
                study, names, seeds=self.seeds, runs_dir=runs, card=self._card_of, all_may_fail=all_may_fail
            )

    def save(self, metrics: Mapping[str, Any], *, card: RunCard | None = None) -> Table:
        """Write the page's `metrics.json` and its run card, and return the card as a table.

        Args:
            metrics: JSON values; what is not finite becomes null.
            card: of the runs that the page shows; None for its own.
        """
        card = replace(card or self.card, settings=self.card.settings)
        write_json(self.folder / "metrics.json", finite(dict(metrics)))
        card.save(self.folder / "run_card.json")
        return card.table()

    def _card_of(self, variant: str, seed: int) -> RunCard:
        """Return the card of one run of a variant."""
        made_of = {"variant": variant, "of": self._models(seed), "people": self._people, "code": self._code}
        return replace(
            self.card,
            seed=seed,
            settings=self._hash(self.others | made_of, seed),
            started=now(),
            wall_times={},
        )

    def _hash(self, others: Mapping[str, Any], seed: int | None = None) -> str:
        if self.record.seeds == "each":
            seed = self.seed
        seeds = self.settings.model_copy(update={"seeds": tuple(self.seeds)})
        return replace(self.layout, profile=seeds).settings(self.record, seed, others=others)

    def _models(self, seed: int) -> dict[str, str]:
        """Return hashes of the trained models of a seed that the page reads."""
        paths = {step: self.run(step, seed) / "model.safetensors" for step in self.record.needs}
        return {step: _digest([path]) for step, path in paths.items() if path.is_file()}

    @cached_property
    def _people(self) -> str:
        splits = self.splits
        return fingerprint(
            *(torch.from_numpy(p.keypoints_image) for p in (splits.train, splits.val)),
            *(torch.from_numpy(p.visible) for p in (splits.train, splits.val)),
        )

    @cached_property
    def _code(self) -> str:
        return _digest(training_code(self.record))


def open_page(
    name: str,
    profile: str = "demo",
    *,
    dataset: str = "procedural",
    root: str = "",
    out_dir: str = "",
    study_dir: str = "",
    seed: int | None = None,
    seeds: Sequence[int] | None = None,
    device: str | None = None,
    others: Mapping[str, Any] | None = None,
    **changes: Any,
) -> OpenPage:
    """Open a page of the study: read its settings, find its folders, and set the look of figures.

    Args:
        name: of the page.
        profile: name or YAML file.
        dataset: name of the data set.
        root: its folder.
        out_dir: gets every file of the page; empty: its folder below `reports/lab`, so that what is tried by
            hand never takes the place of the study's results.
        study_dir: where runs of other pages are read; empty: the study of this profile and data set if it has
            them all, else `reports/lab`.
        seed: of a page that has a run for each seed.
        seeds: of any other page; None for those of the profile.
        device: auto, cpu or cuda; None for that of the profile.
        others: settings that are in no profile; None stands for what the page does by itself.
        changes: values of the page's own section of the profile, as `field` or `part__field`; None for none.

    Raises:
        ValueError: as `load_profile`, if the profile has no such page, or papermill has given the notebook a
            parameter that it does not have.
        FileNotFoundError: if a model that the page reads is not trained yet; says which notebook trains it.
    """
    from pctlib.visualization.style import use_style  # figures are the notebook's alone

    refuse_unknown_parameters()
    use_style()
    values = {f"{name}__{key}": value for key, value in changes.items()}
    layout = StudyLayout.from_config({"profile": profile, "dataset": dataset, "root": root})
    layout = replace(layout, profile=load_profile(profile, device=device, **values))
    return page_of(name, layout, out_dir=out_dir, study_dir=study_dir, seed=seed, seeds=seeds, others=others)


def page_of(
    name: str,
    layout: StudyLayout,
    *,
    out_dir: str | Path = "",
    study_dir: str | Path = "",
    seed: int | None = None,
    seeds: Sequence[int] | None = None,
    others: Mapping[str, Any] | None = None,
) -> OpenPage:
    """Open a page of a study; arguments and errors as in `open_page`."""
    record = page_named(name)
    if not record.within(layout.profile):
        raise ValueError(
            f"profile {layout.profile.name}: it has no section '{name}', so there is no such page"
        )
    if record.seeds == "each":
        seeds = [layout.profile.seeds[0] if seed is None else seed]
    chosen = list(layout.seeds_of(record) if seeds is None else seeds)
    lab = f"reports/{LAB}/{run_name(name, chosen[0] if record.seeds == 'each' else None)}"
    folder = out_folder(out_dir or lab)
    unseal(folder)  # from here on its files may change
    guides = record.guided if layout.profile.tokenizer.guide_ratio else ()
    wanted = [run_name(step, one) for step in dict.fromkeys((*record.needs, *guides)) for one in chosen]
    return OpenPage(record, layout, chosen, folder, _study_dir(layout, study_dir, wanted), dict(others or {}))


def _study_dir(layout: StudyLayout, given: str | Path, wanted: Sequence[str]) -> Path:
    """Return the folder that holds all wanted runs: the given one, that of the study, or the lab."""
    places = [resolve(given)] if given else [resolve(layout.folder), resolve(f"reports/{LAB}")]
    missing = {
        place: [run for run in wanted if not (place / run / "model.json").is_file()] for place in places
    }
    for place, lacking in missing.items():
        if not lacking:
            return place
    place, lacking = next(iter(missing.items()))
    made_by = dict.fromkeys(page_named(run.rpartition("-seed")[0]).notebook for run in lacking)
    raise FileNotFoundError(
        f"{place}: no trained model in {', '.join(lacking)}; run {', '.join(made_by)} first, or make study "
        f"PROFILE={layout.profile_source}"
    )


def _digest(files: Sequence[Path]) -> str:
    """Return a short hash of the contents of files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
