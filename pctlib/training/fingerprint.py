"""What makes a run this one: hashes of the code that trains it, so that an edit counts, and of its data."""

import ast
import hashlib
import importlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from torch import Tensor, nn

_ALWAYS = ("pctlib.training.loop", "pctlib.losses", "pctlib.training.optimizer", "pctlib.training.plan")


def fingerprint(*tensors: Tensor) -> str:
    """Return a short hash of tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def weights_of(module: nn.Module) -> str:
    """Return a short hash of a module's weights."""
    return fingerprint(*module.state_dict().values())


def code_fingerprint(model: nn.Module, task: object, package: str = "pctlib") -> str:
    """Return a short hash of the source of a model, of its task and of the training loop.

    Comments, docstrings and formatting do not count. Code of other packages is left to their versions.

    Args:
        model: whose modules' classes, with their bases, count.
        task: whose class, with its bases, counts.
        package: whose modules count.
    """
    classes = {cls for part in (*model.modules(), task) for cls in type(part).__mro__}
    names = {cls.__module__ for cls in classes} | set(_ALWAYS)
    ours = sorted(name for name in names if name.split(".")[0] == package)
    return _hash(importlib.import_module(name) for name in ours)


def _hash(modules: Iterable[ModuleType]) -> str:
    digest = hashlib.sha256()
    for module in modules:
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if _has_docstring(node):
                node.body = node.body[1:]
        digest.update(f"{module.__name__}:{ast.dump(tree)}".encode())
    return digest.hexdigest()[:16]


def _has_docstring(node: ast.AST) -> bool:
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, holders) and ast.get_docstring(node, clean=False) is not None
