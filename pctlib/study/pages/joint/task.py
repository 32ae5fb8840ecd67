"""Learning from several data sets at once: each image by the decoder of its own."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pctlib.data.augmentation import Inputs
from pctlib.metrics.pck import pck_metrics
from pctlib.models.vitpose import MultiDatasetEstimator
from pctlib.profiles.sections import AugmentationProfile
from pctlib.study.crops import Crops, predict_people
from pctlib.study.pages.joint.draw import BalancedDraw
from pctlib.training.fingerprint import fingerprint
from pctlib.training.plan import Step, mix_seed

MEASURES = ("PCK@0.1 all", "NME all")  # what all data sets have; not all have the sigmas of OKS


class JointTask:
    """Learn from several data sets: each image by the decoder of its own.

    The loss of a data set is the mean over its own images times their share of the batch, as in the release
    of ViTPose+.

    Differs: a decoder sees the images of its own data set alone, so that its batch statistics are of these;
    the release sends all images through all decoders and masks the losses.

    Args:
        model: a decoder for each data set.
        train_crops: people to learn from, by name of the data set, in the order of the decoders.
        val_crops: people to measure on at each evaluation, without flip test.
        draw: who meets in a step; draws as many data sets.
        augmentation: random changes of the training crops.
        identity: JSON values that tell this run from others.
    """

    def __init__(
        self,
        model: MultiDatasetEstimator,
        train_crops: Mapping[str, Crops],
        *,
        val_crops: Mapping[str, Crops],
        draw: BalancedDraw,
        augmentation: AugmentationProfile,
        identity: dict[str, Any],
    ) -> None:
        self.model = model
        self.names = list(train_crops)
        self.train_crops, self.val_crops = train_crops, val_crops
        self.draw, self.augmentation = draw, augmentation
        self.num_samples = draw.slots
        people = [torch.from_numpy(crops.people.keypoints_image) for crops in train_crops.values()]
        self.identity = {**identity, "data": fingerprint(*people), "draw": draw.identity}

    def batches(self, steps: Sequence[Step], device: torch.device) -> Iterator[list[Inputs]]:
        """Yield the augmented inputs of each data set."""
        rows = [self.draw.rows(step.epoch, step.local_indices) for step in steps]
        streams = [
            crops.inputs(
                [row[place] for row in rows],
                device,
                augmentation=self.augmentation,
                generators=[torch.Generator().manual_seed(mix_seed(s.local_seed, number)) for s in steps],
            )
            for place, (number, crops) in enumerate(
                zip(self.draw.drawn, self.train_crops.values(), strict=True)
            )
        ]
        yield from map(list, zip(*streams, strict=True))

    def loss(self, model: MultiDatasetEstimator, batch: list[Inputs]) -> tuple[dict[str, Tensor], None]:
        """Return the loss of each data set under its name."""
        counts = [len(inputs.images) for inputs in batch]
        index = torch.arange(len(batch)).repeat_interleave(torch.tensor(counts))
        images = torch.cat([inputs.images for inputs in batch])
        features = model.backbone(images, index if model.backbone.num_experts else None)
        parts = zip(*(level.split(counts) for level in features), strict=True)
        terms = {}
        for name, representation, inputs, own in zip(
            self.names, model.representations, batch, parts, strict=True
        ):
            target = representation.encode(inputs.keypoints, inputs.visible)
            for term, value in representation.loss(representation(list(own)), target).items():
                terms[f"{term} {name}"] = value * (len(inputs.images) / len(images))
        return terms, None

    def after_step(self, model: nn.Module, step: Step, extra: None) -> None:
        """Do nothing."""

    def evaluate(self, model: MultiDatasetEstimator) -> dict[str, float]:
        """Return what all data sets have in common, of each, under "<metric> <name>", and the means."""
        found = {}
        for number, (name, crops) in enumerate(self.val_crops.items()):
            predictions = predict_people(model.of_dataset(number), crops)
            metrics = pck_metrics(crops.people, predictions.keypoints_image, threshold=0.1)
            found |= {f"{key} {name}": metrics[key] for key in MEASURES}
        return {key: mean_of(found, key, self.names) for key in MEASURES} | found


def mean_of(metrics: Mapping[str, float], key: str, names: Sequence[str]) -> float:
    """Return the mean of "<key> <name>" over the data sets."""
    return float(np.mean([metrics[f"{key} {name}"] for name in names]))
