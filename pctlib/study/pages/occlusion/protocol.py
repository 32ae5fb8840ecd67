"""The occlusion protocol run on a study's people and its trained estimators."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from pctlib.data.augmentation import Inputs, make_inputs
from pctlib.data.occlusion.levels import View
from pctlib.data.patches import Patches
from pctlib.data.people import BOX_AREA_SHARE, People
from pctlib.inference.predict import to_image
from pctlib.models.estimator import PoseEstimator
from pctlib.profiles.profile import Profile
from pctlib.skeletons import Skeleton
from pctlib.study.methods import MEAN_POSE, Loader, trained_methods
from pctlib.study.page import OpenPage
from pctlib.study.pages.comparison.trainings import compared as networks_of
from pctlib.study.pages.occlusion.people import Source, occlusion_source
from pctlib.study.predictions import mean_pose_predictions

_PEOPLE_AT_ONCE = 8  # whose pictures are in memory together


@dataclass
class OcclusionRun:
    """What every method made of N people at L levels of T kinds of occlusion.

    Attributes:
        kinds: T names.
        wanted: [L] shares of the joints seen at level 0 that should be hidden.
        skeleton: the keypoint set.
        truth: [T, L, N, K, 2] pixels of each view.
        visible: uint8 [T, L, N, K] 0 not labelled, 1 hidden, 2 seen.
        boxes_xywh: [T, L, N, 4] pixels of each view.
        shares: [T, L, N] joints that are hidden.
        predictions: method -> seed -> [T, L, N, K, 2] pixels of each view.
    """

    kinds: tuple[str, ...]
    wanted: tuple[float, ...]
    skeleton: Skeleton
    truth: np.ndarray
    visible: np.ndarray
    boxes_xywh: np.ndarray
    shares: np.ndarray
    predictions: dict[str, dict[int, np.ndarray]]

    @property
    def methods(self) -> list[str]:
        """The methods, in order."""
        return list(self.predictions)

    @property
    def lengths(self) -> np.ndarray:
        """[T, L, N] longer sides of the boxes, what errors are divided by."""
        return self.boxes_xywh[..., 2:].max(axis=-1)

    def errors(self, method: str, seed: int) -> np.ndarray:
        """Return [T, L, N, K] errors of a run over the longer side of the box."""
        distance = np.linalg.norm(self.predictions[method][seed] - self.truth, axis=-1)
        return distance / self.lengths[..., None]


def run_protocol(
    source: Source,
    methods: Mapping[str, Mapping[int, Loader]],
    profile: Profile,
    train: People,
    *,
    progress: bool = True,
) -> OcclusionRun:
    """Show all people at all levels to all methods; the mean pose of the training people is the floor.

    Every method gets crops of its own size and proportions. Level 0 is the same for every kind and is
    looked at once.

    Args:
        source: the people.
        methods: method -> seed -> reader, as `trained_methods` returns them.
        profile: its occlusion section, crops and device.
        train: people whose mean pose is the floor.
        progress: show a progress bar.

    Raises:
        ValueError: if a method has another keypoint set than the people.
    """
    section, device = profile.occlusion, profile.torch_device
    models = {name: {seed: load() for seed, load in runs.items()} for name, runs in methods.items()}
    every = [trained for runs in models.values() for trained in runs.values()]
    for trained in every:
        trained.model.to(device)
    sizes = {trained.input_size for trained in every}
    run = _empty_run(source, profile, {name: list(runs) for name, runs in models.items()})
    chunks = torch.arange(len(source)).split(_PEOPLE_AT_ONCE)
    for rows in tqdm(chunks, unit=f"{_PEOPLE_AT_ONCE} people", disable=not progress):
        places, views = _views_of(source, rows.tolist(), section.kinds)
        people = view_table(views, source.skeleton)
        _put_truth(run, places, people, views)
        floor = mean_pose_predictions(train, people, profile.crop).keypoints_image
        _put(run.predictions[MEAN_POSE][0], places, floor)
        inputs = {size: _inputs(people, views, size, profile=profile) for size in sizes}
        for name, runs in models.items():
            for seed, trained in runs.items():
                found = _predict(trained.model, inputs[trained.input_size], section.flip_test)
                if found.shape[1:] != people.keypoints_image.shape[1:]:
                    K = source.skeleton.num_keypoints
                    raise ValueError(f"{name}: finds {found.shape[1]} joints, the people have {K}")
                _put(run.predictions[name][seed], places, found)
    return run


def read_source(page: OpenPage) -> Source:
    """Return the people of a page's protocol; errors as `occlusion_source`."""
    return occlusion_source(page.splits, page.settings, dataset=page.layout.dataset)


