"""How the command line ends: one line for bad input and for what is not installed."""

import pytest

from pctlib import __main__ as entry


def ending(monkeypatch, error):
    def app():
        raise error

    monkeypatch.setattr(entry, "app", app)
    with pytest.raises(SystemExit) as caught:
        entry.main()
    return caught.value.code


def test_bad_input_ends_with_one_line(monkeypatch):
    assert ending(monkeypatch, ValueError("a.jpg: no image")) == "error: a.jpg: no image"
    assert ending(monkeypatch, FileNotFoundError("no such file: b")) == "error: no such file: b"


def test_a_missing_module_names_what_brings_it(monkeypatch):
    missing = ModuleNotFoundError("No module named 'nbformat'", name="nbformat")
    assert ending(monkeypatch, missing) == "error: No module named 'nbformat'; pip install 'pctlib[study]'"
    said = ModuleNotFoundError("videos need PyAV: pip install 'pctlib[photographs]'")
    assert ending(monkeypatch, said) == "error: videos need PyAV: pip install 'pctlib[photographs]'"
    modules = ("av", "onnx", "onnxruntime.capi", "bs4", "torch", "nothing")
    assert [entry.extra_of(name) for name in modules] == ["photographs", "onnx", "onnx", "study", "", ""]


def test_a_module_that_nothing_brings_is_a_fault_of_the_code(monkeypatch):
    def app():
        raise ModuleNotFoundError("No module named 'pctlib.nothing'", name="pctlib.nothing")

    monkeypatch.setattr(entry, "app", app)
    with pytest.raises(ModuleNotFoundError, match="nothing"):
        entry.main()
