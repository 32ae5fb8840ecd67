"""One training loop for all stages: any number of processes, resumable at any step.

Every random draw of a step is a function of the seed and the step's number, and the learning rate is
a function of the step, so a checkpoint holds weights, optimiser state and sums, and nothing else: a
run that was killed and resumed ends with the same weights as one that was not.

Long, as order, checkpoints and averages must be read together to see that a resumed run is the same.
"""

import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

from pctlib.io import write_text
from pctlib.training.device import choose_device
from pctlib.training.fingerprint import code_fingerprint
from pctlib.training.optimizer import (
    average_update,
    learning_rate_factor,
    parameter_groups,
    set_learning_rate,
)
from pctlib.training.plan import Step, plan_epoch
from pctlib.training.resume import (
    Checkpoint,
    CheckpointFolder,
    load_optimizer_tensors,
    load_weights,
    optimizer_tensors,
)
from pctlib.training.settings import TrainingSettings


class Task(Protocol):
    """What a stage trains; the loop knows nothing else of it."""

    model: nn.Module
    num_samples: int
    identity: dict[str, Any]  # JSON values: what, besides settings and seed, makes a run this one

    def batches(self, steps: Sequence[Step], device: torch.device) -> Iterable[Any]:
        """Yield the batch of each step, all of one epoch, on the device."""

    def loss(self, model: nn.Module, batch: Any) -> tuple[dict[str, Tensor], Any]:
        """Return named scalar losses, whose sum is minimised, and whatever `after_step` needs."""

    def after_step(self, model: nn.Module, step: Step, extra: Any) -> None:
        """Act after the optimiser step, for instance update a codebook."""

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return validation metrics of a model in eval mode."""


@dataclass
class TrainingResult:
    """A finished run: the model to use (the averaged one if there is one) and its history."""

    model: nn.Module
    history: list[dict[str, float]]
    resumed_from: int = 0

    @property
    def seconds(self) -> float:
        """Seconds that the epochs took, interruptions left out."""
        return sum(record["seconds"] for record in self.history)

    def frame(self) -> pd.DataFrame:
        """Return the history as a table, one row an epoch."""
        return pd.DataFrame(self.history)

    def recorded(self, *metrics: str) -> list[str]:
        """Return the columns of those validation metrics that the history has."""
        columns = self.frame().columns
        return [f"val_{metric}" for metric in metrics if f"val_{metric}" in columns]


@dataclass
class _Progress:
    """What is counted while training; saved with each checkpoint."""

    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


class _Loss(nn.Module):
    """Make the loss the forward pass, so that gradients synchronise and compile as one graph."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.model = task.model
        self._loss = task.loss

    def forward(self, batch: Any) -> tuple[dict[str, Tensor], Any]:
        return self._loss(self.model, batch)


def train(
    task: Task,
    settings: TrainingSettings,
    *,
    out_dir: str | Path,
    seed: int,
    device: str = "auto",
    progress: bool = True,
) -> TrainingResult:
    """Train a task to the end of its schedule, from its newest checkpoint if there is one.

    Args:
        task: model, data, loss and evaluation.
        settings: schedule and optimiser.
        out_dir: gets `checkpoints/` and `history.jsonl` (one line an epoch).
        seed: of the sample order and of every draw of every step.
        device: "auto", "cpu" or "cuda".
        progress: show a progress bar.

    Returns:
        The trained model on its device, in eval mode, and the history.

    Raises:
        ValueError: if the device is absent, a checkpoint does not fit, or the schedule is impossible.
        FloatingPointError: if a loss is not finite; names step, epoch and samples.
    """
    return _Loop(task, settings, Path(out_dir), seed, device, progress).run()


def _make_accelerator(device: str, mixed_precision: str) -> Accelerator:
    """Return an Accelerator; a second run of one process may ask for another device or precision."""
    on_cpu = choose_device(device).type == "cpu"
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    return Accelerator(cpu=on_cpu, mixed_precision=mixed_precision)


