"""Writing files so that nothing is half written, and reading them so that errors name the file."""

import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from torch import Tensor


def write_atomic(path: str | Path, write: Callable[[Path], None], *, flush: bool = True) -> Path:
    """Let `write` fill a temporary file beside `path`, then rename it over `path`.

    A reader sees the old content or the new, never a part; a failed write leaves no trace.

    Args:
        path: the file to be written; its folder is made if missing.
        write: is given the temporary path and writes the whole content there.
        flush: wait until the content is on the disk, so that it also survives a power cut; for many small
            files that can be made again this takes longer than the rest.

    Returns:
        `path`.

    Raises:
        OSError: if the folder or file cannot be written (disk full, no permission); names `path`.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        if flush:
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files private
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def _umask() -> int:
    """Return the umask of the process; there is no call that only reads it."""
    current = os.umask(0)
    os.umask(current)
    return current


def write_text(path: str | Path, text: str) -> Path:
    """Write `text` as UTF-8, atomically."""
    return write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: str | Path, value: Any, *, indent: int | None = 2) -> Path:
    """Write `value` as strict JSON (NaN and infinity are refused), atomically."""
    return write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """Return JSON values with None in place of NaN and infinity, which JSON cannot hold."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_tensors(
    path: str | Path, tensors: dict[str, "Tensor"], metadata: dict[str, str] | None = None
) -> Path:
    """Write named tensors in the safetensors format, atomically."""
    import safetensors.torch  # brings torch, which takes seconds to import and most callers do not need

    contiguous, seen = {}, set()
    for name, tensor in tensors.items():
        values = tensor.detach().cpu().contiguous()
        # The format refuses tensors that share memory, as a frozen backbone that is in a model twice does.
        contiguous[name] = values.clone() if values.data_ptr() in seen else values
        seen.add(values.data_ptr())

    def save(temporary: Path) -> None:
        try:
            safetensors.torch.save_file(contiguous, temporary, metadata)
        except safetensors.SafetensorError as error:  # disk full comes as this, not as OSError
            raise OSError(f"{error}") from error

    return write_atomic(path, save)


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON; names the file, line and column.
    """
    path = existing_file(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        where = f"{path}, line {error.lineno}, column {error.colno}"
        raise ValueError(f"{where}: not valid JSON ({error.msg}); is the file truncated?") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file (byte {error.start} is not UTF-8)") from error


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file without running anything in it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not YAML; names the file and the place.
    """
    path = existing_file(path)
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from error


def read_tensors(path: str | Path) -> dict[str, "Tensor"]:
    """Read a safetensors file onto the CPU.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged or of another format; names the file.
    """
    import safetensors.torch

    path = existing_file(path)
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from error


def existing_file(path: str | Path) -> Path:
    """Return `path` if it is a file, else raise FileNotFoundError that names it."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    return path
