"""Stage II of PCT: the token classifier on a frozen backbone, and its control, a heatmap head."""

from pathlib import Path
from typing import Any

import torch

from pctlib.models.backbones import Backbone
from pctlib.models.estimator import FrozenBackbone, PoseEstimator
from pctlib.models.layers import MixerSize
from pctlib.models.representations.base import Representation
from pctlib.models.representations.pct import HeadSize, PCTClassifier
from pctlib.models.tokenizer import PoseTokenizer
from pctlib.paths import resolve
from pctlib.profiles.profile import Profile
from pctlib.profiles.sections import ClassifierProfile
from pctlib.skeletons import Skeleton
from pctlib.study.crops import CropCache
from pctlib.study.features import FrozenStage, extract_features
from pctlib.study.people import Splits
from pctlib.study.runs import RunDescription, load_estimator
from pctlib.study.stages.heatmap import build_backbone, build_heatmap, load_heatmap, save_staged
from pctlib.study.stages.tokenizer import build_tokenizer
from pctlib.study.tasks import EstimatorTask, HeadTask
from pctlib.training.fingerprint import weights_of
from pctlib.training.loop import TrainingResult, train
from pctlib.training.plan import mix_seed


def freeze_backbone(
    profile: Profile,
    splits: Splits,
    backbone: Backbone,
    *,
    seed: int,
    crops: CropCache | None = None,
    progress: bool = True,
) -> FrozenStage:
    """Freeze a backbone and, if the profile says so, compute its features once.

    Args:
        profile: how many augmented views are kept; 0: features are computed at every step.
        splits: training and validation people with images.
        backbone: trained on heatmaps.
        seed: of the views.
        crops: gives the crops; None: they are cut here.
        progress: show progress bars.
    """
    backbone.requires_grad_(False).eval()
    cut = (crops or CropCache(profile)).cut
    stage = FrozenStage(backbone, cut(splits.train, training=True), cut(splits.val, training=False))
    sizes = profile.classifier
    if sizes.cached_views:
        options = {"device": profile.torch_device, "progress": progress}
        stage.train_features = extract_features(
            backbone,
            stage.train_crops,
            views=sizes.cached_views,
            augmentation=sizes.augmentation,
            seed=seed,
            **options,
        )
        stage.val_features = extract_features(backbone, stage.val_crops, **options)
    return stage


class FrozenStages:
    """The heatmap backbones of a study, frozen, by seed; features are kept of the last seed.

    Args:
        splits: training and validation people with images.
        study_dir: holds `heatmap-seed<seed>`.
        progress: show progress bars.
    """

    def __init__(self, splits: Splits, study_dir: str | Path, *, progress: bool = True) -> None:
        self.splits, self.study_dir, self.progress = splits, resolve(study_dir), progress
        self._last: tuple[int, FrozenStage] | None = None

    def backbone(self, seed: int) -> Backbone:
        """Return the backbone of a seed.

        Raises:
            FileNotFoundError: if it is not trained.
        """
        return load_heatmap(self.study_dir / f"heatmap-seed{seed}").backbone

    def of(self, seed: int, profile: Profile, *, crops: CropCache | None = None) -> FrozenStage:
        """Return what heads on the backbone of a seed are trained from; the first asked for settles it.

        Args:
            seed: of the backbone and of the views.
            profile: how many views are kept.
            crops: gives the crops, if other networks use them too.
        """
        if self._last is None or self._last[0] != seed:
            backbone, options = self.backbone(seed), {"crops": crops, "progress": self.progress}
            self._last = seed, freeze_backbone(profile, self.splits, backbone, seed=seed, **options)
        return self._last[1]


def head_size(sizes: ClassifierProfile) -> HeadSize:
    """Return the size of the classification head."""
    mixer = MixerSize(
        dim=sizes.hidden_dim,
        num_layers=sizes.mixer_layers,
        token_hidden=sizes.token_mlp_dim,
        channel_hidden=sizes.channel_mlp_dim,
        dropout=sizes.dropout,
    )
    return HeadSize(sizes.conv_channels, sizes.conv_blocks, sizes.dilation, mixer)


def build_classifier(
    profile: Profile,
    backbone: Backbone,
    tokenizer: PoseTokenizer,
    skeleton: Skeleton,
    *,
    guide: Backbone | None = None,
) -> PCTClassifier:
    """Return an untrained token classifier for a backbone and a trained tokenizer.

    Args:
        profile: sizes and loss weights.
        backbone: gives the feature map.
        tokenizer: is frozen.
        skeleton: the keypoints.
        guide: of a guided tokenizer, frozen; None: the backbone, which must then be the frozen one.
    """
    sizes = profile.classifier
    return PCTClassifier(
        tokenizer,
        backbone.channels[-1],
        input_size=profile.crop.input_size,
        flip_permutation=skeleton.flip_permutation,
        feature_stride=backbone.strides[-1],
        head=head_size(sizes),
        guide=(guide or backbone) if tokenizer.guided else None,
        token_weight=sizes.token_loss_weight,
        keypoint_weight=sizes.keypoint_loss_weight,
        beta=profile.tokenizer.beta,
    )


