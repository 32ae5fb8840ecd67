import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pctlib.models.representations.heatmap_coding import HeatmapCoding

KINDS = ("standard", "dark", "udp")
GOLDEN_NAMES = {"standard": "msra", "dark": "dark", "udp": "udp"}
SIZES = {"input_size": (256, 192), "heatmap_size": (64, 48)}


def official_frame(coding, keypoints):
    """Undo the one intended difference: mmpose's UDP decoder returns cell / (map - 1) x input."""
    if coding.kind != "udp":
        return keypoints
    height, width = coding.input_size
    return keypoints * torch.tensor([width / (width - 1), height / (height - 1)])


@pytest.mark.parametrize("kind", KINDS)
def test_encoding_equals_the_official_one(golden, kind):
    codecs, name = golden("codecs"), GOLDEN_NAMES[kind]
    target = HeatmapCoding(kind, **SIZES).encode(
        codecs.inputs["keypoints"], codecs.inputs["keypoints_visible"].to(torch.uint8)
    )
    torch.testing.assert_close(target.weights, codecs.outputs[f"{name}/weights"])
    torch.testing.assert_close(target.heatmaps, codecs.outputs[f"{name}/heatmaps"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_of_noisy_maps_equals_the_official_one(golden, kind):
    codecs, name, coding = golden("codecs"), GOLDEN_NAMES[kind], HeatmapCoding(kind, **SIZES)
    decoded = coding.decode(codecs.inputs[f"{name}/noisy_heatmaps"])
    expected = codecs.outputs[f"{name}/noisy_keypoints"]
    # Relative where noise makes UDP's Hessian nearly singular and its step leaves the image by 380 px.
    torch.testing.assert_close(official_frame(coding, decoded.keypoints), expected, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(decoded.scores, codecs.outputs[f"{name}/noisy_scores"])


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_of_clean_maps_equals_the_official_one(golden, kind):
    codecs, name, coding = golden("codecs"), GOLDEN_NAMES[kind], HeatmapCoding(kind, **SIZES)
    decoded = coding.decode(codecs.outputs[f"{name}/heatmaps"])
    expected = codecs.outputs[f"{name}/clean_keypoints"]
    official_nan = expected == -1e4  # mmpose's UDP decode of an empty map
    assert bool(official_nan.any()) == (kind == "udp")
    got = official_frame(coding, decoded.keypoints)
    # 2e-3: where a border cuts a Gaussian, float32 rounding of the official logarithm is worth 1.2e-3 px.
    torch.testing.assert_close(got[~official_nan], expected[~official_nan], rtol=0, atol=2e-3)
    assert decoded.keypoints.isfinite().all()
    torch.testing.assert_close(decoded.scores, codecs.outputs[f"{name}/clean_scores"])


@pytest.mark.parametrize("kind", KINDS)
def test_axes_and_peak_of_a_keypoint_on_a_cell(kind):
    B, K, H, W = 2, 3, 24, 16
    coding = HeatmapCoding(kind, (96, 64), (H, W))
    cell = torch.tensor([5.0, 17.0])  # x, y
    keypoints = (cell * torch.tensor(coding.stride_xy)).expand(B, K, 2)
    heatmaps, weights = coding.encode(keypoints, torch.ones(B, K, dtype=torch.uint8))
    assert heatmaps.shape == (B, K, H, W)
    assert (weights == 1).all()
    torch.testing.assert_close(heatmaps[1, 2, 17, 5], torch.tensor(1.0))
    torch.testing.assert_close(heatmaps[1, 2, 17, 7], torch.tensor(math.exp(-0.5)))  # two cells = one sigma
    torch.testing.assert_close(coding.decode(heatmaps).keypoints, keypoints, rtol=0, atol=1e-2)


def test_standard_target_is_cut_at_three_sigma_and_dark_is_not():
    keypoint, visible = torch.tensor([[[40.0, 40.0]]]), torch.ones(1, 1)
    standard, dark = (HeatmapCoding(kind, **SIZES).encode(keypoint, visible).heatmaps for kind in KINDS[:2])
    assert standard[0, 0, 10, 16] > 0
    assert standard[0, 0, 10, 17] == 0
    torch.testing.assert_close(dark[0, 0, 10, 18], torch.tensor(math.exp(-8)))


def test_standard_decoding_moves_a_quarter_cell_to_the_larger_neighbour_except_at_the_border():
    heatmaps = torch.zeros(1, 4, 8, 6)
    heatmaps[0, 0, 3, 2], heatmaps[0, 0, 3, 3], heatmaps[0, 0, 2, 2] = 1.0, 0.5, 0.4
    heatmaps[0, 1, 3, 1], heatmaps[0, 1, 3, 2] = 1.0, 0.5  # column 1 is not refined
    heatmaps[0, 2, 0, 3], heatmaps[0, 2, 0, 4] = 1.0, 0.5  # nor is the first row
    heatmaps[0, 3, 3, 3] = 1.0  # equal neighbours
    decoded = HeatmapCoding("standard", (16, 12), (8, 6)).decode(heatmaps)
    expected = torch.tensor([[[2.25, 2.75], [1, 3], [3, 0], [3, 3]]]) * 2
    torch.testing.assert_close(decoded.keypoints, expected)


@settings(max_examples=30, deadline=None)
@given(
    x=st.floats(40, 150), y=st.floats(40, 210), kind=st.sampled_from(KINDS), sigma=st.sampled_from([2.0, 3.0])
)
def test_decoding_inverts_encoding_within_what_each_coding_can_resolve(x, y, kind, sigma):
    coding = HeatmapCoding(kind, **SIZES, sigma=sigma)
    keypoint = torch.tensor([[[x, y]]])
    decoded = coding.decode(coding.encode(keypoint, torch.ones(1, 1)).heatmaps).keypoints
    limit = {"standard": 2.0, "dark": 0.1, "udp": 1.0}[kind]  # px: half a cell; 3 sigma cut of the UDP patch
    assert (decoded - keypoint).abs().max() <= limit + 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_unlabelled_and_far_keypoints_leave_the_map_empty_and_are_read_as_not_found(kind):
    keypoints = torch.tensor([[[float("nan"), 3.0], [500.0, 20.0], [20.0, -90.0], [30.0, 40.0]]])
    visible = torch.tensor([[0, 2, 1, 1]], dtype=torch.uint8)
    coding = HeatmapCoding(kind, **SIZES)
    heatmaps, weights = coding.encode(keypoints, visible)
    assert weights.tolist() == [[0, 0, 0, 1]]
    assert heatmaps[0, :3].abs().sum() == 0
    decoded = coding.decode(heatmaps)
    stride = torch.tensor(coding.stride_xy)
    torch.testing.assert_close(decoded.keypoints[0, :3], (-stride).expand(3, 2))
    assert (decoded.scores[0, :3] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_read_one_by_one(kind):
    heatmaps = torch.rand(3, 2, 16, 12, generator=torch.Generator().manual_seed(1))
    coding = HeatmapCoding(kind, (64, 48), (16, 12))
    together = coding.decode(heatmaps).keypoints
    alone = torch.cat(
        [coding.decode(heatmaps[b : b + 1, k : k + 1]).keypoints for b in range(3) for k in range(2)]
    )
    torch.testing.assert_close(together.flatten(0, 1), alone.flatten(0, 1), rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_keeps_its_precision_under_autocast(kind):
    coding = HeatmapCoding(kind, **SIZES)
    heatmaps = coding.encode(torch.tensor([[[71.3, 90.7]]]), torch.ones(1, 1)).heatmaps
    plain = coding.decode(heatmaps).keypoints
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(coding.decode(heatmaps).keypoints, plain)


def test_hidden_and_visible_keypoints_weigh_the_same():
    coding = HeatmapCoding("standard", **SIZES)
    weights = coding.encode(torch.full((1, 3, 2), 50.0), torch.tensor([[0, 1, 2]])).weights
    assert weights.tolist() == [[0, 1, 1]]


def test_blur_has_the_published_width():
    assert [HeatmapCoding("dark", **SIZES, sigma=sigma).blur_kernel for sigma in (2, 3)] == [11, 17]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "gauss"}, "kind: expected one of .*'gauss'"),
        ({"input_size": (256, 1)}, "input_size"),
        ({"heatmap_size": (64,)}, "heatmap_size"),
        ({"sigma": 0.0}, "sigma: expected a positive"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        HeatmapCoding(**({"kind": "dark", **SIZES} | change))


def test_wrong_shapes_are_named():
    coding = HeatmapCoding("dark", **SIZES)
    with pytest.raises(ValueError, match=r"\(1, 3, 2\), \(1, 4\)"):
        coding.encode(torch.zeros(1, 3, 2), torch.ones(1, 4))
    with pytest.raises(ValueError, match=r"got \(1, 3, 48, 64\)"):
        coding.decode(torch.zeros(1, 3, 48, 64))
