from dataclasses import replace

import pytest
import torch

from pctlib.distillation.dwpose import (
    PAPER,
    RELEASE,
    DistillationConstants,
    HeadDistillation,
    StudentDistillation,
    check_memory,
)
from pctlib.losses import feature_distillation
from pctlib.models.cspnext import CSPNeXt
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.heatmap import Heatmap
from pctlib.models.representations.rtmcc import RTMCC
from pctlib.models.representations.simcc import SimCC
from pctlib.models.representations.simcc_coding import SimCCTarget

SIZE = (64, 96)


def make_model(width, *, depth=0.167, num_keypoints=3, input_size=SIZE, seed=0, **options):
    torch.manual_seed(seed)
    backbone = CSPNeXt(depth, width)
    options = {"hidden_dim": 24, "key_dim": 16} | options
    head = RTMCC(backbone.channels[-1], range(num_keypoints), input_size=input_size, **options)
    return PoseEstimator(backbone, head)


def make_teacher(**options):
    """Make a model with statistics of images and sure of its answers, as a trained one is."""
    model = make_model(0.125, **options)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        scale = sum(axis.std() for axis in model.train()(torch.randn(8, 3, *SIZE)))
        for linear in (model.representation.head.cls_x, model.representation.head.cls_y):
            linear.weight *= 0.2 / scale
    return model


def official_state(state, prefix):
    """Take one network's entries of a recorded distiller under our names."""
    part = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    return {("representation." + k if k.startswith("head.") else k): v for k, v in part.items()}


@pytest.fixture
def official(golden):
    data = golden("dwpose_distill")
    c = data.config
    options = {
        "num_keypoints": c["K"],
        "sigma_xy": tuple(c["sigma"]),
        "hidden_dim": c["hidden"],
        "key_dim": c["s"],
    }
    teacher = make_model(c["tw"], depth=c["td"], **options)
    student = make_model(c["sw"], depth=c["sd"], **options)
    teacher.load_state_dict(official_state(data.state, "stage1/teacher."))
    student.load_state_dict(official_state(data.state, "stage1/student."))
    return data, student, teacher


def labels_of(data):
    return SimCCTarget(*(data.inputs[f"target_{name}"] for name in ("x", "y", "weight")))


def test_stage_one_equals_the_official_losses_of_every_epoch_and_gradients(official):
    data, student, teacher = official
    model = StudentDistillation(student, teacher, max_epochs=data.config["T"]).eval()
    prefix = "stage1/distill_losses.loss_fea.align."
    model.align.load_state_dict({k: data.state[prefix + k] for k in ("weight", "bias")})
    target = student.representation.encode(data.inputs["keypoints"], data.inputs["keypoints_visible"])
    torch.testing.assert_close(target.x, labels_of(data).x, rtol=1e-5, atol=1e-6)
    expected = data.outputs["stage1_eval/losses_kpt_fea_logit_by_epoch"]
    for row, epoch in zip(expected, data.config["epochs"], strict=True):
        losses = model.losses(data.inputs["img"], labels_of(data), epoch=epoch)
        got = torch.stack([losses[name] for name in ("simcc", "feature", "logit")])
        torch.testing.assert_close(got, row, rtol=1e-4, atol=1e-8)
    losses = model.losses(data.inputs["img"], labels_of(data), epoch=data.config["epochs"][1])
    sum(losses.values()).backward()
    gradients = {
        "student_head_cls_x": student.representation.head.cls_x.weight,
        "student_stem0": student.backbone.stem[0].conv.weight,
        "align": model.align.weight,
    }
    for name, parameter in gradients.items():
        expected = data.outputs[f"stage1_eval/grad_{name}"]
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-3, atol=1e-6, msg=name)


def test_stage_two_equals_the_official_loss_and_gradient(official):
    data, _, teacher = official
    c = data.config
    options = {"sigma_xy": tuple(c["sigma"]), "hidden_dim": c["hidden"], "key_dim": c["s"]}
    head = RTMCC(c["Ct"], range(c["K"]), input_size=SIZE, **options)
    state = {
        k.removeprefix("stage2/student.head."): v for k, v in data.state.items() if k.startswith("stage2")
    }
    head.head.load_state_dict(state)
    model = HeadDistillation(teacher, head).eval()
    prediction = model.distilled()(data.inputs["img"])
    for axis in ("x", "y"):
        expected = data.outputs[f"stage2/student_head_on_teacher_feat_{axis}"]
        torch.testing.assert_close(getattr(prediction, axis), expected, rtol=1e-4, atol=1e-5)
    loss = model.losses(data.inputs["img"])["logit"]
    for expected in data.outputs["stage2_eval/loss_logit_by_epoch"]:
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)
    loss.backward()
    expected = data.outputs["stage2_eval/grad_student_head_cls_x"]
    torch.testing.assert_close(head.head.cls_x.weight.grad, expected, rtol=1e-3, atol=1e-6)
    assert all(p.grad is None for p in teacher.parameters())


