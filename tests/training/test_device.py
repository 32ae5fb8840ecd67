"""Choosing a device."""

import pytest
import torch

from pctlib.training.device import choose_device


def test_absent_gpu_is_refused_before_training():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ValueError, match="torch sees no GPU"):
        choose_device("cuda")
    with pytest.raises(ValueError, match="expected 'auto', 'cpu' or 'cuda', got 'gpu'"):
        choose_device("gpu")


def test_auto_takes_what_is_there():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
