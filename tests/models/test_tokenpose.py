import pytest
import torch

from pctlib.models.tokenpose import TokenPoseHead

B, C, K, GRID, PATCH = 2, 5, 3, (4, 6), (2, 3)


def head(**sizes):
    torch.manual_seed(0)
    options = {"patch_size": PATCH, "dim": 8, "depth": 6, "num_heads": 2, "mlp_ratio": 2, **sizes}
    return TokenPoseHead(C, K, grid_size=GRID, **options)


def test_axes():
    net = head()
    assert net(torch.randn(B, C, *GRID)).shape == (B, K, *GRID)
    assert net.positions.shape == (2 * 2, 8)
    with pytest.raises(ValueError, match="grid"):
        net(torch.randn(B, C, 6, 4))


def test_a_patch_is_read_row_by_row_with_its_channels_last():
    net = head(depth=3)
    tokens = []
    net.thirds[0][0].register_forward_pre_hook(lambda module, args: tokens.append(args[0]))
    features = torch.randn(B, C, *GRID)
    net(features)
    patch = features[1, :, 2:4, 3:6].permute(1, 2, 0).flatten()  # the last of four
    expected = net.embed(patch) + net.positions[3]
    torch.testing.assert_close(tokens[0][1, K + 3], expected)


def test_positions_return_before_each_layer_but_the_first_of_a_third():
    net = head()
    seen, made = [], []
    for third in net.thirds:
        for layer in third:
            layer.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
            layer.register_forward_hook(lambda module, args, out: made.append(out))
    net(torch.randn(B, C, *GRID))
    added = [(after - before) for after, before in zip(seen[1:], made[:-1], strict=True)]
    assert all((step[:, :K] == 0).all() for step in added)
    repeated = [bool(step[:, K:].abs().max() > 0) for step in added]
    assert repeated == [True, False, True, False, True]
    torch.testing.assert_close(added[0][0, K:], net.positions, atol=1e-5, rtol=0)


def test_keypoints_are_told_apart_by_their_token_alone():
    net, features = head(), torch.randn(B, C, *GRID)
    before = net(features)
    order = torch.tensor([2, 0, 1])
    net.keypoint_tokens.data = net.keypoint_tokens.data[order]
    torch.testing.assert_close(net(features), before[:, order])


def test_all_thirds_are_read():
    net, features = head(), torch.randn(B, C, *GRID)
    for third in range(3):
        cut = head()
        cut.to_heatmap.weight.data[:, 8 * third : 8 * third + 8] = 0
        assert not torch.allclose(cut(features), net(features))


@pytest.mark.parametrize(
    "option", [{"patch_size": (4, 3)}, {"dim": 12}, {"depth": 9}, {"num_heads": 4}, {"mlp_ratio": 3}]
)
def test_every_size_changes_the_result(option):
    features = torch.randn(B, C, *GRID)
    assert not torch.allclose(head()(features), head(**option)(features))


def test_every_parameter_gets_a_gradient():
    net = head()
    net(torch.randn(B, C, *GRID)).square().sum().backward()
    assert all((parameter.grad != 0).any() for parameter in net.parameters())


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="patch_size"):
        head(patch_size=(3, 3))
    with pytest.raises(ValueError, match="depth"):
        head(depth=8)
