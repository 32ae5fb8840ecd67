import json
import sys
import types

import numpy as np
import pytest
import torch

from pctlib.checkpoints import load_official
from pctlib.checkpoints.rtmpose import is_rtmpose, load_rtmpose
from pctlib.models.cspnext import CSPNeXt
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.rtmcc import RTMCC
from pctlib.skeletons import SKELETONS

MODELS = (
    "DWPose-t 256x192",
    "DWPose-s 256x192",
    "DWPose-m 256x192",
    "RTMPose-l / DWPose-l 256x192",
    "RTMPose-l / DWPose-l 384x288",
    "RTMPose-x 256x192",
    "RTMPose-x 384x288",
)


def official_state(model, prefix=""):
    """Write a model of ours under the official names."""
    return {
        prefix + name.removeprefix("representation."): value for name, value in model.state_dict().items()
    }


def tiny(width=0.0625, *, num_keypoints=17, seed=0, input_size=(96, 64), hidden=24):
    torch.manual_seed(seed)
    backbone = CSPNeXt(0.167, width)
    head = RTMCC(
        backbone.channels[-1], range(num_keypoints), input_size=input_size, hidden_dim=hidden, key_dim=8
    )
    return PoseEstimator(backbone, head).eval()


def save(tmp_path, state, **beside):
    path = tmp_path / "model.pth"
    torch.save({"state_dict": state, **beside}, path)
    return path


@pytest.fixture
def listing(shared):
    return json.loads((shared / "golden" / "rtmpose_state_dict.json").read_text())


@pytest.mark.parametrize("name", MODELS)
def test_every_published_model_is_built_with_its_names_shapes_and_labels(listing, name):
    entry = listing[name]
    with torch.device("meta"):
        state = {key: torch.empty(shape) for key, shape in entry["state_dict"].items()}
        assert is_rtmpose(state)
        model = load_rtmpose(state, "published.pth")
    assert {k: list(v.shape) for k, v in official_state(model).items()} == entry["state_dict"]
    assert sum(p.numel() for p in model.parameters()) == entry["params"]
    coding = model.representation.coding
    assert coding.input_size == tuple(entry["config"]["input_size_wh"][::-1])
    assert coding.sigma_xy == tuple(entry["config"]["sigma"])
    assert coding.bins_per_pixel == entry["config"]["simcc_split_ratio"]
    assert model.representation.beta == entry["config"]["head"]["loss"]["beta"]


def test_a_published_model_is_loaded_entry_by_entry(listing, tmp_path):
    entry, generator = listing[MODELS[0]], torch.Generator().manual_seed(7)
    state = {k: torch.rand(shape, generator=generator) + 0.1 for k, shape in entry["state_dict"].items()}
    for key in state:
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(3)
    model = load_official(save(tmp_path, state, meta={"epoch": 210}))
    assert not model.training
    assert all(torch.equal(value, state[name]) for name, value in official_state(model).items())
    assert model.representation.flip_index.tolist() == list(SKELETONS["coco_wholebody"].flip_permutation)


def test_recorded_networks_are_loaded_to_the_recorded_outputs(golden):
    data = golden("dwpose_distill")
    state = {k.removeprefix("stage1/"): v for k, v in data.state.items() if k.startswith("stage1/")}
    student = load_rtmpose(state, "run.pth", flip_permutation=range(data.config["K"]))
    teacher_state = {k.removeprefix("teacher."): v for k, v in state.items() if k.startswith("teacher.")}
    teacher = load_rtmpose(teacher_state, "teacher.pth", flip_permutation=range(data.config["K"]))
    for model, role in ((student, "student"), (teacher, "teacher")):
        features = model.backbone(data.inputs["img"])
        expected = data.inputs[f"feat_{role}"]
        torch.testing.assert_close(features[-1], expected, rtol=1e-4, atol=1e-5)
        for axis, got in zip("xy", model.representation(features), strict=True):
            torch.testing.assert_close(got, data.inputs[f"logit_{role}_{axis}"], rtol=1e-4, atol=1e-5)


def test_the_loaded_model_gives_the_outputs_of_the_saved_one(tmp_path):
    saved = tiny()
    loaded = load_official(save(tmp_path, official_state(saved)))
    images = torch.randn(2, 3, 96, 64)
    for got, expected in zip(loaded(images), saved(images), strict=True):
        torch.testing.assert_close(got, expected)
    assert loaded.representation.flip_index.tolist() == list(SKELETONS["coco"].flip_permutation)
    assert loaded.predict(images, flip_test=True).keypoints.shape == (2, 17, 2)


def run_state(student, teacher, *, adapter):
    align = {"distill_losses.loss_fea.align.weight": torch.zeros(1)} if adapter else {}
    return official_state(student, "student.") | official_state(teacher, "teacher.") | align


