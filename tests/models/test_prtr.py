import pytest
import torch
from torch import nn

from pctlib.models.prtr import PRTR, DecoderLayer, PRTRHead, PRTRPrediction

B, C, N, L, SWAP, SIZE = 2, 5, 7, 2, (1, 0, 2), (64, 96)
K, GRID = len(SWAP), (2, 3)
SIZES = {"num_queries": N, "dim": 8, "hidden": 12, "num_layers": L, "num_heads": 2}


def model(**options):
    torch.manual_seed(0)
    return PRTR.transformer(C, SWAP, input_size=SIZE, **{**SIZES, **options})


def answers(places, queries, *, certainty=4.0):
    """Return a prediction in which query `queries[b][k]` is keypoint k at `places[b][k]`; the rest none."""
    logits = torch.zeros(B, 1, N, K + 1)
    logits[..., K] = certainty
    coordinates = torch.full((B, 1, N, 2), 0.9)
    for b in range(B):
        for k in range(K):
            logits[b, 0, queries[b][k]] = 0.0
            logits[b, 0, queries[b][k], k] = certainty
            coordinates[b, 0, queries[b][k]] = places[b, k]
    return PRTRPrediction(logits, coordinates)


PLACES = torch.tensor([[[0.1, 0.2], [0.5, 0.25], [0.75, 0.5]], [[0.3, 0.4], [0.2, 0.6], [0.0, 0.125]]])
QUERIES = [[6, 0, 3], [2, 5, 1]]


def pixels():
    return PLACES * torch.tensor([SIZE[1], SIZE[0]])


def test_decoder_layer_equals_torch_where_nothing_has_a_position():
    torch.manual_seed(0)
    ours = DecoderLayer(8, 2, hidden=12).eval()
    theirs = nn.TransformerDecoderLayer(8, 2, 12, dropout=0.0, batch_first=True).eval()
    theirs.load_state_dict(ours.state_dict())
    x, memory = torch.randn(B, N, 8), torch.randn(B, 6, 8)
    got = ours(x, torch.zeros(N, 8), memory, torch.zeros(6, 8))
    torch.testing.assert_close(got, theirs(x, memory))


def test_queries_and_positions_matter():
    layer = DecoderLayer(8, 2, hidden=12)
    x, memory, zeros = torch.randn(B, N, 8), torch.randn(B, 6, 8), torch.zeros(N, 8)
    plain = layer(x, zeros, memory, torch.zeros(6, 8))
    assert not torch.allclose(layer(x, torch.randn(N, 8), memory, torch.zeros(6, 8)), plain)
    assert not torch.allclose(layer(x, zeros, memory, torch.randn(6, 8)), plain)


def test_axes_and_a_gradient_to_every_parameter_that_acts():
    net = model()
    for layer in net.head.decoder:
        nn.init.normal_(layer.self_attn.in_proj_bias)  # zero at the start, and with it what depends on it
    prediction = net([torch.randn(B, 9, 8, 12), torch.randn(B, C, *GRID)])
    assert prediction.logits.shape == (B, L, N, K + 1)
    assert prediction.coordinates.shape == (B, L, N, 2)
    target = net.encode(pixels(), torch.full((B, K), 2))
    sum(net.loss(prediction, target).values()).backward()
    idle = [name for name, parameter in net.named_parameters() if parameter.grad.abs().max() < 1e-5]
    assert idle == ["head.decoder.0.self_attn.in_proj_weight"]


def test_decoding_gives_each_keypoint_its_query():
    poses = model().decode(answers(PLACES, QUERIES))
    torch.testing.assert_close(poses.keypoints, pixels())
    expected = torch.tensor([4.0, 0.0, 0.0]).softmax(0)[0]  # among the keypoints, not counting "none"
    torch.testing.assert_close(poses.scores, expected.expand(B, K))


def test_two_keypoints_never_share_a_query():
    prediction = answers(PLACES, QUERIES)
    prediction.logits[:, 0, 4, :2] = 9.0  # the best query for both 0 and 1
    keypoints = model().decode(prediction).keypoints
    shared = (keypoints[:, 0] == keypoints[:, 1]).all(dim=-1)
    assert not shared.any()


def test_matching_follows_the_places_and_takes_nan_where_nothing_is_labelled():
    net = model()
    prediction = answers(PLACES, QUERIES, certainty=0.0)  # by class all queries are alike
    right = net.encode(pixels(), torch.full((B, K), 2))
    assert net.loss(prediction, right)["coordinates"] == 0
    hidden = pixels()
    hidden[0, 1] = float("nan")
    visible = torch.full((B, K), 2)
    visible[0, 1] = 0
    losses = net.loss(prediction, net.encode(hidden, visible))
    assert all(value.isfinite() for value in losses.values())
    assert losses["coordinates"] == 0


def test_every_decoder_layer_and_every_weight_counts():
    net, target = model(), model().encode(pixels(), torch.full((B, K), 2))
    prediction = net([torch.randn(B, C, *GRID)])
    single = [
        net.loss(PRTRPrediction(*(part[:, i : i + 1] for part in prediction)), target) for i in range(L)
    ]
    for name, value in net.loss(prediction, target).items():
        torch.testing.assert_close(value, sum(losses[name] for losses in single))
    for option in ({"coordinate_weight": 1.0}, {"no_object_weight": 1.0}):
        other = PRTR(net.head, SWAP, input_size=SIZE, **option)
        assert sum(other.loss(prediction, target).values()) != sum(net.loss(prediction, target).values())


def test_a_mirrored_prediction_merges_to_the_same_pose():
    net, order = model(), torch.tensor(SWAP)
    mirrored = answers(net.mirror(PLACES)[:, order], [[1, 2, 4], [0, 6, 5]])
    merged = net.merge_flipped(answers(PLACES, QUERIES), mirrored)
    assert merged.logits.shape == (B, 1, K, K + 1)
    poses, plain = net.decode(merged), net.decode(answers(PLACES, QUERIES))
    torch.testing.assert_close(poses.keypoints, plain.keypoints)
    torch.testing.assert_close(poses.scores, plain.scores)


def test_merging_takes_the_mean_of_places_and_probabilities():
    net, order = model(), torch.tensor(SWAP)
    moved = PLACES + 0.05
    mirrored = answers(net.mirror(moved)[:, order], QUERIES, certainty=1.0)
    upright = answers(PLACES, QUERIES)
    poses = net.decode(net.merge_flipped(upright, mirrored))
    both = [net.decode(upright).scores, net.decode(mirrored).scores[:, order]]
    torch.testing.assert_close(poses.scores, sum(both) / 2)
    expected = (PLACES + moved) / 2 * torch.tensor([SIZE[1], SIZE[0]])
    torch.testing.assert_close(poses.keypoints, expected)


@pytest.mark.parametrize(
    "option", [{"dim": 12}, {"hidden": 16}, {"num_layers": 3}, {"num_heads": 4}, {"num_queries": 9}]
)
def test_every_size_changes_the_result(option):
    features = [torch.randn(B, C, *GRID)]
    results = [sum(part.sum() for part in model(**sizes)(features)) for sizes in ({}, option)]
    assert results[0] != results[1]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="num_queries"):
        PRTRHead(C, K, grid_size=GRID, num_queries=2)
    with pytest.raises(ValueError, match="grid"):
        model()([torch.randn(B, C, 3, 2)])
    with pytest.raises(ValueError, match="multiples of 32"):
        PRTR.transformer(C, SWAP, input_size=(64, 80))
    broken = answers(PLACES, QUERIES)
    broken.logits[0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="finite"):
        model().decode(broken)
