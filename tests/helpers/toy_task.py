"""A small regression task for tests of the training loop; also a script that tests kill and launch."""

import sys
import time

import torch
from torch import nn

from pctlib.training.loop import train
from pctlib.training.settings import TrainingSettings


class ToyTask:
    """Fit a linear map through a network with dropout; one sample can be made to spoil the loss."""

    def __init__(self, *, num_samples: int = 40, slow: float = 0.0, spoilt: int | None = None) -> None:
        generator = torch.Generator().manual_seed(7)
        self.inputs = torch.randn(num_samples, 5, generator=generator)
        self.targets = self.inputs @ torch.randn(5, 3, generator=generator)
        if spoilt is not None:
            self.targets[spoilt] = float("nan")
        torch.manual_seed(11)
        self.model = nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.Dropout(0.1), nn.Linear(16, 3))
        self.num_samples = num_samples
        self.identity = {"spoilt": spoilt}
        self.slow = slow
        self.seen: list[list[int]] = []

    def batches(self, steps, device):
        for step in steps:
            time.sleep(self.slow)
            self.seen.append(step.local_indices.tolist())
            noise = torch.randn(len(step.indices), 5, generator=step.generator(shared=True))[step.local]
            inputs = self.inputs[step.local_indices] + 0.01 * noise
            yield inputs.to(device), self.targets[step.local_indices].to(device)

    def loss(self, model, batch):
        inputs, targets = batch
        return {"fit": (model(inputs) - targets).square().mean()}, None

    def after_step(self, model, step, extra):
        pass

    def evaluate(self, model):
        assert not model.training
        return {"error": (model(self.inputs) - self.targets).square().mean().item()}


SETTINGS = TrainingSettings(
    epochs=6,
    batch_size=8,
    learning_rate=1e-2,
    warmup_steps=3,
    average_decay=0.9,
    max_grad_norm=1.0,
    checkpoint_seconds=0.0,
)

if __name__ == "__main__":
    torch.set_num_threads(1)
    train(ToyTask(slow=0.02), SETTINGS, out_dir=sys.argv[1], seed=3, device="cpu", progress=False)
