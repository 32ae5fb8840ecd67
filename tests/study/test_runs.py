"""Run folders: written once, read by kind, whoever trained them."""

import json
from dataclasses import asdict

import pytest
import torch

from pctlib.io import read_json
from pctlib.models.mae import MaskedAutoencoder
from pctlib.profiles.pages import (
    FlexibilityProfile,
    MaskedProfile,
)
from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO, CROWDPOSE, Skeleton
from pctlib.study.methods import load_any
from pctlib.study.pages.distillation.models import build_simcc, sizes_of
from pctlib.study.pages.flexibility.study import build_vit, choices_of
from pctlib.study.pages.joint.study import build_run as build_joint
from pctlib.study.pages.masked.study import build_autoencoder
from pctlib.study.pages.vitpose import build_vitpose
from pctlib.study.runs import RunDescription, load_estimator, load_run, read_run, save_run
from pctlib.study.stages.tokenizer import build_tokenizer, load_tokenizer, save_tokenizer

SIZE = (64, 48)
VITPOSE = {
    "dim": 16,
    "depth": 1,
    "heads": 2,
    "decoder_width": 8,
    "training": {"epochs": 1, "batch_size": 2, "learning_rate": 1e-3},
}
MASKED = MaskedProfile(
    input_height=64,
    input_width=48,
    vitpose=VITPOSE,
    pretraining={"decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2, "training": VITPOSE["training"]},
)
SIZES = MASKED.vitpose.model_dump(mode="json")


def vitpose(skeleton=COCO):
    return build_vitpose(MASKED.vitpose, skeleton, input_size=SIZE)


def windowed():
    """Return a ViTPose with windows and the JSON of its choice."""
    section = FlexibilityProfile(input_sizes=[[32, 48]], window=[2, 3], training=VITPOSE["training"])
    name, choice = next(item for item in choices_of(MASKED, section).items() if item[1].windows)
    assert name == "windows"
    backbone = build_vit(choice, MASKED.vitpose)
    return build_vitpose(MASKED.vitpose, COCO, input_size=SIZE, backbone=backbone), asdict(choice)


def token_student():
    from pctlib.distillation.knowledge_token import with_token

    return with_token(vitpose(), torch.arange(16.0))


def student():
    sizes = {"depth": 0.42, "width": 0.125, "stages": 3, "hidden_dim": 16, "key_dim": 8}
    model = build_simcc(sizes, COCO, input_size=(64, 64))
    assert sizes_of(model) == sizes
    return model


def runs():
    """Yield kind, model and sizes of what the pages train."""
    yield "masked", vitpose(), {"vitpose": SIZES}, SIZE
    model, choice = windowed()
    yield "flexibility", model, {"vitpose": SIZES, "choice": choice}, SIZE
    yield "knowledge_token", vitpose(), {"vitpose": SIZES, "token": False}, SIZE
    yield "knowledge_token", token_student(), {"vitpose": SIZES, "token": True}, SIZE
    model = student()
    yield "distillation", model, sizes_of(model), (64, 64)


@pytest.mark.parametrize("number", range(5))
def test_runs_of_every_page_are_read_by_one_reader(tmp_path, number):
    torch.manual_seed(number)
    kind, model, sizes, size = list(runs())[number]
    for value in model.state_dict().values():  # batch statistics too are not those of a new model
        if value.is_floating_point():
            value.add_(0.01)
    save_run(tmp_path, model.eval(), RunDescription(kind, COCO, sizes, size, padding=1.3))
    trained = load_any(tmp_path)
    assert trained[1:] == (size, 1.3, False, COCO)
    images = torch.randn(2, 3, *size)
    torch.testing.assert_close(trained.model.predict(images).keypoints, model.predict(images).keypoints)
    with pytest.raises(ValueError, match="there is no data set to choose"):
        load_any(tmp_path, dataset_index=0)


def test_a_run_on_several_data_sets_gives_the_estimator_of_one(tmp_path):
    sizes = {"vitpose": SIZES, "part_features": 4, "num_experts": 2, "skeletons": ["coco", "crowdpose"]}
    run = RunDescription("joint", COCO, sizes, SIZE)
    model = build_joint(run).eval()
    save_run(tmp_path, model, run)
    with pytest.raises(ValueError, match="holds estimators of several data sets; choose one"):
        load_any(tmp_path)
    trained = load_any(tmp_path, dataset_index=1)
    assert trained.skeleton == CROWDPOSE
    images = torch.randn(1, 3, *SIZE)
    expected = model.of_dataset(1).predict(images).keypoints
    torch.testing.assert_close(trained.model.predict(images).keypoints, expected)


def test_what_finds_no_poses_is_read_too_but_is_no_estimator(tmp_path):
    run = RunDescription("masked", COCO, {"pretraining": MASKED.model_dump(mode="json")}, SIZE)
    save_run(tmp_path, build_autoencoder(MASKED), run)
    assert isinstance(load_run(tmp_path), MaskedAutoencoder)
    with pytest.raises(ValueError, match="expected an estimator of poses, got MaskedAutoencoder"):
        load_estimator(tmp_path)
    profile = load_profile("smoke")
    save_tokenizer(build_tokenizer(profile, num_keypoints=14), profile, CROWDPOSE, tmp_path / "t")
    assert load_tokenizer(tmp_path / "t").num_keypoints == 14
    with pytest.raises(ValueError, match="expected an estimator of poses, got PoseTokenizer"):
        load_estimator(tmp_path / "t")
    with pytest.raises(ValueError, match="expected a trained tokenizer, got MaskedAutoencoder"):
        load_tokenizer(tmp_path)


def test_keypoints_of_ones_own_are_kept(tmp_path):
    own = Skeleton(
        "dog", ("nose", "left_paw", "right_paw"), ((1, 2),), ((0, 1),), ("#ff0000",), None, (0,), (1, 2)
    )
    model = vitpose(own)
    save_run(tmp_path, model, RunDescription("masked", own, {"vitpose": SIZES}, SIZE))
    assert load_estimator(tmp_path).skeleton == own
    assert read_json(tmp_path / "model.json")["skeleton"]["keypoint_names"] == [
        "nose",
        "left_paw",
        "right_paw",
    ]


@pytest.fixture
def written(tmp_path):
    save_run(tmp_path, vitpose(), RunDescription("masked", COCO, {"vitpose": SIZES}, SIZE))
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "os"}, r"model\.json: .*no stage or page 'os'"),
        ({"kind": "../study"}, r"model\.json: .*no stage or page '../study'"),
        ({"kind": "flexibility"}, r"model\.json: sizes of no flexibility: no 'choice'"),
        ({"skeleton": "cat"}, r"model\.json: skeleton: expected one of .* got 'cat'"),
        ({"more": 1}, r"model\.json: .*unexpected keyword argument 'more'"),
        ({"sizes": {"vitpose": SIZES | {"dim": 32}}}, r"model\.safetensors does not fit"),
    ],
)
def test_a_description_that_does_not_fit_is_named(written, changes, message):
    file = written / "model.json"
    file.write_text(json.dumps(read_json(file) | changes))
    with pytest.raises(ValueError, match=message):
        load_run(written)


def test_missing_and_foreign_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing; run notebook 01_tokenizer first"):
        read_run(tmp_path / "tokenizer-seed0")
    with pytest.raises(FileNotFoundError, match="run the notebook that trains it, or make study"):
        read_run(tmp_path / "elsewhere")
    (tmp_path / "model.json").write_text('{"skeleton": "coco"}')
    with pytest.raises(ValueError, match=r"describes no run of the study, got \['skeleton'\]"):
        read_run(tmp_path)
    (tmp_path / "model.json").write_text("[1]")
    with pytest.raises(ValueError, match="describes no run of the study, got list"):
        read_run(tmp_path)