def train_classifier(
    profile: Profile,
    stage: FrozenStage,
    tokenizer: PoseTokenizer,
    *,
    seed: int,
    out_dir: str | Path,
    progress: bool = True,
) -> TrainingResult:
    """Train the token classifier and save backbone, head and tokenizer as one model.

    Args:
        profile: sizes, loss weights and schedule.
        stage: the frozen backbone and its people.
        tokenizer: trained; frozen here.
        seed: of weights, order and draws.
        out_dir: folder of the run.
        progress: show a progress bar.

    Returns:
        The trained `PoseEstimator` and the history.

    Raises:
        ValueError: as `pctlib.training.loop.train`, or if the tokenizer is of other keypoints.
    """
    skeleton = stage.train_crops.people.skeleton
    torch.manual_seed(mix_seed(seed, "classifier: weights"))
    head = build_classifier(profile, stage.backbone, tokenizer, skeleton)
    identity = {"tokenizer": weights_of(tokenizer)}
    result = train_head(
        profile, stage, head, seed=seed, out_dir=out_dir, identity=identity, progress=progress
    )
    save_staged(result.model, "classifier", profile, skeleton, out_dir)
    return result


def train_control(
    profile: Profile,
    stage: FrozenStage,
    *,
    seed: int,
    out_dir: str | Path,
    progress: bool = True,
) -> TrainingResult:
    """Train a new heatmap head exactly as the token classifier: same frozen features, same schedule.

    Arguments and errors as in `train_classifier`.
    """
    skeleton = stage.train_crops.people.skeleton
    torch.manual_seed(mix_seed(seed, "classifier: weights of the control"))
    head = build_heatmap(profile, stage.backbone, skeleton)
    result = train_head(profile, stage, head, seed=seed, out_dir=out_dir, progress=progress)
    save_staged(result.model, "heatmap", profile, skeleton, out_dir)
    return result


def train_head(
    profile: Profile,
    stage: FrozenStage,
    head: Representation,
    *,
    seed: int,
    out_dir: str | Path,
    identity: dict[str, Any] | None = None,
    progress: bool = True,
) -> TrainingResult:
    """Train a representation on a frozen backbone by the schedule of the token classifier.

    Args:
        profile: its classifier section.
        stage: the frozen backbone and its people.
        head: untrained; the caller has drawn its weights from the seed.
        seed: of order and draws.
        out_dir: folder of the run.
        identity: JSON values that tell this run from others, besides profile, backbone and kind of head.
        progress: show a progress bar.

    Returns:
        The trained `FrozenBackbone` and the history; nothing but checkpoints is saved.

    Raises:
        ValueError: as `pctlib.training.loop.train`.
    """
    sizes = profile.classifier
    identity = {
        "profile": sizes.model_dump(mode="json", exclude={"training"}),
        "head": type(head).__name__,
        "backbone": weights_of(stage.backbone),
        **(identity or {}),
    }
    if stage.train_features is not None:
        task = HeadTask(
            head,
            stage.train_features,
            val_features=stage.val_features,
            val_crops=stage.val_crops,
            identity=identity,
        )
    else:
        task = EstimatorTask(
            FrozenBackbone(stage.backbone, head),
            stage.train_crops,
            val_crops=stage.val_crops,
            augmentation=sizes.augmentation,
            identity=identity,
        )
    result = train(task, sizes.training, out_dir=out_dir, seed=seed, device=profile.device, progress=progress)
    if isinstance(result.model, PoseEstimator):
        return result
    device_of_head = next(result.model.parameters()).device
    model = FrozenBackbone(stage.backbone.to(device_of_head), result.model).eval()
    return TrainingResult(model, result.history, result.resumed_from)


def load_classifier(out_dir: str | Path) -> PoseEstimator:
    """Read what `train_classifier` saved; errors as in `load_estimator`."""
    return load_estimator(out_dir).model


def build_run(run: RunDescription) -> FrozenBackbone:
    """Return the untrained token classifier of a run."""
    profile = Profile.model_validate(run.sizes["profile"])
    backbone = build_backbone(profile)
    channels = backbone.channels[-1] if profile.tokenizer.guide_ratio else 0
    num_keypoints = run.skeleton.num_keypoints
    tokenizer = build_tokenizer(profile, num_keypoints=num_keypoints, guide_channels=channels)
    return FrozenBackbone(backbone, build_classifier(profile, backbone, tokenizer, run.skeleton))
