import os
import pickle

import h5py
import numpy as np
import pytest
import scipy.io

from pctlib.data.containers import (
    read_array_pickle,
    read_hdf5_fields,
    read_matlab,
    read_npz,
    read_object_npz,
)


class _RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_arrays_come_back_from_every_pickle_protocol(tmp_path, protocol):
    inner = {"R": np.arange(6.0).reshape(2, 3), "w": 3, "name": "x", "list": [np.int64([1]), None]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({("S1", "c"): inner}, protocol))
    found = read_array_pickle(tmp_path / "a.pkl")["S1", "c"]
    np.testing.assert_array_equal(found["R"], inner["R"])
    assert found["list"][0].dtype == np.int64
    assert (found["w"], found["name"], found["list"][1]) == (3, "x", None)


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"S1": [x]}, lambda x: np.array(x, dtype=object)])
def test_pickle_that_would_run_is_refused_and_does_not_run(tmp_path, wrap):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(wrap(_RunsCode(tmp_path / "ran"))))
    with pytest.raises(ValueError, match=r"a\.pkl: refused.*mkdir; only numpy arrays are read"):
        read_array_pickle(tmp_path / "a.pkl")
    np.savez(tmp_path / "a.npz", x=np.array(wrap(_RunsCode(tmp_path / "ran")), dtype=object))
    with pytest.raises(ValueError, match=r"a\.npz, array x: refused.*mkdir"):
        read_object_npz(tmp_path / "a.npz", "x")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name", ["builtins\neval", "numpy\nload", "numpy.core.multiarray\nscalar", "io\nopen"]
)
def test_other_functions_are_refused_by_name(tmp_path, name):
    (tmp_path / "a.pkl").write_bytes(b"c" + name.encode() + b"\n.")
    with pytest.raises(ValueError, match=name.replace("\n", r"\.")):
        read_array_pickle(tmp_path / "a.pkl")


def test_truncated_pickle_is_named(tmp_path):
    content = pickle.dumps({"a": np.arange(100)})
    (tmp_path / "a.pkl").write_bytes(content[:-40])
    with pytest.raises(ValueError, match=r"a\.pkl: .*damaged pickle"):
        read_array_pickle(tmp_path / "a.pkl")
    with pytest.raises(FileNotFoundError, match=r"none\.pkl"):
        read_array_pickle(tmp_path / "none.pkl")


def test_object_npz_gives_the_dict(tmp_path):
    positions = {"S1": {"Walking 1": np.float32([[1, 2], [3, 4]])}}
    objects = np.array(positions, dtype=object)
    np.savez_compressed(tmp_path / "a.npz", positions_3d=objects, plain=np.arange(2))
    found = read_object_npz(tmp_path / "a.npz", "positions_3d")
    np.testing.assert_array_equal(found["S1"]["Walking 1"], [[1, 2], [3, 4]])
    with pytest.raises(ValueError, match=r"array positions_2d is missing, the file has positions_3d, plain"):
        read_object_npz(tmp_path / "a.npz", "positions_2d")
    with pytest.raises(ValueError, match=r"array plain: expected a pickled dict, got an array of int64"):
        read_object_npz(tmp_path / "a.npz", "plain")


@pytest.mark.parametrize("read", [lambda p: read_object_npz(p, "x"), lambda p: read_npz(p, ("x",))])
def test_truncated_npz_is_named(tmp_path, read):
    np.savez(tmp_path / "a.npz", x=np.arange(1000))
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"a\.npz"):
        read(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        read(tmp_path / "none.npz")


def test_plain_npz(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3), objects=np.array({}, dtype=object))
    np.testing.assert_array_equal(read_npz(tmp_path / "a.npz", ("x",))["x"], [0, 1, 2])
    with pytest.raises(ValueError, match=r"a\.npz: array y is missing, the file has x, objects"):
        read_npz(tmp_path / "a.npz", ("y",))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_npz(tmp_path / "a.npz", ("objects",))


def test_hdf5_fields(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(4)
    np.testing.assert_array_equal(read_hdf5_fields(tmp_path / "a.h5", ("x",))["x"], np.arange(4))
    with pytest.raises(ValueError, match=r"a\.h5: field y is missing, the file has x"):
        read_hdf5_fields(tmp_path / "a.h5", ("x", "y"))
    content = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(content[:-900])
    with pytest.raises(ValueError, match=r"a\.h5: not a whole HDF5 file"):
        read_hdf5_fields(tmp_path / "a.h5", ("x",))


def test_matlab_variable(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"x": {"inner": np.arange(3)}})
    np.testing.assert_array_equal(read_matlab(tmp_path / "a.mat", "x").inner, [0, 1, 2])
    with pytest.raises(ValueError, match=r"a\.mat: variable y is missing, the file has x"):
        read_matlab(tmp_path / "a.mat", "y")
    (tmp_path / "a.mat").write_bytes(b"not Matlab at all" * 20)
    with pytest.raises(ValueError, match=r"a\.mat: not a whole Matlab file"):
        read_matlab(tmp_path / "a.mat", "x")
