"""The plain transformer of ViTPose and its experts."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from helpers.official_vitpose import random_vitpose, reference_features

from pctlib.checkpoints.files import part
from pctlib.models.vit import SIZES, ExpertMlp, ViT, ViTSize, resize_positions
from pctlib.training.optimizer import layer_numbers, parameter_groups

SMALL = ViTSize(24, 3, 4, part_features=9)
INPUT = (64, 48)  # 4 x 3 cells


def small(seed=0, **options):
    torch.manual_seed(seed)
    backbone = ViT(options.pop("size", SMALL), INPUT, **options)
    for name, parameter in backbone.named_parameters():
        if "norm" in name or parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.5)
    return backbone.eval()


def official(sizes, heads, state, input_size):
    """Build the transformer of a recorded or random state."""
    backbone = ViT(ViTSize(*sizes[:2], heads, *sizes[2:3]), input_size, num_experts=(sizes[3:] or (0,))[0])
    backbone.load_state_dict(part(state, "backbone."))
    return backbone.eval()


def test_recorded_backbone_and_its_blocks(golden):
    data = golden("vitpose_official")
    size, input_size = data.config, tuple(data.config["img_size"])
    backbone = official((size["embed"], size["depth"]), size["heads"], data.state, input_size)
    seen = []
    for block in backbone.blocks:
        block.register_forward_hook(lambda module, given, out: seen.append(out))
    with torch.no_grad():
        (features,) = backbone(data.inputs["image"])
        patches = backbone.patch_embed(data.inputs["image"]).flatten(2).mT
    torch.testing.assert_close(patches, data.outputs["patch_embed"], atol=1e-5, rtol=0)
    for number, tokens in enumerate(seen):
        torch.testing.assert_close(tokens, data.outputs[f"block_{number}"], atol=2e-5, rtol=0)
    torch.testing.assert_close(features, data.outputs["features"], atol=2e-5, rtol=0)
    assert len(seen) == size["depth"]


def test_recorded_experts(golden):
    data = golden("vitpose_moe_official")
    c, index = data.config, data.inputs["dataset_idx"]
    sizes = (c["embed"], c["depth"], c["part_features"], c["num_expert"])
    backbone = official(sizes, c["heads"], data.state, tuple(c["img_size"]))
    with torch.no_grad():
        (features,) = backbone(data.inputs["image"], index)
        torch.testing.assert_close(features, data.outputs["features"], atol=2e-5, rtol=0)
        for image, number in zip(data.inputs["image"], index.tolist(), strict=True):
            (folded,) = backbone.fold_expert(number)(image[None])
            expected = data.outputs["features"][index == number]
            torch.testing.assert_close(folded, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("experts", [0, 3])
def test_computes_the_published_function(experts):
    state = random_vitpose(dim=24, depth=3, cells=12, experts=experts, part=9)
    backbone = official((24, 3, 9, experts), 4, state, INPUT)
    images = torch.randn(4, 3, *INPUT, generator=torch.Generator().manual_seed(1))
    index = torch.tensor([2, 0, 2, 1]) if experts else None
    expected = reference_features(state, images, heads=4, dataset_index=index)
    with torch.no_grad():
        (features,) = backbone(images, index)
    assert features.shape == (4, 24, 4, 3)
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-4)
    assert backbone.channels == [24]
    assert backbone.strides == [16]


def test_a_patch_begins_two_pixels_before_its_cell():
    backbone = small()
    images = torch.zeros(1, 3, *INPUT)
    images[0, 0, 14, 30] = 1.0  # 16 - 2 and 32 - 2: the first pixel of the cell in row 1, column 2
    moved = (backbone.patch_embed(images) - backbone.patch_embed(torch.zeros_like(images))).abs().sum((0, 1))
    assert moved.nonzero().tolist() == [[1, 2]]


def test_row_zero_of_the_positions_moves_every_token():
    backbone, images = small(), torch.randn(1, 3, *INPUT)
    before = backbone.embed(images)
    with torch.no_grad():
        backbone.pos_embed[:, 0] += 1.0
        backbone.pos_embed[:, 6] += 2.0  # of the fifth cell
    moved = backbone.embed(images) - before
    expected = torch.ones(1, 12, 24)
    expected[:, 5] = 3.0
    torch.testing.assert_close(moved, expected)


def test_other_input_sizes_have_their_positions_resized():
    backbone = small()
    with torch.no_grad():
        backbone.pos_embed.copy_(torch.linspace(0, 1, 13).view(1, 13, 1).expand(-1, -1, 24))
    (features,) = backbone(torch.randn(2, 3, 96, 80))
    assert features.shape == (2, 24, 6, 5)
    twice = ViT(SMALL, (96, 80)).eval()
    twice.load_state_dict(
        backbone.state_dict() | {"pos_embed": resize_positions(backbone.pos_embed.data, (4, 3), (6, 5))}
    )
    images = torch.randn(2, 3, 96, 80)
    torch.testing.assert_close(backbone(images), twice(images))


def test_resizing_keeps_row_zero_and_what_is_constant():
    positions = torch.cat((torch.full((1, 1, 2), 7.0), torch.full((1, 12, 2), 3.0)), 1)
    resized = resize_positions(positions, (4, 3), (2, 5))
    torch.testing.assert_close(resized, torch.tensor([7.0] + 10 * [3.0]).view(1, 11, 1).expand(-1, -1, 2))
    assert resize_positions(positions, (4, 3), (4, 3)) is positions
    ramp = torch.arange(4.0).repeat_interleave(3).view(1, 12, 1)  # grows down, not across
    down = resize_positions(torch.cat((torch.zeros(1, 1, 1), ramp), 1), (4, 3), (8, 3))[0, 1:, 0].view(8, 3)
    assert (down.diff(dim=0) > 0).all()
    torch.testing.assert_close(down[:, 0], down[:, 2])


def test_an_image_gets_the_same_features_alone_and_among_other_data_sets():
    backbone, images = small(num_experts=3), torch.randn(5, 3, *INPUT)
    index = torch.tensor([2, 0, 2, 0, 0])  # none of data set 1
    with torch.no_grad():
        (together,) = backbone(images, index)
        alone = torch.cat([backbone(images[i : i + 1], index[i : i + 1])[0] for i in range(5)])
        other = backbone(images, (index + 1) % 3)[0]
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert (together - other).abs().amax((1, 2, 3)).min() > 1e-3  # dataset_index changes the result


def test_expert_mlp_by_hand():
    mlp = ExpertMlp(4, 1, 2)
    for parameter in mlp.parameters():
        torch.nn.init.zeros_(parameter)
    mlp.fc2.bias.data = torch.tensor([1.0, 2.0, 3.0])
    mlp.experts[0].bias.data, mlp.experts[1].bias.data = torch.tensor([10.0]), torch.tensor([20.0])
    out = mlp(torch.zeros(3, 5, 4), [1, 2])
    assert out[:, 0].tolist() == [[1, 2, 3, 10], [1, 2, 3, 20], [1, 2, 3, 20]]
    assert out.shape == (3, 5, 4)


@pytest.mark.parametrize("training", [False, True])
def test_a_folded_expert_is_a_copy(training):
    backbone = small(num_experts=2).train(training)
    folded = backbone.fold_expert(1)
    assert folded.training is training
    assert folded.num_experts == 0
    assert not any("experts" in name for name in folded.state_dict())
    before = backbone.pos_embed.clone()
    with torch.no_grad():
        folded.pos_embed += 1
    assert torch.equal(backbone.pos_embed, before)
    assert all(parameter.requires_grad for parameter in folded.parameters())


@pytest.mark.parametrize("experts", [0, 2])
def test_gradient_reaches_every_parameter(experts):
    backbone = small(num_experts=experts).train()
    index = torch.tensor([1, 0, 1]) if experts else None
    (features,) = backbone(torch.randn(3, 3, *INPUT), index)
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in backbone.parameters())


def test_experts_of_absent_data_sets_get_a_gradient_of_zero():
    """Data-parallel training waits for the gradient of every parameter."""
    backbone = small(num_experts=2)
    backbone(torch.randn(2, 3, *INPUT), torch.tensor([1, 1]))[0].sum().backward()
    assert backbone.blocks[0].mlp.experts[0].weight.grad.abs().sum() == 0
    assert backbone.blocks[0].mlp.experts[1].weight.grad.abs().sum() > 0


def test_drop_path_rises_to_the_last_block():
    rates = [getattr(b.drop_path1, "drop_prob", 0.0) for b in ViT(replace(SMALL, drop_path=0.4)).blocks]
    assert rates == pytest.approx([0.0, 0.2, 0.4])
    experts = ViT(replace(SMALL, drop_path=0.4), num_experts=2).blocks
    assert [getattr(b.drop_path2, "drop_prob", 0.0) for b in experts] == pytest.approx([0.0, 0.2, 0.4])


def test_appended_tokens_take_part_and_can_be_dropped():
    backbone, images = small(), torch.randn(2, 3, *INPUT)
    with torch.no_grad():
        tokens = backbone.embed(images)
        extra = backbone.encode(torch.cat((tokens, torch.randn(2, 1, 24)), 1))[:, :-1]
        plain = backbone.encode(tokens)
    assert extra.shape == plain.shape == (2, 12, 24)
    assert not torch.allclose(extra, plain)


def test_norm_eps_is_that_of_every_norm():
    state, images = small().state_dict(), 1e-3 * torch.randn(1, 3, *INPUT)
    results = []
    for eps in (1e-6, 1e-1):
        backbone = ViT(SMALL, INPUT, norm_eps=eps).eval()
        backbone.load_state_dict(state)
        official_state = {f"backbone.{name}": value for name, value in state.items()}
        expected = reference_features(official_state, images, heads=4, eps=eps)
        torch.testing.assert_close(backbone(images)[0], expected, atol=1e-4, rtol=1e-4)
        results.append(expected)
    assert not torch.allclose(*results, atol=1e-3)


@pytest.mark.parametrize("name", ["s", "b"])
@pytest.mark.parametrize("experts", [0, 6])
def test_layer_decay_is_that_of_vitpose(name, experts):
    """Embeddings are layer 0, block i is i + 1, everything else depth + 1; rate ** (depth + 1 - layer)."""
    size = SIZES[name]
    with torch.device("meta"):
        model = torch.nn.Module()
        model.backbone = ViT(size, num_experts=experts)
        model.representation = torch.nn.Linear(3, 2)
    numbers = layer_numbers(n for n, _ in model.named_parameters() if n.startswith("backbone."))
    groups = parameter_groups(model, learning_rate=1.0, weight_decay=0.1, layer_decay=size.layer_decay)
    rates = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    for parameter_name, parameter in model.named_parameters():
        words = parameter_name.split(".")
        layer = size.depth + 1
        if words[1] in ("pos_embed", "patch_embed"):
            layer = 0
        elif words[1] == "blocks":
            layer = int(words[2]) + 1
        if words[0] == "backbone":
            assert numbers[parameter_name] == layer
        rate, decay = rates[id(parameter)]
        assert rate == pytest.approx(size.layer_decay ** (size.depth + 1 - layer))
        plain = parameter.ndim == 1 or parameter_name == "backbone.pos_embed"
        assert decay == (0.0 if plain else 0.1)


def test_bad_input_is_named():
    plain, experts = small(), small(num_experts=3)
    images = torch.zeros(2, 3, *INPUT)
    with pytest.raises(ValueError, match=r"multiples of 16, got \(64, 50\)"):
        plain(torch.zeros(2, 3, 64, 50))
    with pytest.raises(ValueError, match="multiples of 16"):
        ViT(SMALL, (64, 40))
    with pytest.raises(ValueError, match="dataset_index: given to a backbone without experts"):
        plain(images, torch.tensor([0, 0]))
    with pytest.raises(ValueError, match="dataset_index: expected 2 integers, 0 to 2, got None"):
        experts(images)
    for wrong in (torch.tensor([0]), torch.tensor([0.0, 1.0]), torch.tensor(0)):
        with pytest.raises(ValueError, match="dataset_index: expected 2 integers"):
            experts(images, wrong)
    for number in (3, -1):
        with pytest.raises(ValueError, match=rf"dataset_index\[1\]: expected 0 to 2, got {number}"):
            experts(images, torch.tensor([0, number]))
        with pytest.raises(ValueError, match=f"expected 0 to 2, got {number}"):
            experts.fold_expert(number)
    with pytest.raises(ValueError, match="channels that the heads divide"):
        ViTSize(24, 3, 5)
    with pytest.raises(ValueError, match="depth of at least 1"):
        ViTSize(24, 0, 4)
    with pytest.raises(ValueError, match="part_features: expected 0 to 23, got 24"):
        ViTSize(24, 3, 4, part_features=24)
    with pytest.raises(ValueError, match="num_experts: expected 0, or some and part_features"):
        ViT(ViTSize(24, 3, 4), INPUT, num_experts=2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_experts_on_the_gpu():
    backbone, images = small(num_experts=3), torch.randn(5, 3, *INPUT)
    index = torch.tensor([2, 0, 2, 1, 0])
    with torch.no_grad():
        expected = backbone(images, index)[0]
        got = backbone.cuda()(images.cuda(), index.cuda())[0]
    torch.testing.assert_close(got.cpu(), expected, atol=1e-3, rtol=1e-3)
    assert F.cosine_similarity(got.cpu().flatten(), expected.flatten(), dim=0) > 0.9999
