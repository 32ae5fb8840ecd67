"""Reading Matlab, HDF5, npz and pickle files without running what they may hold."""

import pickle
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import scipy.io

from pctlib.io import existing_file

# What a pickle may name: just enough to rebuild numpy arrays. Everything else would be code that it runs.
_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
# What scipy raises for a damaged, cut or newer file, depending on where it notices.
_MATLAB_FAULTS = (
    scipy.io.matlab.MatReadError,
    zlib.error,
    ValueError,
    TypeError,
    NotImplementedError,
    LookupError,
    EOFError,
    OSError,
)
# What zipfile and numpy raise for an archive, or the header of an array in it, that is damaged.
_NPZ_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
    LookupError,
    RuntimeError,
    MemoryError,
    OverflowError,
)
_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")  # before and since numpy 2
_BUFFER_MODULES = ("numpy.core.numeric", "numpy._core.numeric")


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that rebuilds dicts, lists, numbers, text and numpy arrays, and refuses all else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if name == "_reconstruct" and module in _ARRAY_MODULES:
            return np.ndarray.__reduce__(np.empty(0))[0]
        if name == "_frombuffer" and module in _BUFFER_MODULES:
            return np.empty(0).__reduce_ex__(5)[0]
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 of Python 3 writes bytes
            return _encode_latin1
        raise pickle.UnpicklingError(f"it asks for {module}.{name}; only numpy arrays are read")


def _encode_latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for bytes in {encoding}, expected latin1")
    return text.encode("latin1")


def read_array_pickle(path: str | Path) -> Any:
    """Read a pickle of dicts, lists, numbers, text and numpy arrays; anything that could run is refused.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged or holds anything else; names the file and what it asks for.
    """
    path = existing_file(path)
    with path.open("rb") as stream:
        return _unpickle(stream, str(path))


def read_object_npz(path: str | Path, name: str) -> Any:
    """Read one member of an npz that holds Python objects, as VideoPose3D writes them, without trusting it.

    The `allow_pickle` of numpy would run whatever the file says; this reads dicts, lists and arrays only.

    Args:
        path: the npz file.
        name: the member, such as "positions_3d".

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, lacks the member, or holds what could run; names file, member and
            reason.
    """
    path = existing_file(path)
    with path.open("rb") as file, _whole_npz(path), zipfile.ZipFile(file) as archive:
        names = [member.removesuffix(".npy") for member in archive.namelist()]
        if name in names:
            with archive.open(f"{name}.npy") as stream:
                return _read_object_array(stream, f"{path}, array {name}")
    raise ValueError(f"{path}: array {name} is missing, the file has {', '.join(names)}")


@contextmanager
def _whole_npz(path: Path) -> Iterator[None]:
    """Raise the error that names the file for anything that goes wrong with its archive inside."""
    try:
        yield
    except _NPZ_FAULTS as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: not a whole npz file ({' '.join(str(error).split())})") from error


def _read_object_array(stream: BinaryIO, where: str) -> Any:
    """Read an npy stream; one that holds objects gives its only object."""
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(stream)
    if not dtype.hasobject:
        raise ValueError(f"{where}: expected a pickled dict, got an array of {dtype} {shape}")
    value = _unpickle(stream, where)
    return value.item() if isinstance(value, np.ndarray) and value.shape == () else value


def _unpickle(stream: BinaryIO, where: str) -> Any:
    try:
        return _ArraysOnly(stream, encoding="latin1").load()
    except Exception as error:  # damaged bytes can raise almost anything; all of it means the same
        raise ValueError(f"{where}: refused or damaged pickle ({error})") from error


def read_npz(path: str | Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the named arrays of an npz file that holds no Python objects.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, lacks one of them, or one holds Python objects.
    """
    path = existing_file(path)
    with path.open("rb") as file, _whole_npz(path), np.load(file, allow_pickle=False) as archive:
        known = list(archive.files)
        missing = [name for name in names if name not in known]
        if not missing:
            return {name: np.asarray(archive[name]) for name in names}
    raise ValueError(f"{path}: array {missing[0]} is missing, the file has {', '.join(known)}")


def read_hdf5_fields(path: str | Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the named arrays of an HDF5 file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no HDF5 file or lacks one of them.
    """
    import h5py  # of all that reads people, only this needs it

    path = existing_file(path)
    try:
        with h5py.File(path) as file:
            missing = [name for name in names if name not in file]
            if missing:
                raise ValueError(f"{path}: field {missing[0]} is missing, the file has {', '.join(file)}")
            return {name: file[name][()] for name in names}
    except OSError as error:
        raise ValueError(f"{path}: not a whole HDF5 file ({error})") from error


def read_matlab(path: str | Path, name: str) -> Any:
    """Return one variable of a Matlab file, with structs as objects and axes of length 1 removed.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no Matlab file of version 7 or older, or lacks the variable.
    """
    path = existing_file(path)
    try:
        content = scipy.io.loadmat(path, struct_as_record=False, squeeze_me=True)
    except _MATLAB_FAULTS as error:
        raise ValueError(f"{path}: not a whole Matlab file ({error})") from error
    if name not in content:
        known = ", ".join(key for key in content if not key.startswith("__"))
        raise ValueError(f"{path}: variable {name} is missing, the file has {known}")
    return content[name]
