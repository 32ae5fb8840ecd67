"""Published PCT checkpoints: what they are is told from their names, and every value arrives."""

import json

import pytest
import torch
from helpers.official_pct import (
    SMALL_TOKENIZER,
    base_detector,
    head_shapes,
    random_state,
    reference_tokenizer,
    small_detector,
    tokenizer_shapes,
)

import pctlib
from pctlib.checkpoints.pct import HEAD_NAMES, TOKENIZER_NAMES, build_classifier, load_pct, load_tokenizer
from pctlib.checkpoints.swin import SWIN_NAMES
from pctlib.losses import commitment, keypoint_smooth_l1_over_all, tokenizer_losses
from pctlib.models.estimator import PoseEstimator
from pctlib.models.tokenizer import GuidedTokenizer, PoseTokenizer, features_at, guide_features

KINDS = [(classifier, guided) for classifier in (False, True) for guided in (False, True)]
CONFIGURATIONS = {
    (False, True): "pct_base_tokenizer",
    (True, True): "pct_base_classifier",
    (False, False): "pct_base_woimgguide_tokenizer",
    (True, False): "pct_base_woimgguide_classifier",
}


def _save(path, state):
    torch.save({"meta": {"epoch": 50}, "state_dict": state}, path)
    return path


def _modules(model):
    """Return (prefix in the file, our module, its names) of what a loaded model holds."""
    if isinstance(model, PoseTokenizer):
        return [("keypoint_head.tokenizer.", model, TOKENIZER_NAMES)]
    if isinstance(model, GuidedTokenizer):
        guide, tokenizer, rest = model.guide, model.tokenizer, []
    else:
        guide, tokenizer = model.representation.guide, model.representation.tokenizer
        rest = [
            ("backbone.", model.backbone, SWIN_NAMES),
            ("keypoint_head.", model.representation.head, HEAD_NAMES),
        ]
    rest.append(("keypoint_head.tokenizer.", tokenizer, TOKENIZER_NAMES))
    return rest + ([] if guide is None else [("extra_backbone.", guide, SWIN_NAMES)])


def _values(model):
    """Return what a loaded model holds under the official names."""
    return {
        prefix + names.to_official(name): value
        for prefix, module, names in _modules(model)
        for name, value in module.state_dict().items()
        if name not in names.ours_only
    }


@pytest.mark.parametrize(("classifier", "guided"), KINDS)
def test_published_names_and_shapes(shared, classifier, guided):
    """The shapes the other tests use at small sizes are, at base size, those of the published models."""
    recorded = json.loads((shared / "golden" / "pct_base_state_dict.json").read_text())
    expected = {name: tuple(shape) for name, shape in recorded[CONFIGURATIONS[classifier, guided]].items()}
    assert base_detector(classifier=classifier, guided=guided) == expected


@pytest.mark.parametrize(("classifier", "guided"), KINDS)
def test_every_value_arrives(tmp_path, classifier, guided):
    state = random_state(small_detector(classifier=classifier, guided=guided))
    model = pctlib.load_official(_save(tmp_path / "pct.pth", state))
    kind = PoseEstimator if classifier else GuidedTokenizer if guided else PoseTokenizer
    assert type(model) is kind
    assert not any(module.training for module in model.modules())
    values = _values(model)
    rebuilt = {name for name in state if "relative_" in name}
    assert values.keys() == state.keys() - rebuilt
    assert all(torch.equal(values[name], state[name]) for name in values)


