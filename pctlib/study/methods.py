"""Every trained estimator of a study by name, wherever the notebooks have left it."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from torch import nn

from pctlib.checkpoints import Official, read_official
from pctlib.checkpoints.keypoint_sets import PLUS_SETS
from pctlib.checkpoints.vitpose import choose_dataset
from pctlib.io import read_tensors
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.heatmap import Heatmap
from pctlib.models.representations.pct import PCTClassifier
from pctlib.models.vitpose import MultiDatasetEstimator
from pctlib.profiles.profile import Profile
from pctlib.skeletons import SKELETONS, Skeleton
from pctlib.study.runs import WEIGHTS
from pctlib.study.stages.classifier import load_classifier
from pctlib.study.stages.heatmap import load_heatmap
from pctlib.study.trained import Trained
from pctlib.study.variants import run_folder
from pctlib.workflow.layout import read_description

Loader = Callable[[], Trained]

# method -> folder of its runs below the folder of the study, and what reads one
MAIN_METHODS: dict[str, tuple[str, Callable[[Path], PoseEstimator]]] = {
    "Heatmap": ("heatmap-seed{seed}", load_heatmap),
    "Heatmap control": ("classifier-seed{seed}/control", load_heatmap),
    "PCT": ("classifier-seed{seed}", load_classifier),
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
    for name, (folder, load) in MAIN_METHODS.items():
        folders = {seed: study_dir / folder.format(seed=seed) for seed in seeds}
        for path in folders.values():
            if not (path / WEIGHTS).is_file():
                raise FileNotFoundError(f"{name}: no trained model {path / WEIGHTS}")
        methods[name] = {seed: partial(_load_main, load, path) for seed, path in folders.items()}
    return methods | _compared(study_dir, seeds, compared)


def _compared(study_dir: Path, seeds: Sequence[int], names: Collection[str]) -> dict[str, dict[int, Loader]]:
    methods: dict[str, dict[int, Loader]] = {}
    for seed in seeds:
        runs = study_dir / COMPARED.format(seed=seed)
        for name in sorted(names):
            if ((folder := run_folder(runs, name)) / WEIGHTS).is_file():
                methods.setdefault(name, {})[seed] = partial(_load_compared, folder)
    return methods


def _load_main(load: Callable[[Path], PoseEstimator], folder: Path) -> Trained:
    model = load(folder)  # first: it says what is wrong with the folder
    crop = Profile.model_validate(read_description(folder)["profile"]).crop
    return Trained(model, crop.input_size, crop.evaluation_padding)


def _load_compared(folder: Path) -> Trained:
    from pctlib.study.pages.comparison.study import (
        load_compared,  # builds every rival network; most readers need none
    )

    return load_compared(folder)


def _published(model: nn.Module, path: Path, skeleton: Skeleton | None) -> Trained:
    """Return a published model with the crops of its release: PCT's are narrower, those of UDP unbiased."""
    if isinstance(model, MultiDatasetEstimator):
        raise ValueError(f"{path}: holds estimators of several data sets; choose one by its dataset index")
    if not isinstance(model, PoseEstimator):
        raise ValueError(f"{path}: expected one estimator of poses, got {type(model).__name__}")
    representation = model.representation
    padding = 1.12 if isinstance(representation, PCTClassifier) else 1.25
    udp = isinstance(representation, Heatmap) and representation.coding.kind == "udp"
    return Trained(model, representation.input_size, padding, udp, skeleton)


def load_any(
    path: str | Path, *, dataset_index: int | None = None, skeleton: Skeleton | None = None
) -> Trained:
    """Read a trained estimator: a run of the study, or what `pctlib.load_official` reads.

    Args:
        path: folder of a run of heatmap, classifier or comparison, a published checkpoint, or a folder of
            Hugging Face.
        dataset_index: of a published ViTPose+, which holds an estimator for each of several data sets.
        skeleton: keypoints of a published model; None: what the file says, else what it is published for.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if it is none of these, or holds something else than one estimator; if the skeleton has
            another number of keypoints.
    """
    path = Path(path)
    published = None if (path / "model.json").is_file() else read_official(path, skeleton=skeleton)
    if published is not None:
        return _published(*_of_dataset(published, dataset_index, path))
    if dataset_index is not None:
        raise ValueError(f"{path}: there is no data set to choose by a dataset index")
    if "variant" in read_description(path):
        return _load_compared(path)._replace(skeleton=skeleton)
    classifies = any(name.startswith("representation.tokenizer.") for name in read_tensors(path / WEIGHTS))
    trained = _load_main(load_classifier if classifies else load_heatmap, path)
    return trained._replace(skeleton=skeleton)


def _given(skeleton: Skeleton | None) -> dict[str, Skeleton]:
    return {} if skeleton is None else {"skeleton": skeleton}


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
