"""Deformable attention and decoder: recorded values, values worked by hand, what acts on what."""

import torch
from helpers.osx import SMALL

from pctlib.checkpoints.files import NameTable, load_strictly
from pctlib.checkpoints.osx import _DECODER
from pctlib.models.deformable import (
    DecoderSize,
    DeformableDecoder,
    PostValueAttention,
    deformable_sum,
    sine_embedding,
)


def _maps(values, shapes):
    """Split values [G, C, sum h w] into maps [G, C, h, w]."""
    cells = [h * w for h, w in shapes]
    return [part.unflatten(-1, tuple(s)) for part, s in zip(values.split(cells, -1), shapes, strict=True)]


def test_recorded_sums(golden):
    data = golden("osx_functions")
    shapes = data.inputs["msda_shapes"].tolist()
    values = data.inputs["msda_value"].permute(0, 2, 3, 1).flatten(0, 1)  # [B H, C, cells]
    places = data.inputs["msda_loc"].transpose(1, 2).flatten(0, 1)
    weights = data.inputs["msda_w"].transpose(1, 2).flatten(0, 1)
    found = deformable_sum(_maps(values, shapes), places, weights).unflatten(0, (2, 4))  # [B, H, Q, C]
    torch.testing.assert_close(found.transpose(1, 2).flatten(2), data.outputs["msda"], atol=1e-6, rtol=0)


def test_a_ramp_is_read_at_known_places():
    ramp = torch.arange(4.0).expand(1, 1, 3, 4)  # the value is the column
    places = torch.tensor([0.125, 0.5, 1.0, -0.2])  # centre of the first cell, middle, right border, outside
    grid = torch.stack((places, torch.full((4,), 0.5)), dim=-1).view(1, 4, 1, 1, 2)
    found = deformable_sum([ramp], grid, torch.ones(1, 4, 1, 1))[0, :, 0]
    torch.testing.assert_close(found, torch.tensor([0.0, 1.5, 1.5, 0.0]))  # half of the last cell is outside


def test_recorded_attention(golden):
    data = golden("osx_functions")
    attention = PostValueAttention(DecoderSize(width=32))
    state = {name.removeprefix("post_value."): value for name, value in data.state.items()}
    state["value_weight"] = state.pop("value_proj_weight.weight").unflatten(0, (8, -1))
    state["value_bias"] = state.pop("value_proj_bias.weight")
    attention.load_state_dict(state)
    maps = _maps(data.inputs["postv_value"].permute(1, 2, 0), data.inputs["msda_shapes"].tolist())
    query = data.inputs["postv_query"].transpose(0, 1)
    placed = query + data.inputs["postv_query_pos"].transpose(0, 1)
    found = query + attention(placed, maps, data.inputs["postv_ref"][:, :, 0])
    torch.testing.assert_close(found.transpose(0, 1), data.outputs["postv"], atol=5e-6, rtol=0)


def test_recorded_decoder_layer_by_layer(golden):
    data = golden("osx_decoder")
    decoder = DeformableDecoder(DecoderSize(width=64, hidden=96), (8, 16, 32), 20).eval()
    state = {
        name: value.unflatten(0, (8, -1)) if name.endswith("value_proj_weight.weight") else value
        for name, value in data.state.items()
    }
    load_strictly(decoder, state, NameTable(_DECODER), "recorded")
    maps = [data.inputs[f"feats_{i}"] for i in range(3)]
    query, reference = data.inputs["query_init"], data.inputs["coord_init"][..., :2]
    assert (reference < 0).any()
    assert (reference > 1).any()
    memory = decoder.memory(maps)
    for i, level in enumerate(maps):
        torch.testing.assert_close(decoder.necks[i](level), data.outputs[f"neck_{i}"], atol=1e-6, rtol=0)
        sines = sine_embedding(64, *level.shape[2:])
        torch.testing.assert_close(sines, data.outputs[f"pos_enc_{i}"][0], atol=1e-6, rtol=0)
    x = query
    for i, layer in enumerate(decoder.layers):
        x = layer(x, decoder.position, memory, reference)
        torch.testing.assert_close(x, data.outputs[f"layer_{i}"], atol=3e-5, rtol=0)
    torch.testing.assert_close(decoder(query, maps, reference), data.outputs["query"], atol=3e-5, rtol=0)


def test_every_parameter_but_the_spare_level_learns_and_places_do_not():
    torch.manual_seed(0)
    decoder = DeformableDecoder(SMALL.decoder, (4, 8, 16), 7)
    for layer in decoder.layers:  # at the start offsets and weights are the same for every query
        torch.nn.init.normal_(layer.cross_attention.sampling_offsets.weight, std=0.3)
        torch.nn.init.normal_(layer.cross_attention.attention_weights.weight, std=0.3)
    maps = [torch.randn(2, C, n, n + 1) for C, n in ((4, 8), (8, 4), (16, 2))]
    reference = torch.rand(2, 7, 2, requires_grad=True)
    decoder(torch.randn(2, 7, 16), maps, reference).square().sum().backward()
    assert reference.grad is None
    still = {name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert still == set()
    assert not decoder.level_embeds.grad[3].any()


def test_heads_start_in_eight_directions():
    bias = PostValueAttention(DecoderSize(width=32)).sampling_offsets.bias.view(8, 3, 4, 2)
    torch.testing.assert_close(bias[0, 1, 2], torch.tensor([3.0, 0.0]))
    torch.testing.assert_close(bias[2, 0, 0], torch.tensor([0.0, 1.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(bias[5, 2, 3], torch.tensor([-4.0, -4.0]), atol=1e-5, rtol=0)