def test_tokenizer_computes_the_published_function(tmp_path):
    state = random_state(small_detector(classifier=False, guided=False))
    tokenizer = pctlib.load_official(_save(tmp_path / "pct.pth", state))
    keypoints, visible = 64 * torch.rand(3, 5, 2), torch.randint(0, 3, (3, 5))
    prefix = "keypoint_head.tokenizer."
    expected = reference_tokenizer({n.removeprefix(prefix): v for n, v in state.items()}, keypoints, visible)
    with torch.no_grad():
        output = tokenizer(keypoints, visible)
    torch.testing.assert_close(output.keypoints, expected[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(output.tokens, expected[1], atol=1e-4, rtol=1e-5)
    assert torch.equal(output.indices, expected[2])


def test_loading_leaves_the_random_state(tmp_path):
    path = _save(tmp_path / "pct.pth", random_state(small_detector(classifier=True, guided=True)))
    before = torch.get_rng_state()
    pctlib.load_official(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_guided_tokenizer_looks_features_up_in_its_guide(tmp_path):
    state = random_state(small_detector(classifier=False, guided=True))
    model = pctlib.load_official(_save(tmp_path / "pct.pth", state))
    images, keypoints = torch.randn(2, 3, 64, 64), 64 * torch.rand(2, 5, 2)
    visible = torch.ones(2, 5, dtype=torch.uint8)
    with torch.no_grad():
        features = features_at(model.guide(images)[-1], keypoints, input_size=(64, 64))
        output = model(images, keypoints, visible)
    prefix = "keypoint_head.tokenizer."
    weights = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
    expected = reference_tokenizer(weights, keypoints, visible, features)
    torch.testing.assert_close(output.keypoints, expected[0], atol=1e-4, rtol=0)
    assert torch.equal(output.indices, expected[2])


def test_classifier_predicts_and_labels(tmp_path):
    state = random_state(small_detector(classifier=True, guided=True))
    model = pctlib.load_official(_save(tmp_path / "pct.pth", state), flip_permutation=(0, 2, 1, 4, 3))
    images, keypoints = torch.randn(2, 3, 64, 64), 64 * torch.rand(2, 5, 2)
    poses = model.predict(images, flip_test=True)
    assert poses.keypoints.shape == (2, 5, 2)
    assert poses.scores.shape == (2, 5)
    target = model.representation.encode(keypoints, torch.ones(2, 5), images=images)
    features = guide_features(model.representation.guide, images, keypoints)
    tokens = model.representation.tokenizer.encode(keypoints, torch.ones(2, 5), joint_features=features)
    assert torch.equal(target.labels, model.representation.tokenizer.quantize(tokens).indices)


def test_coco_classifiers_know_their_flip_permutation():
    shapes = tokenizer_shapes(**(SMALL_TOKENIZER | {"K": 17}))
    detector = {f"keypoint_head.tokenizer.{name}": shape for name, shape in shapes.items()}
    rest = {n: s for n, s in small_detector(classifier=True, guided=False).items() if n not in detector}
    model = load_pct(random_state(detector | rest), "pct.pth")
    assert model.representation.flip_index.tolist()[:5] == [0, 2, 1, 4, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"keypoint_head.tokenizer.recover_embed.bias": None},
            "missing: keypoint_head.tokenizer.recover_embed.bias",
        ),
        ({"keypoint_head.tokenizer.codebook": None}, "missing 'keypoint_head.tokenizer.codebook'"),
        ({"keypoint_head.tokenizer.odd": torch.ones(1)}, "unexpected: keypoint_head.tokenizer.odd"),
        ({"neck.weight": torch.ones(1)}, "unexpected names in a PCT model: neck.weight"),
        ({"keypoint_head.tokenizer.ema_w": torch.ones(11, 5)}, r"ema_w \(11, 5\), expected \(11, 6\)"),
        (
            {"keypoint_head.conv_trans.0.weight": torch.ones(6, 64)},
            r"conv_trans.0.weight' has shape \(6, 64\)",
        ),
        ({"keypoint_head.cls_pred_layer.weight": None}, "missing: keypoint_head.cls_pred_layer.weight"),
        ({"keypoint_head.mixer_trans.ff.0.weight": torch.ones(56, 30)}, "not a square map"),
        ({"backbone.norm3.weight": None}, "missing: backbone.norm3.weight"),
        ({"backbone.layers.3.blocks.0.attn.logit_scale": None}, "missing 'backbone.layers.3.blocks.0.attn"),
        ({"keypoint_head.tokenizer.start_img_embed.weight": None}, "belong together"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, change, message):
    guided = any("start_img_embed" in name for name in change)
    state = random_state(small_detector(classifier=True, guided=guided)) | change
    if guided:
        state["keypoint_head.tokenizer.start_embed.weight"] = torch.ones(12, 2)
        state["keypoint_head.tokenizer.start_embed.bias"] = torch.ones(12)
        state.pop("keypoint_head.tokenizer.start_img_embed.bias")
    path = _save(tmp_path / "pct.pth", {name: value for name, value in state.items() if value is not None})
    with pytest.raises(ValueError, match=rf"pct\.pth.*{message}"):
        pctlib.load_official(path)


def test_other_files_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"other\.pth: not a checkpoint of a known family.*conv1\.weight"):
        pctlib.load_official(_save(tmp_path / "other.pth", {"conv1.weight": torch.ones(1)}))


@pytest.mark.parametrize(
    ("names", "shapes"), [(TOKENIZER_NAMES, tokenizer_shapes(guide=(1024, 256))), (HEAD_NAMES, head_shapes())]
)
def test_names_translate_both_ways(names, shapes):
    ours = [names.to_ours(name) for name in shapes]
    assert len(set(ours)) == len(shapes)
    assert [names.to_official(name) for name in ours] == list(shapes)


def test_base_size_classifier_loads(tmp_path):
    """At the published size the 90 million weights arrive; one matrix of each part is compared."""
    state = random_state(base_detector(classifier=True, guided=False))
    model = pctlib.load_official(_save(tmp_path / "base.pth", state))
    values = _values(model)
    assert len(values) == 639 - 2 * 24  # the position tables are rebuilt
    for name in ("backbone.layers.2.blocks.17.mlp.fc2.weight", "keypoint_head.mixer_trans.ff.0.weight"):
        assert torch.equal(values[name], state[name])
    assert model.representation.head.grid_size == (8, 8)
    assert model.backbone.input_size == (256, 256)


def _assert_close(actual, expected, limit):
    torch.testing.assert_close(actual, expected, atol=limit, rtol=0)


@pytest.mark.usefixtures("either_route")
def test_recorded_tokenizer(golden):
    record = golden("pct_tokenizer")
    tokenizer = load_tokenizer(record.state, "pct_tokenizer.npz")
    joints = record.inputs["joints"]
    with torch.no_grad():
        output = tokenizer(joints[..., :2], joints[..., 2])
    _assert_close(output.keypoints, record.outputs["joints"], 1e-3)
    _assert_close(output.tokens, record.outputs["token_features"], 1e-4)
    assert torch.equal(output.indices, record.outputs["indices"])


@pytest.mark.usefixtures("either_route")
def test_recorded_guided_tokenizer(golden):
    record = golden("pct_tokenizer_guided")
    state = {name.removeprefix("tokenizer."): value for name, value in record.state.items()}
    tokenizer = load_tokenizer(state, "pct_tokenizer_guided.npz")
    joints, feature_map = record.inputs["joints"], record.inputs["feature_map"]
    looked_up = features_at(feature_map, joints, input_size=(256, 256))
    with torch.no_grad():
        given = tokenizer(joints[..., :2], joints[..., 2], joint_features=record.inputs["joints_feature"])
        found = tokenizer(joints[..., :2], joints[..., 2], joint_features=looked_up)
    _assert_close(given.keypoints, record.outputs["joints"], 1e-3)
    _assert_close(given.tokens, record.outputs["token_features"], 1e-4)
    assert torch.equal(given.indices, record.outputs["indices"])
    _assert_close(found.keypoints, record.outputs["head_joints"], 1e-3)
    assert torch.equal(found.indices, record.outputs["head_indices"])
    probed = features_at(feature_map, record.inputs["probe_joints"], input_size=(256, 256))
    assert torch.equal(probed, record.outputs["probe_features"])


def _recorded_classifier(record):
    parts = [{}, {}]
    for name, value in record.state.items():
        parts[name.startswith("tokenizer.")][name.removeprefix("tokenizer.")] = value
    tokenizer = load_tokenizer(parts[1], "pct_head.npz")
    return build_classifier(parts[0], tokenizer, "pct_head.npz")


@pytest.mark.usefixtures("either_route")
def test_recorded_classifier(golden):
    record = golden("pct_head")
    classifier = _recorded_classifier(record)
    feature_map = record.inputs["feature_map"].requires_grad_()
    joints = record.inputs["joints"]
    prediction = classifier([feature_map])
    target = classifier.encode(joints[..., :2], joints[..., 2])
    losses = classifier.loss(prediction, target)
    sum(losses.values()).backward()

    expected = record.outputs
    _assert_close(prediction.logits, expected["cls_logits"].view_as(prediction.logits), 1e-4)
    _assert_close(prediction.keypoints, expected["joints"], 1e-3)
    _assert_close(prediction.keypoints, expected["train_joints"], 1e-3)
    scores = expected["encoding_scores"].mean(1).expand(-1, 17)
    _assert_close(classifier.decode(prediction).scores, scores, 1e-4)
    assert torch.equal(target.labels, expected["labels"].view_as(target.labels))
    torch.testing.assert_close(losses["tokens"], expected["loss/token_loss"], rtol=1e-5, atol=0)
    torch.testing.assert_close(losses["keypoints"], expected["loss/kpt_loss"], rtol=1e-5, atol=0)
    found = (prediction.logits.argmax(-1) == target.labels).float().mean()
    _assert_close(100 * found, expected["top1_acc"], 1e-3)
    recorded = {
        name.removeprefix("grad/"): value for name, value in expected.items() if name.startswith("grad/")
    }
    _assert_close_gradients(feature_map.grad, recorded.pop("feature_map"))
    parameters = dict(classifier.head.named_parameters())
    for name, value in recorded.items():
        _assert_close_gradients(parameters[HEAD_NAMES.to_ours(name)].grad, value)


@pytest.mark.usefixtures("either_route")
def test_recorded_classifier_with_batch_statistics(golden):
    record = golden("pct_head")
    classifier = _recorded_classifier(record).train()
    prediction = classifier([record.inputs["feature_map"]])
    expected = {
        n.removeprefix("bn_train/"): v for n, v in record.outputs.items() if n.startswith("bn_train/")
    }
    _assert_close(prediction.logits, expected["cls_logits"].view_as(prediction.logits), 1e-4)
    _assert_close(prediction.keypoints, expected["joints"], 1e-3)
    statistics = classifier.head.state_dict()
    after = {n.removeprefix("after/"): v for n, v in expected.items() if n.startswith("after/")}
    assert len(after) == 3
    for name, value in after.items():
        _assert_close(statistics[HEAD_NAMES.to_ours(name)], value, 1e-5)


def _assert_close_gradients(actual, expected):
    """Compare relative to the largest gradient: an element is a sum of many that cancel.

    Which wide instructions a processor sums with moves elements by 6e-5 of it.
    """
    limit = 1e-4 * max(1.0, expected.abs().max().item())
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=limit)


