import pytest
import torch
import torch.nn.functional as F
from helpers.hand_made_tokenizer import HandMadeTokenizer

from pctlib.models.backbones import Backbone
from pctlib.models.estimator import PoseEstimator
from pctlib.models.layers import MixerSize
from pctlib.models.representations.pct import (
    HeadSize,
    PCTClassifier,
    PCTPrediction,
    PCTTarget,
    TokenHead,
    token_spread,
)
from pctlib.models.tokenizer import PoseTokenizer, features_at

B, K, M, V, E, C = 3, 5, 7, 11, 6, 4
FLIP = (0, 2, 1, 4, 3)
HEAD = HeadSize(
    conv_channels=6, num_blocks=1, mixer=MixerSize(dim=8, num_layers=2, token_hidden=3, channel_hidden=5)
)


def _tokenizer(**options):
    return PoseTokenizer(
        K,
        M,
        codebook_size=V,
        token_dim=E,
        encoder=MixerSize(dim=12, num_layers=1, token_hidden=4, channel_hidden=9),
        decoder=MixerSize(dim=8, num_layers=1, token_hidden=3, channel_hidden=10),
        **options,
    )


def _classifier(tokenizer=None, **options):
    torch.manual_seed(0)
    given = {"input_size": (64, 96), "flip_permutation": FLIP, "head": HEAD} | options
    classifier = PCTClassifier(_tokenizer() if tokenizer is None else tokenizer, C, **given)
    for name, parameter in classifier.head.named_parameters():
        if "blocks" in name or "reduce" in name:  # the published start is next to 0
            torch.nn.init.normal_(parameter, mean=0.3)
    return classifier


def _batch():
    generator = torch.Generator().manual_seed(1)
    features = [torch.randn(B, 2, 8, 12, generator=generator), torch.randn(B, C, 2, 3, generator=generator)]
    keypoints = 64 * torch.rand(B, K, 2, generator=generator)
    visible = torch.tensor([[2, 1, 2, 0, 2], [1, 1, 1, 1, 1], [0, 0, 2, 2, 2]])
    return features, keypoints, visible


def test_axes_and_scores():
    classifier, (features, _, _) = _classifier(), _batch()
    prediction = classifier(features)
    assert prediction.logits.shape == (B, M, V)
    poses = classifier.decode(prediction)
    assert poses.keypoints.shape == (B, K, 2)
    largest = prediction.logits.max(2).values.mean(1)
    torch.testing.assert_close(poses.scores, largest[:, None].expand(B, K))


def test_head_reads_the_map_row_by_row_with_channels_innermost():
    head = _classifier().head.eval()
    seen = {}
    head.to_tokens.register_forward_pre_hook(lambda _, args: seen.update(x=args[0]))
    head.blocks.register_forward_hook(lambda _, args, out: seen.update(map=out))
    head(_batch()[0][-1])
    for row in range(2):
        for column in range(3):
            start = (row * 3 + column) * 6
            assert torch.equal(seen["x"][:, start : start + 6], seen["map"][:, :, row, column])


def test_head_refuses_another_grid():
    head = TokenHead(C, (2, 3), num_tokens=M, codebook_size=V, size=HEAD)
    with pytest.raises(ValueError, match=r"expected a \(2, 3\) grid, got \(3, 2\)"):
        head(torch.zeros(1, C, 3, 2))


@pytest.mark.parametrize("lookup", ["soft", "hard"])
def test_poses_come_from_the_decoder(lookup):
    classifier, (features, _, _) = _classifier(lookup=lookup), _batch()
    prediction = classifier(features)
    entries = classifier.tokenizer.codebook.codebook
    share = prediction.logits.softmax(2)
    if lookup == "hard":
        share = F.one_hot(prediction.logits.argmax(2), V).float()
    expected = classifier.tokenizer.decode(torch.einsum("bmv,ve->bme", share, entries))
    torch.testing.assert_close(prediction.keypoints, expected, atol=1e-4, rtol=1e-5)


def test_target_is_the_tokenizers_without_random_hiding():
    classifier, (_, keypoints, visible) = _classifier(_tokenizer(drop_rate=0.9)).train(), _batch()
    target = classifier.encode(keypoints, visible)
    expected = classifier.tokenizer.quantize(classifier.tokenizer.encode(keypoints, visible)).indices
    assert torch.equal(target.labels, expected)
    assert torch.equal(target.labelled, visible > 0)
    assert torch.equal(target.keypoints, keypoints)


