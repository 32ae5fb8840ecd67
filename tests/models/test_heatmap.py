import pytest
import torch

from pctlib.models.representations.heatmap import DeconvolutionHead, Heatmap, HeatmapPrediction
from pctlib.models.representations.heatmap_coding import HeatmapCoding

SWAP = (1, 0, 2)


@pytest.fixture
def heatmap():
    torch.manual_seed(0)
    options = {"input_size": (64, 96), "feature_stride": 16, "channels": (8, 6), "kernels": (4, 3)}
    return Heatmap.simple_baseline(5, SWAP, coding="dark", **options)


@pytest.mark.parametrize("case", ["classic", "deconv3"])
def test_head_loss_and_decoding_equal_the_official_ones(golden, case):
    data = golden("simple_baseline")
    config = data.config["cases"][case]["head"]
    head = DeconvolutionHead(
        config["in_channels"],
        config["out_channels"],
        channels=config["deconv_out_channels"],
        kernels=config["deconv_kernel_sizes"],
    )
    head.load_state_dict({k.removeprefix(f"{case}/"): v for k, v in data.state.items() if k.startswith(case)})
    coding = HeatmapCoding("standard", (128, 96), (32, 24))
    model = Heatmap(head, coding, flip_permutation=range(17)).eval()
    features = data.inputs["feat"].requires_grad_()
    prediction = model([features])
    torch.testing.assert_close(prediction.heatmaps, data.outputs[f"{case}/heatmaps"], rtol=1e-4, atol=1e-5)
    target = model.encode(data.inputs["keypoints"], data.inputs["keypoints_visible"])
    torch.testing.assert_close(target.heatmaps, data.inputs["target"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(target.weights, data.inputs["target_weight"])
    loss = model.loss(prediction, target)["heatmap"]
    torch.testing.assert_close(loss, data.outputs[f"{case}/loss"], rtol=1e-5, atol=0)
    torch.testing.assert_close(loss / 2, data.outputs[f"{case}/loss_hrnet_style"], rtol=1e-5, atol=0)
    loss.backward()
    torch.testing.assert_close(features.grad, data.outputs[f"{case}/grad_feat"], rtol=1e-4, atol=1e-8)
    decoded = model.decode(prediction)
    torch.testing.assert_close(decoded.keypoints, data.outputs[f"{case}/keypoints"], rtol=0, atol=1e-3)
    torch.testing.assert_close(decoded.scores, data.outputs[f"{case}/scores"], rtol=1e-5, atol=1e-6)


def test_axes_size_and_gradient_of_every_parameter(heatmap):
    B, K = 2, 3
    prediction = heatmap([torch.zeros(B, 4, 8, 12), torch.randn(B, 5, 4, 6)])  # the last map is taken
    assert prediction.heatmaps.shape == (B, K, 16, 24)
    assert heatmap.coding.heatmap_size == (16, 24)
    target = heatmap.encode(torch.rand(B, K, 2) * 60, torch.full((B, K), 2))
    heatmap.loss(prediction, target)["heatmap"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in heatmap.parameters())
    assert heatmap.decode(prediction).keypoints.shape == (B, K, 2)


def test_level_chooses_the_feature_map():
    head = DeconvolutionHead(4, 3, channels=(), kernels=())
    model = Heatmap(head, HeatmapCoding("udp", (32, 24), (8, 6)), flip_permutation=SWAP, level=0)
    assert model([torch.zeros(2, 4, 8, 6), torch.zeros(2, 9, 4, 3)]).heatmaps.shape == (2, 3, 8, 6)
    assert len(list(model.parameters())) == 2  # HRNet's head: one 1x1 convolution


@pytest.mark.parametrize(("kernels", "count"), [((4,), 5 * 8 * 16), ((3,), 5 * 8 * 9), ((2,), 5 * 8 * 4)])
def test_every_kernel_doubles_the_map(kernels, count):
    head = DeconvolutionHead(5, 3, channels=(8,), kernels=kernels)
    assert head(torch.zeros(2, 5, 4, 6)).shape == (2, 3, 8, 12)
    assert head.deconv_layers[0].weight.numel() == count


def test_sigma_and_feature_stride_reach_the_coding():
    model = Heatmap.simple_baseline(5, SWAP, input_size=(64, 96), sigma=3.0, feature_stride=8, coding="udp")
    assert model.coding == HeatmapCoding("udp", (64, 96), (64, 96), 3.0)
    assert Heatmap.simple_baseline(5, SWAP, input_size=(64, 96)).coding.heatmap_size == (16, 24)


@pytest.mark.parametrize(("kind", "shifted"), [("standard", True), ("dark", True), ("udp", False)])
def test_merging_mirrors_swaps_pairs_and_shifts_as_published(kind, shifted):
    maps = torch.rand(2, 3, 8, 6, generator=torch.Generator().manual_seed(2))
    other = torch.rand(2, 3, 8, 6, generator=torch.Generator().manual_seed(3))
    model = Heatmap(torch.nn.Identity(), HeatmapCoding(kind, (32, 24), (8, 6)), flip_permutation=SWAP)
    merged = model.merge_flipped(HeatmapPrediction(maps), HeatmapPrediction(other)).heatmaps
    column = (
        3 - 1 if shifted else 3
    )  # what stood at column 2 of 0..5 of the mirror image is at 3, or 4 if shifted
    expected = (maps[:, 0, :, 3] + other[:, 1, :, 5 - column]) / 2
    torch.testing.assert_close(merged[:, 0, :, 3], expected)
    explicit = Heatmap(
        torch.nn.Identity(), model.coding, flip_permutation=SWAP, shift_flipped=not shifted
    ).merge_flipped(HeatmapPrediction(maps), HeatmapPrediction(other))
    assert not torch.equal(explicit.heatmaps, merged)


def test_merging_udp_maps_of_the_true_mirror_image_gives_the_maps_back():
    model = Heatmap(torch.nn.Identity(), HeatmapCoding("udp", (128, 96), (32, 24)), flip_permutation=SWAP)
    keypoints, visible = torch.tensor([[[20.0, 30.0], [70.0, 40.0], [48.0, 90.0]]]), torch.ones(1, 3)
    mirrored = keypoints[:, SWAP] * torch.tensor([-1.0, 1.0]) + torch.tensor([95.0, 0.0])  # x' = w - 1 - x
    here, there = (HeatmapPrediction(model.encode(k, visible).heatmaps) for k in (keypoints, mirrored))
    decoded = model.decode(model.merge_flipped(here, there)).keypoints
    torch.testing.assert_close(decoded, model.decode(here).keypoints, rtol=0, atol=1e-2)


def test_one_batch_can_be_overfitted(heatmap):
    generator = torch.Generator().manual_seed(4)
    features = [torch.randn(2, 5, 4, 6, generator=generator)]
    keypoints = torch.tensor(
        [[[30.0, 20.0], [60.0, 40.0], [44.0, 33.0]], [[70.0, 50.0], [20.0, 30.0], [50.0, 21.0]]]
    )
    target = heatmap.encode(keypoints, torch.full((2, 3), 2))
    optimizer = torch.optim.Adam(heatmap.parameters(), lr=0.02)
    for _ in range(150):
        loss = heatmap.loss(heatmap(features), target)["heatmap"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    error = (heatmap.decode(heatmap(features)).keypoints - keypoints).norm(dim=-1)
    assert error.max() < 3  # px; a cell has 4


def test_state_dict_holds_the_official_names_only(heatmap):
    names = set(heatmap.state_dict())
    assert {
        "head.deconv_layers.0.weight",
        "head.deconv_layers.4.running_var",
        "head.final_layer.bias",
    } <= names
    assert not any("flip" in name for name in names)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="2 and 1"):
        DeconvolutionHead(5, 3, channels=(8, 8), kernels=(4,))
    with pytest.raises(ValueError, match="kernels: expected 2, 3 or 4, got 5"):
        DeconvolutionHead(5, 3, channels=(8,), kernels=(5,))
    with pytest.raises(ValueError, match=r"multiples of 32, got \(64, 90\)"):
        Heatmap.simple_baseline(5, SWAP, input_size=(64, 90))
    for wrong in ((1, 2, 0), (0, 3, 2), ()):
        with pytest.raises(ValueError, match="flip_permutation"):
            Heatmap(torch.nn.Identity(), HeatmapCoding("udp", (32, 24), (8, 6)), flip_permutation=wrong)
