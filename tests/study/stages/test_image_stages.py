"""Stage 0 and stage II on small pictures: training, freezing, saving, image guidance."""

import numpy as np
import pytest
import torch
from helpers.study_people import make_people

from pctlib.models.estimator import PoseEstimator
from pctlib.profiles.profile import load_profile
from pctlib.study.crops import Crops, predict_people
from pctlib.study.features import extract_features
from pctlib.study.people import Splits
from pctlib.study.poses import load_poses
from pctlib.study.runs import load_estimator
from pctlib.study.stages.classifier import freeze_backbone, train_classifier, train_control
from pctlib.study.stages.heatmap import build_backbone, load_heatmap, train_heatmap
from pctlib.study.stages.tokenizer import adopt_tokenizer, load_tokenizer, train_tokenizer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Return profile, splits and the folder of a trained tokenizer and heatmap backbone."""
    folder = tmp_path_factory.mktemp("stages")
    profile = load_profile("smoke")
    splits = Splits(make_people(folder / "t", 24, seed=1), make_people(folder / "v", 7, seed=2), "drawn")
    train_heatmap(profile, splits, seed=0, out_dir=folder / "heatmap", progress=False)
    poses = [load_poses(p, profile, training=t) for p, t in ((splits.train, True), (splits.val, False))]
    train_tokenizer(
        profile, poses[0], val_poses=poses[1], seed=0, out_dir=folder / "tokenizer", progress=False
    )
    return profile, splits, folder


def equal_states(a, b):
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_heatmap_model_is_read_back_the_same(stages):
    profile, splits, folder = stages
    crops = Crops(splits.val, profile, training=False)
    first, second = (predict_people(load_heatmap(folder / "heatmap"), crops) for _ in range(2))
    np.testing.assert_array_equal(first.keypoints_image, second.keypoints_image)
    assert first.keypoints_image.shape == (7, 17, 2)
    flipped = predict_people(load_heatmap(folder / "heatmap"), crops, flip_test=True)
    assert not np.array_equal(first.keypoints_image, flipped.keypoints_image)


def test_cached_features_are_those_of_the_images(stages):
    profile, splits, folder = stages
    backbone = load_heatmap(folder / "heatmap").backbone
    crops = Crops(splits.val, profile, training=False)
    features = extract_features(backbone, crops, progress=False)
    inputs = next(crops.in_order(CPU))
    with torch.inference_mode():
        expected = backbone(inputs.images)[-1]
    torch.testing.assert_close(
        features.maps.float(), expected, rtol=2e-3, atol=2e-3
    )  # kept in half precision
    assert features.views == 1
    views = extract_features(
        backbone, crops, views=3, augmentation=profile.classifier.augmentation, seed=4, progress=False
    )
    assert views.views == 3
    assert not torch.equal(views.keypoints[:7], views.keypoints[7:14])


def test_classifier_learns_on_a_frozen_backbone_and_is_read_back(stages, tmp_path):
    profile, splits, folder = stages
    backbone, tokenizer = load_heatmap(folder / "heatmap").backbone, load_tokenizer(folder / "tokenizer")
    before = [load_heatmap(folder / "heatmap").backbone, load_tokenizer(folder / "tokenizer")]
    stage = freeze_backbone(profile, splits, backbone, seed=0, progress=False)
    result = train_classifier(profile, stage, tokenizer, seed=0, out_dir=tmp_path / "pct", progress=False)
    losses = [record["train_tokens"] for record in result.history]
    assert losses[-1] < losses[0]
    assert equal_states(result.model.backbone, before[0])
    assert equal_states(result.model.representation.tokenizer, before[1])
    loaded = load_estimator(tmp_path / "pct").model
    found = [predict_people(model, stage.val_crops).keypoints_image for model in (result.model, loaded)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


def test_a_tokenizer_of_other_sizes_is_adopted(stages, tmp_path):
    profile, splits, folder = stages
    other = load_profile("smoke", tokenizer__num_tokens=7, tokenizer__codebook_size=20)
    poses = [load_poses(p, other, training=t) for p, t in ((splits.train, True), (splits.val, False))]
    train_tokenizer(other, poses[0], val_poses=poses[1], seed=0, out_dir=tmp_path / "t", progress=False)
    adopted = adopt_tokenizer(profile, tmp_path / "t")
    assert (adopted.tokenizer.num_tokens, adopted.heatmap) == (7, profile.heatmap)
    backbone = load_heatmap(folder / "heatmap").backbone
    stage = freeze_backbone(adopted, splits, backbone, seed=0, progress=False)
    tokenizer = load_tokenizer(tmp_path / "t")
    train_classifier(adopted, stage, tokenizer, seed=0, out_dir=tmp_path / "c", progress=False)
    assert load_estimator(tmp_path / "c").model.representation.head.num_tokens == 7


def test_a_head_is_trained_again_on_another_tokenizer_or_backbone(stages, tmp_path):
    """Of the same sizes, on the same people: only what the frozen parts have learned differs."""
    profile, splits, folder = stages
    backbone, tokenizer = load_heatmap(folder / "heatmap").backbone, load_tokenizer(folder / "tokenizer")
    stage = freeze_backbone(profile, splits, backbone, seed=0, progress=False)

    def resumed_from():
        result = train_classifier(profile, stage, tokenizer, seed=0, out_dir=tmp_path, progress=False)
        assert equal_states(result.model.representation.tokenizer, tokenizer)
        return result.resumed_from

    assert resumed_from() == 0
    assert resumed_from() == 2  # both steps are there
    with torch.no_grad():
        tokenizer.to_coordinates.bias.add_(1)
    assert resumed_from() == 0
    with torch.no_grad():
        next(backbone.parameters()).mul_(1.5)
    assert resumed_from() == 0


def test_control_differs_in_the_representation_alone(stages, tmp_path):
    profile, splits, folder = stages
    stage = freeze_backbone(
        profile, splits, load_heatmap(folder / "heatmap").backbone, seed=0, progress=False
    )
    result = train_control(profile, stage, seed=0, out_dir=tmp_path, progress=False)
    assert isinstance(result.model, PoseEstimator)
    assert result.model.backbone is stage.backbone
    assert [r["step"] for r in result.history] == [1, 2]  # 24 people, batches of 16, as the classifier


def test_features_at_every_step_when_none_are_cached(stages, tmp_path):
    profile, splits, folder = stages
    profile = load_profile("smoke", classifier__cached_views=0)
    stage = freeze_backbone(
        profile, splits, load_heatmap(folder / "heatmap").backbone, seed=0, progress=False
    )
    assert stage.train_features is None
    tokenizer = load_tokenizer(folder / "tokenizer")
    result = train_classifier(profile, stage, tokenizer, seed=0, out_dir=tmp_path, progress=False)
    assert not any(p.requires_grad for p in result.model.backbone.parameters())
    assert equal_states(result.model.backbone, load_heatmap(folder / "heatmap").backbone)


def test_image_guidance_through_both_stages(stages, tmp_path):
    profile = load_profile("smoke", tokenizer__guide_ratio=0.5, classifier__cached_views=0)
    _, splits, folder = stages
    guide = load_heatmap(folder / "heatmap").backbone
    poses = [load_poses(p, profile, training=t) for p, t in ((splits.train, True), (splits.val, False))]
    with pytest.raises(ValueError, match="needs a trained backbone"):
        train_tokenizer(profile, poses[0], val_poses=poses[1], seed=0, out_dir=tmp_path, progress=False)
    result = train_tokenizer(
        profile, poses[0], val_poses=poses[1], seed=0, out_dir=tmp_path / "t", guide=guide, progress=False
    )
    assert result.history[-1]["train_keypoints"] < result.history[0]["train_keypoints"]
    tokenizer = load_tokenizer(tmp_path / "t")
    assert tokenizer.guided
    stage = freeze_backbone(profile, splits, guide, seed=0, progress=False)
    trained = train_classifier(profile, stage, tokenizer, seed=0, out_dir=tmp_path / "c", progress=False)
    found = [
        predict_people(m, stage.val_crops).keypoints_image
        for m in (trained.model, load_estimator(tmp_path / "c").model)
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


def test_published_recipe_starts_on_coco_files_at_its_own_sizes(stages):
    """The paper's networks are built; one at a step's size would need minutes and gigabytes here."""
    profile = load_profile("paper", device="cpu", heatmap__weights="none")
    with torch.device("meta"):
        backbone = build_backbone(profile)
    assert (backbone.channels[-1], backbone.strides[-1]) == (1024, 32)
    assert profile.tokenizer.num_tokens == 34
    assert profile.classifier.training.layer_decay == 0.9


def test_broken_images_are_left_out_only_if_allowed(tmp_path):
    people = make_people(tmp_path, 5)
    people.image_files[2].write_bytes(b"")
    with pytest.raises(ValueError, match=people.image_files[2].name):
        Crops(people, load_profile("smoke"), training=True)
    crops = Crops(people, load_profile("smoke", skip_broken=True), training=True)
    assert len(crops) == 4
    assert [file.name for file, _ in crops.broken] == [people.image_files[2].name]
    assert crops.people.excluded["unreadable image"] == 1