def test_named_constants_are_those_of_the_release(golden):
    constants = golden("dwpose_distill").config["constants"]
    assert constants["alpha_fea"] == RELEASE.feature_weight
    assert constants["kd_weight_stage1"] == RELEASE.logit_weight
    assert constants["kd_weight_stage2"] == RELEASE.head_logit_weight
    assert constants["beta"] == RELEASE.beta


@pytest.fixture
def stage_one():
    return StudentDistillation(make_model(0.0625, seed=1), make_teacher(), max_epochs=4)


@pytest.fixture
def batch(stage_one):
    generator = torch.Generator().manual_seed(3)
    keypoints = torch.rand(2, 3, 2, generator=generator) * 50 + 5
    images = torch.randn(2, 3, *SIZE, generator=generator)
    return images, stage_one.student.representation.encode(keypoints, torch.full((2, 3), 2))


def test_losses_fade_with_the_epoch_but_the_labels_do_not(stage_one, batch):
    images, target = batch
    stage_one.eval()
    first, third = (stage_one.losses(images, target, epoch=epoch) for epoch in (0, 2))
    assert first["simcc"] == third["simcc"]
    for name in ("feature", "logit"):
        torch.testing.assert_close(third[name], first[name] / 2)
    constant = StudentDistillation(stage_one.student, stage_one.teacher, max_epochs=4, decay=False).eval()
    constant.align = stage_one.align
    torch.testing.assert_close(constant.losses(images, target, epoch=2), first)


def test_without_labels_the_teacher_alone_teaches(stage_one, batch):
    losses = stage_one.losses(batch[0], None, epoch=0)
    assert set(losses) == {"feature", "logit"}
    sum(losses.values()).backward()
    student = stage_one.student.parameters()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in student)
    assert all(p.grad.abs().sum() > 0 for p in stage_one.align.parameters())


def test_every_constant_changes_a_loss_and_paper_and_release_differ_as_documented(stage_one, batch):
    images, _ = batch
    stage_one.eval()

    def losses(**changes):
        stage_one.constants = replace(RELEASE, **changes)
        return stage_one.losses(images, None, epoch=0)

    base = losses()
    torch.testing.assert_close(losses(feature_weight=14e-5)["feature"], 2 * base["feature"])
    torch.testing.assert_close(losses(logit_weight=0.3)["logit"], 3 * base["logit"])
    _, C, H, W = stage_one.teach(images).features.shape
    torch.testing.assert_close(losses(feature_per_element=True)["feature"], base["feature"] / (C * H * W))
    assert losses(beta=1.0)["logit"] != base["logit"]
    assert losses(cross_entropy=True)["logit"] > 3 * base["logit"]  # K = 3, plus the teacher's entropy
    assert set(losses(feature_weight=0.0)) == {"logit"}
    assert set(losses(logit_weight=0.0)) == {"feature"}
    assert DistillationConstants() == RELEASE
    changes = {"feature_weight": 5e-5, "feature_per_element": True, "beta": 1.0, "cross_entropy": True}
    assert replace(RELEASE, **changes) == PAPER


def test_features_of_equal_width_are_compared_without_an_adapter():
    model = StudentDistillation(make_model(0.0625, seed=1), make_model(0.0625, seed=2), max_epochs=4).eval()
    images = torch.randn(1, 3, *SIZE)
    assert not list(model.align.parameters())
    mine, theirs = (m.backbone(images)[-1] for m in (model.student, model.teacher))
    expected = RELEASE.feature_weight * feature_distillation(mine, theirs)
    torch.testing.assert_close(model.losses(images, None, epoch=0)["feature"], expected)


def steps(model, loss_of, count=3):
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for _ in range(count):
        model.train()
        optimizer.zero_grad()
        sum(loss_of().values()).backward()
        optimizer.step()


def test_teacher_is_the_same_after_training(stage_one, batch):
    before = {k: v.clone() for k, v in stage_one.teacher.state_dict().items()}
    student_before = {k: v.clone() for k, v in stage_one.student.state_dict().items()}
    steps(stage_one, lambda: stage_one.losses(*batch, epoch=0))
    assert stage_one.student.training
    assert not any(module.training for module in stage_one.teacher.modules())
    assert all(torch.equal(v, before[k]) for k, v in stage_one.teacher.state_dict().items())
    assert not any(p.requires_grad for p in stage_one.teacher.parameters())
    moved = [k for k, v in stage_one.student.state_dict().items() if not torch.equal(v, student_before[k])]
    assert len(moved) == len(student_before)


def test_teacher_runs_once_a_batch_without_gradient(stage_one, batch):
    seen = []
    stage_one.teacher.backbone.register_forward_hook(
        lambda *_: seen.append(torch.is_inference_mode_enabled())
    )
    sum(stage_one.losses(*batch, epoch=0).values()).backward()
    assert seen == [True]
    with pytest.raises(RuntimeError, match="does not require grad"):
        stage_one.teach(batch[0]).features.sum().backward()


@pytest.fixture
def stage_two():
    teacher = make_teacher()
    torch.manual_seed(5)
    head = RTMCC(teacher.backbone.channels[-1], range(3), input_size=SIZE, hidden_dim=20, key_dim=12)
    return HeadDistillation(teacher, head)


