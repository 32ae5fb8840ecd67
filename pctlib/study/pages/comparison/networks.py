"""What the comparison compares: its networks by name, and how each is built.

* frozen: every representation on the frozen backbone of the heatmap step, as published for PCT. Backbone,
  features, views, people, epochs and seed are shared; the representation alone differs.
* whole: every representation with every backbone, both trained from the start. ViTPose is a plain vision
  transformer with UDP heatmaps, trained by its own optimiser's values for as many epochs.
* rival: systems of the published tables, at the size of a demo or as published.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from pctlib.models.backbones import Backbone
from pctlib.models.estimator import FrozenBackbone, PoseEstimator
from pctlib.models.published import RIVALS
from pctlib.models.rivals import SMALL
from pctlib.profiles.pages import ComparisonProfile
from pctlib.profiles.profile import Profile
from pctlib.skeletons import Skeleton
from pctlib.study.pages.comparison.heads import HEADS, Parts, build_head, check_head
from pctlib.study.pages.comparison.trainings import FROZEN, RIVAL, VIT, WHOLE, compared
from pctlib.study.pages.vitpose import build_vitpose
from pctlib.study.stages.heatmap import build_backbone
from pctlib.training.shipped import starting_backbone


class Variant(NamedTuple):
    """One compared network.

    Attributes:
        kind: "frozen", "whole" or "rival".
        backbone: name of the timm model, or "plain ViT"; of a rival its own name.
        representation: a key of `heads.HEADS`; "" for a rival, which brings its own.
    """

    kind: str
    backbone: str
    representation: str = ""

    @property
    def title(self) -> str:
        """The representation in words."""
        return HEADS[self.representation].title if self.representation else "its own"


def variants(profile: Profile) -> dict[str, Variant]:
    """Return what a profile compares, by the name of its folder.

    Raises:
        ValueError: if the profile has no comparison, or names an unknown representation or rival.
    """
    section = comparison_section(profile)
    whole = section.whole
    in_whole = (*whole.representations, *whole.from_scratch) if whole else ()
    for name in (*section.frozen.representations, *in_whole):
        check_head(name)
    for name in section.rivals.systems if section.rivals is not None else ():
        if name not in SMALL and name not in RIVALS:
            known = ", ".join([*SMALL, *RIVALS])
            raise ValueError(f"comparison.rivals.systems: expected some of {known}, got {name!r}")
    return {name: Variant(*parts) for name, parts in compared(profile).items()}


def as_read(profile: Profile) -> Profile:
    """Return the profile with backbones that start from nothing, as what is read needs no download."""
    section = comparison_section(profile)
    if section.whole is None:
        return profile
    plain = tuple(backbone.model_copy(update={"weights": "none"}) for backbone in section.whole.backbones)
    whole = section.whole.model_copy(update={"backbones": plain})
    return profile.model_copy(update={"comparison": section.model_copy(update={"whole": whole})})


def comparison_section(profile: Profile) -> ComparisonProfile:
    """Return the section of a profile.

    Raises:
        ValueError: if it has none.
    """
    if profile.comparison is None:
        raise ValueError(f"profile {profile.name}: no section 'comparison'")
    return profile.comparison


def sized_profile(variant: Variant, profile: Profile) -> Profile:
    """Return the profile with the input size of a variant, and Gaussians as wide beside the person."""
    if variant.kind == FROZEN:
        return profile
    section = comparison_section(profile)
    if variant.kind == RIVAL:
        published = RIVALS.get(variant.backbone)
        height, width = published.input_size if published else section.rival_size
    else:
        height, width = section.input_size
    crop = profile.crop.model_copy(update={"input_height": height, "input_width": width})
    sigma = profile.heatmap.sigma * height / profile.crop.input_height
    heatmap = profile.heatmap.model_copy(update={"sigma": sigma})
    return profile.model_copy(update={"crop": crop, "heatmap": heatmap})


def build_variant(
    variant: Variant, profile: Profile, skeleton: Skeleton, *, parts: Parts | None = None
) -> PoseEstimator:
    """Return the untrained network of a variant; weights are drawn by torch's global generator.

    Args:
        variant: of `variants(profile)`.
        profile: of the study.
        skeleton: the keypoints.
        parts: for a variant of tokens, which freezes them.

    Raises:
        ValueError: if sizes or keypoints do not go together, or parts are missing.
    """
    return _BUILDERS[variant.kind](variant, profile, skeleton, parts)


def _frozen(variant: Variant, profile: Profile, skeleton: Skeleton, parts: Parts | None) -> PoseEstimator:
    return frozen_network(variant, profile, skeleton, backbone=build_backbone(profile), parts=parts)


def frozen_network(
    variant: Variant, profile: Profile, skeleton: Skeleton, *, backbone: Backbone, parts: Parts | None
) -> FrozenBackbone:
    """Return an untrained head on a frozen backbone; arguments and errors as in `build_variant`."""
    if parts is not None:
        parts = Parts(parts.tokenizer)  # what guides it is the frozen backbone
    head = build_head(variant.representation, profile, backbone, skeleton, parts=parts)
    return FrozenBackbone(backbone, head)


def _whole(variant: Variant, profile: Profile, skeleton: Skeleton, parts: Parts | None) -> PoseEstimator:
    sized, section = sized_profile(variant, profile), comparison_section(profile).whole
    size = sized.crop.input_size
    if variant.backbone == VIT:
        return build_vitpose(section.vitpose, skeleton, input_size=size)
    chosen = section.networks[variant.backbone, variant.representation]
    backbone = starting_backbone(
        chosen.name,
        size,
        weights=chosen.weights,
        out_indices=None if chosen.stages is None else range(chosen.stages),
        final_norm=chosen.final_norm,
    )
    if parts is not None:
        parts = parts.rescaled(_ratio(profile, size))
    head = build_head(variant.representation, sized, backbone, skeleton, parts=parts)
    return PoseEstimator(backbone, head)


def _ratio(profile: Profile, size: tuple[int, int]) -> float:
    """Return by how much the input of the whole networks is larger than the crops of the profile."""
    height, width = profile.crop.input_size
    if height * size[1] != width * size[0]:
        raise ValueError(
            f"comparison.input_height, input_width: tokens need the proportions of the crops, {height} x "
            f"{width}, got {size[0]} x {size[1]}"
        )
    return size[0] / height


def _rival(variant: Variant, profile: Profile, skeleton: Skeleton, parts: Parts | None) -> PoseEstimator:
    if variant.backbone in SMALL:
        return SMALL[variant.backbone](comparison_section(profile).rival_size, skeleton.flip_permutation)
    system = RIVALS[variant.backbone].build()
    count = len(system.representation.flip_index)
    if count != skeleton.num_keypoints:
        raise ValueError(
            f"comparison.rivals.systems: {variant.backbone} finds {count} keypoints, the data set "
            f"({skeleton.name}) has {skeleton.num_keypoints}"
        )
    return system


_Builder = Callable[[Variant, Profile, Skeleton, Parts | None], PoseEstimator]
_BUILDERS: Mapping[str, _Builder] = MappingProxyType({FROZEN: _frozen, WHOLE: _whole, RIVAL: _rival})
