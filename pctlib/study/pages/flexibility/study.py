"""What a ViTPose bears: other resolutions, attention in windows, a simpler decoder, frozen parts."""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from pctlib.complexity import count_flops
from pctlib.data.people import People
from pctlib.models.estimator import PoseEstimator
from pctlib.models.vit import ViT
from pctlib.models.vit_windows import Windows, WindowViT
from pctlib.models.vitpose import Decoder
from pctlib.profiles.pages import FlexibilityProfile, MaskedProfile, VitSizeProfile
from pctlib.profiles.profile import Profile
from pctlib.study.crops import Crops
from pctlib.study.page import OpenPage
from pctlib.study.pages.flexibility.trainings import (
    BASE,
    PARTS,
    decoder_name,
    frozen_name,
    size_name,
    trainings,
    windows_name,
)
from pctlib.study.pages.masked.study import PRETRAINING, MaskedStudy
from pctlib.study.pages.vitpose import build_vitpose, start_from, vit_size
from pctlib.study.people import Splits, first_people
from pctlib.study.runs import RunDescription, fit_estimator
from pctlib.study.tasks import EstimatorTask
from pctlib.study.variants import check_variant
from pctlib.training.fingerprint import weights_of
from pctlib.training.plan import mix_seed

RESOLUTION, ATTENTION, DECODER, FROZEN = "resolution", "attention", "decoder", "frozen parts"
Part = Literal["attention", "FFN"]
Size = tuple[int, int]


@dataclass(frozen=True)
class Choice:
    """One ViTPose of the ablations; it differs from the base in one thing.

    Attributes:
        group: which thing: `RESOLUTION`, `ATTENTION`, `DECODER` or `FROZEN`; empty for the base.
        input_size: (height, width) pixels.
        windows: of the attention; None for full attention.
        decoder: "classic" or "simple".
        frozen: which part of every block keeps its pretrained weights; None for none.
    """

    group: str
    input_size: Size
    decoder: Decoder
    windows: Windows | None = None
    frozen: Part | None = None


def choices_of(masked: MaskedProfile, section: FlexibilityProfile) -> dict[str, Choice]:
    """Return the variants by name, the base first: the ViTPose of the section "masked".

    Args:
        masked: size, decoder and input of the base.
        section: the other input sizes, and the windows.
    """
    base: dict[str, Any] = {"input_size": masked.input_size, "decoder": masked.vitpose.decoder}
    choices = {BASE: Choice("", **base)}
    for size in section.input_sizes:
        choices[size_name(size)] = Choice(RESOLUTION, **{**base, "input_size": size})
    for helped in section.windowed:
        windows = Windows(section.window, shift="shift" in helped, pool="pool" in helped)
        choices[windows_name(helped)] = Choice(ATTENTION, **base, windows=windows)
    other: Decoder = "simple" if masked.vitpose.decoder == "classic" else "classic"
    choices[decoder_name(masked.vitpose.decoder)] = Choice(DECODER, **{**base, "decoder": other})
    for part in PARTS:
        choices[frozen_name(part)] = Choice(FROZEN, **base, frozen=part)
    return choices


def freeze(backbone: ViT, part: Part) -> None:
    """Freeze one part of every block, in place.

    Source: the release of ViTPose: with the attention its norm is frozen, with the FFN its norm, the patch
    embedding and the positions.

    Args:
        backbone: nothing else of it changes.
        part: "attention" or "FFN" (the MLP).
    """
    frozen: list[torch.nn.Module | torch.nn.Parameter] = []
    for block in backbone.blocks:
        frozen += [block.attn, block.norm1] if part == "attention" else [block.mlp, block.norm2]
    if part == "FFN":
        frozen += [backbone.patch_embed, backbone.pos_embed]
    for entry in frozen:
        entry.requires_grad_(False)


