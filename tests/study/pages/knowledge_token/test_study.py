"""The family of students: none, output, token, both, and what they learn from."""

import json

import numpy as np
import pytest
import torch
from helpers.study_people import make_people

from pctlib.data.people import convert
from pctlib.io import read_tensors, write_tensors
from pctlib.models.token_vit import of_width
from pctlib.profiles.pages import KnowledgeTokenProfile
from pctlib.profiles.profile import load_profile
from pctlib.skeletons import MPII
from pctlib.study.crops import predict_people
from pctlib.study.inside import trained_estimators
from pctlib.study.pages.knowledge_token.inside import one_joint
from pctlib.study.pages.knowledge_token.study import KnowledgeTokenStudy, published_teacher
from pctlib.study.pages.knowledge_token.trainings import (
    BOTH,
    NONE,
    OUTPUT,
    RANDOM,
    STUDENTS,
    TAUGHT,
    TEACHER,
    TOKEN,
    VARIANTS,
)
from pctlib.study.people import Splits
from pctlib.study.predictions import load_predictions
from pctlib.study.runs import load_estimator
from pctlib.study.teachers import read_teacher
from pctlib.study.variants import run_folder, train_variants
from pctlib.training.fingerprint import weights_of
from pctlib.training.resume import CheckpointFolder

TRAINING = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "warmup_steps": 2, "evaluate_every": 2}
SECTION = {
    "input_height": 32,
    "input_width": 48,
    "teacher": {"dim": 24, "depth": 2, "heads": 2, "decoder_width": 8, "training": TRAINING},
    "token": TRAINING | {"epochs": 1, "learning_rate": 0.05},
    "student": {"dim": 16, "depth": 1, "heads": 2, "decoder_width": 8, "training": TRAINING},
}


def profile(**changes):
    section = KnowledgeTokenProfile(**(SECTION | changes))
    return load_profile("smoke").model_copy(update={"knowledge_token": section})


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    return Splits(make_people(folder / "t", 24, seed=1), make_people(folder / "v", 5, seed=2), "drawn")


@pytest.fixture(scope="module")
def finished(splits, tmp_path_factory):
    """Train every variant once; return the study, its table and its folder."""
    runs = tmp_path_factory.mktemp("runs")
    study = KnowledgeTokenStudy(profile(), splits, progress=False)
    frame = train_variants(study, VARIANTS, seeds=(0,), runs_dir=runs, progress=False)
    return study, frame.set_index("variant"), runs / "seed0"


