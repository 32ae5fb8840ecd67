"""Stage I of PCT: train the pose tokenizer, save it, and measure what it gives back.

Long, as the whole of a stage is here, which its notebook shows from top to bottom.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pctlib.losses import tokenizer_losses
from pctlib.metrics.mpjpe import mpjpe
from pctlib.metrics.reconstruction import reconstruction_metrics
from pctlib.models.backbones import Backbone
from pctlib.models.codebook import codebook_perplexity, codebook_usage
from pctlib.models.layers import MixerSize
from pctlib.models.tokenizer import GuidedTokenizer, PoseTokenizer, TokenizerOutput, guide_features
from pctlib.profiles.profile import Profile
from pctlib.profiles.sections import TokenizerProfile
from pctlib.skeletons import Skeleton
from pctlib.study.crops import Crops
from pctlib.study.poses import Poses, augment_poses
from pctlib.study.predictions import choose_people
from pctlib.study.runs import RunDescription, load_run, read_run, save_run
from pctlib.training.fingerprint import fingerprint
from pctlib.training.loop import TrainingResult, train
from pctlib.training.plan import Step, mix_seed
from pctlib.training.settings import TrainingSettings

_ROWS = 1024  # poses of one batch, where no images are looked at
_SAMPLE = 4096  # poses whose tokens a codebook starts from, at least


class PoseBatch(NamedTuple):
    """What a training step of the tokenizer takes.

    keypoints: [B, K, D] of the network input; visible: [B, K] COCO flags; hidden: [B, K] bool, hidden from
    the encoder; images: [B, 3, H, W] with image guidance, else None.
    """

    keypoints: Tensor
    visible: Tensor
    hidden: Tensor
    images: Tensor | None = None


class TokenizerTask:
    """Learn to write poses as tokens, from tensors that live on the device.

    Without image guidance every random draw is made for the global batch, so that any number of processes
    sees the same poses.

    Args:
        model: the tokenizer; a `GuidedTokenizer` if the poses come with images.
        train_poses: poses to learn.
        val_poses: poses to reconstruct at each evaluation.
        profile: loss weights and augmentation.
    """

    def __init__(
        self,
        model: PoseTokenizer | GuidedTokenizer,
        train_poses: Poses,
        *,
        val_poses: Poses,
        profile: TokenizerProfile,
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
        """Yield augmented poses, with their images if there are any."""
        self.train_poses = self.train_poses.to(device)
        if self.train_poses.images is None:
            return (self._pose_batch(step, device) for step in steps)
        return self._image_batches(self.train_poses.images, steps, device)

    def _pose_batch(self, step: Step, device: torch.device) -> PoseBatch:
        generator = step.generator(shared=True)
        keypoints, visible = augment_poses(
            self.train_poses, step.indices.to(device), self.profile.augmentation, generator
        )
        hidden = self._hide(visible, generator)
        return PoseBatch(keypoints[step.local], visible[step.local], hidden[step.local])

    def _image_batches(
        self, images: Crops, steps: Sequence[Step], device: torch.device
    ) -> Iterator[PoseBatch]:
        rows = [step.local_indices for step in steps]
        draws = [step.generator(shared=False) for step in steps]
        augmented = images.inputs(rows, device, augmentation=self.profile.augmentation, generators=draws)
        for inputs, generator in zip(augmented, draws, strict=True):
            hidden = self._hide(inputs.visible, generator)
            yield PoseBatch(inputs.keypoints, inputs.visible, hidden, inputs.images)

    def _hide(self, visible: Tensor, generator: torch.Generator) -> Tensor:
        draw = torch.rand(visible.shape, generator=generator) < self.profile.drop_rate
        return draw.to(visible.device)

    def loss(self, model: nn.Module, batch: PoseBatch) -> tuple[dict[str, Tensor], TokenizerOutput]:
        """Return the published losses, that of a codebook learnt by gradient, and what the codebook sees."""
        seen = () if batch.images is None else (batch.images,)
        output = model(*seen, batch.keypoints, batch.visible, hidden=batch.hidden)
        losses = tokenizer_losses(
            output,
            batch.keypoints,
            batch.visible,
            beta=self.profile.beta,
            commitment_weight=self.profile.commitment_weight,
        )
        codebook = pose_tokenizer(self.model).codebook
        if codebook.learning == "gradient":
            losses["codebook"] = codebook.loss(output.tokens, output.indices)
        return losses, output

    def after_step(self, model: nn.Module, step: Step, extra: TokenizerOutput) -> None:
        """Move the codebook towards the tokens of the step."""
        codebook = pose_tokenizer(model).codebook
        codebook.update(extra.tokens, extra.indices, generator=step.generator(shared=True))

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return reconstruction error and codebook use on the validation poses."""
        device = next(model.parameters()).device
        return evaluate_tokenizer(model, self.val_poses.to(device))