def read_methods(page: OpenPage, *, compared: bool = True) -> dict[str, dict[int, Loader]]:
    """Return the readers of the estimators that a page looks at, as `trained_methods`.

    Args:
        page: of the protocol.
        compared: also those of the comparison, where they are trained.
    """
    names = networks_of(page.settings) if compared and page.settings.comparison else ()
    return trained_methods(page.study_dir, page.seeds, compared=names)


Places = tuple[np.ndarray, np.ndarray, np.ndarray]  # kind, level, person of each view


def _empty_run(source: Source, profile: Profile, seeds: dict[str, list[int]]) -> OcclusionRun:
    kinds, shares = profile.occlusion.kinds, profile.occlusion.shares
    shape = (len(kinds), len(shares), len(source), source.skeleton.num_keypoints)
    return OcclusionRun(
        kinds=kinds,
        wanted=shares,
        skeleton=source.skeleton,
        truth=np.zeros((*shape, 2)),
        visible=np.zeros(shape, np.uint8),
        boxes_xywh=np.zeros((*shape[:3], 4)),
        shares=np.zeros(shape[:3]),
        predictions={
            name: {seed: np.zeros((*shape, 2)) for seed in known}
            for name, known in {**seeds, MEAN_POSE: [0]}.items()
        },
    )


def _views_of(source: Source, rows: Sequence[int], kinds: Sequence[str]) -> tuple[Places, list[View]]:
    """Return the views of some people with their places; level 0 only of the first kind."""
    places, views = [], []
    for row in rows:
        for kind, name in enumerate(kinds):
            for level, view in enumerate(source.views(row, name)):
                if level > 0 or kind == 0:
                    places.append((kind, level, row))
                    views.append(view)
    return tuple(np.array(places).T), views


def _put(array: np.ndarray, places: Places, values: np.ndarray) -> None:
    """Write values [n, ...] to their places in an array [T, L, N, ...]; level 0 belongs to every kind."""
    array[places] = values
    rows = places[2][places[1] == 0]
    array[1:, 0, rows] = array[0, 0, rows]


def _put_truth(run: OcclusionRun, places: Places, people: People, views: Sequence[View]) -> None:
    _put(run.truth, places, people.keypoints_image)
    _put(run.visible, places, people.visible)
    _put(run.boxes_xywh, places, people.boxes_xywh)
    _put(run.shares, places, np.array([view.share for view in views]))


def view_table(views: Sequence[View], skeleton: Skeleton) -> People:
    """Return views as a table whose image files are their numbers, as `cut_out` takes it."""
    boxes = np.stack([view.box_xywh for view in views]).astype(np.float32)
    return People(
        skeleton=skeleton,
        image_files=[Path(str(number)) for number in range(len(views))],
        image_ids=np.arange(len(views)),
        annotation_ids=np.arange(len(views)),
        boxes_xywh=boxes,
        areas=BOX_AREA_SHARE * boxes[:, 2:].prod(axis=1),
        keypoints_image=np.stack([view.keypoints_image for view in views]),
        visible=np.stack([view.visible for view in views]),
        image_sizes=np.array([view.image.shape[:2] for view in views]),
        source="occluded people",
    )


def cut_out(people: People, views: Sequence[View], size: tuple[int, int], *, padding: float) -> Patches:
    """Return the crops of views as patches of (height, width) `size`, black beyond the frame.

    Args:
        people: the views as a table.
        views: in its order.
        size: of the patches, pixels.
        padding: factor on the boxes.
    """

    def read(file: Path, min_scale: float) -> tuple[np.ndarray, float]:
        return views[int(file.name)].image, 1.0

    return Patches(people, size, padding=padding, margin=1.0, read=read)


def _inputs(people: People, views: Sequence[View], size: tuple[int, int], *, profile: Profile) -> Inputs:
    padding = profile.crop.evaluation_padding
    batch = cut_out(people, views, size, padding=padding).batch(range(len(views)))
    moved = {name: value.to(profile.torch_device) for name, value in batch.items()}
    inputs = make_inputs(moved, size, skeleton=people.skeleton, padding=padding)
    return inputs._replace(images=inputs.images.contiguous(memory_format=torch.channels_last))


def _predict(model: PoseEstimator, inputs: Inputs, flip_test: bool) -> np.ndarray:
    """Return the poses [n, K, 2] of views, pixels of the views."""
    found = [model.predict(images, flip_test=flip_test).keypoints for images in inputs.images.split(32)]
    return to_image(torch.cat(found), inputs.affine)
