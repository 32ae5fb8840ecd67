"""Fine-tuning small random weights on people the test draws."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.official_pct import random_state, small_detector
from helpers.official_vitpose import random_vitpose
from helpers.study_people import make_people

from pctlib.data.crops import udp_affine
from pctlib.data.overlap import WHY, PixelHashes
from pctlib.data.people import convert
from pctlib.inference.predictor import Predictor
from pctlib.models.cspnext import CSPNeXt
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.rtmcc import RTMCC
from pctlib.profiles.profile import load_profile
from pctlib.skeleton_files import make_skeleton
from pctlib.skeletons import COCO, LSP
from pctlib.study.crops import Crops, predict_people
from pctlib.study.pages.finetune.report import finetune_finding, finetune_table
from pctlib.study.pages.finetune.start import read_start
from pctlib.study.pages.finetune.study import FinetuneStudy, few_images
from pctlib.study.pages.finetune.trainings import BEFORE, HEAD, SCRATCH, WHOLE
from pctlib.study.people import Splits
from pctlib.study.runs import RunDescription, load_estimator, read_run, save_run, untrained

VITPOSE = {"dim": 384, "depth": 1, "decoder": "simple"}
FIVE = make_skeleton("five", ["a", "b", "c", "d", "e"])


def vitpose(path, **differs):
    torch.save({"state_dict": random_vitpose(0, **VITPOSE | differs)}, path)
    return path


def rtmpose(path):
    torch.manual_seed(0)
    backbone = CSPNeXt(1 / 6, 1 / 8)
    head = RTMCC(backbone.channels[-1], COCO.flip_permutation, input_size=(64, 64), hidden_dim=16, key_dim=8)
    state = PoseEstimator(backbone, head).state_dict()
    torch.save({"state_dict": {key.removeprefix("representation."): v for key, v in state.items()}}, path)
    return path


def pct(path, *, guided):
    state = random_state(small_detector(classifier=True, guided=guided))
    described = {"dataset_name": "five", "keypoint_id2name": dict(enumerate(FIVE.keypoint_names))}
    torch.save({"state_dict": state, "meta": {"dataset_meta": described}}, path)
    return path


def same(one, other, images):
    """Whether weights are equal, and what is found is, but for the order of the sums."""
    states = [model.eval().state_dict() for model in (one, other)]
    a, b = (model.predict(images) for model in (one, other))
    torch.testing.assert_close(a.scores, b.scores)
    return list(states[0]) == list(states[1]) and all(
        torch.equal(states[0][n], states[1][n]) for n in states[0]
    )


@pytest.mark.parametrize("kind", ["simple", "classic", "plus", "rtmpose", "pct", "guided pct"])
def test_published_networks_are_taken_over_and_read_again_as_runs(kind, tmp_path):
    file, index, skeleton = tmp_path / "w.pth", None, COCO
    if kind == "plus":
        vitpose(file, K=(17, 14, 16), experts=3)
        index = 0
    elif kind == "rtmpose":
        rtmpose(file)
    elif "pct" in kind:
        pct(file, guided="guided" in kind)
        skeleton = FIVE
    else:
        vitpose(file, decoder=kind)
    start = read_start(file, skeleton, dataset_index=index)
    assert start.keeps_head
    assert start.counts()["weights of a new head"] == 0
    network = start.network(3).eval()
    images = torch.randn(2, 3, *start.run.input_size)
    assert same(network, start.trained.model, images)
    save_run(tmp_path / "run", network, start.run)
    read = load_estimator(tmp_path / "run")
    assert same(read.model, network, images)
    assert (read.input_size, read.padding, read.udp) == start.trained[1:4]
    assert read.skeleton == skeleton


def test_a_head_of_other_keypoints_is_new_and_the_backbone_is_not(tmp_path):
    start = read_start(vitpose(tmp_path / "w.pth"), LSP)
    assert not start.keeps_head
    one, same_seed, other = (start.network(seed) for seed in (1, 1, 2))
    assert one.representation.head.final_layer.out_channels == 14
    for name, value in start.trained.model.backbone.state_dict().items():
        assert torch.equal(value, other.backbone.state_dict()[name]), name
    weights = [network.representation.head.final_layer.weight for network in (one, same_seed, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    head = sum(p.numel() for p in one.representation.parameters())
    assert start.counts()["weights of a new head, as the weights have 17 keypoints (coco)"] == head
    scratch = start.network(1, scratch=True)
    assert not torch.equal(scratch.backbone.pos_embed, one.backbone.pos_embed)


def test_pct_is_for_the_keypoints_of_its_tokenizer(tmp_path):
    file = pct(tmp_path / "w.pth", guided=False)
    refused = (
        r"w\.pth: this PCT writes poses of 5 keypoints \(five\), the data set has 17 \(coco\); its token"
    )
    with pytest.raises(ValueError, match=refused):
        read_start(file, COCO)
    start = read_start(file, FIVE)
    scratch, given = start.network(1, scratch=True), start.trained.model
    assert torch.equal(
        scratch.representation.tokenizer.codebook.codebook, given.representation.tokenizer.codebook.codebook
    )
    assert not torch.equal(
        scratch.representation.head.classify.weight, given.representation.head.classify.weight
    )


def test_a_run_of_the_study_starts_another_of_its_kind(tmp_path):
    profile = load_profile("smoke")
    sizes = {"profile": profile.model_dump(mode="json")}
    described = RunDescription("heatmap", COCO, sizes, profile.crop.input_size, 1.2)
    trained = untrained(described)
    save_run(tmp_path / "heatmap-seed0", trained, described)
    start = read_start(tmp_path / "heatmap-seed0", LSP)
    assert (start.run.kind, start.run.padding, start.run.skeleton) == ("heatmap", 1.2, LSP)
    network = start.network(0)
    name, value = next(iter(trained.backbone.state_dict().items()))
    assert torch.equal(network.backbone.state_dict()[name], value)
    assert network.representation.head.final_layer.out_channels == 14


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finetune")
    training = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "warmup_steps": 1, "layer_decay": 0.5}
    section = {"initial_weights": str(vitpose(folder / "w.pth")), "training": training, "train_images": 6}
    profile = load_profile("smoke", finetune=section)
    splits = Splits(make_people(folder / "t", 9, seed=1), make_people(folder / "v", 4, seed=2), "drawn")
    hashes = PixelHashes()
    return FinetuneStudy(profile, few_images(splits, profile.finetune, hashes=hashes), progress=False)


@pytest.fixture(scope="module")
def runs(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return folder, {variant: study(variant, 0, folder / variant) for variant in study.variants}


def test_the_row_before_is_what_the_weights_find_by_themselves(study, runs):
    trained = study.start.trained
    found = predict_people(trained.model, study.val_crops, flip_test=True)
    saved = np.load(runs[0] / BEFORE / "predictions.npz")
    np.testing.assert_allclose(saved["keypoints_image"], found.keypoints_image, atol=1e-4)
    assert runs[1][BEFORE]["weights learned (M)"] == 0


def test_crops_are_those_of_the_weights_own_tests(study):
    assert study.start.run.udp
    assert study.val_crops.udp
    inputs = next(study.val_crops.in_order(torch.device("cpu")))
    boxes = torch.from_numpy(study.val_crops.people.boxes_xywh)
    torch.testing.assert_close(inputs.affine, udp_affine(boxes, (64, 48), padding=1.25))
    plain = next(
        Crops(study.splits.val, study.val_crops.profile, training=False).in_order(torch.device("cpu"))
    )
    assert not torch.allclose(plain.affine, inputs.affine)
    assert RunDescription.of_crops("finetune", study.val_crops, {}).udp


def test_head_alone_leaves_the_backbone_and_the_whole_network_does_not(study, runs):
    before = study.start.trained.model.state_dict()
    changed = {}
    for variant in (HEAD, WHOLE):
        after = load_estimator(runs[0] / variant).model.state_dict()
        changed[variant] = {
            name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])
        }
    assert changed == {HEAD: {"representation"}, WHOLE: {"backbone", "representation"}}
    learned = {variant: metrics["weights learned (M)"] for variant, metrics in runs[1].items()}
    assert 0 == learned[BEFORE] < learned[HEAD] < learned[WHOLE] == learned[SCRATCH]


def test_table_and_finding(study, runs):
    frame = pd.DataFrame([{"variant": name, "seed": 0, **metrics} for name, metrics in runs[1].items()])
    table = finetune_table(frame, study)
    assert table["variant"].tolist() == ["mean pose", BEFORE, HEAD, WHOLE, SCRATCH]
    assert {"PCK@0.1 (%)", "OKS-AP (%)", "weights learned (M)", "training (s)"} <= set(table)
    text = finetune_finding(frame, study)
    assert "backbone and head are taken over, the 17 keypoints are the same" in text
    assert "With 6 images, in points of PCK@0.1: all weights against none trained" in text


def test_a_fine_tuned_run_predicts_photographs(study, runs):
    predictor = Predictor(runs[0] / WHOLE)
    file = study.splits.val.image_files[0]
    x, y, w, h = study.splits.val.boxes_xywh[0]
    people = predictor(file, boxes=[[x, y, x + w, y + h]])
    assert people.keypoints.shape == (1, 17, 2)
    assert predictor.network.udp
    assert read_run(runs[0] / WHOLE).kind == "finetune"


def test_few_images_none_of_which_is_measured_on(study, tmp_path):
    train, val = make_people(tmp_path / "t", 5, seed=1), make_people(tmp_path / "v", 2, seed=2)
    shutil.copy(val.image_files[1], train.image_files[2])
    section = study.section.model_copy(update={"train_images": 4})
    kept = few_images(Splits(train, val, "drawn"), section, hashes=PixelHashes())
    assert [file.name for file in kept.train.image_files] == ["1-000.png", "1-001.png", "1-003.png"]
    assert kept.train.excluded[WHY] == 1
    refused = section.model_copy(update={"test_images": "refuse"})
    with pytest.raises(ValueError, match="1 images of the training sets are images of validation"):
        few_images(Splits(train, val, "drawn"), refused, hashes=PixelHashes())


def test_lsp_without_sigmas_gets_a_table_too(study, tmp_path):
    splits = Splits(*(convert(people, LSP) for people in (study.splits.train, study.splits.val)), "drawn")
    other = FinetuneStudy(study.profile, splits, progress=False)
    frame = pd.DataFrame([{"variant": BEFORE, "seed": 0, **other(BEFORE, 0, tmp_path / "run")}])
    table = finetune_table(frame, other)
    assert "OKS-AP (%)" not in table
    assert "gives way to a new one for 14 (lsp)" in finetune_finding(frame, other)