def equal_states(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_every_variant_is_trained_and_saved(finished):
    study, frame, runs = finished
    assert "failed" not in frame
    assert list(frame.index) == list(VARIANTS)
    for variant in VARIANTS:
        assert 0 <= frame.loc[variant, "PCK@0.1 all"] <= 1
        load_predictions(run_folder(runs, variant) / "predictions.npz", study.val_crops.people)
        assert (run_folder(runs, variant) / "history.jsonl").is_file()
    record = json.loads((run_folder(runs, BOTH) / "history.jsonl").read_text().splitlines()[-1])
    assert record["train_loss"] == pytest.approx(record["train_heatmap"] + record["train_output"])
    assert "train_output" not in json.loads(
        (run_folder(runs, TOKEN) / "history.jsonl").read_text().splitlines()[-1]
    )
    students = frame.loc[list(STUDENTS), "parameters (M)"]
    assert students.nunique() == 1  # a frozen token is no parameter
    assert frame.loc[TEACHER, "parameters (M)"] > students.iloc[0]


def test_the_teacher_stays_as_it_was_trained(finished):
    study, _, runs = finished
    trained = read_tensors(run_folder(runs, TEACHER) / "model.safetensors")
    taught = read_tensors(run_folder(runs, TAUGHT) / "model.safetensors")
    with_vit = {name.replace("backbone.", "backbone.vit."): value for name, value in trained.items()}
    assert equal_states({n: v for n, v in taught.items() if n != "backbone.token"}, with_vit)
    kept = study.fit(TEACHER, 0, runs).model
    assert equal_states(dict(kept.state_dict()), trained)


def test_tokens_of_the_students(finished):
    study, _, runs = finished
    token = read_tensors(run_folder(runs, TAUGHT) / "model.safetensors")["backbone.token"]
    names = {variant: read_tensors(run_folder(runs, variant) / "model.safetensors") for variant in STUDENTS}
    for variant in (TOKEN, BOTH):
        assert torch.equal(names[variant]["backbone.token"], of_width(token, 16))
    assert all("backbone.token" not in names[variant] for variant in (NONE, OUTPUT))
    random = names[RANDOM]["backbone.token"]
    assert not torch.allclose(random, names[TOKEN]["backbone.token"])
    drawn = study._token(RANDOM, 0, runs)
    torch.testing.assert_close(drawn.norm(), token.norm())
    assert torch.equal(random, of_width(drawn, 16))


def test_students_differ_in_their_lessons_alone(finished):
    study, _, _ = finished
    plain, with_token = study.build_student(seed=3), study.build_student(seed=3, token=torch.ones(24))
    other = study.build_student(seed=4)
    for name, value in plain.state_dict().items():
        name = name.replace("backbone.", "backbone.vit.")
        assert torch.equal(with_token.state_dict()[name], value)
    assert not torch.equal(other.backbone.pos_embed, plain.backbone.pos_embed)


@pytest.mark.parametrize("variant", STUDENTS)
def test_a_trained_student_is_read_back(finished, variant):
    study, _, runs = finished
    model = load_estimator(run_folder(runs, variant)).model
    saved = load_predictions(run_folder(runs, variant) / "predictions.npz", study.val_crops.people)
    found = predict_people(model, study.val_crops, flip_test=True)
    np.testing.assert_allclose(found.keypoints_image, saved.keypoints_image, atol=1e-3)


def test_lessons_change_what_is_learned(finished):
    _, _, runs = finished
    weights = [read_tensors(run_folder(runs, v) / "model.safetensors") for v in STUDENTS]
    heads = [w["representation.head.final_layer.weight"] for w in weights]
    assert all(not torch.equal(a, b) for i, a in enumerate(heads) for b in heads[:i])


def test_finished_runs_are_read_back_and_a_new_teacher_means_new_students(finished, splits, tmp_path):
    study, frame, runs = finished
    before = read_tensors(run_folder(runs, OUTPUT) / "model.safetensors")
    again = KnowledgeTokenStudy(profile(), splits, progress=False)
    metrics = again(OUTPUT, 0, run_folder(runs, OUTPUT))
    assert metrics["NME all"] == frame.loc[OUTPUT, "NME all"]
    assert equal_states(read_tensors(run_folder(runs, OUTPUT) / "model.safetensors"), before)
    given = tmp_path / "other.safetensors"
    write_tensors(given, study.new_teacher(seed=5).state_dict())
    other = KnowledgeTokenStudy(profile(teacher_weights=str(given)), splits, progress=False)
    other(OUTPUT, 0, run_folder(tmp_path / "runs", OUTPUT))
    assert not equal_states(read_tensors(run_folder(tmp_path / "runs", OUTPUT) / "model.safetensors"), before)
    assert weights_of(other.fit(TEACHER, 0, tmp_path).model) != weights_of(study.fit(TEACHER, 0, runs).model)


def test_students_beside_a_teacher_are_averaged_as_those_alone(splits, tmp_path):
    averaged = SECTION["student"] | {"training": TRAINING | {"average_decay": 0.9}}
    study = KnowledgeTokenStudy(profile(student=averaged), splits, progress=False)
    for variant, prefix in ((OUTPUT, "module.student."), (NONE, "module.")):
        study(variant, 0, tmp_path / variant)
        saved = read_tensors(tmp_path / variant / "model.safetensors")
        checkpoint = CheckpointFolder(tmp_path / variant / "checkpoints").newest()
        average, last = checkpoint.part("average"), checkpoint.part("model")
        assert equal_states(saved, {name: average[prefix + name] for name in saved})
        name = "representation.head.final_layer.weight"
        assert not torch.equal(saved[name], last[prefix.removeprefix("module.") + name])


def test_a_given_teacher_is_not_trained(finished, splits, tmp_path):
    _, frame, runs = finished
    folder = run_folder(runs, TEACHER)
    for path in (folder, folder / "model.safetensors"):
        study = KnowledgeTokenStudy(profile(teacher_weights=str(path)), splits, progress=False)
        metrics = study(TEACHER, 1, run_folder(tmp_path, TEACHER))
        assert metrics["NME all"] == pytest.approx(frame.loc[TEACHER, "NME all"], rel=1e-5)
    assert metrics["NME all"] == pytest.approx(frame.loc[TEACHER, "NME all"], rel=1e-5)
    assert "training seconds" not in metrics
    assert not (run_folder(tmp_path, TEACHER) / "checkpoints").exists()


def test_an_official_teacher_is_read(finished, tmp_path):
    study, _, runs = finished
    weights = read_tensors(run_folder(runs, TEACHER) / "model.safetensors")
    official = {name.replace("representation.head.", "keypoint_head."): v for name, v in weights.items()}
    torch.save({"state_dict": official}, tmp_path / "vitpose.pth")
    model = read_teacher(tmp_path / "vitpose.pth", study.new_teacher(seed=8), published_teacher)
    assert equal_states(dict(model.state_dict()), weights)


def test_a_teacher_that_does_not_fit_is_refused_before_training(finished, splits, tmp_path):
    _, _, runs = finished
    path = str(run_folder(runs, TEACHER) / "model.safetensors")
    wider = SECTION["teacher"] | {"dim": 32}
    with pytest.raises(ValueError, match=r"model\.safetensors does not fit PoseEstimator: .*expected \[.*32"):
        KnowledgeTokenStudy(profile(teacher_weights=path, teacher=wider), splits)
    simple = SECTION["teacher"] | {"decoder": "simple"}
    with pytest.raises(ValueError, match="does not fit PoseEstimator"):
        KnowledgeTokenStudy(profile(teacher_weights=path, teacher=simple), splits)
    mpii = Splits(convert(splits.train, MPII), convert(splits.val, MPII), "mpii")
    with pytest.raises(ValueError, match=r"final_layer.weight' has shape \[17, .*expected \[16"):
        KnowledgeTokenStudy(profile(teacher_weights=path), mpii)
    with pytest.raises(FileNotFoundError, match="nowhere.pth"):
        KnowledgeTokenStudy(profile(teacher_weights=str(tmp_path / "nowhere.pth")), splits)
    (tmp_path / "damaged.pth").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="damaged.pth"):
        KnowledgeTokenStudy(profile(teacher_weights=str(tmp_path / "damaged.pth")), splits)
    with pytest.raises(ValueError, match="variant: expected one of"):
        KnowledgeTokenStudy(profile(), splits)("pupil", 0, tmp_path)


