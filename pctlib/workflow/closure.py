"""What a job is made of: the modules of the package that its code imports, directly or through others."""

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path

import pctlib

ROOM = Path(pctlib.__file__).parent
# What changes no result: where things are and when they run, the command line, and the profile as a whole,
# whose values are in the hash of the settings. Else a new page would make every other one run again.
NO_RESULT = ("pctlib.workflow", "pctlib.commands", "pctlib.profiles.profile")
SHOWS = ("pctlib.reporting", "pctlib.visualization")  # what only shows results, and so trains nothing again


def closure(roots: Iterable[str], *, leave_out: Collection[str] = ()) -> list[Path]:
    """Return the source files of modules and of all that they import, sorted; imports in functions count.

    Args:
        roots: dotted names of modules of the package; others are left to their versions.
        leave_out: modules and packages that are neither listed nor looked into, besides `NO_RESULT`.
    """
    ignored = (*NO_RESULT, *leave_out)
    found: set[Path] = set()
    waiting = [file for name in roots for file in _files(name)]
    while waiting:
        file = waiting.pop()
        if file in found or _below(module_name(file), ignored):
            continue
        found.add(file)
        waiting += imported_files(file)
    return sorted(found)


def notebook_imports(notebook: Path) -> list[str]:
    """Return the modules that the cells of a notebook import."""
    import json  # a notebook is JSON; nbformat takes a second to import, and Snakemake reads this often

    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    # lines for IPython alone, such as %load_ext, are no Python
    source = re.sub(r"^\s*[%!].*$", "", "\n".join(code), flags=re.MULTILINE)
    return list(_names(ast.parse(source, str(notebook))))


def module_name(file: Path) -> str:
    """Return the dotted name of a source file of the package."""
    parts = file.relative_to(ROOM.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imported_files(file: Path) -> tuple[Path, ...]:
    """Return the source files of the package that one of them imports itself, but for type checking."""
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    return tuple(dict.fromkeys(f for name in _names(tree) for f in _files(name)))


def _names(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names that are imported, and what may be a module in `from package import name`."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _files(name: str) -> list[Path]:
    """Return the file of a module of the package with those of the rooms it is in; none of other names.

    The package's own `__init__` only passes calls on, to nearly everything: it does not count.
    """
    if not _below(name, ("pctlib",)):
        return []
    parts = name.split(".")[1:]
    rooms = [ROOM.joinpath(*parts[: depth + 1]) / "__init__.py" for depth in range(len(parts))]
    files = [*rooms, ROOM.joinpath(*parts).with_suffix(".py")] if parts else []
    return [file for file in files if file.is_file()]


def _below(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
