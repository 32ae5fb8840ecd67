"""What the comparison compares: its networks by name, and how each is built.

* frozen: every representation on the frozen backbone of the heatmap step, as published for PCT. Backbone,
  features, views, people, epochs and seed are shared; the representation alone differs.
* whole: every representation with every backbone, both trained from the start. ViTPose is a plain vision
  transformer with UDP heatmaps, trained by its own optimiser's values for as many epochs.
* rival: systems of the published tables, at the size of a demo or as published.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from pctlib.models.backbones import Backbone
from pctlib.models.estimator import PoseEstimator
from pctlib.models.published import RIVALS
from pctlib.models.rivals import SMALL
from pctlib.models.tokenizer import PoseTokenizer
from pctlib.profiles.pages import ComparisonProfile
from pctlib.profiles.profile import Profile
from pctlib.skeletons import Skeleton
from pctlib.study.pages.comparison.heads import PCT, TITLES, build_head, rescale_tokenizer
from pctlib.study.pages.comparison.trainings import FROZEN, RIVAL, VIT, WHOLE, compared
from pctlib.study.pages.vitpose import build_vitpose
from pctlib.study.stages.classifier import FrozenBackbone
from pctlib.study.stages.heatmap import build_backbone
from pctlib.study.stages.tokenizer import build_tokenizer


class Variant(NamedTuple):
    """One compared network.

    Attributes:
        kind: "frozen", "whole" or "rival".
        backbone: name of the timm model, or "plain ViT"; of a rival its own name.
        representation: a key of `representations.TITLES`; "" for a rival, which brings its own.
    """

    kind: str
    backbone: str
    representation: str = ""

    @property
    def title(self) -> str:
        """The representation in words."""
        return TITLES.get(self.representation, "its own")


@dataclass(frozen=True)
class Parts:
    """What a token classifier is built from, besides a profile.

    Attributes:
        tokenizer: for poses in the crops of the profile.
        guide: backbone of a guided tokenizer, else None.
    """

    tokenizer: PoseTokenizer
    guide: Backbone | None = None

    @classmethod
    def untrained(cls, profile: Profile, skeleton: Skeleton) -> "Parts":
        """Return parts of the profile's shapes, to load weights into."""
        guide = build_backbone(profile) if profile.tokenizer.guide_ratio else None
        channels = guide.channels[-1] if guide is not None else 0
        tokenizer = build_tokenizer(profile, num_keypoints=skeleton.num_keypoints, guide_channels=channels)
        return cls(tokenizer, guide)


def variants(profile: Profile) -> dict[str, Variant]:
    """Return what a profile compares, by the name of its folder.

    Raises:
        ValueError: if the profile has no comparison or names an unknown rival.
    """
    section = comparison_section(profile)
    for name in section.rivals.systems if section.rivals is not None else ():
        if name not in SMALL and name not in RIVALS:
            known = ", ".join([*SMALL, *RIVALS])
            raise ValueError(f"comparison.rivals.systems: expected some of {known}, got {name!r}")
    return {name: Variant(*parts) for name, parts in compared(profile).items()}


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
    at_published_size = variant.kind == RIVAL and variant.backbone in RIVALS
    section = comparison_section(profile)
    height, width = RIVALS[variant.backbone].input_size if at_published_size else section.input_size
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
    tokenizer = parts and parts.tokenizer
    head = build_head(variant.representation, profile, backbone, skeleton, tokenizer=tokenizer)
    return FrozenBackbone(backbone, head)


def _whole(variant: Variant, profile: Profile, skeleton: Skeleton, parts: Parts | None) -> PoseEstimator:
    sized, section = sized_profile(variant, profile), comparison_section(profile).whole
    size = sized.crop.input_size
    if variant.backbone == VIT:
        return build_vitpose(section.vitpose, skeleton, input_size=size)
    chosen = next(backbone for backbone in section.backbones if backbone.name == variant.backbone)
    backbone = Backbone(
        chosen.name,
        size,
        pretrained=chosen.weights == "imagenet",
        out_indices=None if chosen.stages is None else range(chosen.stages),
        final_norm=chosen.final_norm,
    )
    own = {}
    if variant.representation == PCT and parts is not None:
        tokenizer = rescale_tokenizer(parts.tokenizer, _ratio(profile, size))
        own = {"tokenizer": tokenizer, "guide": parts.guide}
    return PoseEstimator(backbone, build_head(variant.representation, sized, backbone, skeleton, **own))


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
        return SMALL[variant.backbone](comparison_section(profile).input_size, skeleton.flip_permutation)
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