def test_stage_two_trains_the_head_alone(stage_two, batch):
    before = {k: v.clone() for k, v in stage_two.teacher.state_dict().items()}
    steps(stage_two, lambda: stage_two.losses(batch[0]))
    assert all(torch.equal(v, before[k]) for k, v in stage_two.teacher.state_dict().items())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in stage_two.head.parameters())
    assert {n.split(".")[0] for n, p in stage_two.named_parameters() if p.requires_grad} == {"head"}


def test_stage_two_can_learn_from_what_was_computed_before(stage_two, batch):
    taught = stage_two.teach(batch[0])
    torch.testing.assert_close(stage_two.losses_of(taught), stage_two.losses(batch[0]))
    stage_two.losses_of(taught)["logit"].backward()
    assert stage_two.head.head.final_layer.weight.grad.abs().sum() > 0


def test_stage_two_has_a_weight_of_its_own(stage_two, batch):
    twice = HeadDistillation(
        stage_two.teacher, stage_two.head, constants=replace(RELEASE, head_logit_weight=2.0)
    )
    torch.testing.assert_close(twice.losses(batch[0])["logit"], 2 * stage_two.losses(batch[0])["logit"])


def test_new_head_learns_its_teachers_answer(stage_two, batch):
    taught = stage_two.teach(batch[0])
    optimizer = torch.optim.Adam(stage_two.head.parameters(), lr=0.01)
    values = []
    for _ in range(60):
        loss = stage_two.losses_of(taught)["logit"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.1 * values[0]
    model = stage_two.distilled()
    assert model.backbone is stage_two.teacher.backbone
    assert model.representation is stage_two.head


def test_one_batch_can_be_distilled_into_a_student(stage_one, batch):
    optimizer = torch.optim.Adam([p for p in stage_one.parameters() if p.requires_grad], lr=0.01)
    values = []
    for _ in range(30):
        loss = sum(stage_one.losses(*batch, epoch=0).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.5 * values[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_keypoints": 4}, "differ: keypoints of 4 and 3"),
        ({"input_size": (96, 64)}, r"differ: bins along x and y of \(128, 192\) and \(192, 128\)"),
        ({"feature_stride": 16}, r"differ: feature grids of \(4, 6\) and \(2, 3\)"),
    ],
)
def test_pairs_that_do_not_fit_are_named_before_training(change, message):
    student, teacher = make_model(0.0625, **change), make_model(0.125)
    with pytest.raises(ValueError, match=message):
        StudentDistillation(student, teacher, max_epochs=4)
    with pytest.raises(ValueError, match=message):
        HeadDistillation(teacher, student.representation)


def test_other_bad_settings_are_named(stage_one, stage_two, batch):
    teacher, student = make_model(0.125), make_model(0.0625)
    heatmap = PoseEstimator(student.backbone, Heatmap.simple_baseline(64, range(3), input_size=SIZE))
    with pytest.raises(ValueError, match="teacher: expected a SimCC representation, got Heatmap"):
        StudentDistillation(student, heatmap, max_epochs=4)
    with pytest.raises(ValueError, match="student: expected a SimCC representation, got Heatmap"):
        StudentDistillation(heatmap, teacher, max_epochs=4)
    with pytest.raises(ValueError, match="max_epochs: expected a positive number, got 0"):
        StudentDistillation(student, teacher, max_epochs=0)
    for epoch in (-1, 4):
        with pytest.raises(ValueError, match=rf"epoch: expected 0..3, got {epoch}"):
            stage_one.losses(*batch, epoch=epoch)
    own = teacher.representation
    with pytest.raises(ValueError, match="expected a new one"):
        HeadDistillation(teacher, own)
    elsewhere = SimCC(own.head, own.coding, flip_permutation=range(3), level=-2)
    with pytest.raises(ValueError, match="head.level: expected -1, got -2"):
        HeadDistillation(teacher, elsewhere)


class Exhausted(torch.nn.Module):
    """A backbone on a device without memory left."""

    channels = (8, 16, 32, 64, 128)

    def __init__(self, error):
        super().__init__()
        self.error = error
        self.weight = torch.nn.Parameter(torch.zeros(2**18))

    def forward(self, images):
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_a_teacher_that_does_not_fit_in_memory_is_named_before_training(stage_two, error):
    stage_two.teacher.backbone = Exhausted(error)
    with pytest.raises(ValueError, match=r"batch of 2 images of \(64, 96\).* teacher \d+ MB, head 0 MB"):
        check_memory(stage_two.train(), torch.zeros(2, 3, *SIZE))
    assert stage_two.training


def test_other_errors_of_the_rehearsal_are_passed_on(stage_two):
    stage_two.teacher.backbone = Exhausted(RuntimeError("shapes"))
    with pytest.raises(RuntimeError, match="shapes"):
        check_memory(stage_two, torch.zeros(2, 3, *SIZE))


def test_the_rehearsal_leaves_no_trace(stage_one, stage_two):
    for model in (stage_one.train(), stage_two.train()):
        before = {k: v.clone() for k, v in model.state_dict().items()}
        check_memory(model, torch.zeros(2, 3, *SIZE))
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
        assert all(p.grad is None for p in model.parameters())
        assert model.training
