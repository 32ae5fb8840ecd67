import pytest
import torch

from pctlib.io import read_json, read_tensors, write_json
from pctlib.models.backbones import Backbone
from pctlib.training.shipped import FOLDER, load_shipped, save_shipped, shipped_names, starting_backbone

NAME = "mobilenetv4_conv_small_035"


def backbone(stages=3, seed=0):
    torch.manual_seed(seed)
    net = Backbone(NAME, out_indices=range(stages))
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(1e-9, 2.0)  # the least is nothing in half precision
    return net.eval()


def test_weights_come_back_as_stored_kernels_in_half_norms_in_full(tmp_path):
    trained, other = backbone(seed=1), backbone(seed=2)
    path = save_shipped(trained, NAME, {"what": "a test"}, tmp_path)
    card = load_shipped(other, NAME, tmp_path)
    assert card["what"] == "a test"
    assert shipped_names(tmp_path) == [NAME]
    for name, mine in trained.state_dict().items():
        theirs = other.state_dict()[name]
        exact = mine.half().float() if mine.is_floating_point() and mine.ndim > 1 else mine
        torch.testing.assert_close(theirs, exact, rtol=0, atol=0)
    stored = read_tensors(path)
    assert {t.dtype for t in stored.values() if t.ndim > 1} == {torch.float16}
    images = torch.randn(1, 3, 64, 64)
    for mine, theirs in zip(trained(images), other(images), strict=True):
        torch.testing.assert_close(theirs, mine, rtol=0.05, atol=0.05)


def test_a_network_of_fewer_stages_takes_what_it_needs(tmp_path):
    save_shipped(backbone(4, seed=1), NAME, {}, tmp_path)
    fewer, more = backbone(2), backbone(5)
    load_shipped(fewer, NAME, tmp_path)
    torch.testing.assert_close(
        fewer.net.state_dict()["conv_stem.weight"].half(), backbone(4, 1).net.conv_stem.weight.half()
    )
    with pytest.raises(ValueError, match=r"safetensors does not fit .*missing 'blocks\.3"):
        load_shipped(more, NAME, tmp_path)


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(ValueError, match="'resnet18': weights come with the package for no backbone"):
        load_shipped(backbone(), "resnet18", tmp_path)
    save_shipped(backbone(seed=1), NAME, {}, tmp_path)
    card = read_json(tmp_path / f"{NAME}.json")
    write_json(tmp_path / f"{NAME}.json", card | {"sha256": "0" * 64})
    with pytest.raises(ValueError, match=f"{NAME}.safetensors: not the file of its card"):
        load_shipped(backbone(), NAME, tmp_path)


def test_a_training_starts_from_the_weights_that_its_profile_names(monkeypatch):
    options = {"out_indices": range(4)}
    torch.manual_seed(5)
    shipped = starting_backbone("regnetx_002", weights="shipped", **options)
    torch.manual_seed(5)
    drawn = starting_backbone("regnetx_002", **options)
    name, stored = next(iter(read_tensors(FOLDER / "regnetx_002.safetensors").items()))
    assert torch.equal(shipped.net.state_dict()[name], stored.float())
    assert not torch.equal(drawn.net.state_dict()[name], stored.float())
    known = "weights come with the package for mobilenetv4_conv_small, regnetx_002; use other weights"
    with pytest.raises(ValueError, match=f"'resnet18': {known}"):
        starting_backbone("resnet18", weights="shipped")
    asked = []
    fake = "pctlib.training.shipped.Backbone"
    monkeypatch.setattr(fake, lambda *_, pretrained, **__: asked.append(pretrained))
    starting_backbone("resnet18", weights="imagenet")
    starting_backbone("resnet18", weights="none")
    assert asked == [True, False]


@pytest.mark.parametrize("name", shipped_names())
def test_what_comes_with_the_package_is_small_whole_and_described(name):
    card = load_shipped(Backbone(name, (128, 128), out_indices=range(4)), name)
    assert (FOLDER / f"{name}.safetensors").stat().st_size <= 6 * 2**20
    assert {
        "what",
        "command",
        "revision",
        "people",
        "epochs",
        "training seconds",
        "device",
        "licence",
    } <= set(card)
    assert card["reached"]["128x128"]["PCK@0.1 seen"] > 0.5
