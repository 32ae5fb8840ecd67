"""The networks of the comparison by name, and the values of a profile that build them."""

import pytest
import torch
from helpers.comparison_study import COMPARISON, TRAINING, VITPOSE, small_profile

from pctlib.models.published import RIVALS
from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO, COCO_WHOLEBODY
from pctlib.study.pages.comparison.networks import Parts, build_variant, sized_profile, variants

BACKBONE = "mobilenetv4_conv_small_035"


def built(profile, name, skeleton=COCO, parts=None):
    torch.manual_seed(0)
    return build_variant(variants(profile)[name], profile, skeleton, parts=parts)


def test_a_smaller_input_has_gaussians_as_wide_beside_the_person(tmp_path):
    profile = small_profile(tmp_path, input_height=32, input_width=32)
    sized = sized_profile(variants(profile)["vitpose"], profile)
    assert sized.crop.input_size == (32, 32)
    assert sized.heatmap.sigma == profile.heatmap.sigma / 2
    assert sized_profile(variants(profile)["frozen-simcc"], profile) is profile
    rivals = COMPARISON["rivals"] | {"systems": ["hrnet_w32_256x192"]}
    published = small_profile(tmp_path, rivals=rivals)
    variant = variants(published)["rival-hrnet_w32_256x192"]
    assert sized_profile(variant, published).crop.input_size == (256, 192)


def test_backbones_of_one_name_start_alike_whatever_the_head(tmp_path):
    profile = small_profile(tmp_path)
    states = [built(profile, f"{BACKBONE}-{name}").backbone.state_dict() for name in ("coordinates", "rtmcc")]
    assert all(torch.equal(*pair) for pair in zip(*(s.values() for s in states), strict=True))


def test_every_value_of_a_backbone_counts(tmp_path):
    whole = COMPARISON["whole"] | {"backbones": [{"name": BACKBONE, "stages": 3}]}
    fewer = built(small_profile(tmp_path, whole=whole), f"{BACKBONE}-coordinates")
    assert (len(fewer.backbone.channels), fewer.backbone.strides[-1]) == (3, 8)
    name = "vit_tiny_patch16_224"
    for final_norm in (False, True):
        whole["backbones"] = [{"name": name, "final_norm": final_norm}]
        model = built(small_profile(tmp_path, whole=whole), f"{name}-coordinates").eval()
        assert model.backbone.input_size == (32, 32)
        mean = model.backbone(torch.randn(1, 3, 32, 32))[-1].mean(1).abs().max()
        assert (mean < 1e-5) == final_norm  # a norm over the channels that is as it was drawn


def test_parts_of_the_shapes_of_a_profile_fit_its_classifier(tmp_path):
    profile = small_profile(tmp_path)
    parts = Parts.untrained(profile, COCO)
    assert parts.guide is None
    model = built(profile, "frozen-pct", parts=parts)
    assert model.representation.tokenizer is parts.tokenizer
    tokenizer = profile.tokenizer.model_copy(update={"guide_ratio": 0.5})
    classifier = profile.classifier.model_copy(update={"cached_views": 0})
    guided = profile.model_copy(update={"tokenizer": tokenizer, "classifier": classifier})
    guides = Parts.untrained(guided, COCO)
    whole = built(guided, f"{BACKBONE}-pct", parts=guides)
    assert whole.representation.guide is guides.guide
    assert all(parameter.requires_grad for parameter in whole.backbone.parameters())
    assert not any(parameter.requires_grad for parameter in whole.representation.guide.parameters())


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        ({"rivals": COMPARISON["rivals"] | {"systems": ["hrnt"]}}, "vitpose", "systems: .*prtr.* got 'hrnt'"),
        ({"input_height": 64}, f"{BACKBONE}-pct", "proportions of the crops, 64 x 64, got 64 x 32"),
        (
            {"rivals": COMPARISON["rivals"] | {"systems": ["rtmpose_t_wholebody_256x192"]}},
            "rival-rtmpose_t_wholebody_256x192",
            r"finds 133 keypoints, the data set \(coco\) has 17",
        ),
    ],
)
def test_what_does_not_go_together_is_named(tmp_path, changes, name, message):
    profile = small_profile(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        built(profile, name, parts=Parts.untrained(profile, COCO))


def test_tokens_need_a_tokenizer(tmp_path):
    with pytest.raises(ValueError, match="pct: expected a trained tokenizer, got None"):
        built(small_profile(tmp_path), f"{BACKBONE}-pct")


def test_published_rivals_are_built_at_their_size(tmp_path):
    name = "rtmpose_t_wholebody_256x192"
    profile = small_profile(tmp_path, rivals=COMPARISON["rivals"] | {"systems": [name]})
    model = built(profile, f"rival-{name}", COCO_WHOLEBODY)
    assert model.representation.coding.input_size == RIVALS[name].input_size


def test_a_profile_without_a_comparison_is_refused(tmp_path):
    profile = small_profile(tmp_path).model_copy(update={"comparison": None})
    with pytest.raises(ValueError, match="profile smoke: no section 'comparison'"):
        variants(profile)


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        (
            {"backbones": [{"name": "a"}, {"name": "a"}]},
            r"backbones: expected distinct names, got \['a', 'a'\]",
        ),
        (
            {"vitpose": VITPOSE | {"training": TRAINING | {"epochs": 2}}},
            "vitpose.training: expected 1 epochs of batches of 8, as for the others, got 2 and 8",
        ),
    ],
)
def test_bad_values_of_the_section_are_named(tmp_path, whole, message):
    with pytest.raises(ValueError, match=message):
        small_profile(tmp_path, whole=COMPARISON["whole"] | whole)


@pytest.mark.parametrize("part", ["frozen", "whole"])
def test_an_unknown_representation_is_named_before_anything_is_trained(tmp_path, part):
    changed = small_profile(tmp_path, **{part: COMPARISON[part] | {"representations": ["heatmap"]}})
    with pytest.raises(ValueError, match=r"representation: expected one of coordinates, .*, got 'heatmap'"):
        variants(changed)


def test_the_profiles_of_the_study_build_what_they_name():
    for name in ("smoke", "demo", "extended"):
        profile = load_profile(name)
        if profile.comparison is None:
            continue
        for variant in variants(profile).values():
            with torch.device("meta"):
                model = build_variant(variant, profile, COCO, parts=Parts.untrained(profile, COCO))
            assert hasattr(model.representation, "decode")
