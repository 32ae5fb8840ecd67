"""Atomic writing and clear reading."""

import errno
import os

import pytest
import torch

from pctlib.io import read_json, read_tensors, read_yaml, write_atomic, write_json, write_tensors, write_text


def test_round_trips(tmp_path):
    assert read_json(write_json(tmp_path / "new" / "a.json", {"a": [1, 2.5]})) == {"a": [1, 2.5]}
    tensors = {"w": torch.arange(6.0).reshape(2, 3).T}
    assert torch.equal(read_tensors(write_tensors(tmp_path / "w.safetensors", tensors))["w"], tensors["w"])
    (tmp_path / "a.yml").write_text("a: 1")
    assert read_yaml(tmp_path / "a.yml") == {"a": 1}


def test_failed_write_keeps_the_old_file_and_leaves_no_trace(tmp_path):
    path = write_text(tmp_path / "a.txt", "old")

    def disk_full(temporary):
        temporary.write_text("ne")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"cannot write .*a\.txt: No space left on device") as caught:
        write_atomic(path, disk_full)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_of_the_same_content_is_left_alone_where_asked_for(tmp_path):
    writers = {
        "a.json": lambda path, keep: write_json(path, {"a": 1}, keep_equal=keep),
        "w.safetensors": lambda path, keep: write_tensors(path, {"w": torch.ones(3)}, keep_equal=keep),
    }
    for name, write in writers.items():
        path = write(tmp_path / name, True)
        os.utime(path, ns=(1, 1))
        write(path, True)
        assert path.stat().st_mtime_ns == 1
        write(path, False)
        assert path.stat().st_mtime_ns > 1
    write_json(tmp_path / "a.json", {"a": 2}, keep_equal=True)
    assert read_json(tmp_path / "a.json") == {"a": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(writers)


def test_disk_full_while_writing_tensors_is_named():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here to stand for a full disk")
    with pytest.raises(OSError, match="cannot write|No space"):
        write_atomic("/dev/full/w", lambda t: None)


def test_files_get_the_usual_permissions(tmp_path):
    old = os.umask(0o022)
    try:
        assert write_text(tmp_path / "a.txt", "x").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(old)


def test_bad_files_are_named(tmp_path):
    (tmp_path / "a.json").write_text('{"a": [1, 2')
    with pytest.raises(ValueError, match=r"a\.json, line 1, column \d+: not valid JSON .*truncated"):
        read_json(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError, match=r"no such file: .*b\.json"):
        read_json(tmp_path / "b.json")
    (tmp_path / "w.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(ValueError, match=r"w\.safetensors: not a whole safetensors file"):
        read_tensors(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "nan.json", float("nan"))
    assert not (tmp_path / "nan.json").exists()


def test_tensors_that_share_memory_are_written_twice(tmp_path):
    weight = torch.arange(4.0)
    read = read_tensors(write_tensors(tmp_path / "w.safetensors", {"a": weight, "b": weight}))
    assert torch.equal(read["a"], weight)
    assert torch.equal(read["b"], weight)
