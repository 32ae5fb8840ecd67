"""DWPose's two stages in the study: what is trained, what stays as it is, what is refused beforehand."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.study_people import make_people

from pctlib.data.people import convert
from pctlib.distillation.dwpose import PAPER, RELEASE, HeadDistillation, StudentDistillation
from pctlib.models.cspnext import CSPNeXt
from pctlib.models.rivals import rtm_pose
from pctlib.profiles.pages import DistillationProfile
from pctlib.profiles.profile import load_profile
from pctlib.profiles.sections import AugmentationProfile
from pctlib.skeletons import COCO_WHOLEBODY
from pctlib.study.inside import trained_estimators
from pctlib.study.pages.distillation.inside import LABEL, one_keypoint
from pctlib.study.pages.distillation.models import build_head, build_model, constants_of
from pctlib.study.pages.distillation.study import DistillationStudy
from pctlib.study.pages.distillation.tasks import NewHeadTask, StudentTask, teach_views
from pctlib.study.pages.distillation.trainings import BOTH, FIRST, NEITHER, SECOND, STEADY, TEACHER, VARIANTS
from pctlib.study.people import Splits
from pctlib.study.variants import run_folder, train_variants
from pctlib.training.loop import train
from pctlib.training.optimizer import learning_rate_factor
from pctlib.training.plan import plan_epoch
from pctlib.training.resume import CheckpointFolder
from pctlib.training.settings import TrainingSettings

CPU = torch.device("cpu")
TRAINING = {"epochs": 2, "batch_size": 6, "learning_rate": 0.002, "warmup_steps": 1}
STUDENT = {"depth": 0.167, "width": 0.0625, "hidden_dim": 12, "key_dim": 8, "training": TRAINING}
SECTION = {
    "input_height": 64,
    "input_width": 64,
    "backbone_stages": 3,
    "teacher": {**STUDENT, "width": 0.125, "training": {**TRAINING, "epochs": 1}},
    "student": STUDENT,
    "head_views": 2,
}


def make_profile(**changes):
    section = DistillationProfile.model_validate(SECTION | changes)
    return load_profile("smoke").model_copy(update={"distillation": section})


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    return Splits(make_people(folder / "t", 12, seed=1), make_people(folder / "v", 5, seed=2), "drawn")


@pytest.fixture(scope="module")
def trained(splits, tmp_path_factory):
    """Return a study, the folder of its runs, and their table."""
    runs = tmp_path_factory.mktemp("runs")
    study = DistillationStudy(make_profile(), splits, progress=False)
    return study, runs / "seed3", train_variants(study, VARIANTS, seeds=[3], runs_dir=runs, progress=False)


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(model, state):
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def pair_of(study, **options):
    models = study.new_student(seed=0), study.new_teacher(seed=0)
    return StudentDistillation(*models, max_epochs=2, **options)


def data_of(study, **options):
    return {
        "val_crops": study.val_crops,
        "augmentation": AugmentationProfile(),
        "identity": {},
        **options,
    }


def test_every_variant_is_trained_and_measured_by_part(trained):
    _, runs, frame = trained
    assert list(frame["variant"]) == list(VARIANTS)
    assert "failed" not in frame
    assert frame[["AP body", "NME body", "PCK body", "parameters (M)", "GFLOPs"]].notna().all(axis=None)
    assert frame.set_index("variant")["GFLOPs"][TEACHER] > frame.set_index("variant")["GFLOPs"][FIRST]
    kept = {
        variant: (run_folder(runs, variant) / "history.jsonl").read_text().splitlines()
        for variant in VARIANTS
    }
    assert {variant: len(lines) for variant, lines in kept.items()} == {
        TEACHER: 1, NEITHER: 2, FIRST: 2, SECOND: 1, BOTH: 1, STEADY: 2
    }  # fmt: skip
    assert {"train_simcc", "train_feature", "train_logit"} <= set(json.loads(kept[FIRST][0]))
    assert "train_simcc" not in json.loads(kept[BOTH][0])


def test_stage_two_keeps_the_backbone_and_learns_a_new_head(trained):
    study, runs, _ = trained
    for new, old in ((SECOND, NEITHER), (BOTH, FIRST)):
        mine, theirs = study.load(new, runs), study.load(old, runs)
        assert_same(mine.backbone, theirs.backbone.state_dict())
        pairs = zip(mine.representation.parameters(), theirs.representation.parameters(), strict=True)
        assert not any(torch.equal(a, b) for a, b in pairs if a.numel() > 1)


def test_students_start_alike_and_end_differently(trained):
    study, runs, _ = trained
    assert_same(study.new_student(seed=3), study.new_student(seed=3).state_dict())
    ends = [study.load(v, runs).backbone.stem[0].conv.weight for v in (NEITHER, FIRST, STEADY)]
    assert not torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[1], ends[2])  # the decay makes a difference


def test_finished_trainings_are_read_back_and_a_new_teacher_makes_new_students(trained, tmp_path):
    study, runs, frame = trained
    for variant in (TEACHER, FIRST):
        shutil.copytree(run_folder(runs, variant), run_folder(tmp_path, variant))
    weights = (run_folder(tmp_path, FIRST) / "model.safetensors").read_bytes()
    again = study(FIRST, 3, run_folder(tmp_path, FIRST))
    assert again["NME body"] == frame.set_index("variant")["NME body"][FIRST]
    assert not (run_folder(tmp_path, FIRST) / "checkpoints.replaced").exists()
    study(TEACHER, 4, run_folder(tmp_path, TEACHER))
    study(FIRST, 3, run_folder(tmp_path, FIRST))
    assert (run_folder(tmp_path, FIRST) / "checkpoints.replaced").exists()
    assert (run_folder(tmp_path, FIRST) / "model.safetensors").read_bytes() != weights


def test_the_teacher_is_the_same_after_training_and_runs_once_a_batch(splits, tmp_path):
    study = DistillationStudy(make_profile(), splits, progress=False)
    pair = pair_of(study)
    before, seen = snapshot(pair.teacher), []
    pair.teacher.backbone.register_forward_hook(
        lambda module, images, maps: seen.append(
            (len(images[0]), torch.is_inference(maps[-1]), module.training)
        )
    )
    task = StudentTask(pair, study.train_crops, **data_of(study))
    settings = TrainingSettings(**TRAINING, average_decay=0.5, average_warmup_steps=3)
    result = train(task, settings, out_dir=tmp_path, seed=0, device="cpu", progress=False)
    assert seen == [(6, True, False)] * 4  # 12 people, 2 epochs
    assert_same(pair.teacher, before)
    assert_same(result.model.teacher, before)
    assert result.model is not pair
    assert not torch.equal(
        result.model.student.backbone.stem[0].conv.weight, pair.student.backbone.stem[0].conv.weight
    )


def test_averaged_weights_are_those_of_every_variant(trained, splits, tmp_path):
    _, runs, _ = trained
    averaged = {**STUDENT, "training": {**TRAINING, "average_decay": 0.5}}
    study = DistillationStudy(make_profile(student=averaged), splits, progress=False)
    for variant in (TEACHER, NEITHER):
        shutil.copytree(run_folder(runs, variant), run_folder(tmp_path, variant))
    name = {FIRST: "student.backbone.stem.0.conv.weight", SECOND: "head.head.cls_x.weight"}
    for variant, weight in (
        (FIRST, "backbone.stem.0.conv.weight"),
        (SECOND, "representation.head.cls_x.weight"),
    ):
        study(variant, 3, run_folder(tmp_path, variant))
        tensors = CheckpointFolder(run_folder(tmp_path, variant) / "checkpoints").newest().tensors
        saved = study.load(variant, tmp_path).state_dict()[weight]
        assert torch.equal(saved, tensors[f"average/module.{name[variant]}"])
        assert not torch.equal(saved, tensors[f"model/{name[variant]}"])


def test_a_killed_first_stage_goes_on_to_the_same_weights(splits, tmp_path):
    study = DistillationStudy(make_profile(), splits, progress=False)

    def run(folder, fail_at=None):
        task = StudentTask(pair_of(study), study.train_crops, **data_of(study))
        evaluate, calls = task.evaluate, []

        def failing(model):
            calls.append(1)
            if len(calls) == fail_at:
                raise KeyboardInterrupt
            return evaluate(model)

        task.evaluate = failing
        settings = TrainingSettings(**TRAINING)
        return train(task, settings, out_dir=folder, seed=0, device="cpu", progress=False)

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", fail_at=2)
    resumed = run(tmp_path / "killed")
    assert resumed.resumed_from == 2
    assert_same(resumed.model, whole.model.state_dict())


def test_without_labels_the_teacher_alone_teaches(splits, tmp_path):
    people = splits.train
    nobody = replace(people, visible=np.zeros_like(people.visible))
    study = DistillationStudy(make_profile(labels=False), replace(splits, train=nobody), progress=False)
    study(TEACHER, 0, run_folder(tmp_path, TEACHER))
    study(FIRST, 0, run_folder(tmp_path, FIRST))
    lines = [
        json.loads(line) for line in (run_folder(tmp_path, FIRST) / "history.jsonl").read_text().splitlines()
    ]
    assert {"train_feature", "train_logit"} <= set(lines[0])
    assert "train_simcc" not in lines[0]
    assert lines[0]["train_feature"] > lines[1]["train_feature"] > 0


def test_whole_bodies_are_measured_by_part(splits, tmp_path):
    whole = Splits(*(convert(people, COCO_WHOLEBODY) for people in (splits.train, splits.val)), "drawn")
    metrics = DistillationStudy(make_profile(head="simcc"), whole, progress=False)(
        NEITHER, 0, run_folder(tmp_path, NEITHER)
    )
    assert metrics["NME wholebody"] == pytest.approx(metrics["NME body"])  # the rest is not labelled
    assert np.isnan(metrics["NME hand"])
    assert metrics["AP face"] == -1


def test_kept_views_are_what_the_frozen_model_says(splits):
    study = DistillationStudy(make_profile(), splits, progress=False)
    model = study.new_student(seed=1).eval()
    head = build_head(study.section, study.section.student, model.backbone, study.skeleton)
    pair = HeadDistillation(model, head)
    options = {"augmentation": AugmentationProfile(), "seed": 5, "device": CPU, "progress": False}
    kept = teach_views(pair, study.train_crops, views=3, max_bytes=2**30, **options)
    rows = [torch.arange(12)]
    plain = AugmentationProfile(flip=0, scale=0, rotation_deg=0, color=0)
    (inputs,) = study.train_crops.inputs(rows, CPU)
    same = teach_views(
        pair, study.train_crops, views=1, max_bytes=2**30, **{**options, "augmentation": plain}
    )
    expected = pair.teach(inputs.images)
    torch.testing.assert_close(same.features.float(), expected.features, rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(same.x.float(), expected.logits.x, rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(same.y.float(), expected.logits.y, rtol=2e-3, atol=2e-3)
    assert not torch.equal(kept.features[:12], kept.features[12:24])
    (step, _) = plan_epoch(12, TrainingSettings(**TRAINING), seed=0, epoch=0)
    batch = kept.batch(step, CPU)
    found = [[r for r in range(36) if torch.equal(kept.x[r].float(), x)] for x in batch.logits.x]
    assert [rows[0] % 12 for rows in found] == step.indices.tolist()
    assert len({rows[0] // 12 for rows in found}) > 1  # not always the same view
    with pytest.raises(ValueError, match=r"36 views need 0 MB, more than the 0 MB of cache_megabytes"):
        teach_views(pair, study.train_crops, views=3, max_bytes=1000, **options)


def test_stage_two_asks_every_batch_where_nothing_is_kept(splits, tmp_path):
    study = DistillationStudy(make_profile(head_views=0), splits, progress=False)
    study(NEITHER, 0, run_folder(tmp_path, NEITHER))
    study(SECOND, 0, run_folder(tmp_path, SECOND))
    model = study.load(NEITHER, tmp_path)
    head = build_head(study.section, study.section.student, model.backbone, study.skeleton)
    task = NewHeadTask(HeadDistillation(model, head), study.train_crops, views=0, seed=0, **data_of(study))
    steps = plan_epoch(12, TrainingSettings(**TRAINING), seed=0, epoch=0)
    assert [batch.shape for batch in task.batches(steps, CPU)] == [(6, 3, 64, 64)] * 2


def test_profile_values_reach_the_trainings():
    section = make_profile().distillation
    assert constants_of(section) == RELEASE
    assert constants_of(make_profile(head="simcc").distillation) == replace(RELEASE, beta=1.0)
    changed = make_profile(constants="paper", logit_weight=0.3).distillation
    assert constants_of(changed) == replace(PAPER, logit_weight=0.3)
    long = {**STUDENT, "training": {**TRAINING, "epochs": 270}}
    assert make_profile(student=long).distillation.head_training.epochs == 54
    assert make_profile(student=long, head_epochs=60).distillation.head_training.epochs == 60
    phases = {"late_augmentation": {"rotation_deg": 60}, "late_epochs": 30}
    with pytest.raises(ValueError, match="go together"):
        make_profile(late_epochs=30)
    with pytest.raises(ValueError, match="multiples of 16"):
        make_profile(input_height=72)
    assert make_profile(**phases).distillation.late_augmentation.rotation_deg == 60


def test_the_profile_paper_is_dwpose_l_from_rtmpose_x_as_released():
    section = load_profile("paper").distillation
    with torch.device("meta"):
        models = [build_model(section, size, COCO_WHOLEBODY) for size in (section.student, section.teacher)]
        released = [rtm_pose(size, (256, 192)) for size in "lx"]
    for mine, theirs in zip(models, released, strict=True):
        assert {k: v.shape for k, v in mine.state_dict().items()} == {
            k: v.shape for k, v in theirs.state_dict().items()
        }
        assert mine.representation.coding.sigma_xy == (4.9, 5.66)
    training = section.student.training
    assert training.batch_size // training.accumulation_steps == 64  # images of one of 8 GPUs
    rates = [
        training.learning_rate
        * learning_rate_factor(
            step,
            total_steps=270_000,
            warmup_steps=training.warmup_steps,
            final_factor=training.final_learning_rate / training.learning_rate,
            flat_steps=round(training.flat_share * 270_000),
        )
        for step in (1000, 135_000, 269_999)
    ]
    assert rates == pytest.approx([4e-3, 4e-3, 2e-4])
    assert (section.head_training.epochs, section.late_epochs) == (60, 30)
    assert constants_of(section) == RELEASE


def test_the_last_epochs_are_counted_from_the_end(splits):
    late = {"late_augmentation": {"rotation_deg": 60}, "late_epochs": 1}
    study = DistillationStudy(make_profile(**late), splits, progress=False)
    assert study._data(TrainingSettings(**TRAINING))["late"] == (1, AugmentationProfile(rotation_deg=60))
    assert study._data(TrainingSettings(**TRAINING | {"epochs": 1}))["late"][0] == 0
    assert (
        DistillationStudy(make_profile(), splits, progress=False)._data(TrainingSettings(**TRAINING))["late"]
        is None
    )


def official_file(folder, section, skeleton, name="teacher.pth"):
    """Write a teacher as mmpose writes an RTMPose."""
    model = build_model(section, section.teacher, skeleton)
    state = {k.replace("representation.head.", "head."): v for k, v in model.state_dict().items()}
    torch.save({"state_dict": state}, folder / name)
    return model, folder / name


def test_a_given_teacher_is_measured_but_not_trained(splits, tmp_path):
    section = make_profile(backbone_stages=4).distillation
    model, file = official_file(tmp_path, section, splits.train.skeleton)
    profile = make_profile(backbone_stages=4, teacher_weights=str(file))
    study = DistillationStudy(profile, splits, progress=False)
    metrics = study(TEACHER, 0, run_folder(tmp_path / "runs", TEACHER))
    assert metrics["training seconds"] == 0
    assert_same(study.load(TEACHER, tmp_path / "runs"), model.state_dict())
    assert not (run_folder(tmp_path / "runs", TEACHER) / "checkpoints").exists()
    ours = run_folder(tmp_path / "runs", TEACHER) / "model.safetensors"
    again = DistillationStudy(
        make_profile(backbone_stages=4, teacher_weights=str(ours)), splits, progress=False
    )
    assert_same(again.new_teacher(seed=9), model.state_dict())


def test_a_missing_teacher_is_named_before_training(splits, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        DistillationStudy(make_profile(teacher_weights=str(tmp_path / "nowhere.pth")), splits)


def test_ubody_is_learned_from_where_the_profile_names_it(splits, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="UBody"):
        DistillationStudy(make_profile(ubody=str(tmp_path)), splits)
    monkeypatch.setattr(
        "pctlib.study.pages.distillation.study.read_ubody", lambda root, skip_invalid: splits.val
    )
    study = DistillationStudy(make_profile(ubody=str(tmp_path)), splits, progress=False)
    assert len(study.train_crops) == 12 + 5
    assert len(study.val_crops) == 5


def test_a_stage_whose_start_is_not_trained_is_named(splits, tmp_path):
    study = DistillationStudy(make_profile(), splits, progress=False)
    for variant, needed in ((FIRST, TEACHER), (SECOND, NEITHER)):
        with pytest.raises(FileNotFoundError, match=needed):
            study(variant, 0, run_folder(tmp_path, variant))
    with pytest.raises(ValueError, match="variant: expected one of"):
        study("third stage", 0, tmp_path)


@pytest.mark.parametrize(
    ("size", "skeleton", "message"),
    [
        (96, None, r"bins along x and y of \(128, 128\) and \(192, 192\)"),
        (64, COCO_WHOLEBODY, "keypoints of 17 and 133"),
    ],
)
def test_a_teacher_of_other_bins_or_keypoints_is_refused_before_training(
    splits, tmp_path, size, skeleton, message
):
    changes = {"backbone_stages": 4, "input_height": size, "input_width": size}
    section = make_profile(**changes).distillation
    _, file = official_file(tmp_path, section, skeleton or splits.train.skeleton)
    profile = make_profile(backbone_stages=4, teacher_weights=str(file))
    with pytest.raises(ValueError, match=message):
        DistillationStudy(profile, splits)


def test_a_teacher_that_does_not_fit_in_memory_is_refused_before_training(splits, monkeypatch):
    def forward(self, images):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(CSPNeXt, "forward", forward)
    with pytest.raises(
        ValueError, match=r"a batch of 6 images of \(64, 64\) does not fit in the memory of cpu"
    ):
        DistillationStudy(make_profile(), splits)


def test_another_kind_of_model_is_no_teacher(splits, tmp_path, monkeypatch):
    file = tmp_path / "other.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}}, file)
    with pytest.raises(ValueError, match="not a checkpoint of a known family"):
        DistillationStudy(make_profile(teacher_weights=str(file)), splits)
    monkeypatch.setattr(
        "pctlib.study.pages.distillation.models.load_official", lambda path: torch.nn.Linear(1, 1)
    )
    with pytest.raises(ValueError, match=r"other\.pth: expected an RTMPose or a DWPose"):
        DistillationStudy(make_profile(teacher_weights=str(file)), splits)


def test_label_and_models_are_told_as_the_loss_compares_them(trained, tmp_path):
    study, runs, _ = trained
    models = trained_estimators(runs, (TEACHER, "no such", FIRST))
    assert list(models) == [TEACHER, FIRST]
    assert trained_estimators(tmp_path, VARIANTS) == {}
    people = study.val_crops.people
    person, keypoint = np.argwhere(people.visible == 2)[0]
    seen = next(study.val_crops.inputs([torch.tensor([person])], CPU))
    shown = one_keypoint(models, seen, int(keypoint))
    head = models[FIRST].representation
    assert list(shown["methods"]) == [LABEL, TEACHER, FIRST]
    for along_x, along_y in shown["methods"].values():
        assert (len(along_x), len(along_y)) == head.coding.num_bins_xy
        assert along_x.sum() == pytest.approx(1, abs=1e-4)
        assert along_y.sum() == pytest.approx(1, abs=1e-4)
    assert head.beta == 10  # of RTMCC
    with torch.inference_mode():
        logits = models[FIRST](seen.images).x[0, keypoint]
    np.testing.assert_allclose(shown["methods"][FIRST][0], (10 * logits).softmax(0), rtol=1e-4, atol=1e-7)
    place = shown["methods"][LABEL][0].argmax() / shown["bins_per_pixel"]
    assert place == pytest.approx(shown["truth"][0], abs=0.51)
