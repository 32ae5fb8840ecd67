"""Which room may import which: no circle, the study no page, and a page only those that it follows."""

import ast

from pctlib.workflow.closure import ROOM, imported_files, module_name
from pctlib.workflow.pages import PAGES

FILES = sorted(ROOM.rglob("*.py"))
PACKAGE = "pctlib.study.pages."


def imports_on_loading(file):
    """Return what a file imports when it is loaded: not in functions, not for type checking."""
    tree = ast.parse(file.read_text())
    for function in [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]:
        function.body = [ast.Pass()]
    nodes = [n for n in tree.body if not (isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test))]
    found = set()
    for node in nodes:
        for part in ast.walk(node):
            if isinstance(part, ast.ImportFrom) and part.module:
                found |= {part.module, *(f"{part.module}.{alias.name}" for alias in part.names)}
            elif isinstance(part, ast.Import):
                found |= {alias.name for alias in part.names}
    modules = {module_name(f): f for f in FILES}
    return {modules[name] for name in found if name in modules}


def circles(graph):
    """Return the members of circles: files that reach themselves."""
    found = []
    for start in graph:
        waiting, seen = list(graph[start]), set()
        while waiting:
            file = waiting.pop()
            if file not in seen:
                seen.add(file)
                waiting += graph[file]
        if start in seen:
            found.append(module_name(start))
    return found


def test_a_circle_would_be_found():
    a, b, c = (ROOM / f"{name}.py" for name in "abc")
    assert circles({a: {b}, b: {a}, c: {a}}) == ["pctlib.a", "pctlib.b"]


def test_no_circle_of_imports():
    # a package that offers the names of its modules imports them, and they it: that is no circle of ideas
    graph = {f: {g for g in imports_on_loading(f) if g.name != "__init__.py"} for f in FILES}
    assert circles(graph) == []


def page_of(file):
    """Return the page whose folder a file lies in; "" of files that pages share."""
    name = module_name(file)
    below = name.removeprefix(PACKAGE).split(".") if name.startswith(PACKAGE) else []
    return below[0] if len(below) > 1 or (below and file.name == "__init__.py") else ""


def test_a_page_imports_no_other_page_but_those_it_follows():
    records = {page.name: page for page in PAGES}
    for file in FILES:
        if own := page_of(file):
            others = {page_of(other) for other in imported_files(file)} - {"", own}
            record = records[own]
            assert others <= {*record.after} or "*" in record.after, module_name(file)


def test_the_study_and_the_package_know_no_page():
    """Pages use the study, the study the package, never the reverse; commands run pages by name."""
    below = [file for file in FILES if not module_name(file).startswith(PACKAGE.rstrip("."))]
    upward = {
        (module_name(file), module_name(other))
        for file in below
        for other in imported_files(file)
        if page_of(other) and other.name != "__init__.py"
    }
    assert not upward


def test_the_package_does_not_know_the_study():
    lower = ("data", "models", "training", "distillation", "metrics", "checkpoints", "visualization")
    lower += ("reporting", "profiles", "inference")
    upward = {
        (module_name(file), name)
        for room in lower
        for file in (ROOM / room).rglob("*.py")
        for name in map(module_name, imported_files(file))
        if name.startswith(("pctlib.study.", "pctlib.commands."))
    }
    # a predictor takes the folder of a trained run as it takes official weights
    assert upward <= {("pctlib.inference.weights", "pctlib.study.methods")}
