import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.coloured_joints import network, picture
from helpers.official_vitpose import random_vitpose
from torch import nn
from typer.testing import CliRunner

from pctlib.commands import app
from pctlib.data.crops import crop_affine
from pctlib.inference.network import torch_network
from pctlib.inference.onnx_export import export_onnx
from pctlib.inference.onnx_network import onnx_network, read_simcc
from pctlib.inference.parity import Parity, compare, milliseconds
from pctlib.inference.predictor import Predictor, to_photograph
from pctlib.models.estimator import PoseEstimator
from pctlib.models.layers import MixerSize
from pctlib.models.representations.heatmap import Heatmap
from pctlib.models.representations.pct import HeadSize, PCTClassifier
from pctlib.models.representations.rtmcc import RTMCC
from pctlib.models.representations.simcc import SimCC
from pctlib.models.representations.simcc_coding import SimCCCoding
from pctlib.models.tokenizer import PoseTokenizer
from pctlib.skeletons import CROWDPOSE
from pctlib.study.runs import Trained

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
ort = pytest.importorskip("onnxruntime")

SIZE, K = (64, 48), 14


class Backbone(nn.Module):
    """Two convolutions to a map of 8 channels and 16 pixels a cell."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 4, 4)

    def forward(self, images):
        return [torch.tanh(self.second(torch.relu(self.first(images))))]


def heatmap(kind="udp"):
    options = {"input_size": SIZE, "coding": kind, "feature_stride": 16, "channels": (8,), "kernels": (4,)}
    return Heatmap.simple_baseline(8, CROWDPOSE.flip_permutation, **options)


def tokens():
    sizes = {"num_layers": 1, "token_hidden": 4, "channel_hidden": 8}
    mixers = {name: MixerSize(dim=8, **sizes) for name in ("encoder", "decoder")}
    tokenizer = PoseTokenizer(K, 5, codebook_size=9, token_dim=6, coordinate_scale=30.0, **mixers)
    head = HeadSize(conv_channels=4, num_blocks=1, mixer=MixerSize(dim=8, **sizes))
    options = {"input_size": SIZE, "flip_permutation": CROWDPOSE.flip_permutation, "feature_stride": 16}
    return PCTClassifier(tokenizer, 8, head=head, **options)


def rtmcc():
    options = {"input_size": SIZE, "feature_stride": 16, "hidden_dim": 16, "key_dim": 8}
    return RTMCC(8, CROWDPOSE.flip_permutation, **options)


def refined_simcc():
    options = {"input_size": SIZE, "feature_stride": 16, "dark": True}
    return SimCC.linear(8, CROWDPOSE.flip_permutation, **options)


def trained(build, seed=0):
    torch.manual_seed(seed)
    model = PoseEstimator(Backbone(), build()).eval()
    for parameter in model.representation.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    for name in ("mlp_head_x", "mlp_head_y"):  # above 0, as the logarithm of the refinement wants it
        if hasattr(model.representation, "head") and hasattr(model.representation.head, name):
            nn.init.constant_(getattr(model.representation.head, name).bias, 5.0)
    return Trained(model, SIZE, 1.3, True, CROWDPOSE)


def exported(given, file, **options):
    shape = {"input_size": given.input_size, "padding": given.padding, "udp": given.udp}
    export_onnx(given.model, file, skeleton=given.skeleton, **shape, **options)
    return onnx_network(file, threads=1)


def crops(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)


class Peaks(nn.Module):
    """Heatmaps with a clean peak for every keypoint, whatever the features, as of a trained network."""

    def __init__(self, coding):
        super().__init__()
        share = 0.2 + 0.6 * torch.rand(1, K, 2, generator=torch.Generator().manual_seed(0))
        keypoints = share * torch.tensor(coding.input_size[::-1])
        self.maps = nn.Parameter(coding.encode(keypoints, torch.full((1, K), 2)).heatmaps)

    def forward(self, features):
        return self.maps + 0 * features.mean((1, 2, 3), keepdim=True)


OUTPUTS = {
    heatmap: ["heatmaps", "keypoints", "scores"],
    tokens: ["keypoints", "scores"],
    rtmcc: ["simcc_x", "simcc_y"],
    refined_simcc: ["keypoints", "scores"],
}


@pytest.mark.parametrize("build", OUTPUTS)
def test_the_file_gives_the_keypoints_and_scores_of_the_network(build, tmp_path):
    given = trained(build)
    found = exported(given, tmp_path / "m.onnx")
    assert (found.skeleton, found.input_size, found.padding, found.udp) == (CROWDPOSE, SIZE, 1.3, True)
    reference = torch_network(given, CROWDPOSE, device=torch.device("cpu"), flip_test=False)
    for count in (1, 3):
        parity = compare(reference, found, crops(count, seed=count), limit=0.01)
        assert parity.keypoints == count * K
        assert parity.largest <= 0.01
        assert parity.score < 1e-4
        assert parity.undecided <= 2
    session = ort.InferenceSession(tmp_path / "m.onnx")
    assert [output.name for output in session.get_outputs()] == OUTPUTS[build]
    assert session.get_inputs()[0].shape[1:] == [3, *SIZE]
    described = session.get_modelmeta().custom_metadata_map
    assert json.loads(described["skeleton"])["keypoints"] == list(CROWDPOSE.keypoint_names)
    assert json.loads(described["mean"]) == pytest.approx([123.675, 116.28, 103.53])


def test_the_flip_test_goes_into_the_file(tmp_path):
    given = trained(tokens)
    found = exported(given, tmp_path / "m.onnx", flip_test=True)
    merged = torch_network(given, CROWDPOSE, device=torch.device("cpu"), flip_test=True)
    plain = torch_network(given, CROWDPOSE, device=torch.device("cpu"), flip_test=False)
    assert compare(merged, found, crops(2), limit=0.01).largest < 0.01
    assert compare(plain, found, crops(2), limit=0.01).largest > 0.1


def test_simcc_is_read_as_by_its_coding():
    rng = np.random.default_rng(0)
    x, y = (rng.normal(-1, 1, (3, K, 2 * side)).astype(np.float32) for side in (48, 64))
    x[0, 0] = -1.0  # nothing is positive
    expected = SimCCCoding(SIZE).decode(torch.from_numpy(x), torch.from_numpy(y))
    keypoints, scores = read_simcc(x, y, 2.0)
    np.testing.assert_array_equal(keypoints, expected.keypoints)
    np.testing.assert_array_equal(scores, expected.scores)
    assert keypoints[0, 0].tolist() == [-0.5, -0.5]


def in_rtmlib(kind, given, file, size):
    """Return keypoints [K, 2] and scores [K] of rtmlib, and those of the network on the same crop."""
    tools = pytest.importorskip("rtmlib.tools")
    theirs = getattr(tools, kind)(str(file), model_input_size=size[::-1], backend="onnxruntime")
    image, box = picture([(50, 40), (90, 70)]), [30.0, 20.0, 110.0, 95.0]
    keypoints, scores = theirs(image, bboxes=[box])
    normalised, _, _ = theirs.preprocess(image, box)
    expected = given.model.predict(torch.from_numpy(normalised.transpose(2, 0, 1)).float()[None])
    return keypoints[0], scores[0], expected


def in_image(points, size):
    affine = crop_affine(torch.tensor([[30.0, 20, 80, 75]]), size, padding=1.25)
    return to_photograph(points, affine)[0]


def test_rtmlib_runs_rtmpose_unchanged_to_the_same_keypoints(tmp_path):
    given = trained(rtmcc)
    exported(given, tmp_path / "m.onnx")
    keypoints, _, expected = in_rtmlib("RTMPose", given, tmp_path / "m.onnx", SIZE)
    found = expected.scores[0].numpy() > 0  # rtmlib takes the mean of two maxima
    assert found.sum() > 3
    np.testing.assert_allclose(in_image(expected.keypoints.numpy(), SIZE)[found], keypoints[found], atol=1e-3)


def test_rtmlib_runs_vitpose_unchanged_to_the_same_keypoints(tmp_path):
    size = (256, 192)
    options = {"input_size": size, "coding": "udp", "feature_stride": 16}
    head = Heatmap.simple_baseline(8, CROWDPOSE.flip_permutation, channels=(8, 8), kernels=(4, 4), **options)
    head.head = Peaks(head.coding)
    given = trained(heatmap)._replace(model=PoseEstimator(Backbone(), head).eval(), input_size=size)
    exported(given, tmp_path / "m.onnx")
    keypoints, scores, expected = in_rtmlib("ViTPose", given, tmp_path / "m.onnx", size)
    # rtmlib takes UDP's cells for shares of the whole crop, ours are pixels of the input
    points = expected.keypoints.numpy() * np.float32([192 / 191, 256 / 255])
    # and blurs before it cuts the values off, without their old maximum: 0.02 cells
    np.testing.assert_allclose(in_image(points, size), keypoints, atol=0.05)
    np.testing.assert_allclose(expected.scores[0], scores, atol=1e-4)


def test_a_predictor_takes_the_file(tmp_path):
    given = trained(heatmap)
    exported(given, tmp_path / "m.onnx")
    image, box = picture([(50, 40), (90, 70)]), [[30, 20, 110, 90]]
    found = Predictor(tmp_path / "m.onnx")(image, boxes=box)
    expected = Predictor(torch_network(given, CROWDPOSE, device=torch.device("cpu"), flip_test=False))
    np.testing.assert_allclose(found.scores, expected(image, boxes=box).scores, atol=1e-4)
    assert found.skeleton == CROWDPOSE
    with pytest.raises(
        ValueError, match="flip test, compilation and data set are chosen when it is exported"
    ):
        Predictor(tmp_path / "m.onnx", flip_test=True)
    with pytest.raises(ValueError, match="gives 14 keypoints, the skeleton dots has 2"):
        Predictor(tmp_path / "m.onnx", skeleton=network().skeleton)


def test_files_of_others_are_told_what_they_lack(tmp_path):
    exported(trained(rtmcc), tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    props = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, {})
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(
        ValueError, match=r"bare\.onnx: does not say what it needs, its metadata lack skeleton"
    ):
        Predictor(tmp_path / "bare.onnx")
    for name, value, message in (
        ("mean", "[1,", "the metadata are not JSON values"),
        (
            "decoding",
            '"keypoints"',
            r"decoding 'keypoints' does not fit the outputs \['simcc_x', 'simcc_y'\]",
        ),
    ):
        onnx.helper.set_model_props(model, {**props, name: value})
        onnx.save(model, tmp_path / "other.onnx")
        with pytest.raises(ValueError, match=message):
            onnx_network(tmp_path / "other.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ValueError, match=r"text\.onnx: not an ONNX file"):
        onnx_network(tmp_path / "text.onnx")
    with pytest.raises(FileNotFoundError):
        Predictor(tmp_path / "none.onnx")


def test_a_model_in_training_is_not_exported(tmp_path):
    given = trained(rtmcc)
    with pytest.raises(ValueError, match="call eval"):
        exported(given._replace(model=given.model.train()), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def moved(by, rows=slice(None), shaken=0.0):
    """The network of coloured joints with some joints moved, and trembling when a pixel changes."""
    plain, first = network(), []

    def find(given):
        keypoints, scores = plain.find(given)
        first.append(given.copy())
        keypoints[:, rows] += by
        if (given != first[0]).any():
            keypoints[:, rows] += shaken
        return keypoints, scores

    return replace(plain, find=find)


def test_a_difference_is_excused_only_where_the_network_itself_does_not_decide():
    pictures = np.stack([picture([(20, 20), (30, 50)], SIZE)])
    assert compare(network(), moved(0.0), pictures, limit=0.01) == Parity(0.0, 0.0, 2, 0)
    wrong = compare(network(), moved(3.0, [1]), pictures, limit=0.01)
    assert wrong.largest == pytest.approx(3 * 2**0.5, rel=1e-5)
    assert wrong.undecided == 0 or wrong.largest > 0.01
    tied = compare(moved(0.0, [1], shaken=5.0), moved(3.0, [1]), pictures, limit=0.5)
    assert (tied.largest, tied.undecided) == (0.0, 1)
    nan = moved(np.nan, [0])
    assert compare(network(), nan, pictures, limit=0.01).largest == np.inf


def test_times_are_of_each_form_and_batch():
    times = milliseconds({"a": network(), "b": network()}, [1, 2], seconds=0.01)
    assert {name: list(values) for name, values in times.items()} == {"a": [1, 2], "b": [1, 2]}
    assert all(value > 0 for values in times.values() for value in values.values())


def test_no_file_is_written_where_nothing_can_prove_it(tmp_path):
    torch.save({"state_dict": random_vitpose(0, dim=384, depth=1, decoder="simple")}, tmp_path / "vit.pth")
    arguments = ["export", str(tmp_path / "vit.pth"), "--out", str(tmp_path / "m.onnx"), "--crops"]
    (tmp_path / "in").mkdir()
    (tmp_path / "in/film.mp4").write_bytes(b"0")
    done = CliRunner().invoke(app, [*arguments, str(tmp_path / "in")])
    assert "in: no pictures to compare on" in str(done.exception)
    (tmp_path / "in/broken.jpg").write_text("no picture")
    done = CliRunner().invoke(app, [*arguments, str(tmp_path / "in")])
    assert "broken.jpg: not an image" in str(done.exception)
    assert not (tmp_path / "m.onnx").exists()


def test_the_command_proves_what_it_writes(tmp_path, monkeypatch):
    torch.save({"state_dict": random_vitpose(0, dim=384, depth=1, decoder="simple")}, tmp_path / "vit.pth")
    curve = '{"scores": [0, 1], "probabilities": [0.25, 0.5]}'
    (tmp_path / "vit.pth.calibration.json").write_text(curve)
    arguments = ["export", str(tmp_path / "vit.pth"), "--out", str(tmp_path / "m.onnx"), "--batches", "1"]
    monkeypatch.setattr("pctlib.inference.parity.milliseconds", lambda forms, batches: {"torch": {1: 2.5}})
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.exception
    assert "random crops: keypoints differ by at most" in done.output
    assert "torch: 2.5 ms a crop in batches of 1" in done.output
    scores = Predictor(tmp_path / "m.onnx")(picture([(50, 40), (90, 70)]), whole_image=True).scores
    assert scores.min() >= 0.25
    assert scores.max() <= 0.5
    far = Parity(0.5, 0.0, 17, 0)
    monkeypatch.setattr("pctlib.inference.parity.compare", lambda *args, **options: far)
    monkeypatch.setattr("pctlib.inference.onnx_export.export_onnx", lambda *args, **options: None)
    done = CliRunner().invoke(app, arguments)
    assert "m.onnx: differs from the network by more than 0.01 px" in str(done.exception)