def test_label_teacher_and_students_are_read_as_they_were_trained(finished, tmp_path):
    study, _, runs = finished
    models = trained_estimators(runs, (TEACHER, NONE, OUTPUT))
    assert list(models) == [TEACHER, NONE, OUTPUT]
    people = study.val_crops.people
    person, joint = np.argwhere(people.visible == 2)[0]
    seen = next(study.val_crops.inputs([torch.tensor([person])], torch.device("cpu")))
    maps = one_joint(models, seen, int(joint))
    assert list(maps) == ["label", TEACHER, NONE, OUTPUT]
    w, h = (cells * 4 for cells in (3, 2))
    assert {tuple(values.shape) for values in maps.values()} == {(h, w)}
    assert maps["label"].max() > 0.8
    for variant, model in models.items():
        found = predict_people(model, study.val_crops, flip_test=True)
        saved = load_predictions(run_folder(runs, variant) / "predictions.npz", people)
        np.testing.assert_allclose(found.keypoints_image, saved.keypoints_image, atol=1e-3)


def test_a_given_teacher_is_a_run_as_those_that_are_trained(finished, splits, tmp_path):
    _, _, runs = finished
    weights = run_folder(runs, TEACHER) / "model.safetensors"
    given = KnowledgeTokenStudy(profile(teacher_weights=str(weights)), splits, progress=False)
    given(TEACHER, 0, run_folder(tmp_path, TEACHER))
    [(name, model)] = trained_estimators(tmp_path, (TEACHER, NONE, OUTPUT)).items()
    assert name == TEACHER
    assert not model.training
    assert equal_states(dict(model.state_dict()), read_tensors(weights))