def pose_tokenizer(model: PoseTokenizer | GuidedTokenizer) -> PoseTokenizer:
    """Return the tokenizer itself, without the backbone that may guide it."""
    return model.tokenizer if isinstance(model, GuidedTokenizer) else model


def build_tokenizer(
    profile: Profile, *, num_keypoints: int, num_dims: int = 2, guide_channels: int = 0
) -> PoseTokenizer:
    """Return an untrained tokenizer of the profile's sizes; torch's global generator draws the weights.

    Args:
        profile: the sizes.
        num_keypoints: K.
        num_dims: D.
        guide_channels: C of the backbone that guides it, if the profile has guidance.
    """
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
        guide_channels=guide_channels,
        guide_ratio=sizes.guide_ratio,
        decay=sizes.ema_decay,
        revive_after=sizes.revive_after,
        codebook_learning=sizes.codebook_learning,
        encoder_kind=sizes.encoder_kind,
        **normalised,
    )


def train_tokenizer(
    profile: Profile,
    train_poses: Poses,
    *,
    val_poses: Poses,
    seed: int,
    out_dir: str | Path,
    guide: Backbone | None = None,
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
        guide: trained backbone for image guidance, if the profile has it; stays frozen.
        settings: schedule; None for the profile's.
        progress: show a progress bar.

    Returns:
        The trained tokenizer and its history.

    Raises:
        ValueError: as `pctlib.training.loop.train`, or if image guidance is on and there is no guide.
    """
    if profile.tokenizer.guide_ratio > 0 and guide is None:
        raise ValueError("guide_ratio is above 0: the tokenizer needs a trained backbone (heatmap_dir)")
    torch.manual_seed(mix_seed(seed, "tokenizer: weights"))
    model: PoseTokenizer | GuidedTokenizer = build_tokenizer(
        profile,
        num_keypoints=train_poses.keypoints.shape[1],
        num_dims=train_poses.num_dims,
        guide_channels=guide.channels[-1] if guide is not None else 0,
    )
    if guide is not None:
        model = GuidedTokenizer(guide, model)
    if profile.tokenizer.data_initialisation:
        initialise_codebook(model, train_poses, seed=seed)
    task = TokenizerTask(model, train_poses, val_poses=val_poses, profile=profile.tokenizer)
    settings = settings or profile.tokenizer.training
    result = train(task, settings, out_dir=out_dir, seed=seed, device=profile.device, progress=progress)
    save_tokenizer(pose_tokenizer(result.model), profile, train_poses.skeleton, out_dir)
    return result


def compare_starts(
    profile: Profile,
    train_poses: Poses,
    *,
    val_poses: Poses,
    seed: int,
    out_dir: str | Path,
    guide: Backbone | None = None,
    epochs: int = 4,
    progress: bool = True,
) -> dict[str, pd.DataFrame]:
    """Train two tokenizers on one short schedule that differ only in how their codebooks start and live.

    Args:
        profile: of the study.
        train_poses: poses to learn.
        val_poses: poses to reconstruct after every epoch.
        seed: of both.
        out_dir: gets a folder for each.
        guide: as in `train_tokenizer`.
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
            guide=guide,
            settings=settings,
            progress=progress,
        ).frame()
    return histories


@torch.no_grad()
def initialise_codebook(model: PoseTokenizer | GuidedTokenizer, poses: Poses, *, seed: int) -> None:
    """Start the codebook at the k-means clusters of the tokens of some training poses."""
    generator = torch.Generator().manual_seed(mix_seed(seed, "tokenizer: first codebook"))
    chosen = torch.randperm(len(poses), generator=generator)[:_SAMPLE]
    codebook = pose_tokenizer(model).codebook
    tokens = _tokens(model, poses, chosen).flatten(0, 1)  # [N M, E]
    codebook_size = len(codebook.codebook)
    while len(tokens) < codebook_size:  # fewer tokens than entries: let some start as near copies
        tokens = torch.cat([tokens, tokens + 1e-3 * torch.randn(tokens.shape, generator=generator)])
    subset = torch.randperm(len(tokens), generator=generator)[: max(16 * codebook_size, _SAMPLE)]
    codebook.initialise(tokens[subset], generator=generator)


def _tokens(model: PoseTokenizer | GuidedTokenizer, poses: Poses, rows: Tensor) -> Tensor:
    """Return token features [N, M, E] of some poses, on the CPU."""
    if poses.images is None:
        keypoints, _ = poses.crops()
        return model.encode(keypoints[rows], poses.visible[rows])
    tokens = []
    for inputs in poses.images.inputs(rows.split(64), torch.device("cpu")):
        features = guide_features(model.guide, inputs.images, inputs.keypoints)
        tokens.append(model.tokenizer.encode(inputs.keypoints, inputs.visible, joint_features=features))
    return torch.cat(tokens)


