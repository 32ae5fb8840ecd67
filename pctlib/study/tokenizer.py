"""Stage I of PCT: train the pose tokenizer."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pctlib.checkpointing import load_weights
from pctlib.io import read_json, read_tensors, write_json, write_tensors
from pctlib.losses import tokenizer_losses
from pctlib.metrics.mpjpe import mpjpe
from pctlib.metrics.reconstruction import reconstruction_metrics
from pctlib.models.codebook import codebook_perplexity, codebook_usage
from pctlib.models.layers import MixerSize
from pctlib.models.tokenizer import PoseTokenizer, TokenizerOutput
from pctlib.profiles import Profile, TokenizerProfile
from pctlib.schedule import Step, mix_seed
from pctlib.settings import TrainingSettings
from pctlib.study.poses import Poses, augment_poses
from pctlib.study.predictions import choose_people
from pctlib.training import TrainingResult, train


class PoseBatch(NamedTuple):
    """Keypoints [B, K, D] of the network input, COCO flags [B, K], and which keypoints are hidden [B, K]."""

    keypoints: Tensor
    visible: Tensor
    hidden: Tensor


class TokenizerTask:
    """Learn to write poses as tokens, from tensors that live on the device.

    Every random draw is made for the global batch, so that any number of processes sees the same poses.

    Args:
        model: the tokenizer, not guided by images.
        train_poses: poses to learn.
        val_poses: poses to reconstruct at each evaluation.
        profile: loss weights and augmentation.
    """

    def __init__(
        self, model: PoseTokenizer, train_poses: Poses, *, val_poses: Poses, profile: TokenizerProfile
    ) -> None:
        self.model = model
        self.train_poses, self.val_poses = train_poses, val_poses
        self.profile = profile
        self.num_samples = len(train_poses)

    @property
    def identity(self) -> dict[str, Any]:
        """What, besides the training settings, makes a run this one."""
        return {
            "data": fingerprint(self.train_poses.keypoints, self.train_poses.visible),
            "profile": self.profile.model_dump(mode="json", exclude={"training"}),
        }

    def batches(self, steps: Sequence[Step], device: torch.device) -> Iterator[PoseBatch]:
        """Yield augmented poses."""
        self.train_poses = self.train_poses.to(device)
        for step in steps:
            generator = step.generator(shared=True)
            keypoints, visible = augment_poses(
                self.train_poses, step.indices.to(device), self.profile.augmentation, generator
            )
            hidden = (torch.rand(visible.shape, generator=generator) < self.profile.drop_rate).to(device)
            yield PoseBatch(keypoints[step.local], visible[step.local], hidden[step.local])

    def loss(self, model: nn.Module, batch: PoseBatch) -> tuple[dict[str, Tensor], TokenizerOutput]:
        """Return the published losses, and the tokens for the codebook."""
        output = model(batch.keypoints, batch.visible, hidden=batch.hidden)
        losses = tokenizer_losses(
            output,
            batch.keypoints,
            batch.visible,
            beta=self.profile.beta,
            commitment_weight=self.profile.commitment_weight,
        )
        return losses, output

    def after_step(self, model: nn.Module, step: Step, extra: TokenizerOutput) -> None:
        """Move the codebook towards the tokens of the step."""
        model.codebook.update(extra.tokens, extra.indices, generator=step.generator(shared=True))

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return reconstruction error and codebook use on the validation poses."""
        device = next(model.parameters()).device
        return evaluate_tokenizer(model, self.val_poses.to(device))


def build_tokenizer(profile: Profile, *, num_keypoints: int, num_dims: int = 2) -> PoseTokenizer:
    """Return an untrained tokenizer of the profile's sizes; torch's global generator draws the weights."""
    sizes = profile.tokenizer
    height, width = profile.crop.input_size
    center, scale = ((width - 1) / 2, (height - 1) / 2), width / 4
    if num_dims == 3:
        center, scale = (0.0, 0.0, 0.0), 400.0  # millimetres; joints lie within a metre of the pelvis
    normalised = {"coordinate_center": center, "coordinate_scale": scale} if sizes.normalise else {}
    return PoseTokenizer(
        num_keypoints,
        sizes.num_tokens,
        codebook_size=sizes.codebook_size,
        token_dim=sizes.token_dim,
        encoder=MixerSize(
            dim=sizes.encoder_dim,
            num_layers=sizes.encoder_layers,
            token_hidden=sizes.encoder_token_mlp_dim,
            channel_hidden=sizes.encoder_channel_mlp_dim,
        ),
        decoder=MixerSize(
            dim=sizes.decoder_dim,
            num_layers=sizes.decoder_layers,
            token_hidden=sizes.decoder_token_mlp_dim,
            channel_hidden=sizes.decoder_channel_mlp_dim,
        ),
        num_dims=num_dims,
        drop_rate=sizes.drop_rate,
        decay=sizes.ema_decay,
        revive_after=sizes.revive_after,
        **normalised,
    )


