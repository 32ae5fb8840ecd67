"""Every trained estimator of a study by name, wherever the notebooks have left it."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from torch import nn

from pctlib.checkpoints import Official, read_official
from pctlib.checkpoints.keypoint_sets import PLUS_SETS
from pctlib.checkpoints.vitpose import choose_dataset
from pctlib.models.estimator import PoseEstimator
from pctlib.models.vitpose import MultiDatasetEstimator
from pctlib.skeletons import SKELETONS, Skeleton
from pctlib.study.runs import CHOOSE, DESCRIPTION, WEIGHTS, Trained, load_estimator, load_finder_3d
from pctlib.study.variants import run_folder

Loader = Callable[[], Trained]

# method -> folder of its runs below the folder of the study
MAIN_METHODS: dict[str, str] = {
    "Heatmap": "heatmap-seed{seed}",
    "Heatmap control": "classifier-seed{seed}/control",
    "PCT": "classifier-seed{seed}",
}
COMPARED = "comparison/seed{seed}"
MEAN_POSE = "Mean pose"
"""What ignores the image: the mean pose of the training people."""


def trained_methods(
    study_dir: str | Path, seeds: Sequence[int], *, compared: Collection[str] = ()
) -> dict[str, dict[int, Loader]]:
    """Return the estimators that a study has trained: those of PCT first, then the compared ones.

    Args:
        study_dir: folder of the study, such as reports/demo.
        seeds: of the runs.
        compared: variants of the comparison of representations that are wanted too; those that failed or
            have not run are left out.

    Returns:
        method -> seed -> a function without arguments that reads the estimator with its input size.

    Raises:
        FileNotFoundError: if a run of heatmap, control or PCT is missing; names its weights.
    """
    study_dir = Path(study_dir)
    methods: dict[str, dict[int, Loader]] = {}
    for name, folder in MAIN_METHODS.items():
        folders = {seed: study_dir / folder.format(seed=seed) for seed in seeds}
        for path in folders.values():
            if not (path / WEIGHTS).is_file():
                raise FileNotFoundError(f"{name}: no trained model {path / WEIGHTS}")
        methods[name] = {seed: partial(load_estimator, path) for seed, path in folders.items()}
    return methods | _compared(study_dir, seeds, compared)


def _compared(study_dir: Path, seeds: Sequence[int], names: Collection[str]) -> dict[str, dict[int, Loader]]:
    methods: dict[str, dict[int, Loader]] = {}
    for seed in seeds:
        runs = study_dir / COMPARED.format(seed=seed)
        for name in sorted(names):
            if ((folder := run_folder(runs, name)) / WEIGHTS).is_file():
                methods.setdefault(name, {})[seed] = partial(load_estimator, folder)
    return methods


def _published(model: nn.Module, path: Path, skeleton: Skeleton | None) -> Trained:
    """Return a published model with the crops of its release."""
    if isinstance(model, MultiDatasetEstimator):
        raise ValueError(f"{path}: holds estimators of several data sets; {CHOOSE}")
    if not isinstance(model, PoseEstimator):
        raise ValueError(f"{path}: expected one estimator of poses, got {type(model).__name__}")
    representation = model.representation
    return Trained(model, representation.input_size, *representation.crop, skeleton)


def load_any(
    path: str | Path, *, dataset_index: int | None = None, skeleton: Skeleton | None = None
) -> Trained:
    """Read a trained estimator: a run of the study, or what `pctlib.load_official` reads.

    Args:
        path: folder of a run of any stage or page, a published checkpoint, or a folder of Hugging Face.
        dataset_index: of a ViTPose+, or a run on several data sets, which holds an estimator for each.
        skeleton: keypoints of a published model; None: what the file says, else what it is published for. A
            run of the study knows its own.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if it is none of these, or holds something else than one estimator; if the skeleton has
            another number of keypoints.
    """
    path = Path(path)
    if (path / DESCRIPTION).is_file():
        trained = load_estimator(path, dataset_index=dataset_index)
        if skeleton is not None and skeleton.num_keypoints != trained.skeleton.num_keypoints:
            raise ValueError(
                f"{path}: finds the keypoints of {trained.skeleton.name}, "
                f"{skeleton.name} has {skeleton.num_keypoints}"
            )
        return trained if skeleton is None else trained._replace(skeleton=skeleton)
    return _published(*_of_dataset(read_official(path, skeleton=skeleton), dataset_index, path))


def load_in_3d(path: str | Path) -> Trained | None:
    """Read a run of a page that finds people in 3D, see `load_finder_3d`; None for anything else."""
    return load_finder_3d(path) if (Path(path) / DESCRIPTION).is_file() else None


def _of_dataset(
    published: Official, dataset_index: int | None, path: Path
) -> tuple[nn.Module, Path, Skeleton | None]:
    """Return the model of one data set of several, if one is wanted, with its keypoints."""
    if dataset_index is None:
        return published.model, path, published.skeleton
    if not isinstance(published.model, MultiDatasetEstimator):
        raise ValueError(f"{path}: there is no data set to choose by a dataset index")
    model = choose_dataset(published.model, dataset_index, path)
    return model, path, SKELETONS.get(PLUS_SETS[dataset_index].name)
