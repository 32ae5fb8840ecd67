"""Joint training on data sets with different keypoints."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.study_people import make_people

from pctlib.data.people import convert
from pctlib.io import read_tensors
from pctlib.models.vitpose import MultiDatasetEstimator
from pctlib.profiles.pages import JointProfile
from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO, CROWDPOSE, LSP, MPII
from pctlib.study.crops import predict_people
from pctlib.study.pages.joint import study as study_module
from pctlib.study.pages.joint.inside import estimators
from pctlib.study.pages.joint.study import JointStudy, JointTask, read_sets, readings, sets_frame
from pctlib.study.pages.joint.trainings import ALONE, EXPERTS, JOINT, VARIANTS
from pctlib.study.people import Splits
from pctlib.study.predictions import load_predictions
from pctlib.study.runs import load_run
from pctlib.study.variants import run_folder, train_variants
from pctlib.training.plan import plan_epoch

CPU = torch.device("cpu")
TRAINING = {"epochs": 2, "batch_size": 4, "learning_rate": 2e-3, "warmup_steps": 2, "evaluate_every": 2}
SECTION = {
    "input_height": 32,
    "input_width": 48,
    "vitpose": {"dim": 16, "depth": 1, "heads": 2, "decoder_width": 8, "training": TRAINING},
    "part_features": 4,
}


def profile(**changes):
    section = JointProfile(**(SECTION | changes))
    return load_profile("smoke").model_copy(update={"joint": section})


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    return Splits(make_people(folder / "t", 24, seed=1), make_people(folder / "v", 5, seed=2), "drawn")


@pytest.fixture
def study(splits):
    return JointStudy(profile(), readings(splits), progress=False)


def task_of(study, variant_names, *, experts=False, seed=0):
    """Return the task of some data sets, as the study makes it."""
    return JointTask(
        study.build(variant_names, experts=experts, seed=seed),
        {name: study.train_crops[name] for name in variant_names},
        val_crops={name: study.val_crops[name] for name in variant_names},
        draw=study._draw(variant_names, seed),
        augmentation=study.section.vitpose.augmentation,
        identity={},
    )


def test_readings_share_no_training_image_and_measure_on_the_same_people(splits):
    sets = readings(splits)
    assert [s.name for s in sets] == ["coco", "mpii", "crowdpose"]
    assert [s.train.skeleton for s in sets] == [COCO, MPII, CROWDPOSE]
    ids = [set(s.train.image_ids.tolist()) for s in sets]
    assert sum(len(s) for s in ids) == len(set().union(*ids)) == 24
    assert [len(s.train) for s in sets] == [8, 8, 8]
    for s in sets:
        np.testing.assert_array_equal(s.val.annotation_ids, splits.val.annotation_ids)
    ankle = [s.val.skeleton.index("left_ankle") for s in sets]
    for one, place in zip(sets, ankle, strict=True):
        np.testing.assert_array_equal(one.val.keypoints_image[:, place], splits.val.keypoints_image[:, 15])
    frame = sets_frame(sets)
    assert frame["keypoints"].tolist() == [17, 16, 14]
    assert frame["of them ever labelled"].tolist() == [17, 12, 12]


@pytest.mark.parametrize("experts", [False, True])
def test_loss_is_that_of_the_release(study, experts):
    """Every decoder on every image, losses of other data sets masked: the same numbers in eval mode."""
    task = task_of(study, study.names, experts=experts)
    model = task.model.eval()
    for representation in model.representations:
        torch.nn.init.normal_(representation.head.final_layer.weight, std=0.3)
    steps = plan_epoch(task.num_samples, study.section.vitpose.training, seed=0, epoch=0)
    batch = next(iter(task.batches(steps, CPU)))
    assert [inputs.keypoints.shape for inputs in batch] == [(4, 17, 2), (4, 16, 2), (4, 14, 2)]
    got, _ = task.loss(model, batch)
    images = torch.cat([inputs.images for inputs in batch])
    index = torch.tensor([0] * 4 + [1] * 4 + [2] * 4)
    targets = []
    for number, (representation, inputs) in enumerate(zip(model.representations, batch, strict=True)):
        K = inputs.keypoints.shape[1]
        keypoints, visible = torch.zeros(12, K, 2), torch.zeros(12, K, dtype=torch.uint8)
        keypoints[index == number], visible[index == number] = inputs.keypoints, inputs.visible
        targets.append(representation.encode(keypoints, visible))
    expected = model.loss(model(images, index), targets, index)
    assert list(got) == ["heatmap coco", "heatmap mpii", "heatmap crowdpose"]
    torch.testing.assert_close(list(got.values()), list(expected.values()))


@pytest.mark.parametrize("experts", [False, True])
def test_gradient_reaches_every_parameter(study, experts):
    task = task_of(study, study.names, experts=experts)
    model = task.model.train()
    for representation in model.representations:
        torch.nn.init.normal_(representation.head.final_layer.weight, std=0.3)
    steps = plan_epoch(task.num_samples, study.section.vitpose.training, seed=0, epoch=0)
    losses, _ = task.loss(model, next(iter(task.batches(steps, CPU))))
    sum(losses.values()).backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert dead == []


def test_a_decoder_learns_from_its_own_images_alone(study):
    task = task_of(study, study.names)
    model = task.model.train()
    steps = plan_epoch(task.num_samples, study.section.vitpose.training, seed=0, epoch=0)
    losses, _ = task.loss(model, next(iter(task.batches(steps, CPU))))
    losses["heatmap mpii"].backward()
    heads = [r.head.final_layer.weight.grad for r in model.representations]
    assert [h is None or not h.abs().any() for h in heads] == [True, False, True]


def test_alone_and_joint_see_the_same_pictures(study):
    """Only the company differs: same people, views and steps."""
    settings = study.section.vitpose.training
    together, alone = task_of(study, study.names), task_of(study, ["mpii"])
    assert together.num_samples == alone.num_samples
    for epoch in range(2):
        steps = plan_epoch(together.num_samples, settings, seed=3, epoch=epoch)
        for a, b in zip(together.batches(steps, CPU), alone.batches(steps, CPU), strict=True):
            assert len(b) == 1
            assert torch.equal(a[1].images, b[0].images)
            assert torch.equal(a[1].keypoints, b[0].keypoints)
    resumed = next(iter(together.batches(steps[1:], CPU)))  # from the middle of an epoch
    whole = list(together.batches(steps, CPU))[1]
    assert all(torch.equal(a.images, b.images) for a, b in zip(resumed, whole, strict=True))


def test_compared_models_start_alike(study):
    shared, alone = (
        study.build(study.names, experts=False, seed=4),
        study.build(["mpii"], experts=False, seed=4),
    )
    other = study.build(["mpii"], experts=False, seed=5)
    for name, value in alone.backbone.state_dict().items():
        assert torch.equal(value, shared.backbone.state_dict()[name])
    own, among = (m.representations[i].head.final_layer.weight for m, i in ((alone, 0), (shared, 1)))
    assert torch.equal(own, among)
    assert not torch.equal(own, other.representations[0].head.final_layer.weight)
    experts = study.build(study.names, experts=True, seed=4).backbone
    assert (experts.num_experts, experts.blocks[0].mlp.fc2.out_features) == (3, 12)


def test_variants_are_trained_measured_and_saved(study, tmp_path):
    frame = train_variants(study, VARIANTS, seeds=(0,), runs_dir=tmp_path, progress=False)
    assert "failed" not in frame
    for row in frame.to_dict("records"):
        own = [row[f"PCK@0.1 all {name}"] for name in study.names]
        assert row["PCK@0.1 all"] == pytest.approx(np.mean(own))
        assert "AP coco" in row
        assert "AP mpii" not in row  # no sigmas
    rows = frame.set_index("variant")
    assert rows.loc[ALONE, "images seen"] == rows.loc[JOINT, "images seen"] == 2 * 3 * 8
    assert rows.loc[ALONE, "parameters (M)"] > rows.loc[EXPERTS, "parameters (M)"]
    assert rows.loc[EXPERTS, "parameters (M)"] > rows.loc[JOINT, "parameters (M)"]
    folder = run_folder(tmp_path / "seed0", EXPERTS)
    people = study.val_crops["mpii"].people
    saved = load_predictions(folder / "predictions-mpii.npz", people)
    model = load_run(folder)
    found = predict_people(model.of_dataset(1), study.val_crops["mpii"], flip_test=True)
    np.testing.assert_allclose(found.keypoints_image, saved.keypoints_image, atol=1e-3)
    for name in study.names:
        assert (run_folder(tmp_path / "seed0", ALONE) / name / "model.safetensors").is_file()
    lines = (folder / "history.jsonl").read_text().splitlines()
    record = json.loads(lines[-1])
    assert {"train_heatmap mpii", "val_PCK@0.1 all", "val_NME all crowdpose"} <= set(record)
    assert record["train_loss"] < json.loads(lines[0])["train_loss"]


def test_a_finished_run_is_not_trained_again_and_another_share_is(study, splits, tmp_path):
    first = study(JOINT, 0, tmp_path)
    weights = read_tensors(tmp_path / "model.safetensors")
    again = JointStudy(profile(), readings(splits), progress=False)(JOINT, 0, tmp_path)
    assert again == first
    other = JointStudy(profile(shares=(2, 1, 1)), readings(splits), progress=False)
    assert other(JOINT, 0, tmp_path)["images seen"] == 2 * 8 * 4
    moved = read_tensors(tmp_path / "model.safetensors")
    assert not torch.equal(moved["backbone.pos_embed"], weights["backbone.pos_embed"])


def test_published_data_sets_are_read_from_their_folders(shared, tmp_path):
    folders = {
        "coco": str(shared / "data" / "coco-mini"),
        "lsp-extended": str(shared / "data" / "lsp"),
        "mpii": str(tmp_path / "mpii"),
    }
    source = shared / "data" / "fixtures" / "mpii"
    (tmp_path / "mpii" / "annot").mkdir(parents=True)
    (tmp_path / "mpii" / "annot" / "train.json").write_text((source / "test_mpii.json").read_text())
    (tmp_path / "mpii" / "images").symlink_to(source)
    sets = read_sets(profile(datasets=folders, train_people=12), "procedural")
    assert [s.name for s in sets] == ["coco", "lsp-extended", "mpii"]
    assert [s.train.skeleton for s in sets] == [COCO, LSP, MPII]
    assert [len(s.train) for s in sets] == [12, 12, 4]
    small = [replace(s, val=s.val.select(range(min(6, len(s.val))))) for s in sets]
    metrics = JointStudy(profile(), small, progress=False)(JOINT, 0, tmp_path / "run")
    assert all(0 <= metrics[f"PCK@0.1 all {s.name}"] <= 1 for s in sets)
    assert metrics["images seen"] == 2 * 3 * 12  # the four of MPII come three times an epoch


def test_training_images_that_another_set_measures_on_are_left_out(splits, tmp_path, monkeypatch):
    """The first set trains on an image that the second measures on, under another name."""
    parts = dict(zip(("coco", "crowdpose"), readings(splits)[::2], strict=True))
    (tmp_path / "copy.png").write_bytes(Path(parts["crowdpose"].val.image_files[0]).read_bytes())
    files = [tmp_path / "copy.png", *parts["coco"].train.image_files[1:]]
    parts["coco"] = replace(parts["coco"], train=replace(parts["coco"].train, image_files=files))
    monkeypatch.setattr(study_module, "load_splits", lambda name, *args, **options: parts[name])
    monkeypatch.setattr(study_module, "project_root", lambda: tmp_path)
    folders = dict.fromkeys(parts, "anywhere")
    first, second = read_sets(profile(datasets=folders), "procedural")
    assert (len(first.train), len(second.train)) == (7, 8)
    column = "training people left out: image measured on"
    assert sets_frame([first, second])[column].tolist() == [1, 0]
    assert first.counts()["training people left out: image of a validation or test set"] == 1
    with pytest.raises(ValueError, match=r"1 images of the training sets are images of .*copy\.png"):
        read_sets(profile(datasets=folders, test_images="refuse"), "procedural")
    kept = read_sets(profile(datasets=folders, test_images="keep"), "procedural")
    assert len(kept[0].train) == 8


def test_bad_input_is_named(splits, tmp_path):
    sets = readings(splits)
    with pytest.raises(ValueError, match=r"two or more of different names, got \['coco'\]"):
        JointStudy(profile(), sets[:1])
    with pytest.raises(ValueError, match="different names"):
        JointStudy(profile(), [sets[0], replace(sets[1], name="coco")])
    with pytest.raises(ValueError, match="variant: expected one of"):
        JointStudy(profile(), sets)("together", 0, tmp_path)
    with pytest.raises(ValueError, match=r"shares: expected one for each of 3 sets, got \(1, 2\)"):
        JointStudy(profile(shares=(1, 2)), sets, progress=False)(JOINT, 0, tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_sets(profile(datasets={"coco": str(tmp_path / "nowhere")}), "procedural")
    with pytest.raises(ValueError, match="expected one of .*, got 'aic'"):
        read_sets(profile(datasets={"aic": str(tmp_path)}), "procedural")
    with pytest.raises(ValueError, match="part_features: expected less than dim 16"):
        profile(part_features=16)
    with pytest.raises(ValueError, match="shares: expected numbers of at least 1"):
        profile(shares=(1, 0, 1))
    study = JointStudy(profile(), sets, progress=False)
    model = study.build(study.names, experts=True, seed=0)
    assert isinstance(model, MultiDatasetEstimator)
    with pytest.raises(ValueError, match="dataset_index: expected 0 to 2, got 3"):
        model.of_dataset(3)


def test_another_keypoint_set_can_be_read_in_three_ways(splits):
    crowd = replace(splits, train=convert(splits.train, CROWDPOSE), val=convert(splits.val, CROWDPOSE))
    assert [s.val.labelled.any(0).sum() for s in readings(crowd)] == [12, 12, 12]


def test_one_backbone_is_read_by_the_decoder_of_each_set(study, tmp_path):
    assert estimators(study, tmp_path) == {}
    for variant, seed in ((EXPERTS, 1), (JOINT, 2)):
        model = study.build(study.names, experts=variant == EXPERTS, seed=seed)
        study._measure(model.eval(), study.names, run_folder(tmp_path, variant))
        readers = estimators(study, tmp_path)
        assert list(readers) == ["coco", "mpii", "crowdpose"]
        images = next(study.val_crops["coco"].in_order(CPU)).images
        for number, reader in enumerate(readers.values()):
            expected = model.of_dataset(number).predict(images)
            torch.testing.assert_close(reader.predict(images).keypoints, expected.keypoints)
