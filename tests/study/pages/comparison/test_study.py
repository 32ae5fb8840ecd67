"""Every variant trains, is measured and reads back equal; what is shared is shared."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.comparison_study import make_study, small_profile, study_people

from pctlib.models.published import RIVALS
from pctlib.models.representations.pct import PCTClassifier
from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO
from pctlib.study.crops import Crops, predict_people
from pctlib.study.features import extract_features, mirrored_features, predict_from_features
from pctlib.study.pages.comparison.heads import HEADS
from pctlib.study.pages.comparison.networks import sized_profile, variants
from pctlib.study.pages.comparison.study import Comparison, compared_speeds
from pctlib.study.predictions import load_predictions
from pctlib.study.runs import load_estimator
from pctlib.study.stages.heatmap import load_heatmap
from pctlib.study.stages.tokenizer import load_tokenizer

FROZEN = [
    "frozen-coordinates",
    "frozen-soft_argmax",
    "frozen-rle",
    "frozen-heatmap_standard",
    "frozen-heatmap_dark",
    "frozen-heatmap_udp",
    "frozen-simcc",
    "frozen-rtmcc",
    "frozen-pct",
]
SMALL_BACKBONE = "mobilenetv4_conv_small_035"
OTHERS = [
    *(f"{SMALL_BACKBONE}-{name}" for name in ("coordinates", "heatmap_dark", "rtmcc", "pct")),
    "vitpose",
    "rival-token_pose_l",
    "rival-prtr",
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return a comparison whose variants have all run with seed 0, the folder of its runs and its metrics."""
    folder = tmp_path_factory.mktemp("study")
    profile, splits = make_study(folder)
    comparison = Comparison(profile, splits, study_dir=folder, progress=False)
    runs = folder / "comparison" / "seed0"
    metrics = {name: comparison(name, 0, runs / name) for name in comparison.variants}
    return comparison, runs, metrics


def test_the_profile_says_what_is_compared(study):
    assert list(study[0].variants) == [*FROZEN, *OTHERS]


@pytest.mark.parametrize("name", OTHERS)
def test_a_whole_network_is_read_back_with_equal_poses(study, name):
    comparison, runs, _ = study
    model, size, *_ = load_estimator(runs / name)
    sized = sized_profile(comparison.variants[name], comparison.profile)
    assert size == sized.crop.input_size != comparison.profile.crop.input_size
    assert not model.training
    crops = Crops(comparison.splits.val, sized, training=False)
    found = predict_people(model, crops, flip_test=True)
    saved = load_predictions(runs / name / "predictions.npz", crops.people)
    np.testing.assert_allclose(found.keypoints_image, saved.keypoints_image, atol=1e-4)
    assert found.keypoints_image.std() > 0


@pytest.mark.parametrize("name", FROZEN)
def test_a_frozen_variant_is_read_back_with_equal_poses_and_its_backbone_untouched(study, name):
    comparison, runs, _ = study
    model, size, *_ = load_estimator(runs / name)
    assert size == comparison.profile.crop.input_size
    start = load_heatmap(comparison.study_dir / "heatmap-seed0").backbone.state_dict()
    assert all(torch.equal(value, start[key]) for key, value in model.backbone.state_dict().items())
    crops = Crops(comparison.splits.val, comparison.profile, training=False)
    upright = extract_features(model.backbone, crops, progress=False)
    mirrored = mirrored_features(model.backbone, crops, progress=False)
    found = predict_from_features(model.representation, upright, crops.people, mirrored=mirrored)
    saved = load_predictions(runs / name / "predictions.npz", crops.people)
    np.testing.assert_allclose(found.keypoints_image, saved.keypoints_image, atol=1e-3)  # rounding of threads


def test_metrics_say_what_was_run_and_what_it_costs(study):
    _, runs, metrics = study
    values = metrics["frozen-pct"]
    assert (values["kind"], values["representation"]) == ("frozen", "pct")
    assert values["backbone"] == metrics["frozen-simcc"]["backbone"] == SMALL_BACKBONE
    assert metrics["vitpose"]["backbone"] == "plain ViT"
    assert {"PCK@0.1 seen", "PCK@0.1 hidden", "NME hidden", "AP", "training seconds"} <= set(values)
    model = load_estimator(runs / "frozen-simcc").model
    count = sum(parameter.numel() for parameter in model.parameters())
    assert metrics["frozen-simcc"]["parameters (M)"] == pytest.approx(count / 1e6)
    names = [f"{SMALL_BACKBONE}-coordinates", "frozen-coordinates"]
    small, large = (metrics[name]["GFLOPs"] for name in names)
    assert 0 < small < large  # 32 x 32 pixels and fewer stages against 64 x 64


def test_compared_networks_start_alike_and_learn(study):
    comparison, runs, _ = study
    stems = [
        load_estimator(runs / f"{SMALL_BACKBONE}-{name}").model.backbone.state_dict()
        for name in ("coordinates", "heatmap_dark")
    ]
    first = next(key for key in stems[0] if key.endswith("weight"))
    difference = (stems[0][first] - stems[1][first]).abs().max()
    assert 0 < difference < 0.02  # one step of AdamW apart
    comparison("vitpose", 1, runs.parent / "seed1" / "vitpose")
    weights = [load_estimator(path / "vitpose").model.state_dict() for path in (runs, runs.parent / "seed1")]
    assert not torch.allclose(*(w["backbone.patch_embed.proj.weight"] for w in weights), atol=0.02)