@dataclass
class FlexibilityStudy:
    """Trains the variants of one study, all from the same pretraining; crops of one size are decoded once.

    Attributes:
        profile: of the study, with the sections "flexibility" and "masked".
        splits: training and validation people.
        pretrained_dir: folder of the family "masked", whose pretraining of the same seed is read, or trained
            if it is not there.
        progress: show progress bars.
    """

    profile: Profile
    splits: Splits
    pretrained_dir: str | Path
    progress: bool = True
    _pretrained: dict[int, ViT] = field(default_factory=dict, repr=False)

    group = ""

    @classmethod
    def of(cls, page: OpenPage) -> "FlexibilityStudy":
        """Return the study of a page; what page 09 pretrained is read, or trained here if missing."""
        there = page.run("masked")
        made = all((there / f"seed{seed}" / PRETRAINING).is_dir() for seed in page.seeds)
        return cls(page.settings, page.splits, there if made else page.folder / "masked")

    @property
    def variants(self) -> list[str]:
        """Names of the runs, the base first."""
        return [training.name for training in trainings(self.profile)]

    @property
    def section(self) -> FlexibilityProfile:
        """The part of the profile."""
        return self.profile.flexibility

    @cached_property
    def masked(self) -> MaskedStudy:
        """The pretraining."""
        return MaskedStudy(self.profile, self.splits, self.progress)

    @cached_property
    def choices(self) -> dict[str, Choice]:
        """The variants by name."""
        return choices_of(self.profile.masked, self.section)

    @cached_property
    def learners(self) -> People:
        """The people to learn from."""
        shared = self.section.train_people == self.profile.masked.train_people
        return self.masked.learners if shared else first_people(self.splits, self.section.train_people).train

    def crops(self, input_size: Size) -> tuple[Crops, Crops]:
        """Return the crops of those to learn from and of those to measure on at an input size."""
        cut = self.masked.crops.cut
        return cut(self.learners, input_size, training=True), cut(self.splits.val, input_size, training=False)

    def pretrained(self, seed: int) -> ViT:
        """Return the pretrained transformer of a seed, on the CPU."""
        if seed not in self._pretrained:
            folder = Path(self.pretrained_dir) / f"seed{seed}" / PRETRAINING
            self._pretrained[seed] = self.masked.pretrain(seed, folder).encoder.cpu()
        return self._pretrained[seed]

    def build(self, variant: str, *, seed: int, pretrained: ViT | None = None) -> PoseEstimator:
        """Return the untrained ViTPose of a variant.

        Args:
            variant: one of `choices`.
            seed: of the weights that pretraining does not give.
            pretrained: gives the weights of the transformer.
        """
        choice, sizes = self.choices[variant], self.profile.masked.vitpose
        torch.manual_seed(mix_seed(seed, "flexibility: backbone"))
        backbone = build_vit(choice, sizes)
        if pretrained is not None:
            start_from(backbone, pretrained)
        if choice.frozen is not None:
            freeze(backbone, choice.frozen)
        torch.manual_seed(mix_seed(seed, "flexibility: head"))
        skeleton, options = self.splits.train.skeleton, {"input_size": choice.input_size}
        return build_vitpose(sizes, skeleton, decoder=choice.decoder, backbone=backbone, **options)

    def __call__(self, variant: str, seed: int, folder: Path) -> dict[str, Any]:
        """Train one of `choices` from the pretraining of its seed, and return its metrics and cost."""
        check_variant(variant, list(self.choices))
        choice = self.choices[variant]
        model = self.build(variant, seed=seed, pretrained=self.pretrained(seed))
        costs = {
            "multiply-adds (M)": count_flops(model, choice.input_size).total / 1e6,
            "trained (M)": sum(p.numel() for p in model.parameters() if p.requires_grad) / 1e6,
        }
        sizes = self.profile.masked.vitpose
        train_crops, val_crops = self.crops(choice.input_size)
        task = EstimatorTask(
            model,
            train_crops,
            val_crops=val_crops,
            augmentation=sizes.augmentation,
            identity={"variant": repr(choice), "start": weights_of(model)},
        )
        fitted = fit_estimator(
            task,
            settings=self.section.training,
            seed=seed,
            out_dir=folder,
            kind="flexibility",
            sizes={"vitpose": sizes.model_dump(mode="json"), "choice": asdict(choice)},
            device=self.profile.device,
            progress=self.progress,
        )
        return fitted.metrics | costs


def build_vit(choice: Choice, sizes: VitSizeProfile) -> ViT:
    """Return the untrained transformer of a choice, with attention in windows if it says so."""
    if choice.windows is None:
        return ViT(vit_size(sizes), choice.input_size)
    return WindowViT(vit_size(sizes), choice.input_size, windows=choice.windows)


def build_run(run: RunDescription) -> PoseEstimator:
    """Return the untrained ViTPose of a run."""
    sizes, values = VitSizeProfile(**run.sizes["vitpose"]), run.sizes["choice"]
    windows = values["windows"] and Windows(**values["windows"] | {"size": tuple(values["windows"]["size"])})
    choice = Choice(**values | {"input_size": run.input_size, "windows": windows})
    options = {"input_size": choice.input_size, "decoder": choice.decoder}
    return build_vitpose(sizes, run.skeleton, backbone=build_vit(choice, sizes), **options)