def test_guided_target_looks_at_the_images():
    guide = Backbone("resnet10t", out_indices=(4,))
    tokenizer = _tokenizer(guide_channels=512, guide_ratio=0.5)
    classifier, (_, keypoints, visible) = _classifier(tokenizer, guide=guide).train(), _batch()
    images = torch.randn(B, 3, 64, 96)
    features = features_at(guide(images)[-1], keypoints, input_size=(64, 96))
    expected = tokenizer.quantize(tokenizer.encode(keypoints, visible, joint_features=features)).indices
    assert torch.equal(classifier.encode(keypoints, visible, images=images).labels, expected)
    assert not any(m.training or any(p.requires_grad for p in m.parameters()) for m in guide.modules())
    with pytest.raises(ValueError, match="needs images"):
        classifier.encode(keypoints, visible)
    with pytest.raises(ValueError, match="gives 512 channels, the tokenizer expects 0"):
        _classifier(guide=guide)


def test_losses_and_their_weights():
    logits = torch.zeros(1, 2, 4)
    logits[0, 0, 1] = torch.log(torch.tensor(5.0))
    prediction = PCTPrediction(logits, torch.zeros(1, K, 2), torch.zeros(1, K))
    target = PCTTarget(
        torch.tensor([[1, 3]]), torch.full((1, K, 2), 3.0), torch.tensor([[True, True, False, False, False]])
    )
    plain = _classifier().loss(prediction, target)
    tokens = -(torch.log(torch.tensor(5 / 8)) + torch.log(torch.tensor(1 / 4))) / 2
    torch.testing.assert_close(plain["tokens"], tokens)
    torch.testing.assert_close(plain["keypoints"], torch.tensor((3 - 0.025) * 2 / 5))  # 2 of 5 labelled
    other = _classifier(token_weight=2.0, keypoint_weight=3.0, beta=1.0).loss(prediction, target)
    torch.testing.assert_close(other["tokens"], 2 * tokens)
    torch.testing.assert_close(other["keypoints"], torch.tensor(3 * 2.5 * 2 / 5))


def test_every_parameter_of_the_head_gets_a_gradient_and_the_tokenizer_none():
    classifier, (features, keypoints, visible) = _classifier().train(), _batch()
    prediction = classifier(features)
    sum(classifier.loss(prediction, classifier.encode(keypoints, visible)).values()).backward()
    for name, parameter in classifier.head.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name  # noqa: PT018
    assert all(p.grad is None and not p.requires_grad for p in classifier.tokenizer.parameters())


@pytest.mark.parametrize(("lookup", "reaches"), [("soft", True), ("hard", False)])
def test_keypoint_loss_reaches_the_logits_through_the_soft_look_up_only(lookup, reaches):
    classifier, (features, keypoints, visible) = _classifier(lookup=lookup), _batch()
    loss = classifier.loss(classifier(features), classifier.encode(keypoints, visible))["keypoints"]
    assert loss.requires_grad == reaches


def test_tokenizer_stays_as_it_is_in_training():
    classifier, (features, keypoints, visible) = _classifier(_tokenizer(drop_rate=0.5)), _batch()
    PoseEstimator(torch.nn.Identity(), classifier).train()
    assert classifier.head.training
    assert not any(module.training for module in classifier.tokenizer.modules())
    before = {name: value.clone() for name, value in classifier.tokenizer.state_dict().items()}
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(2):
        sum(classifier.loss(classifier(features), classifier.encode(keypoints, visible)).values()).backward()
        optimizer.step()
    assert all(torch.equal(before[name], value) for name, value in classifier.tokenizer.state_dict().items())


@pytest.mark.parametrize("D", [2, 3])
def test_merging_with_the_exact_mirror_image_changes_nothing(D):
    """Mirroring is x to W - 1 - x in pixels and, in 3D, to -x."""
    classifier = _classifier(_tokenizer(num_dims=D))
    keypoints, scores = 60 * torch.rand(B, K, D), torch.rand(B, K)
    mirrored = keypoints[:, FLIP].clone()
    mirrored[..., 0] = (95 if D == 2 else 0) - mirrored[..., 0]
    logits = torch.randn(B, M, V)
    prediction = PCTPrediction(logits, keypoints, scores)
    merged = classifier.merge_flipped(prediction, PCTPrediction(-logits, mirrored, scores[:, FLIP] + 1))
    torch.testing.assert_close(merged.keypoints, keypoints)
    torch.testing.assert_close(merged.scores, scores + 0.5)
    assert torch.equal(merged.logits, logits)
    shifted = classifier.merge_flipped(prediction, PCTPrediction(logits, mirrored + 2, scores))
    offset = torch.ones(D)
    offset[0] = -1
    torch.testing.assert_close(shifted.keypoints, keypoints + offset)


