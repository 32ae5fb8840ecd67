"""A reproducible study of human pose representations in plain PyTorch.

Start with `pctlib.Predictor` for poses in photographs, `pctlib.load_official` for published weights,
`pctlib.models` for the networks and `notebooks/` for the study itself.
"""

from typing import Any

__version__ = "0.1.0"


def load_official(path: Any, **options: Any) -> Any:
    """Load a published checkpoint; see `pctlib.checkpoints.load_official`."""
    from pctlib.checkpoints import load_official as load  # torch is imported only when it is needed

    return load(path, **options)


def __getattr__(name: str) -> Any:
    """Return `Predictor`, imported when it is first asked for."""
    if name == "Predictor":
        from pctlib.inference.predictor import Predictor

        return Predictor
    raise AttributeError(f"module 'pctlib' has no attribute {name!r}")
