"""Token anatomy: which joints move when one pose token changes, and which codebook entries tokens use."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pctlib.data.crops import crop_affine
from pctlib.metrics.substructures import body_parts
from pctlib.models.tokenizer import GuidedTokenizer, PoseTokenizer
from pctlib.paths import resolve
from pctlib.profiles.profile import Profile
from pctlib.skeletons import Skeleton
from pctlib.study.page import OpenPage
from pctlib.study.people import first_people
from pctlib.study.poses import Poses, load_poses
from pctlib.study.stages.guided import load_any_tokenizer
from pctlib.study.stages.tokenizer import (
    adopt_tokenizer,
    build_tokenizer,
    initialise_codebook,
    pose_tokenizer,
    reconstruct,
)
from pctlib.training.plan import mix_seed

_ELEMENTS = 2**21  # numbers of codes held at once: 8 MiB


@dataclass(frozen=True)
class Anatomy:
    """What the tokens of one tokenizer do.

    Attributes:
        skeleton: the keypoint set of the K joints.
        unit: of `influence`.
        influence: [M, K] how far a joint moves on average when a token alone is replaced.
        standard_error: [M, K] of `influence`, over poses.
        usage: [M, V] how many of the counted poses use each entry for each token.
        indices: [N, M] int64, the tokens of the poses that were changed.
        keypoints: [N, K, D] these poses as their tokens give them, pixels of the input or millimetres.
    """

    skeleton: Skeleton
    unit: str
    influence: np.ndarray
    standard_error: np.ndarray
    usage: np.ndarray
    indices: Tensor
    keypoints: np.ndarray

    @property
    def parts(self) -> dict[str, tuple[int, ...]]:
        """The body parts of the skeleton and their joints."""
        return body_parts(self.skeleton)

    @property
    def strength(self) -> np.ndarray:
        """[M] how far a joint moves on average over all joints, in `unit`."""
        return self.influence.mean(axis=1)


class Subject(NamedTuple):
    """What a page looks at: a tokenizer (guided or not), the settings it was built from, and poses.

    Attributes:
        model: in eval mode, on the device.
        settings: with the tokenizer's section of its training.
        counted: poses whose tokens are counted.
        changed: poses whose tokens are replaced.
    """

    model: PoseTokenizer | GuidedTokenizer
    settings: Profile
    counted: Poses
    changed: Poses

    @property
    def tokenizer(self) -> PoseTokenizer:
        """The tokenizer without what guides it."""
        return pose_tokenizer(self.model)


def read_subject(page: OpenPage, tokenizer_dir: str | Path | None = None) -> Subject:
    """Read the tokenizer of a page's seed, or another one, and the people it is looked at with.

    Args:
        page: of the anatomy; its card gets the number of people.
        tokenizer_dir: folder of a trained tokenizer; None for that of the study.

    Raises:
        FileNotFoundError: if a run is missing.
    """
    source = resolve(tokenizer_dir) if tokenizer_dir else page.run("tokenizer", page.seed)
    settings = adopt_tokenizer(page.settings, source)  # its M, V and widths, whatever the profile's
    model = load_any_tokenizer(source, page.run("heatmap", page.seed)).to(page.device)
    some = first_people(page.splits, page.section.counted_people)
    changed = some.val.select(range(min(page.section.people, len(some.val))))
    page.card.counts = {"people counted": len(some.train), "people changed": len(changed)}
    dims = {"training": False, "num_dims": pose_tokenizer(model).num_dims}
    counted, some_changed = (load_poses(people, settings, **dims) for people in (some.train, changed))
    return Subject(model, settings, counted, some_changed)


def untrained_tokenizer(
    model: PoseTokenizer | GuidedTokenizer, profile: Profile, poses: Poses, *, seed: int
) -> PoseTokenizer | GuidedTokenizer:
    """Return a tokenizer like `model` with random weights, on the CPU: the control for what training does.

    Its codebook is made of the k-means clusters of its own token features, so that it uses its entries.

    Args:
        model: trained; its guide, if it has one, is kept.
        profile: with the tokenizer section that the model was built from.
        poses: whose token features the codebook starts from.
        seed: of weights and codebook.
    """
    trained = pose_tokenizer(model)
    torch.manual_seed(mix_seed(seed, "anatomy: untrained weights"))
    fresh: PoseTokenizer | GuidedTokenizer = build_tokenizer(
        profile,
        num_keypoints=trained.num_keypoints,
        num_dims=trained.num_dims,
        guide_channels=trained.embed_features.in_features if trained.guided else 0,
    )
    if isinstance(model, GuidedTokenizer):
        fresh = GuidedTokenizer(copy.deepcopy(model.guide).cpu(), fresh)
    fresh.eval()
    initialise_codebook(fresh, poses, seed=seed)
    return fresh


def measure_anatomy(
    model: PoseTokenizer | GuidedTokenizer,
    counted_poses: Poses,
    changed_poses: Poses,
    *,
    draws: int = 1,
    seed: int = 0,
) -> Anatomy:
    """Count which entries each token uses, and measure what changing it moves.

    Args:
        model: trained, in eval mode.
        counted_poses: poses whose tokens are counted.
        changed_poses: N poses whose tokens are changed one at a time; see `token_movement`.
        draws: other entries tried for each token of each pose.
        seed: of the draws.

    Raises:
        ValueError: if `draws` is not positive.
    """
    tokenizer = pose_tokenizer(model)
    _, counted = reconstruct(model, counted_poses)
    keypoints, indices = reconstruct(model, changed_poses)
    usage = entry_usage(counted, len(tokenizer.codebook.codebook))
    generator = torch.Generator().manual_seed(mix_seed(seed, "anatomy: other entries"))
    movement = token_movement(tokenizer, indices, usage=usage, draws=draws, generator=generator)
    solid = tokenizer.num_dims == 3
    if not solid:
        movement = 100 * movement / box_lengths(changed_poses).to(movement)[:, None, None]
    mean, spread = movement.mean(dim=0), movement.std(dim=0, correction=min(1, len(movement) - 1))
    return Anatomy(
        skeleton=changed_poses.skeleton,
        unit="mm" if solid else "% of the box",
        influence=mean.double().cpu().numpy(),
        standard_error=(spread.double() / len(movement) ** 0.5).cpu().numpy(),
        usage=usage.cpu().numpy(),
        indices=indices.cpu(),
        keypoints=keypoints.cpu().numpy(),
    )


def entry_usage(indices: Tensor, codebook_size: int) -> Tensor:
    """Return [M, V] how many of N poses use each entry for each token; indices [N, M]."""
    M = indices.shape[1]
    places = indices + codebook_size * torch.arange(M, device=indices.device)  # [N, M]
    return torch.bincount(places.flatten(), minlength=M * codebook_size).view(M, codebook_size)


def box_lengths(poses: Poses) -> Tensor:
    """Return [N] the longer box sides in pixels of the network input."""
    affine = crop_affine(poses.boxes_xywh, poses.input_size, padding=poses.padding)
    scale = torch.linalg.det(affine[:, :, :2]).abs().sqrt()
    return poses.boxes_xywh[:, 2:].amax(dim=1) * scale


def draw_alternatives(indices: Tensor, usage: Tensor, *, generator: torch.Generator) -> Tensor:
    """Draw for every token another entry, as often as that token uses it.

    Args:
        indices: [N, M] the entries that poses have.
        usage: [M, V] counts that the draws follow; the pose's own entry is left out.
        generator: CPU generator.

    Returns:
        [N, M] other entries; the same where a token uses no other.
    """
    cumulative = usage.cumsum(dim=1)  # [M, V]
    tokens = torch.arange(len(usage), device=indices.device)
    own = usage[tokens, indices]  # [N, M] count of the pose's own entry
    others = cumulative[:, -1] - own
    draw = torch.rand(indices.shape, generator=generator, dtype=torch.float64).to(indices.device)
    place = (draw * others).long()
    place += torch.where(place >= cumulative[tokens, indices] - own, own, 0)  # step over the own entry
    drawn = torch.searchsorted(cumulative, place.T.contiguous(), right=True).T
    return torch.where(others > 0, drawn, indices)


@torch.inference_mode()
def token_movement(
    model: PoseTokenizer, indices: Tensor, *, usage: Tensor, draws: int, generator: torch.Generator
) -> Tensor:
    """Return how far each joint moves when one token of a pose is replaced and the others stay.

    The mean over `draws` entries drawn by `draw_alternatives`. The codes of a pose with each token
    replaced in turn are decoded as one batch.

    Args:
        model: decodes codes and has the codebook.
        indices: [N, M] tokens of the poses.
        usage: [M, V] how often each token uses each entry.
        draws: other entries tried for each token of each pose.
        generator: CPU generator.

    Returns:
        [N, M, K] Euclidean distances in the unit of the poses, pixels or millimetres.

    Raises:
        ValueError: if `draws` is not positive.
    """
    if draws < 1:
        raise ValueError(f"draws: expected 1 or more, got {draws}")
    codes = model.codebook.look_up(indices)  # [N, M, E]
    M, E = codes.shape[1:]
    poses = model.decode(codes)  # [N, K, D]
    rows = torch.arange(len(codes), device=codes.device).split(max(1, _ELEMENTS // (M * M * E)))
    total = codes.new_zeros(len(codes), M, poses.shape[1])
    for _ in range(draws):
        replaced = model.codebook.look_up(draw_alternatives(indices, usage, generator=generator))
        for some in rows:
            changed = codes[some].unsqueeze(1).repeat(1, M, 1, 1)  # [n, M changed, M, E]
            changed.diagonal(dim1=1, dim2=2).copy_(replaced[some].transpose(1, 2))  # [n, E, M]
            moved = model.decode(changed.flatten(0, 1)).unflatten(0, (-1, M))  # [n, M, K, D]
            total[some] += (moved - poses[some].unsqueeze(1)).norm(dim=-1)
    return total / draws
