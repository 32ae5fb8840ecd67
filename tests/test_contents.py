"""Files that are not what their names promise are named for what they are, in every reader."""

import gzip
import json
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from pctlib.checkpoints.reading import read_state
from pctlib.contents import recognize
from pctlib.io import read_json, read_tensors, read_yaml

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
PAGE = b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"


def torch_file(path):
    torch.save({"w": torch.ones(2)}, path)
    return path


def script(path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(path))
    return path


def zipped(path, inner):
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(inner, "weights/" + inner.name)
    return path


MIX_UPS = {
    "pointer": (lambda p: p.write_bytes(POINTER), "Git LFS pointer.*git lfs pull"),
    "page": (lambda p: p.write_bytes(PAGE), r"a web page \(HTML\).*browser"),
    "gzip": (lambda p: p.write_bytes(gzip.compress(b"{}")), "compressed by gzip; unpack it"),
    "zip": (
        lambda p: zipped(p, torch_file(p.with_name("inner.pth"))),
        r"a zip archive around weights/inner\.pth; unpack it",
    ),
    "empty": (lambda p: p.write_bytes(b""), "empty"),
    "array": (lambda p: p.write_bytes(b"\x93NUMPY\x01\x00v\x00{}"), r"a numpy array \(\.npy\)"),
    "image": (lambda p: p.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF"), "a JPEG image"),
    "pdf": (lambda p: p.write_bytes(b"%PDF-1.7\n"), "a PDF document"),
}
WEIGHTS = {
    "script": (script, "a TorchScript program.*state_dict"),
    "onnx": (lambda p: p.write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x032.2"), "ONNX.*exported from"),
    "hdf5": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n"), "an HDF5 file"),
}


@pytest.mark.parametrize("name", [*MIX_UPS, *WEIGHTS])
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_weights_that_are_something_else_are_named_for_what_they_are(tmp_path, name, ending):
    make, message = {**MIX_UPS, **WEIGHTS}[name]
    make(tmp_path / f"weights{ending}")
    with pytest.raises(ValueError, match=rf"weights\{ending}: (?s:.*){message}"):
        read_state(tmp_path / f"weights{ending}")


@pytest.mark.parametrize("name", MIX_UPS)
def test_json_that_is_something_else_is_named_for_what_it_is(tmp_path, name):
    make, message = MIX_UPS[name]
    make(tmp_path / "people.json")
    with pytest.raises(ValueError, match=rf"people\.json: not JSON, but (?s:.*){message}"):
        read_json(tmp_path / "people.json")


def test_weights_of_the_other_format_are_told_their_ending(tmp_path):
    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth: .*safetensors format; name it \.safetensors"):
        read_state(tmp_path / "a.pth")
    torch_file(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"a\.safetensors: .*as torch\.save writes them; name it \.pth"):
        read_tensors(tmp_path / "a.safetensors")


def test_a_byte_order_mark_is_passed_over(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + b'{"name": "J\xc3\xbcrgen"}')
    assert read_json(tmp_path / "a.json") == {"name": "Jürgen"}
    (tmp_path / "a.yml").write_bytes(b"\xef\xbb\xbfseed: 3")
    assert read_yaml(tmp_path / "a.yml") == {"seed": 3}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le"])
def test_utf_16_is_named(tmp_path, encoding):
    mark = {"utf-16-be": b"\xfe\xff", "utf-16-le": b"\xff\xfe"}.get(encoding, b"")
    (tmp_path / "a.json").write_bytes(mark + json.dumps({"images": []}).encode(encoding))
    with pytest.raises(ValueError, match=r"a\.json: not JSON, but text in UTF-16; save it as UTF-8"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": [1, 2,\n]}', "line 2, column 1: .*comma before the closing bracket: take it out"),
        ('{"a": 1,}', "line 1, column .*comma before the closing bracket: take it out"),
        (
            '{"a": 1}\n{"a": 2}',
            r"line 2, column 1: .*one value a file is read, not one a line \(JSON Lines\)",
        ),
        ('{"a": [1, 2', "is the file truncated"),
        ('{"a": "unfini', "is the file truncated"),
        ("{'a': 1}", "line 1, column 2: .*double quotes"),
        ("[" * 100_000, "not JSON that can be read: "),
        ("1" * 5000, "not JSON that can be read: .*digits"),
    ],
)
def test_faulty_json_is_told_its_fault(tmp_path, text, fault):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.json[,:].*{fault}"):
        read_json(tmp_path / "a.json")


def test_what_is_right_is_not_taken_for_something_else(tmp_path):
    (tmp_path / "a.json").write_text('{"images": []}')
    assert recognize(tmp_path / "a.json") is None
    np.savez(tmp_path / "a.npz", x=np.ones(2))
    assert recognize(tmp_path / "a.npz") == "an archive of numpy arrays (.npz)"