def train_tokenizer(
    profile: Profile,
    train_poses: Poses,
    *,
    val_poses: Poses,
    seed: int,
    out_dir: str | Path,
    settings: TrainingSettings | None = None,
    progress: bool = True,
) -> TrainingResult:
    """Train the tokenizer of a profile and save it as `model.safetensors` and `model.json`.

    Args:
        profile: sizes, loss, augmentation and schedule.
        train_poses: poses to learn.
        val_poses: poses to reconstruct at each evaluation.
        seed: of weights, order and draws.
        out_dir: folder of the run.
        settings: schedule; None for the profile's.
        progress: show a progress bar.

    Returns:
        The trained tokenizer and its history.

    Raises:
        ValueError: as `pctlib.training.train`.
    """
    torch.manual_seed(mix_seed(seed, 10))
    model = build_tokenizer(
        profile, num_keypoints=train_poses.keypoints.shape[1], num_dims=train_poses.num_dims
    )
    if profile.tokenizer.data_initialisation:
        initialise_codebook(model, train_poses, seed=seed)
    task = TokenizerTask(model, train_poses, val_poses=val_poses, profile=profile.tokenizer)
    settings = settings or profile.tokenizer.training
    result = train(task, settings, out_dir=out_dir, seed=seed, device=profile.device, progress=progress)
    save_tokenizer(result.model, profile, out_dir)
    return result


def compare_starts(
    profile: Profile,
    train_poses: Poses,
    *,
    val_poses: Poses,
    seed: int,
    out_dir: str | Path,
    epochs: int = 8,
    progress: bool = True,
) -> dict[str, pd.DataFrame]:
    """Train two tokenizers on one short schedule that differ only in how their codebooks start and live.

    Args:
        profile: of the study.
        train_poses: poses to learn.
        val_poses: poses to reconstruct after every epoch.
        seed: of both.
        out_dir: gets a folder for each.
        epochs: of both; at most those of the profile.
        progress: show progress bars.

    Returns:
        Histories: "published start" (random entries, never revived) and "data start" (k-means of the first
        tokens, dead entries revived).
    """
    training = profile.tokenizer.training
    settings = training.model_copy(update={"epochs": min(epochs, training.epochs), "evaluate_every": 1})
    variants = {
        "published start": {"data_initialisation": False, "revive_after": 0},
        "data start": {"data_initialisation": True, "revive_after": profile.tokenizer.revive_after or 100},
    }
    histories = {}
    for name, changes in variants.items():
        variant = profile.model_copy(update={"tokenizer": profile.tokenizer.model_copy(update=changes)})
        histories[name] = train_tokenizer(
            variant,
            train_poses,
            val_poses=val_poses,
            seed=seed,
            out_dir=Path(out_dir) / name.replace(" ", "-"),
            settings=settings,
            progress=progress,
        ).frame()
    return histories


@torch.no_grad()
def initialise_codebook(model: PoseTokenizer, poses: Poses, *, seed: int, sample: int = 4096) -> None:
    """Start the codebook at the k-means clusters of the tokens of some training poses."""
    generator = torch.Generator().manual_seed(mix_seed(seed, 11))
    chosen = torch.randperm(len(poses), generator=generator)[:sample]
    keypoints, _ = poses.crops()
    tokens = model.encode(keypoints[chosen], poses.visible[chosen]).flatten(0, 1)  # [N M, E]
    codebook_size = len(model.codebook.codebook)
    while len(tokens) < codebook_size:  # fewer tokens than entries: let some start as near copies
        tokens = torch.cat([tokens, tokens + 1e-3 * torch.randn(tokens.shape, generator=generator)])
    subset = torch.randperm(len(tokens), generator=generator)[: max(16 * codebook_size, sample)]
    model.codebook.initialise(tokens[subset], generator=generator)