def test_a_run_of_stage_one_gives_the_student():
    student, teacher = tiny(seed=1), tiny(0.125, seed=2)
    model = load_rtmpose(run_state(student, teacher, adapter=True), "run.pth")
    assert all(torch.equal(v, student.state_dict()[k]) for k, v in model.state_dict().items())


def test_a_run_of_stage_two_gives_the_teachers_backbone_and_the_students_head():
    student, teacher = tiny(seed=1), tiny(seed=2)
    state = run_state(student, teacher, adapter=False)
    model = load_rtmpose(state, "run.pth")
    for name, value in model.state_dict().items():
        source = teacher if name.startswith("backbone.") else student
        assert torch.equal(value, source.state_dict()[name])
    as_stage_one = load_rtmpose(state, "run.pth", stage=1)  # a student of its teacher's width has no adapter
    assert all(torch.equal(v, student.state_dict()[k]) for k, v in as_stage_one.state_dict().items())


def test_flip_permutation_can_be_given():
    state, swapped = official_state(tiny(num_keypoints=3)), (1, 0, 2)
    model = load_rtmpose(state, "three.pth", flip_permutation=swapped)
    assert model.representation.flip_index.tolist() == list(swapped)
    with pytest.raises(ValueError, match=r"three\.pth: no known skeleton has 3 keypoints"):
        load_rtmpose(state, "three.pth")
    with pytest.raises(ValueError, match=r"flip_permutation: 2 indices for the 3 keypoints of three\.pth"):
        load_rtmpose(state, "three.pth", flip_permutation=[1, 0])


def test_what_does_not_fit_is_named(tmp_path):
    state = official_state(tiny())
    for change, message in (
        ({"head.cls_z.weight": torch.zeros(2)}, r"unexpected: head\.cls_z\.weight"),
        ({"neck.conv.weight": torch.zeros(2)}, r"unexpected names .*neck\.conv\.weight"),
        (
            {"head.gau.o.weight": torch.zeros(24, 24)},
            r"other shape: head\.gau\.o\.weight \(24, 24\), expected",
        ),
        ({"head.cls_x.weight": torch.zeros(130, 24)}, r"input of \(96, 65\), no multiple of 32"),
        ({"backbone.stage4.0.bn.bias": None}, r"missing: backbone\.stage4\.0\.bn\.bias"),
        ({"backbone.stem.2.conv.weight": None}, r"missing 'backbone\.stem\.2\.conv\.weight'"),
        ({"head.final_layer.weight": None}, r"missing 'head\.final_layer\.weight'"),
    ):
        changed = {k: v for k, v in (state | change).items() if v is not None}
        with pytest.raises(ValueError, match=r"model\.pth: .*" + message):
            load_official(save(tmp_path, changed))
    no_blocks = {k: v for k, v in state.items() if "stage2.1.blocks" not in k}
    with pytest.raises(ValueError, match=r"missing 'backbone\.stage2\.1\.blocks"):
        load_rtmpose(no_blocks, "model.pth")


def test_a_stage_is_refused_where_there_is_none(tmp_path):
    path = save(tmp_path, official_state(tiny()))
    with pytest.raises(ValueError, match=r"model\.pth: stage: expected 1 or 2 .* got 2 and a finished model"):
        load_official(path, stage=2)
    run = run_state(tiny(), tiny(), adapter=False)
    with pytest.raises(ValueError, match="got 3 and a training run"):
        load_rtmpose(run, "run.pth", stage=3)


class HistoryBuffer:
    """The shape of mmengine's log of a metric, as it lies in its checkpoints."""

    def __init__(self, values):
        self._log_history = np.array(values)
        self.statistics_methods = {"mean": HistoryBuffer.mean}

    def mean(self):
        return self._log_history.mean()


def test_logs_of_the_run_beside_the_weights_are_passed_over(tmp_path, monkeypatch):
    module = types.ModuleType("mmengine.logging.history_buffer")
    module.HistoryBuffer = HistoryBuffer
    for name in ("mmengine", "mmengine.logging", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(HistoryBuffer, "__module__", module.__name__)
    monkeypatch.setattr(HistoryBuffer.mean, "__module__", module.__name__)
    hub = {"log_scalars": {"train/loss": HistoryBuffer([1.0, 2.0])}, "sigmas": np.ones(3, dtype=np.float32)}
    state = official_state(tiny())
    path = save(tmp_path, state, message_hub=hub)
    monkeypatch.undo()  # mmengine is not installed where the file is read
    model = load_official(path)
    assert all(torch.equal(v, state[k]) for k, v in official_state(model).items())
