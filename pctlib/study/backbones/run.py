"""From a plan to weights and cards: people first, then the backbones, side by side on a GPU."""

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pctlib.profiles.backbones import StartProfile, start_backbones
from pctlib.profiles.pages import BackboneProfile
from pctlib.profiles.profile import Profile, load_profile
from pctlib.reporting.run_card import collect
from pctlib.study.backbones.people import load_shards, make_shards, read_shard, shards_of, val_shard
from pctlib.study.backbones.train import train_start
from pctlib.training.device import choose_device


@dataclass(frozen=True)
class Order:
    """What is to be trained, and where everything goes.

    Attributes:
        plan: validated.
        out: gets weights and cards.
        work: people and run folders; what a stopped call goes on from.
        names: of the backbones; none: all of the plan's study.
        minutes: of training; None: the plan's epochs.
        precision: "auto", "no" or "bf16".
        revision: of the code, for the card; empty: git's.
        command: for the card.
        workers: processes that render.
        device: "auto", "cpu" or "cuda".
    """

    plan: StartProfile
    out: Path
    work: Path
    names: tuple[str, ...] = ()
    minutes: float | None = None
    precision: str = "auto"
    revision: str = ""
    command: str = ""
    workers: int = 1
    device: str = "auto"

    @property
    def study(self) -> Profile:
        """The study whose backbones are trained, on the device of the order."""
        return load_profile(self.plan.study, device=self.device)

    def backbones(self) -> list[BackboneProfile]:
        """Return the backbones that are to be trained.

        Raises:
            ValueError: if a name is not one of the study's.
        """
        found = start_backbones(self.study)
        known = [backbone.name for backbone in found]
        for name in self.names:
            if name not in known:
                raise ValueError(f"--backbone: expected some of {', '.join(known)}, got '{name}'")
        return [backbone for backbone in found if not self.names or backbone.name in self.names]


def pretrain_all(order: Order) -> dict[str, dict[str, Any]]:
    """Make the people, train the backbones and write their weights and cards; return the cards by name.

    Raises:
        ValueError: if a name or a setting is not possible.
    """
    backbones, device = order.backbones(), choose_device(order.device)
    folder = order.work / "people"
    shards = [*shards_of(order.plan.people, folder), val_shard(order.plan.people, folder)]
    make_shards(shards, order.plan.people, order.study.crop, workers=order.workers)
    if device.type == "cpu" or len(backbones) == 1:
        return {backbone.name: _train_one(order, backbone) for backbone in backbones}
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // len(backbones))
    with ProcessPoolExecutor(len(backbones), context, torch.set_num_threads, (threads,)) as pool:
        cards = list(pool.map(_train_one, [order] * len(backbones), backbones))
    return {backbone.name: card for backbone, card in zip(backbones, cards, strict=True)}


def _train_one(order: Order, backbone: BackboneProfile) -> dict[str, Any]:
    """Train one backbone in this process."""
    study, device = order.study, choose_device(order.device)
    torch.backends.cudnn.benchmark = True  # few sizes, many steps
    plan, folder = _in_precision(order, device), order.work / "people"
    people = load_shards(shards_of(plan.people, folder), study.crop, device)
    facts = collect(profile=plan.study, seed=plan.seed, data="procedural people", device=str(device))
    return train_start(
        plan,
        study,
        backbone,
        people,
        read_shard(val_shard(plan.people, folder)),
        run_dir=order.work / backbone.name,
        out_dir=order.out,
        facts={
            "command": order.command,
            "revision": order.revision or facts.revision,
            "device": facts.device,
            "versions": facts.versions,
            "made": facts.started,
        },
        minutes=order.minutes,
    )


def _in_precision(order: Order, device: torch.device) -> StartProfile:
    """Return the plan with the precision of the order."""
    chosen = order.precision
    if chosen == "auto":
        chosen = "bf16" if device.type == "cuda" else "no"
    training = order.plan.training.model_dump() | {"mixed_precision": chosen}
    return StartProfile.model_validate(json.loads(order.plan.model_dump_json()) | {"training": training})
