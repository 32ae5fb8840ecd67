"""Trained weights as the start of a training: the network for new keypoints, and what it takes over."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.pct import PCTClassifier
from pctlib.paths import resolve
from pctlib.skeletons import Skeleton
from pctlib.study.methods import load_any
from pctlib.study.pages.finetune.networks import build, describe
from pctlib.study.runs import DESCRIPTION, RunDescription, Trained, read_run, untrained
from pctlib.training.plan import mix_seed
from pctlib.training.resume import load_weights

KIND = "finetune"


@dataclass(frozen=True)
class Start:
    """Trained weights, and the network that starts from them.

    Attributes:
        trained: what the weights are.
        run: the network that is trained; it has the keypoints of the data set.
        file: of the weights, for messages.
    """

    trained: Trained
    run: RunDescription
    file: str

    @property
    def keeps_head(self) -> bool:
        """Whether the head is taken over: its keypoints are those of the data set, in their order."""
        own = self.trained.skeleton
        return own is not None and own.keypoint_names == self.run.skeleton.keypoint_names

    @property
    def own_keypoints(self) -> str:
        """Return what the weights give, in words."""
        own = self.trained.skeleton
        return "unknown keypoints" if own is None else f"{own.num_keypoints} keypoints ({own.name})"

    def counts(self) -> dict[str, int]:
        """Return what a run card lists: how many weights are taken over, and how many are new."""
        head, backbone = (
            sum(p.numel() for p in module.parameters())
            for module in (self.network(0).representation, self.trained.model.backbone)
        )
        kept, new = (backbone + head, 0) if self.keeps_head else (backbone, head)
        instead = "" if self.keeps_head else f", as the weights have {self.own_keypoints}"
        return {"weights taken over": kept, f"weights of a new head{instead}": new}

    def network(self, seed: int, *, scratch: bool = False) -> PoseEstimator:
        """Return the network with the weights it starts from, in training mode.

        Args:
            seed: of the weights that are new.
            scratch: all are new, except PCT's tokenizer, which is trained before and stays as it is.
        """
        torch.manual_seed(mix_seed(seed, "finetune: weights"))
        network, given = untrained(self.run), self.trained.model
        if scratch:
            if isinstance(network.representation, PCTClassifier):
                frozen = ("tokenizer.", "guide.")
                known = given.representation.state_dict()
                kept = {name: value for name, value in known.items() if name.startswith(frozen)}
                network.representation.load_state_dict(network.representation.state_dict() | kept)
        elif self.keeps_head:
            load_weights(network, given.state_dict(), self.file)
        else:
            load_weights(network.backbone, given.backbone.state_dict(), self.file)
        return network.train()


def read_start(weights: str | Path, skeleton: Skeleton, *, dataset_index: int | None = None) -> Start:
    """Read trained weights as the start of a training on the keypoints of a data set.

    Args:
        weights: official file, folder of Hugging Face, or run of the study; relative paths are below the
            folder of the study.
        skeleton: keypoints of the data set.
        dataset_index: of a ViTPose+, or a run on several data sets; 0 is COCO.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if it holds no estimator of poses in images, or one whose head cannot be made for the
            keypoints: PCT's tokenizer knows only its own.
    """
    file = resolve(weights)
    trained = load_any(file, dataset_index=dataset_index)
    start = Start(trained, _description(file, trained, skeleton, dataset_index), str(weights))
    if isinstance(trained.model.representation, PCTClassifier) and not start.keeps_head:
        raise ValueError(
            f"{weights}: this PCT writes poses of {start.own_keypoints}, the data set has "
            f"{skeleton.num_keypoints} ({skeleton.name}); its tokenizer must be trained on these first: "
            "`make study` with the data set trains tokenizer and classifier"
        )
    return start


def _description(
    file: Path, trained: Trained, skeleton: Skeleton, dataset_index: int | None
) -> RunDescription:
    """Return how the network is built again: a run of the study as before, a published one by its sizes."""
    if (file / DESCRIPTION).is_file() and dataset_index is None:
        return replace(read_run(file), skeleton=skeleton)
    sizes = {"network": describe(trained.model)}
    crop = {"input_size": trained.input_size, "padding": trained.padding, "udp": trained.udp}
    return RunDescription(KIND, skeleton, sizes, **crop)


def build_network(run: RunDescription) -> PoseEstimator:
    """Return the untrained network of a published one that was fine-tuned."""
    return build(run.sizes["network"], run.skeleton, run.input_size)
