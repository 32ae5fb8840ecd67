"""Crops of people as batches of network inputs, in an order that the caller decides."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pctlib.data.augmentation import Augmentation, Inputs, make_inputs
from pctlib.data.patches import Patches, make_loader
from pctlib.data.people import People
from pctlib.models.estimator import PoseEstimator
from pctlib.profiles.profile import Profile
from pctlib.profiles.sections import AugmentationProfile
from pctlib.study.people import Splits, first_people
from pctlib.study.predictions import Predictions
from pctlib.study.predictions_3d import Predictions3D
from pctlib.study.spaces import join, to_people

_ROWS = 64  # people of one batch, where the caller decides nothing


class Crops:
    """The people of one split, cut out of their images.

    Crops that fit the profile's cache are decoded once and kept; others are decoded by workers.

    Args:
        people: N people with images.
        profile: input size, padding, cache and workers.
        training: use the padding of training, and leave room for augmentation.
        pixels: uint8 [N, 3, P, P] of the patches, if they are already cut; see `Patches.holding`.
        udp: crops by the unbiased affine of `udp_affine`.
    """

    def __init__(
        self,
        people: People,
        profile: Profile,
        *,
        training: bool,
        pixels: Tensor | None = None,
        udp: bool = False,
    ) -> None:
        self.profile, self.udp = profile, udp
        self.padding = profile.crop.padding if training else profile.crop.evaluation_padding
        self.margin = 1.5 if training else 1.0
        self.broken: list[tuple[Path, str]] = []
        self.patches = self._readable(people) if pixels is None else self._patches(people).holding(pixels)
        self.people = self.patches.people

    def __len__(self) -> int:
        return len(self.people)

    def _readable(self, people: People) -> Patches:
        """Return the patches of people, cached if they fit; without those of broken images if so allowed."""
        patches = self._patches(people)
        limit = self.profile.cache_megabytes * 2**20
        if len(people) * 3 * patches.patch_size**2 > limit:
            if self.profile.skip_broken:
                raise ValueError(
                    f"skip_broken: {len(people)} crops do not fit cache_megabytes="
                    f"{self.profile.cache_megabytes}; enlarge it, or mend the images that "
                    "`python -m pctlib data check` lists"
                )
            return patches
        cached = patches.cached(limit)
        if not cached.broken:
            return cached
        self.broken = cached.broken
        broken = {file for file, _ in cached.broken}
        kept = people.select([row for row, file in enumerate(people.image_files) if file not in broken])
        kept.excluded = people.excluded | {"unreadable image": len(people) - len(kept)}
        return self._patches(kept).cached(limit)

    def _patches(self, people: People) -> Patches:
        return Patches(
            people,
            self.profile.crop.input_size,
            padding=self.padding,
            margin=self.margin,
            skip_broken=self.profile.skip_broken,
        )

    def inputs(
        self,
        batches: Sequence[Tensor],
        device: torch.device,
        *,
        augmentation: AugmentationProfile | None = None,
        generators: Sequence[torch.Generator] = (),
    ) -> Iterator[Inputs]:
        """Yield the network inputs of each list of rows, on the device.

        Args:
            batches: rows of `people`, one tensor [B] a batch.
            device: where cropping and augmentation run.
            augmentation: random changes; None for none.
            generators: one CPU generator a batch, if there is augmentation.
        """
        self.patches = self.patches.on(device)
        loader = make_loader(self.patches, [b.tolist() for b in batches], workers=self.profile.workers)
        changes = _augmentation(augmentation) if augmentation else None
        for number, batch in enumerate(loader):
            inputs = make_inputs(
                {name: value.to(device) for name, value in batch.items()},
                self.profile.crop.input_size,
                skeleton=self.people.skeleton,
                skeleton_3d=self.people.skeleton_3d,
                augmentation=changes,
                generator=generators[number] if changes else None,
                padding=self.padding,
                udp=self.udp,
            )
            # Convolutions are half as fast again in this layout, on CPUs too.
            yield inputs._replace(images=inputs.images.contiguous(memory_format=torch.channels_last))

    def in_order(self, device: torch.device) -> Iterator[Inputs]:
        """Yield the inputs of all people, in order, without augmentation."""
        yield from self.inputs(torch.arange(len(self)).split(_ROWS), device)


def _augmentation(profile: AugmentationProfile) -> Augmentation:
    values = profile.model_dump(exclude={"vertical_deg"})  # of poses, which no image can undergo
    values["scale"] = (1 - profile.scale, 1 + profile.scale)
    return Augmentation(**values)


@torch.inference_mode()
def predict_people(
    model: PoseEstimator, crops: Crops, *, flip_test: bool = False, joint_scores: bool = False
) -> Predictions | Predictions3D:
    """Return the poses a model finds, in image pixels, or in millimetres from the root.

    Args:
        model: in eval mode.
        crops: of N people.
        flip_test: merge with the mirrored images.
        joint_scores: score each joint by itself, see `PoseEstimator.predict`.
    """
    device = next(model.parameters()).device
    parts, affines = [], []
    for inputs in crops.in_order(device):
        parts.append(model.predict(inputs.images, flip_test=flip_test, joint_scores=joint_scores))
        affines.append(inputs.affine)
    return to_people(model.representation, join(parts), torch.cat(affines), crops.people)


class CropCache:
    """Crops of people, cut and decoded once for all who ask for them.

    Args:
        profile: padding, cache and workers; input size where none is given.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._kept: dict[tuple[int, bool, tuple[int, int]], tuple[People, Crops]] = {}

    def cut(self, people: People, input_size: tuple[int, int] | None = None, *, training: bool) -> Crops:
        """Return the crops of people; of the same table, size and use they are the same object.

        Args:
            people: with images.
            input_size: (height, width) pixels; None for that of the profile.
            training: as for `Crops`.
        """
        height, width = size = tuple(input_size or self.profile.crop.input_size)
        key = (id(people), training, size)  # the table is kept, too, so that its id stays its own
        if key not in self._kept:
            crop = self.profile.crop.model_copy(update={"input_height": height, "input_width": width})
            sized = self.profile.model_copy(update={"crop": crop})
            self._kept[key] = people, Crops(people, sized, training=training)
        return self._kept[key][1]


class SectionCrops:
    """The crops of the people that a section of the profile names, decoded once for all its trainings."""

    profile: Profile
    splits: Splits
    section: Any  # of the profile; has `train_people` and `input_size`

    @cached_property
    def crops(self) -> CropCache:
        """All crops that are cut."""
        return CropCache(self.profile)

    @cached_property
    def learners(self) -> People:
        """The people to learn from."""
        return first_people(self.splits, self.section.train_people).train

    @property
    def train_crops(self) -> Crops:
        """The crops of the people to learn from."""
        return self.crops.cut(self.learners, self.section.input_size, training=True)

    @property
    def val_crops(self) -> Crops:
        """The crops of the people to measure on."""
        return self.crops.cut(self.splits.val, self.section.input_size, training=False)