def test_flip_test_without_permutation_is_refused():
    prediction = PCTPrediction(torch.zeros(B, M, V), torch.zeros(B, K, 2), torch.zeros(B, K))
    with pytest.raises(ValueError, match="without flip_permutation"):
        _classifier(flip_permutation=None).merge_flipped(prediction, prediction)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_size": (64, 90)}, "multiples of 32"),
        ({"lookup": "middle"}, "'soft' or 'hard'"),
        ({"flip_permutation": (0, 1)}, "expected 5, got 2"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        _classifier(**options)


def test_stride_sets_the_grid():
    assert _classifier(input_size=(64, 96), feature_stride=16).head.grid_size == (4, 6)


def test_one_batch_can_be_overfitted():
    tokenizer = _tokenizer()
    classifier, (features, keypoints, visible) = _classifier(tokenizer, keypoint_weight=0.0).train(), _batch()
    tokenizer.codebook.initialise(
        tokenizer.encode(keypoints.repeat(2, 1, 1), visible.repeat(2, 1)), generator=torch.Generator()
    )
    target = classifier.encode(keypoints, visible)
    optimizer = torch.optim.AdamW(classifier.head.parameters(), lr=1e-2)
    for _ in range(120):
        losses = classifier.loss(classifier(features), target)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert torch.equal(classifier(features).logits.argmax(-1), target.labels)


def test_checkpoint_round_trip(tmp_path):
    classifier, (features, _, _) = _classifier().eval(), _batch()
    torch.save(classifier.state_dict(), tmp_path / "c.pt")
    other = PCTClassifier(_tokenizer(), C, input_size=(64, 96), flip_permutation=FLIP, head=HEAD).eval()
    other.load_state_dict(torch.load(tmp_path / "c.pt", weights_only=True))
    assert torch.equal(other(features).keypoints, classifier(features).keypoints)


def test_keypoints_are_float32_under_autocast():
    classifier, (features, _, _) = _classifier().eval(), _batch()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        prediction = classifier(features)
    assert prediction.logits.dtype == prediction.keypoints.dtype == torch.float32


def test_the_spread_of_a_joint_is_the_root_of_the_summed_variances_of_its_tokens():
    values, moves = [0.0, 3.0, 10.0], [[True, False], [True, True]]
    tokenizer = HandMadeTokenizer(moves, values)
    chances = torch.tensor([[[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]], [[1.0, 0, 0], [0, 0, 1.0]]])
    logits = (chances + 1e-30).log()
    mean = (chances * torch.tensor(values)).sum(2, keepdim=True)
    variance = (chances * (torch.tensor(values) - mean) ** 2).sum(2)  # [B, M]
    expected = torch.stack([variance.sum(1), variance[:, 1]], 1).sqrt()
    torch.testing.assert_close(token_spread(tokenizer, logits), expected, atol=1e-5, rtol=1e-5)
    assert (token_spread(tokenizer, logits, top=1) <= expected + 1e-5).all()


def test_each_joint_has_a_score_of_its_own_beside_the_published_one():
    classifier, (features, _, _) = _classifier().eval(), _batch()
    with torch.inference_mode():
        prediction = classifier(features)
        scores = classifier.joint_scores(prediction, classifier.decode(prediction))
    assert scores.shape == (B, K)
    assert ((scores > 0) & (scores < 1)).all()
    assert (scores.std(1) > 0).all()
    published = classifier.decode(prediction).scores
    assert (published.std(1) == 0).all()
    expected = torch.exp(-token_spread(classifier.tokenizer, prediction.logits) / (0.05 * (64 * 96) ** 0.5))
    torch.testing.assert_close(scores, expected)
    doubt = prediction._replace(logits=torch.zeros_like(prediction.logits))
    sure = prediction._replace(logits=1e4 * F.one_hot(prediction.logits.argmax(2), V).float())
    torch.testing.assert_close(classifier.joint_scores(sure, classifier.decode(sure)), torch.ones(B, K))
    assert (classifier.joint_scores(doubt, classifier.decode(doubt)) < 1).all()
