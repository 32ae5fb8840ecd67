"""What every family of official weights needs: renaming both ways and strict loading."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_LISTED = 8  # names written out in an error


@contextmanager
def naming(file: str | Path) -> Iterator[None]:
    """Put the name of a file before the message of a ValueError raised inside."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


class WithoutInitialisation(TorchFunctionMode):
    """Leave the weights of modules built inside unset, and the random state as it is.

    For models whose every parameter is then loaded: drawing the weights of a large backbone takes longer than
    reading them.
    """

    # these are asked before they ask a tensor
    _SKIPPED = (Tensor.erfinv_, nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_)
    # truncated normals draw until all values lie within their bounds: what is drawn must lie there
    _ZEROED = (Tensor.uniform_, Tensor.normal_)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Return the tensor as it is, or zero, where it would be filled with random numbers."""
        kwargs = kwargs or {}
        if func in self._SKIPPED:
            return args[0] if args else kwargs["tensor"]
        if func in self._ZEROED:
            return args[0].zero_()
        return func(*args, **kwargs)


class NameTable:
    """Two spellings of parameter names, translated strictly both ways.

    Args:
        pairs: (official, ours) patterns; "#" stands for a number and "*" for a last word without a dot, in
            the same order on both sides. The first pattern that fits a whole name counts.
        ours_only: names of ours without an official counterpart.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]], *, ours_only: Iterable[str] = ()) -> None:
        self.pairs = tuple(pairs)
        self.ours_only = frozenset(ours_only)
        self._to_ours = [(_pattern(official), _template(ours)) for official, ours in self.pairs]
        self._to_official = [(_pattern(ours), _template(official)) for official, ours in self.pairs]

    def to_ours(self, official: str) -> str:
        """Return our name of an official one.

        Raises:
            ValueError: if no pattern fits.
        """
        return _translate(official, self._to_ours)

    def to_official(self, ours: str) -> str:
        """Return the official name of one of ours.

        Raises:
            ValueError: if no pattern fits.
        """
        return _translate(ours, self._to_official)


def _pattern(text: str) -> re.Pattern:
    return re.compile(re.escape(text).replace(r"\#", r"(\d+)").replace(r"\*", r"(\w+)"))


def _template(text: str) -> str:
    return re.sub(r"[#*]", "{}", text)


def _translate(name: str, rules: list[tuple[re.Pattern, str]]) -> str:
    for pattern, template in rules:
        if match := pattern.fullmatch(name):
            return template.format(*match.groups())
    raise ValueError(f"no rule translates the name '{name}'")


def part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the entries whose name begins with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def count(state: Mapping[str, Tensor], prefix: str) -> int:
    """Return how many different numbers follow `prefix` in the names."""
    found = (re.match(re.escape(prefix) + r"(\d+)\.", name) for name in state)
    return len({match[1] for match in found if match})


class Shapes:
    """The shapes of a checkpoint part, for deriving sizes; a missing name is an error that names the file.

    Args:
        state: official names to tensors.
        file: named in errors, with `prefix` before the names.
        prefix: what stands before these names in the file.
    """

    def __init__(self, state: Mapping[str, Tensor], file: str | Path, prefix: str = "") -> None:
        self._state, self._file, self._prefix = state, file, prefix

    def size(self, name: str, axis: int, ndim: int = 2) -> int:
        """Return the length of one axis.

        Raises:
            ValueError: if the name is missing, or its tensor has another number of axes than `ndim`.
        """
        if name not in self._state:
            raise ValueError(f"{self._file}: missing '{self._prefix}{name}'")
        shape = tuple(self._state[name].shape)
        if len(shape) != ndim:
            raise ValueError(f"{self._file}: '{self._prefix}{name}' has shape {shape}, expected {ndim} axes")
        return shape[axis]


def load_strictly(
    module: nn.Module, state: Mapping[str, Tensor], names: NameTable, file: str | Path, *, prefix: str = ""
) -> None:
    """Load official tensors into a module; every name and shape must fit.

    Entries without an official counterpart (`names.ours_only`) keep their values.

    Args:
        module: gets the values.
        state: official names to tensors, all of which must find their place.
        names: official names and those of `module`.
        file: named in errors.
        prefix: what stands before the official names in the file; named in errors.

    Raises:
        ValueError: if names are missing or unexpected, or shapes differ; lists them.
    """
    current = module.state_dict()
    ours = {names.to_official(name): name for name in current if name not in names.ours_only}
    shapes = {official: tuple(current[name].shape) for official, name in ours.items()}
    problems = [
        ("missing", [prefix + name for name in shapes if name not in state]),
        ("unexpected", [prefix + name for name in state if name not in shapes]),
        ("other shape", list(_differing(shapes, state, prefix))),
    ]
    found = [f"{kind}: {_listed(entries)}" for kind, entries in problems if entries]
    if found:
        raise ValueError(f"{file}: does not fit the model it looks like; " + "; ".join(found))
    module.load_state_dict(current | {ours[name]: value for name, value in state.items()})


def _differing(shapes: Mapping[str, tuple], state: Mapping[str, Tensor], prefix: str) -> Iterator[str]:
    for name, expected in shapes.items():
        if name in state and tuple(state[name].shape) != expected:
            yield f"{prefix}{name} {tuple(state[name].shape)}, expected {expected}"


def _listed(entries: list[str]) -> str:
    more = f" and {len(entries) - _LISTED} more" if len(entries) > _LISTED else ""
    return ", ".join(entries[:_LISTED]) + more
