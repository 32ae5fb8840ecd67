"""Stage 0: backbone and SimpleBaseline head on heatmaps; the baseline, and PCT's start."""

from pathlib import Path

import torch

from pctlib.models.backbones import Backbone
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.heatmap import Heatmap
from pctlib.profiles.profile import Profile
from pctlib.profiles.sections import StartWeights
from pctlib.skeletons import Skeleton
from pctlib.study.crops import Crops
from pctlib.study.people import Splits
from pctlib.study.runs import RunDescription, load_estimator, save_run
from pctlib.study.tasks import EstimatorTask
from pctlib.training.loop import TrainingResult, train
from pctlib.training.plan import mix_seed
from pctlib.training.shipped import starting_backbone


def build_backbone(profile: Profile, *, weights: StartWeights = "none") -> Backbone:
    """Return the profile's backbone; as it is to be loaded, or with the weights its training starts from."""
    sizes = profile.heatmap
    options = {"drop_path_rate": sizes.drop_path} if sizes.drop_path else {}
    return starting_backbone(
        sizes.backbone,
        profile.crop.input_size,
        weights=weights,
        out_indices=None if sizes.stages is None else range(sizes.stages),
        final_norm=sizes.final_norm,
        **options,
    )


def build_heatmap(profile: Profile, backbone: Backbone, skeleton: Skeleton) -> Heatmap:
    """Return an untrained SimpleBaseline head with DARK-refined decoding for a backbone."""
    return Heatmap.simple_baseline(
        backbone.channels[-1],
        skeleton.flip_permutation,
        input_size=profile.crop.input_size,
        coding="dark",
        sigma=profile.heatmap.sigma,
        feature_stride=backbone.strides[-1],
        channels=profile.heatmap.deconv_channels,
        kernels=[4] * len(profile.heatmap.deconv_channels),
    )


def train_heatmap(
    profile: Profile,
    splits: Splits,
    *,
    seed: int,
    out_dir: str | Path,
    progress: bool = True,
) -> TrainingResult:
    """Train the heatmap baseline of a profile and save it as `model.safetensors` and `model.json`.

    Args:
        profile: sizes, augmentation and schedule.
        splits: training and validation people with images.
        seed: of weights, order and draws.
        out_dir: folder of the run.
        progress: show a progress bar.

    Returns:
        The trained `PoseEstimator` and its history.

    Raises:
        ValueError: as `pctlib.training.loop.train`, or if an image cannot be read.
    """
    torch.manual_seed(mix_seed(seed, "heatmap: weights"))
    backbone = build_backbone(profile, weights=profile.heatmap.weights)
    model = PoseEstimator(backbone, build_heatmap(profile, backbone, splits.train.skeleton))
    model = model.to(memory_format=torch.channels_last)
    task = EstimatorTask(
        model,
        Crops(splits.train, profile, training=True),
        val_crops=Crops(splits.val, profile, training=False),
        augmentation=profile.heatmap.augmentation,
        identity={"profile": profile.heatmap.model_dump(mode="json", exclude={"training"})},
    )
    settings = profile.heatmap.training
    result = train(task, settings, out_dir=out_dir, seed=seed, device=profile.device, progress=progress)
    save_staged(result.model, "heatmap", profile, splits.train.skeleton, out_dir)
    return result


def save_staged(
    model: PoseEstimator, kind: str, profile: Profile, skeleton: Skeleton, out_dir: str | Path
) -> None:
    """Save an estimator of a stage, which a whole profile builds."""
    sizes = {"profile": profile.model_dump(mode="json")}
    crop = profile.crop
    save_run(out_dir, model, RunDescription(kind, skeleton, sizes, crop.input_size, crop.evaluation_padding))


def load_heatmap(out_dir: str | Path) -> PoseEstimator:
    """Read what `train_heatmap` saved; errors as in `load_estimator`."""
    return load_estimator(out_dir).model


def build_run(run: RunDescription) -> PoseEstimator:
    """Return the untrained heatmap baseline of a run."""
    profile = Profile.model_validate(run.sizes["profile"])
    backbone = build_backbone(profile)
    return PoseEstimator(backbone, build_heatmap(profile, backbone, run.skeleton))
