import pytest
import torch

from pctlib.models.layers import MixerSize
from pctlib.models.tokenizer import PoseTokenizer
from pctlib.profiles.profile import load_profile
from pctlib.reporting.run_card import collect
from pctlib.training import arithmetic
from pctlib.training.arithmetic import Arithmetic, choose_arithmetic, chosen_arithmetic
from pctlib.training.device import choose_device

setting = torch.backends.mkldnn.matmul
onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    """Start as a process does, and leave torch as it was."""
    before, setting.fp32_precision = setting.fp32_precision, "none"
    monkeypatch.setattr(arithmetic, "_chosen", None)
    monkeypatch.delenv(arithmetic.SWITCH, raising=False)
    yield
    setting.fp32_precision = before


def of_a_cpu(monkeypatch, *, speedup, product=None):
    """Let the try find a CPU where oneDNN is so much faster, and computes so."""

    def multiply(left, right, how):
        return product(left, right) if how == "bf16" and product else left @ right

    monkeypatch.setattr(arithmetic, "multiply", multiply)
    monkeypatch.setattr(arithmetic, "_least_seconds", lambda ways: [speedup, 1.0])


@onednn
def test_a_route_as_exact_and_faster_is_taken(monkeypatch):
    of_a_cpu(monkeypatch, speedup=2.0)
    chosen = choose_arithmetic()
    assert chosen.onednn
    assert setting.fp32_precision == "bf16"
    assert (chosen.speedup, chosen.error) == (2.0, 1.0)
    assert str(chosen) == ("oneDNN: as exact as fp32 and faster on this CPU (2.00x as fast, 1.0x the error)")


@onednn
def test_real_bfloat16_is_refused_however_fast(monkeypatch):
    def rounded(left, right):
        return left.bfloat16().float() @ right.bfloat16().float()

    of_a_cpu(monkeypatch, speedup=8.0, product=rounded)
    chosen = choose_arithmetic()
    assert not chosen.onednn
    assert chosen.error > 500
    assert "not as exact" in chosen.reason
    assert setting.fp32_precision == "none"


@onednn
def test_tf32_is_refused_too(monkeypatch):
    def cut(values):
        return (values.view(torch.int32) & ~0x1FFF).view(torch.float32)  # 10 bits of 23

    of_a_cpu(monkeypatch, speedup=8.0, product=lambda left, right: cut(left) @ cut(right))
    assert "not as exact" in choose_arithmetic().reason


@onednn
def test_what_is_hardly_faster_is_left_alone(monkeypatch):
    of_a_cpu(monkeypatch, speedup=1.1)
    chosen = choose_arithmetic()
    assert (chosen.onednn, chosen.reason) == (False, "oneDNN is not faster on this CPU")
    assert setting.fp32_precision == "none"


@onednn
def test_the_choice_is_made_once_and_can_be_taken_back(monkeypatch):
    of_a_cpu(monkeypatch, speedup=2.0)
    first = choose_arithmetic()
    of_a_cpu(monkeypatch, speedup=1.0)
    assert choose_arithmetic() is first
    choose_device("cpu")
    assert chosen_arithmetic() is first
    assert choose_arithmetic(allowed=False) == Arithmetic(False, "switched off by the profile")
    assert setting.fp32_precision == "none"
    choose_device("cpu")
    assert chosen_arithmetic().reason == "switched off by the profile"


@onednn
def test_the_environment_switches_it_off(monkeypatch):
    of_a_cpu(monkeypatch, speedup=2.0)
    monkeypatch.setenv(arithmetic.SWITCH, "off")
    choose_device("cpu")
    assert chosen_arithmetic().reason == "switched off by PCTLIB_ONEDNN=off"
    assert setting.fp32_precision == "none"
    monkeypatch.setenv(arithmetic.SWITCH, "yes")
    with pytest.raises(ValueError, match="PCTLIB_ONEDNN: expected 'auto' or 'off', got 'yes'"):
        choose_arithmetic()


def test_on_this_cpu_what_is_taken_is_exact():
    chosen = choose_arithmetic()
    if chosen.onednn:
        assert chosen.error <= 8
        assert chosen.speedup >= 1.2
    else:
        assert chosen.reason
    assert setting.fp32_precision == ("bf16" if chosen.onednn else "none")


@onednn
def test_what_somebody_else_has_set_is_left_alone():
    setting.fp32_precision = "tf32"
    assert "somebody else" in choose_arithmetic().reason
    assert setting.fp32_precision == "tf32"


@pytest.mark.usefixtures("either_route")
def test_a_tokenizer_computes_the_same_by_either_route():
    torch.manual_seed(0)
    size = MixerSize(dim=24, num_layers=2, token_hidden=12, channel_hidden=20)
    tokenizer = PoseTokenizer(17, 5, codebook_size=16, token_dim=8, encoder=size, decoder=size)
    poses, visible = torch.randn(7, 17, 2), torch.full((7, 17), 2)
    found, gradient = encoded_with_gradient(tokenizer, poses, visible)
    exact, exact_gradient = encoded_with_gradient(tokenizer.double(), poses.double(), visible)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-5)
    torch.testing.assert_close(gradient.double(), exact_gradient, rtol=1e-4, atol=1e-4)


def encoded_with_gradient(tokenizer, poses, visible):
    """Return tokens, and the gradient of their squares with respect to the poses."""
    poses = poses.clone().requires_grad_()
    tokens = tokenizer.encode(poses, visible)
    tokens.square().sum().backward()
    return tokens.detach(), poses.grad


@onednn
def test_a_profile_switches_it_off_and_a_card_tells_what_was_chosen(monkeypatch):
    of_a_cpu(monkeypatch, speedup=2.0)
    assert load_profile("smoke").torch_device.type == "cpu"
    told = "oneDNN: as exact as fp32 and faster on this CPU (2.00x as fast, 1.0x the error)"
    assert collect(profile="smoke", seed=0, data="none").products == told
    assert load_profile("smoke", onednn="off").torch_device.type == "cpu"
    card = collect(profile="smoke", seed=0, data="none")
    assert card.products == "as torch has it: switched off by the profile"
    assert "Matrix products" in set(card.table().frame["Fact"])