def test_what_is_finished_is_not_trained_again(study):
    comparison, runs, _ = study
    for name in ("frozen-rle", "rival-token_pose_l"):
        weights = runs / name / "model.safetensors"
        before = weights.read_bytes()
        files = sorted((runs / name / "checkpoints").iterdir())
        stamps = [file.stat().st_mtime_ns for file in files]
        again = Comparison(
            comparison.profile, comparison.splits, study_dir=comparison.study_dir, progress=False
        )
        again(name, 0, runs / name)
        assert weights.read_bytes() == before
        assert [file.stat().st_mtime_ns for file in files] == stamps


def test_speeds_are_those_of_the_trained_networks(study):
    _, runs, _ = study
    folders = {name: runs / name for name in ("frozen-pct", "vitpose")}
    found = compared_speeds(folders, batch_sizes=(1, 2), rounds=1)
    assert set(found) == set(folders)
    assert all(speed > 0 for values in found.values() for speed in values.values())


@pytest.mark.parametrize("fewer", [True, False])
def test_tokens_have_learned_from_the_people_that_the_others_learn_from(study, tmp_path, fewer):
    comparison, runs, _ = study
    own, of_study = runs / "tokenizer", comparison.study_dir / "tokenizer-seed0"
    if not fewer:
        everyone = small_profile(tmp_path, train_people=None)
        folder = tmp_path / "runs"
        whole_study = Comparison(
            everyone, study_people(comparison.study_dir), study_dir=comparison.study_dir, progress=False
        )
        whole_study("frozen-pct", 0, folder / "frozen-pct")
        assert not (folder / "tokenizer").exists()
        runs = folder
    found = load_estimator(runs / "frozen-pct").model.representation.tokenizer.state_dict()
    expected, other = (own, of_study) if fewer else (of_study, own)
    torch.testing.assert_close(found, load_tokenizer(expected).state_dict(), rtol=0, atol=0)
    entries = load_tokenizer(other).codebook.codebook
    assert not torch.equal(found["codebook.codebook"], entries)


def test_the_tokens_of_a_smaller_input_are_those_of_the_tokenizer(study):
    _, runs, _ = study
    frozen = load_estimator(runs / "frozen-pct").model.representation
    whole = load_estimator(runs / f"{SMALL_BACKBONE}-pct").model.representation
    assert isinstance(whole, PCTClassifier)
    assert whole.tokenizer.coordinate_scale == frozen.tokenizer.coordinate_scale / 2
    keypoints = torch.rand(3, 17, 2, generator=torch.Generator().manual_seed(0)) * 60
    visible = torch.full((3, 17), 2)
    labels = [
        head.encode(points, visible).labels for head, points in ((frozen, keypoints), (whole, keypoints / 2))
    ]
    assert torch.equal(*labels)


def test_without_kept_features_the_backbone_runs_at_every_step(study, tmp_path):
    comparison, _, _ = study
    frozen = {"views": 0, "epochs": 1, "representations": ["simcc"]}
    profile = small_profile(tmp_path, frozen=frozen)
    other = Comparison(profile, comparison.splits, study_dir=comparison.study_dir, progress=False)
    other("frozen-simcc", 0, tmp_path / "run")
    model = load_estimator(tmp_path / "run").model
    crops = Crops(comparison.splits.val, profile, training=False)
    found = predict_people(model, crops, flip_test=True)
    saved = load_predictions(tmp_path / "run" / "predictions.npz", crops.people)
    np.testing.assert_allclose(found.keypoints_image, saved.keypoints_image, atol=1e-4)


def test_what_is_missing_is_named(study, tmp_path):
    comparison, runs, _ = study
    lost = Comparison(comparison.profile, comparison.splits, study_dir=tmp_path, progress=False)
    with pytest.raises(FileNotFoundError, match="heatmap-seed0"):
        lost("frozen-simcc", 0, tmp_path / "run")
    everyone = small_profile(tmp_path, train_people=None)
    lost = Comparison(everyone, comparison.splits, study_dir=tmp_path, progress=False)
    with pytest.raises(FileNotFoundError, match="tokenizer-seed0"):
        lost(f"{SMALL_BACKBONE}-pct", 0, tmp_path / "run")
    with pytest.raises(FileNotFoundError, match=r"nowhere.*model\.json"):
        load_estimator(tmp_path / "nowhere")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "model.json").write_text((runs / "vitpose" / "model.json").read_text())
    with pytest.raises(FileNotFoundError, match=r"half.*model\.safetensors"):
        load_estimator(tmp_path / "half")


def test_a_description_is_json_of_plain_values(study):
    description = json.loads((Path(study[1]) / "frozen-pct" / "model.json").read_text())
    assert (description["kind"], description["skeleton"]) == ("comparison", "coco")
    assert description["sizes"]["variant"] in variants(study[0].profile)


def test_the_paper_compares_every_representation_and_published_rivals():
    profile = load_profile("paper")
    compared = variants(profile)
    backbones = {variant.backbone for variant in compared.values() if variant.kind != "rival"}
    assert backbones == {profile.heatmap.backbone, "resnet152", "plain ViT"}
    for kind, backbone in (("frozen", profile.heatmap.backbone), ("whole", "resnet152")):
        found = {v.representation for v in compared.values() if (v.kind, v.backbone) == (kind, backbone)}
        assert found == set(HEADS)
    rivals = [variant for variant in compared.values() if variant.kind == "rival"]
    sizes = {sized_profile(rival, profile).crop.input_size for rival in rivals}
    assert sizes == {(384, 288), (256, 192)}
    with torch.device("meta"):
        counts = {len(RIVALS[rival.backbone].build().representation.flip_index) for rival in rivals}
    assert counts == {COCO.num_keypoints}