@pytest.mark.usefixtures("either_route")
def test_recorded_training_step(golden):
    record = golden("pct_tokenizer_train")
    tokenizer = load_tokenizer(record.state, "pct_tokenizer_train.npz").train()
    joints = record.inputs["joints"]
    shown = torch.zeros(joints.shape[:2], dtype=torch.bool)
    output = tokenizer(joints[..., :2], joints[..., 2], hidden=shown)
    losses = tokenizer_losses(output, joints[..., :2], joints[..., 2])
    sum(losses.values()).backward()
    tokenizer.codebook.update(output.tokens, output.indices)

    expected = record.outputs
    _assert_close(output.keypoints, expected["joints"], 1e-3)
    _assert_close(output.tokens, expected["token_features"], 1e-4)
    assert torch.equal(output.indices, expected["indices"])
    close = {"rtol": 1e-5, "atol": 0}
    torch.testing.assert_close(commitment(output.tokens, output.codes), expected["e_latent_loss"], **close)
    torch.testing.assert_close(losses["keypoints"], expected["loss/joint_loss"], **close)
    torch.testing.assert_close(losses["commitment"], expected["loss/e_latent_loss"], **close)
    torch.testing.assert_close(sum(losses.values()), expected["loss/total"], **close)

    parameters = dict(tokenizer.named_parameters())
    recorded = {
        name.removeprefix("grad/"): value for name, value in expected.items() if name.startswith("grad/")
    }
    assert len(recorded) == len(parameters) - 3  # the biases without effect
    for name, value in recorded.items():
        _assert_close_gradients(parameters[TOKENIZER_NAMES.to_ours(name)].grad, value)

    for name in ("codebook", "ema_cluster_size", "ema_w"):
        torch.testing.assert_close(
            getattr(tokenizer.codebook, name), expected[f"after/{name}"], rtol=1e-5, atol=1e-7
        )
    with torch.no_grad():
        again = tokenizer.eval()(joints[..., :2], joints[..., 2])
    _assert_close(again.keypoints, expected["after/eval_joints"], 1e-3)
    assert torch.equal(again.indices, expected["after/eval_indices"])

    probe, target = record.inputs["loss_probe_pred"], record.inputs["loss_probe_target"]
    value = keypoint_smooth_l1_over_all(probe, target[..., :2], target[..., 2] > 0)
    torch.testing.assert_close(value, expected["loss_probe/joint_loss"], **close)
    weighted = 15 * record.inputs["loss_probe_e_latent"]
    torch.testing.assert_close(weighted, expected["loss_probe/e_latent_loss"], **close)
