"""ViTPose's transfer: what is minimised, and what stays as it is."""

import pytest
import torch

from pctlib.distillation.knowledge_token import OutputDistillation, TokenTeacher, check_pair, with_token
from pctlib.losses import heatmap_mse
from pctlib.models.cspnext import CSPNeXt
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.heatmap import DeconvolutionHead, Heatmap
from pctlib.models.representations.heatmap_coding import HeatmapCoding
from pctlib.models.representations.rtmcc import RTMCC
from pctlib.models.token_vit import TokenViT
from pctlib.models.vit import ViT, ViTSize
from pctlib.training.optimizer import parameter_groups

INPUT, SWAP = (64, 48), (1, 0, 2)


def make_model(width=24, *, flips=SWAP, input_size=INPUT, kind="udp", sigma=2.0, upsampled=2, seed=0):
    torch.manual_seed(seed)
    backbone = ViT(ViTSize(width, 2, 4, drop_path=0.3), input_size)
    head = DeconvolutionHead(width, len(flips), channels=(8,) * upsampled, kernels=(4,) * upsampled)
    size = tuple(side // 16 * 2**upsampled for side in input_size)
    for weight in (module.weight for module in head.modules() if hasattr(module, "kernel_size")):
        torch.nn.init.normal_(weight, std=0.1)  # so that images matter, as after training
    return PoseEstimator(
        backbone, Heatmap(head, HeatmapCoding(kind, input_size, size, sigma), flip_permutation=flips)
    )


def make_batch(model, seed=3):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(4, 3, *INPUT, generator=generator)
    keypoints = torch.rand(4, 3, 2, generator=generator) * 40 + 4
    visible = torch.tensor([[2, 1, 0]]).expand(4, 3)
    return images, model.representation.encode(keypoints, visible)


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def learn(model, losses, *, steps=8):
    """Take some steps on all that takes a gradient, in training mode; return the loss of each."""
    optimizer = torch.optim.AdamW(parameter_groups(model, learning_rate=3e-2, weight_decay=0.1))
    values = []
    for _ in range(steps):
        loss = sum(losses().values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    return values


def test_only_the_token_is_learned_and_it_learns():
    teacher = make_model()
    before = state_of(teacher)
    model = TokenTeacher(teacher).train()
    images, target = make_batch(model)
    first = model.token
    values = learn(model, lambda: model.representation.loss(model(images), target))
    assert values[-1] < values[0]
    assert not torch.equal(model.token, first)
    after = teacher.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)  # batch statistics too
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["backbone.token"]


def test_a_teacher_stays_in_eval_mode_and_gives_the_same_answer_twice():
    model = TokenTeacher(make_model()).train()
    assert not any(module.training for module in model.modules())
    images, _ = make_batch(model)
    torch.testing.assert_close(model(images).heatmaps, model(images).heatmaps, rtol=0, atol=0)


def test_the_first_token_is_small_and_drawn_by_the_generator():
    first, again, other = (
        TokenTeacher(make_model(), generator=torch.Generator().manual_seed(seed)).token for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert 0.01 < first.std() < 0.04
    model = TokenTeacher(make_model())
    copied = model.token
    copied += 1
    assert not torch.equal(model.token, copied)


def test_losses_are_those_of_the_formula():
    student, teacher = make_model(seed=1).eval(), make_model(32)
    pair = OutputDistillation(student, teacher, weight=0.5).eval()
    images, target = make_batch(student)
    losses = pair.losses(images, target)
    with torch.no_grad():
        own, taught = student(images).heatmaps, teacher(images).heatmaps
    assert set(losses) == {"heatmap", "output"}
    labelled = target.weights.bool()[..., None, None]
    cells = own.numel()
    expected = {
        "heatmap": ((own - target.heatmaps).square() * labelled).sum() / cells,
        "output": 0.5 * ((own - taught).square() * labelled).sum() / cells,
    }
    torch.testing.assert_close({k: v.detach() for k, v in losses.items()}, expected)
    whole = OutputDistillation(student, teacher).eval().losses(images, target)
    torch.testing.assert_close(whole["output"], 2 * losses["output"])


def test_keypoints_without_label_count_in_neither_term():
    pair = OutputDistillation(make_model(seed=1), make_model()).eval()
    images, target = make_batch(pair.student)
    assert target.weights[:, 2].sum() == 0
    for loss in pair.losses(images, target).values():
        weight = pair.student.representation.head.final_layer.weight
        (gradient,) = torch.autograd.grad(loss, weight, retain_graph=True)
        assert gradient[2].abs().sum() == 0
        assert gradient[:2].abs().sum() > 0


def test_teacher_and_token_are_frozen_while_the_student_learns():
    token, teacher = torch.randn(24), make_model(32)
    student = with_token(make_model(seed=1), token)
    pair = OutputDistillation(student, teacher).train()
    before = state_of(teacher)
    start = state_of(student)
    images, target = make_batch(student)
    values = learn(pair, lambda: pair.losses(images, target), steps=20)
    assert values[-1] < 0.8 * values[0]
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert torch.equal(student.backbone.token, token)
    moved = [name for name, value in student.state_dict().items() if not torch.equal(value, start[name])]
    assert set(start) - set(moved) == {"backbone.token"}
    assert all(p.grad is None for p in teacher.parameters())


def test_teacher_sees_each_batch_once_without_gradient_and_in_eval_mode():
    student, teacher, calls = make_model(seed=1), make_model(), []
    pair = OutputDistillation(student, teacher).train()
    teacher.register_forward_hook(
        lambda module, given, out: calls.append((torch.is_inference_mode_enabled(), module.training))
    )
    images, target = make_batch(student)
    pair.losses(images, target)
    assert calls == [(True, False)]
    assert student.training
    assert not any(module.training for module in teacher.modules())


def test_a_student_with_token_is_an_estimator_like_any_other():
    student = with_token(make_model(), torch.randn(24)).eval()
    images, _ = make_batch(student)
    poses = student.predict(images, flip_test=True)
    assert poses.keypoints.shape == (4, 3, 2)
    other = with_token(make_model(seed=5), torch.zeros(24)).eval()
    other.load_state_dict(student.state_dict())
    torch.testing.assert_close(other.predict(images).keypoints, student.predict(images).keypoints)
    plain = PoseEstimator(student.backbone.vit, student.representation)
    assert not torch.allclose(plain(images).heatmaps, student(images).heatmaps)


def test_gradient_reaches_every_parameter_of_the_student():
    pair = OutputDistillation(with_token(make_model(seed=1), torch.randn(24)), make_model()).eval()
    sum(pair.losses(*make_batch(pair.student)).values()).backward()
    parameters = dict(pair.student.named_parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flips": (0, 1)}, "differ: keypoints 3 and 2"),
        ({"flips": (0, 1, 2)}, r"differ: flip pairs \[1, 0, 2\] and \[0, 1, 2\]"),
        ({"input_size": (64, 64)}, r"differ: input size \(64, 48\) and \(64, 64\)"),
        ({"upsampled": 1}, r"differ: heatmap size \(16, 12\) and \(8, 6\)"),
        ({"kind": "standard"}, "differ: coding udp and standard"),
        ({"sigma": 3.0}, r"differ: sigma 2.0 and 3.0"),
    ],
)
def test_a_teacher_that_does_not_fit_is_named_before_training(change, message):
    with pytest.raises(ValueError, match=message):
        OutputDistillation(make_model(), make_model(**change))
    check_pair(make_model(), make_model(48))  # widths may differ


def test_other_bad_settings_are_named():
    heatmap = make_model()
    simcc = PoseEstimator(heatmap.backbone, RTMCC(24, range(3), input_size=INPUT, feature_stride=16))
    for role, pair in (("student", (simcc, heatmap)), ("teacher", (heatmap, simcc))):
        with pytest.raises(ValueError, match=f"{role}: expected a Heatmap representation, got RTMCC"):
            OutputDistillation(*pair)
    with pytest.raises(ValueError, match="weight: expected 0 or more, got -1"):
        OutputDistillation(make_model(), make_model(), weight=-1)
    convolutions = PoseEstimator(CSPNeXt(0.167, 0.0625), heatmap.representation)
    with pytest.raises(ValueError, match="teacher: expected a ViT as backbone, got CSPNeXt"):
        TokenTeacher(convolutions)
    with pytest.raises(ValueError, match="student: expected a ViT as backbone, got TokenViT"):
        with_token(with_token(make_model(), torch.zeros(24)), torch.zeros(24))
    with pytest.raises(ValueError, match=r"token: expected shape \[24\], got \[32\]"):
        with_token(make_model(), torch.zeros(32))


def test_the_mean_squared_error_is_the_published_one():
    """A teacher whose maps are the labels' doubles the error to the labels."""
    student = make_model(seed=1).eval()
    images, target = make_batch(student)
    pair = OutputDistillation(student, make_model()).eval()
    pair.teach = lambda given: target.heatmaps
    losses = pair.losses(images, target)
    torch.testing.assert_close(losses["output"], losses["heatmap"])
    maps = student(images).heatmaps
    torch.testing.assert_close(losses["heatmap"], heatmap_mse(maps, target.heatmaps, target.weights))
    assert isinstance(with_token(student, torch.zeros(24)).backbone, TokenViT)
