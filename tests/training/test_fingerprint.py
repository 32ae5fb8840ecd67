"""A changed model is a new run; changed comments are not."""

import importlib
import sys

import pytest
from torch import nn

from pctlib.training.fingerprint import code_fingerprint

SOURCE = '''"""A module."""
from torch import nn

class Doubler(nn.Module):
    """Doubles."""

    def forward(self, x):
        return 2 * x
'''


@pytest.fixture
def fingerprint(tmp_path, monkeypatch):
    """Return a function: source of a model's module -> its fingerprint."""
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "madeup"
    folder.mkdir()
    (folder / "__init__.py").touch()

    def compute(source):
        (folder / "model.py").write_text(source)
        for name in [n for n in sys.modules if n.startswith("madeup")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        model = nn.Sequential(importlib.import_module("madeup.model").Doubler())
        return code_fingerprint(model, object(), package="madeup")

    return compute


def test_code_counts_and_words_do_not(fingerprint):
    first = fingerprint(SOURCE)
    assert fingerprint(SOURCE.replace('"""Doubles."""', '"""Doubles, of course."""')) == first
    assert fingerprint(SOURCE.replace("return 2 * x", "# twice\n        return 2 * x")) == first
    assert fingerprint(SOURCE.replace("2 * x", "3 * x")) != first


def test_every_part_of_the_model_and_the_task_count():
    from pctlib.models.layers import LinearNormRelu

    plain = code_fingerprint(nn.Linear(1, 1), object())
    with_part = code_fingerprint(nn.Sequential(nn.Linear(1, 1), LinearNormRelu(2, 2)), object())
    assert plain == code_fingerprint(nn.Conv2d(1, 1, 1), object())  # torch's own code is left to its version
    assert with_part != plain
    assert code_fingerprint(nn.Linear(1, 1), LinearNormRelu(2, 2)) == with_part
