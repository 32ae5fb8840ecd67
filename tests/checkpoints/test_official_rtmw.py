"""Published RTMW files: names and shapes of every part, outputs against the formulas written out."""

import pytest
import torch
from helpers.official_rtmw import random_rtmw, reference_bins

from pctlib.checkpoints import read_official
from pctlib.models.cspnext import FACTORS
from pctlib.models.rtmw import RTMW, AggregatedCSPNeXt
from pctlib.skeletons import COCO, COCO_WHOLEBODY


def save(tmp_path, state):
    torch.save({"meta": {"epoch": 270}, "state_dict": state}, tmp_path / "rtmw.pth")
    return tmp_path / "rtmw.pth"


def test_a_file_is_loaded_to_the_outputs_of_the_formulas(tmp_path):
    state = random_rtmw(grid=(3, 2))
    model, skeleton = read_official(save(tmp_path, state))
    assert isinstance(model.representation, RTMW)
    assert not model.training
    assert model.representation.input_size == (96, 64)
    assert skeleton is COCO_WHOLEBODY
    images = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        got = model(images)
    for ours, expected in zip(got, reference_bins(state, images), strict=True):
        assert ours.std() > 0.01
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    assert model.predict(images, flip_test=True).keypoints.shape == (2, 133, 2)


def test_every_entry_arrives(tmp_path):
    state = random_rtmw(K=17)
    model, skeleton = read_official(save(tmp_path, state))
    assert skeleton is COCO
    ours = model.state_dict()
    for name, value in state.items():
        place = name.replace("backbone.", "backbone.net.").replace("neck.", "backbone.neck.")
        assert torch.equal(ours[place.replace("head.", "representation.head.")], value)
    assert len(ours) == len(state)


def test_the_published_size_m_has_its_number_of_parameters():
    """An export of RTMW-m in float32 takes 129.1 MB: 32.3 million numbers."""
    with torch.device("meta"):
        backbone = AggregatedCSPNeXt(*FACTORS["m"])
        head = RTMW(backbone.channels[-1], range(133), input_size=(256, 192))
    count = sum(p.numel() for p in (*backbone.parameters(), *head.parameters()))
    assert abs(count * 4 / 1e6 - 129.1) < 0.15


def test_what_does_not_fit_is_named(tmp_path):
    state = random_rtmw(K=17)
    for change, message in (
        ({"head.final_layer2.bn.bias": None}, r"missing: head\.final_layer2\.bn\.bias"),
        ({"neck.out_convs.conv.weight": torch.zeros(2)}, r"unexpected: neck\.out_convs\.conv\.weight"),
        ({"loss.weight": torch.zeros(2)}, r"unexpected names in an RTMW model: loss\.weight"),
        ({"head.mlp2.1.weight": torch.zeros(8, 4)}, r"other shape: head\.mlp2\.1\.weight \(8, 4\), expected"),
    ):
        changed = {name: value for name, value in (state | change).items() if value is not None}
        with pytest.raises(ValueError, match=r"rtmw\.pth: .*" + message):
            read_official(save(tmp_path, changed))