def save_tokenizer(model: PoseTokenizer, profile: Profile, out_dir: str | Path) -> None:
    """Write weights and the values needed to build the tokenizer again."""
    out_dir = Path(out_dir)
    weights = {name: t.clone() for name, t in model.state_dict().items()}
    write_tensors(out_dir / "model.safetensors", weights)
    description = {"num_keypoints": model.num_keypoints, "num_dims": model.num_dims}
    description["profile"] = profile.model_dump(mode="json")
    write_json(out_dir / "model.json", description)


def load_tokenizer(out_dir: str | Path) -> PoseTokenizer:
    """Read what `train_tokenizer` saved, in eval mode on the CPU.

    Raises:
        FileNotFoundError: if the folder holds no trained tokenizer.
        ValueError: if the weights do not fit.
    """
    out_dir = Path(out_dir)
    description = read_json(out_dir / "model.json")
    model = build_tokenizer(
        Profile.model_validate(description["profile"]),
        num_keypoints=description["num_keypoints"],
        num_dims=description["num_dims"],
    )
    path = out_dir / "model.safetensors"
    load_weights(model, read_tensors(path), path)
    return model.eval()


@torch.inference_mode()
def reconstruct(model: PoseTokenizer, poses: Poses, *, batch_size: int = 1024) -> tuple[Tensor, Tensor]:
    """Return poses [N, K, D] written as tokens and read back, and their token indices [N, M]."""
    keypoints, _ = poses.crops()
    device = next(model.parameters()).device
    outputs = [
        model(k.to(device), v.to(device))
        for k, v in zip(keypoints.split(batch_size), poses.visible.split(batch_size), strict=True)
    ]
    return torch.cat([o.keypoints for o in outputs]), torch.cat([o.indices for o in outputs])


def evaluate_tokenizer(model: PoseTokenizer, poses: Poses) -> dict[str, float]:
    """Return reconstruction metrics, codebook usage and perplexity on poses."""
    restored, indices = reconstruct(model, poses)
    counts = torch.bincount(indices.flatten(), minlength=len(model.codebook.codebook))
    use = {
        "codebook usage": codebook_usage(counts).item(),
        "codebook perplexity": codebook_perplexity(counts).item(),
    }
    if poses.num_dims == 3:
        return {"MPJPE mm": mpjpe(restored.cpu().numpy(), poses.keypoints.cpu().numpy())} | use
    return reconstruction_metrics(poses.people, poses.to_image(restored)) | use


def summarise_reconstruction(model: PoseTokenizer, metrics: dict[str, float]) -> pd.DataFrame:
    """Return the sizes of a tokenizer and what its reconstruction loses, one row a quantity."""
    num_tokens, codebook_size = model.num_tokens, len(model.codebook.codebook)
    rows = [
        ("tokens M", num_tokens, ""),
        ("codebook entries V", codebook_size, ""),
        ("bits per pose, M log2 V", num_tokens * math.log2(codebook_size), "bit"),
        ("reconstruction error", metrics.get("error px"), "image px"),
        ("reconstruction error, MPJPE", metrics.get("MPJPE mm"), "mm"),
        ("OKS-AP of the reconstruction", metrics.get("AP"), "0 to 1"),
        ("PCK@0.2 of the reconstruction", metrics.get("PCK@0.2 all"), "0 to 1"),
        ("codebook entries in use", metrics["codebook usage"], "share"),
        ("codebook perplexity", metrics["codebook perplexity"], "entries"),
    ]
    kept = [row for row in rows if row[1] is not None]
    return pd.DataFrame(kept, columns=["quantity", "value", "unit"])


def reconstruction_examples(model: PoseTokenizer, poses: Poses, *, each: int = 4) -> dict[str, Any]:
    """Return the arguments of `reconstruction_gallery`: poses of the least, median and largest errors."""
    restored, _ = reconstruct(model, poses)
    truth, _ = poses.crops()
    truth, restored, visible = truth.cpu().numpy(), restored.cpu().numpy(), poses.visible.cpu().numpy()
    labelled = visible > 0
    distance = np.linalg.norm(truth - restored, axis=-1)
    errors = np.where(labelled, distance, 0).sum(1) / labelled.sum(1).clip(1)
    chosen = choose_people(errors, best=each, median=each, worst=each)
    rows = [row for row, _ in chosen]
    unit = "mm" if poses.num_dims == 3 else "px"
    return {
        "truth": truth[rows, :, :2],
        "restored": restored[rows, :, :2],
        "visible": visible[rows],
        "titles": [f"{why}\n{errors[row]:.1f} {unit}" for row, why in chosen],
        "skeleton": poses.skeleton,
    }


def fingerprint(*tensors: Tensor) -> str:
    """Return a short hash of tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
