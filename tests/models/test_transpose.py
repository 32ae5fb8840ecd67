import pytest
import torch

from pctlib.models.attention import sine_positions
from pctlib.models.transpose import TransPoseHead

B, C, K, GRID = 2, 5, 3, (4, 6)


def head(**sizes):
    torch.manual_seed(0)
    options = {"dim": 8, "hidden": 12, "num_layers": 2, "num_heads": 2, **sizes}
    return TransPoseHead(C, K, grid_size=GRID, **options)


def test_axes():
    assert head()(torch.randn(B, C, *GRID)).shape == (B, K, *GRID)
    with pytest.raises(ValueError, match="grid"):
        head()(torch.randn(B, C, 6, 4))


def test_every_cell_looks_at_every_cell():
    features = torch.randn(1, C, *GRID, requires_grad=True)
    head()(features)[0, 0, 0, 0].backward()
    assert (features.grad.abs().sum(dim=1) > 0).all()


def test_without_positions_the_cells_have_no_order():
    net = head(dropout=0.0)
    features, order = torch.randn(B, C, *GRID), torch.randperm(24)
    moved = features.flatten(2)[..., order].unflatten(2, GRID)
    with_positions = net(features).flatten(2)[..., order]
    assert not torch.allclose(net(moved).flatten(2), with_positions)
    net.positions.zero_()
    torch.testing.assert_close(net(moved).flatten(2), net(features).flatten(2)[..., order])


def test_positions_are_constant_and_no_part_of_the_weights():
    net = head()
    torch.testing.assert_close(net.positions, sine_positions(GRID, 8))
    assert "positions" not in net.state_dict()


@pytest.mark.parametrize(
    "option", [{"dim": 12}, {"hidden": 16}, {"num_layers": 3}, {"num_heads": 4}, {"dropout": 0.9}]
)
def test_every_size_changes_the_result(option):
    features = torch.randn(B, C, *GRID)
    default, changed = head(), head(**option)
    torch.manual_seed(1)
    there = changed(features)
    torch.manual_seed(1)
    assert not torch.allclose(default(features), there)


def test_every_parameter_gets_a_gradient():
    net = head()
    net(torch.randn(B, C, *GRID)).square().sum().backward()
    assert all((parameter.grad != 0).any() for parameter in net.parameters())


def test_published_layers_hold_the_published_parameters():
    E, H = 96, 192
    layer = 4 * (E * E + E) + 2 * E * H + H + E + 4 * E
    with torch.device("meta"):
        net = TransPoseHead(48, 17, grid_size=(64, 48))
    assert sum(p.numel() for p in net.parameters()) == 48 * E + 6 * layer + 17 * E + 17