class _Loop:
    """The state of one call of `train`."""

    def __init__(
        self, task: Task, settings: TrainingSettings, out_dir: Path, seed: int, device: str, progress: bool
    ):
        self.task, self.settings, self.out_dir, self.seed = task, settings, out_dir, seed
        self.accelerator = _make_accelerator(device, settings.mixed_precision)
        self.main = self.accelerator.is_main_process
        self.show = progress and self.main
        self.folder = CheckpointFolder(out_dir / "checkpoints")
        self.steps_per_epoch = len(self._plan(0)) // settings.accumulation_steps
        self.total_steps = self.steps_per_epoch * settings.epochs
        self.progress = _Progress()
        self.code = code_fingerprint(task.model, task)
        self.unchecked: list[tuple[Step, Tensor]] = []
        self.model = task.model.to(self.accelerator.device)
        self.optimizer = self._make_optimizer()
        self.average = self._make_average()

    def _plan(self, epoch: int) -> list[Step]:
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        return plan_epoch(
            self.task.num_samples, self.settings, seed=self.seed, epoch=epoch, rank=rank, world_size=world
        )

    def _make_optimizer(self) -> torch.optim.Optimizer:
        groups = parameter_groups(
            self.model,
            learning_rate=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            layer_decay=self.settings.layer_decay,
        )
        return torch.optim.AdamW(groups, betas=self.settings.betas)

    def _make_average(self) -> AveragedModel | None:
        decay = self.settings.average_decay
        if decay is None:
            return None
        update = average_update(decay=decay, warmup_steps=self.settings.average_warmup_steps)
        return AveragedModel(self.model, multi_avg_fn=update, use_buffers=True)

    def run(self) -> TrainingResult:
        resumed_from = self._resume()
        if self.progress.step < self.total_steps:
            self._train()
        elif self.main:
            self._write_history()  # it may have been lost
        self.accelerator.wait_for_everyone()
        return TrainingResult(self._evaluated_model().eval(), self.progress.history, resumed_from)

    def _train(self) -> None:
        step_module = _Loss(self.task)
        if self.settings.compile:
            step_module = torch.compile(step_module)
        self.wrapped, self.prepared = self.accelerator.prepare(step_module, self.optimizer)
        first_epoch = self.progress.step // self.steps_per_epoch
        self.saved_at = time.monotonic()
        with tqdm(
            total=self.total_steps, initial=self.progress.step, unit="step", disable=not self.show
        ) as bar:
            for epoch in range(first_epoch, self.settings.epochs):
                self._run_epoch(epoch, bar)

    def _run_epoch(self, epoch: int, bar: tqdm) -> None:
        started, before = time.monotonic(), self.progress.seconds
        self.model.train()
        steps = [step for step in self._plan(epoch) if step.number >= self.progress.step]
        batches: Iterator[Any] = iter(self.task.batches(steps, self.accelerator.device))
        for position, step in enumerate(steps):
            last = (position + 1) % self.settings.accumulation_steps == 0
            self._pass(step, next(batches), synchronise=last)
            if last:
                self.progress.step += 1
                bar.update()
                self.progress.seconds = before + time.monotonic() - started
                if (
                    self.progress.step % self.steps_per_epoch
                ):  # the last step is saved with the epoch's record
                    self._save_if_due()
        self._finish_epoch(epoch, bar)
        self.progress.seconds = 0.0
        self._save()

    def _pass(self, step: Step, batch: Any, *, synchronise: bool) -> None:
        """Run forward and backward; at the last part of a batch also the optimiser step."""
        torch.manual_seed(step.local_seed)  # dropout and stochastic depth draw from the global generator
        factor = learning_rate_factor(
            step.number,
            total_steps=self.total_steps,
            warmup_steps=self.settings.warmup_steps,
            final_factor=min(1.0, self.settings.final_learning_rate / self.settings.learning_rate),
            flat_steps=round(self.settings.flat_share * self.total_steps),
            decay_steps=[epoch * self.steps_per_epoch for epoch in self.settings.decay_epochs],
        )
        set_learning_rate(self.optimizer, factor)
        with nullcontext() if synchronise else self.accelerator.no_sync(self.wrapped):
            losses, extra = self.wrapped(batch)
            total = sum(losses.values())
            self.accelerator.backward(total / self.settings.accumulation_steps)
        self._count(step, {"loss": total, **losses})
        if synchronise:
            if self.settings.max_grad_norm is not None:
                self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.max_grad_norm)
            self.prepared.step()
            self.prepared.zero_grad(set_to_none=True)
        self.task.after_step(self.model, step, extra)
        if synchronise and self.average is not None:
            self.average.update_parameters(self.model)

    def _count(self, step: Step, losses: dict[str, Tensor]) -> None:
        for name, value in losses.items():
            value = value.detach().double()
            self.progress.sums[name] = self.progress.sums.get(name, 0.0) + value
        self.unchecked.append((step, losses["loss"].detach()))
        # On a GPU looking at a loss waits for it, so there it is looked at in groups.
        if self.accelerator.device.type == "cpu" or len(self.unchecked) >= 32:
            self._check_finite()

    def _check_finite(self) -> None:
        for step, loss in self.unchecked:
            if not torch.isfinite(loss):
                samples = step.local_indices.tolist()
                raise FloatingPointError(
                    f"the loss is {loss.item()} at step {step.number} "
                    f"(epoch {step.number // self.steps_per_epoch + 1}), samples {samples[:16]}"
                    f"{' ...' if len(samples) > 16 else ''}; "
                    f"the last checkpoint in {self.folder.folder} is sound"
                )
        self.unchecked.clear()

    def _finish_epoch(self, epoch: int, bar: tqdm) -> None:
        """Add a line to the history: mean losses, and metrics where an evaluation is due."""
        passes = self.steps_per_epoch * self.settings.accumulation_steps
        record = {"epoch": epoch + 1, "step": self.progress.step}
        record |= {f"train_{k}": float(v) / passes for k, v in self._global_sums().items()}
        record["learning_rate"] = max(group["lr"] for group in self.optimizer.param_groups)
        due = (epoch + 1) % self.settings.evaluate_every == 0 or epoch + 1 == self.settings.epochs
        if due and self.main:
            with torch.inference_mode():
                metrics = self.task.evaluate(self._evaluated_model().eval())
            record |= {f"val_{k}": v if math.isfinite(v) else None for k, v in metrics.items()}
            bar.set_postfix({name: f"{value:.4g}" for name, value in list(metrics.items())[:3]})
        record["seconds"] = round(self.progress.seconds, 3)
        self.progress.history.append(record)
        self.progress.sums = {}
        self.accelerator.wait_for_everyone()

    def _global_sums(self) -> dict[str, Tensor]:
        sums = self.progress.sums
        stacked = torch.stack([torch.as_tensor(v, dtype=torch.float64) for v in sums.values()])
        stacked = self.accelerator.reduce(stacked.to(self.accelerator.device), "mean")
        return dict(zip(sums, stacked.cpu(), strict=True))

    def _evaluated_model(self) -> nn.Module:
        return self.model if self.average is None else self.average.module

    def _save_if_due(self) -> None:
        if time.monotonic() - self.saved_at >= self.settings.checkpoint_seconds:
            self._save()

    def _save(self) -> None:
        self._check_finite()
        self.saved_at = time.monotonic()
        if not self.main:
            return
        tensors = {f"model/{name}": t for name, t in self.model.state_dict().items()}
        tensors |= {f"optimizer/{name}": t for name, t in optimizer_tensors(self.optimizer).items()}
        if self.average is not None:
            tensors |= {f"average/{name}": t for name, t in self.average.state_dict().items()}
        self.folder.save(Checkpoint(self.progress.step, tensors, self._state()))
        self._write_history()

    def _write_history(self) -> None:
        lines = "".join(f"{json.dumps(record, allow_nan=False)}\n" for record in self.progress.history)
        write_text(self.out_dir / "history.jsonl", lines, keep_equal=True)

    def _state(self) -> dict[str, Any]:
        scaler = self.accelerator.scaler
        return {
            "fingerprint": self._fingerprint(),
            "history": self.progress.history,
            "seconds": self.progress.seconds,
            "sums": {name: float(value) for name, value in self.progress.sums.items()},
            "scaler": scaler.state_dict() if scaler is not None else None,
        }

    def _fingerprint(self) -> dict[str, Any]:
        """Return what must agree for a checkpoint to be of this run."""
        schedule = self.settings.model_dump(mode="json", exclude={"checkpoint_seconds", "compile"})
        shapes = {name: list(t.shape) for name, t in self.model.state_dict().items()}
        return {"seed": self.seed, "num_samples": self.task.num_samples, "shapes": shapes} | {
            "code": self.code,
            "task": self.task.identity,
            **schedule,
        }

    def _resume(self) -> int:
        """Load the newest checkpoint of this run; those of other settings are set aside."""
        checkpoint = self.folder.newest()
        if checkpoint is not None and checkpoint.state["fingerprint"] != self._fingerprint():
            self._announce_restart(checkpoint.state["fingerprint"])
            checkpoint = None
        self.accelerator.wait_for_everyone()
        if checkpoint is None:
            if self.main:
                self.folder.set_aside()
            return 0
        source = f"checkpoint of step {checkpoint.step} in {self.folder.folder}"
        load_weights(self.model, checkpoint.part("model"), source)
        load_optimizer_tensors(self.optimizer, checkpoint.part("optimizer"))
        if self.average is not None:
            load_weights(self.average, checkpoint.part("average"), source)
        state = checkpoint.state
        if self.accelerator.scaler is not None and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.progress = _Progress(checkpoint.step, state["sums"], state["history"], state["seconds"])
        return checkpoint.step

    def _announce_restart(self, other: dict[str, Any]) -> None:
        mine = self._fingerprint()
        changed = [key for key in mine if mine[key] != other.get(key)]
        if self.main:
            tqdm.write(
                f"{self.folder.folder}: checkpoints of other settings ({', '.join(changed)} changed) "
                f"moved to {self.folder.folder.name}.replaced; starting over"
            )
