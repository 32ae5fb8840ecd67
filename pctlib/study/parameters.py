"""Parameters that a notebook was given: one that it does not know is an error, not a warning."""

import ast
import sys
from collections.abc import Sequence
from itertools import pairwise

_INJECTED = "# Parameters\n"  # how the cell begins that papermill adds behind that of the defaults


def refuse_unknown_parameters() -> None:
    """Stop a notebook that plain papermill has given a parameter which it does not have.

    `python -m pctlib notebook run` refuses it before anything runs; papermill only warns, and the notebook
    would then run as if nothing had been asked for.

    Raises:
        ValueError: names the parameter, and those that there are.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None:
        check_cells(shell.user_ns.get("In", []))


def check_cells(cells: Sequence[str]) -> None:
    """Raise ValueError if a cell that papermill added sets what the cell before it does not.

    Args:
        cells: sources that were executed, in order.
    """
    for defaults, injected in pairwise(cells):
        if injected.startswith(_INJECTED):
            known = _assigned(defaults)
            unknown = [name for name in _assigned(injected) if name not in known]
            if unknown:
                raise ValueError(f"no parameter {', '.join(unknown)}; this notebook has {', '.join(known)}")


def _assigned(source: str) -> list[str]:
    """Return the names that a cell sets at its top level; none where it is not plain Python."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return []
    targets = []
    for statement in statements:
        if isinstance(statement, ast.Assign):
            targets += statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets.append(statement.target)
    return [target.id for target in targets if isinstance(target, ast.Name)]
