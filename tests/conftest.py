"""Fixtures shared by all tests."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from pctlib.training.arithmetic import choose_arithmetic, multiply

SHARED = Path(__file__).resolve().parents[2] / "shared"


@dataclass(frozen=True)
class Golden:
    """Tensors recorded from an official implementation: its weights, inputs and outputs."""

    config: dict
    state: dict[str, torch.Tensor]
    inputs: dict[str, torch.Tensor]
    outputs: dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def _one_thread():
    """Give every test the same arithmetic whatever the machine, and leave the other core to others."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _one_arithmetic():
    """Choose how fp32 products are computed before anything is, so that all tests of a process agree."""
    choose_arithmetic()


@pytest.fixture(params=["none", "bf16"], ids=["torch", "oneDNN"])
def either_route(request):
    """Compute fp32 products by torch's own choice and by oneDNN, where that is as exact."""
    setting = torch.backends.mkldnn.matmul
    if request.param == "bf16" and not exact_by_onednn():
        pytest.skip("oneDNN is not there, or computes in bfloat16 on this CPU, and is never chosen")
    before, setting.fp32_precision = setting.fp32_precision, request.param
    yield
    setting.fp32_precision = before


@cache
def exact_by_onednn() -> bool:
    """Return whether oneDNN computes products in fp32 on this CPU when it may use bfloat16."""
    if not torch.backends.mkldnn.is_available():
        return False
    draw = torch.Generator().manual_seed(0)
    left, right = (torch.randn(256, 256, generator=draw) for _ in range(2))
    error = multiply(left, right, "bf16").double() - left.double() @ right.double()
    return float(error.abs().max()) < 1e-3  # fp32: 3e-5; bfloat16: 0.2


@pytest.fixture
def shared() -> Path:
    """Return the optional folder of development data beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the optional folder ../shared with development data is not there")
    return SHARED


@pytest.fixture
def golden(shared):
    """Return a function that reads one file of golden tensors by its name without ending."""

    def read(name: str) -> Golden:
        parts: dict[str, dict[str, torch.Tensor]] = {"state": {}, "in": {}, "out": {}, "meta": {}}
        with np.load(shared / "golden" / f"{name}.npz", allow_pickle=False) as archive:
            config = json.loads(str(archive["config"]))
            for key in archive.files:
                part, _, rest = key.partition("/")
                if part in parts:
                    parts[part][rest] = (
                        torch.from_numpy(np.asarray(archive[key]))
                        if archive[key].dtype.kind in "fiub"
                        else archive[key]
                    )
        return Golden(config=config, state=parts["state"], inputs=parts["in"], outputs=parts["out"])

    return read


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator with a fixed seed."""
    return np.random.default_rng(20230618)