def save_tokenizer(model: PoseTokenizer, profile: Profile, skeleton: Skeleton, out_dir: str | Path) -> None:
    """Write weights and the values needed to build the tokenizer again."""
    sizes = {
        "num_dims": model.num_dims,
        "guide_channels": model.embed_features.in_features if model.guided else 0,
        "profile": profile.model_dump(mode="json"),
    }
    save_run(out_dir, model, RunDescription("tokenizer", skeleton, sizes))


def adopt_tokenizer(profile: Profile, out_dir: str | Path) -> Profile:
    """Return a profile with the tokenizer section that a trained tokenizer was built from.

    Raises:
        FileNotFoundError: if the folder holds no trained tokenizer.
    """
    trained = Profile.model_validate(read_run(out_dir).sizes["profile"])
    return profile.model_copy(update={"tokenizer": trained.tokenizer})


def load_tokenizer(out_dir: str | Path) -> PoseTokenizer:
    """Read what `train_tokenizer` saved, in eval mode on the CPU.

    Raises:
        FileNotFoundError: if the folder holds no trained tokenizer.
        ValueError: if it holds something else, or the weights do not fit.
    """
    model = load_run(out_dir)
    if not isinstance(model, PoseTokenizer):
        raise ValueError(f"{out_dir}: expected a trained tokenizer, got {type(model).__name__}")
    return model


def build_run(run: RunDescription) -> PoseTokenizer:
    """Return the untrained tokenizer of a run."""
    return build_tokenizer(
        Profile.model_validate(run.sizes["profile"]),
        num_keypoints=run.skeleton.num_keypoints,
        num_dims=run.sizes["num_dims"],
        guide_channels=run.sizes["guide_channels"],
    )


@torch.inference_mode()
def reconstruct(
    model: PoseTokenizer | GuidedTokenizer,
    poses: Poses,
    *,
    hidden: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return poses [N, K, D] written as tokens and read back, and their token indices [N, M].

    Args:
        model: in eval mode.
        poses: N poses.
        hidden: [N, K] bool, joints that the encoder does not see besides unlabelled ones; None: none.
    """
    device = next(model.parameters()).device
    if hidden is None:
        hidden = torch.zeros(poses.visible.shape, dtype=torch.bool)
    hidden = hidden.to(device)
    outputs = []
    if poses.images is not None:
        start = 0
        for x in poses.images.in_order(device):
            rows = slice(start, start := start + len(x.images))
            outputs.append(model(x.images, x.keypoints, x.visible, hidden=hidden[rows]))
    else:
        keypoints, _ = poses.crops()
        for rows in torch.arange(len(poses)).split(_ROWS):
            inputs = keypoints[rows].to(device), poses.visible[rows].to(device)
            outputs.append(model(*inputs, hidden=hidden[rows]))
    return torch.cat([o.keypoints for o in outputs]), torch.cat([o.indices for o in outputs])


def evaluate_tokenizer(model: PoseTokenizer | GuidedTokenizer, poses: Poses) -> dict[str, float]:
    """Return reconstruction metrics, codebook usage and perplexity on poses."""
    restored, indices = reconstruct(model, poses)
    counts = torch.bincount(indices.flatten(), minlength=len(pose_tokenizer(model).codebook.codebook))
    use = {
        "codebook usage": codebook_usage(counts).item(),
        "codebook perplexity": codebook_perplexity(counts).item(),
    }
    if poses.num_dims == 3:
        return {"MPJPE mm": mpjpe(restored.cpu().numpy(), poses.keypoints.cpu().numpy())} | use
    return reconstruction_metrics(poses.people, poses.to_image(restored)) | use


def summarise_reconstruction(
    model: PoseTokenizer | GuidedTokenizer, metrics: dict[str, float]
) -> pd.DataFrame:
    """Return the sizes of a tokenizer and what its reconstruction loses, one row a quantity."""
    tokenizer = pose_tokenizer(model)
    num_tokens, codebook_size = tokenizer.num_tokens, len(tokenizer.codebook.codebook)
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
    # Quantities of such different sizes share a column: each is written with its own four digits.
    kept = [(name, f"{value:.4g}", unit) for name, value, unit in rows if value is not None]
    return pd.DataFrame(kept, columns=["quantity", "value", "unit"])


def reconstruction_examples(
    model: PoseTokenizer | GuidedTokenizer, poses: Poses, *, each: int = 4
) -> dict[str, Any]:
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
