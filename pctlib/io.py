"""Writing files so that nothing is half written, and reading them so that errors name the file."""

import filecmp
import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pctlib.contents import recognize

if TYPE_CHECKING:
    from torch import Tensor


def write_atomic(
    path: str | Path, write: Callable[[Path], None], *, flush: bool = True, keep_equal: bool = False
) -> Path:
    """Let `write` fill a temporary file beside `path`, then rename it over `path`.

    A reader sees the old content or the new, never a part; a failed write leaves no trace.

    Args:
        path: the file to be written; its folder is made if missing.
        write: is given the temporary path and writes the whole content there.
        flush: wait until the content is on the disk, so that it also survives a power cut; for many small
            files that can be made again this takes longer than the rest.
        keep_equal: leave a file alone that has this very content, with its time, so that it does not look
            newer than what was made from it.

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
        if keep_equal and path.is_file() and filecmp.cmp(temporary, path, shallow=False):
            return path
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


def write_text(path: str | Path, text: str, *, keep_equal: bool = False) -> Path:
    """Write `text` as UTF-8, atomically; `keep_equal` as in `write_atomic`."""
    return write_atomic(
        path, lambda temporary: temporary.write_text(text, encoding="utf-8"), keep_equal=keep_equal
    )


def write_json(path: str | Path, value: Any, *, indent: int | None = 2, keep_equal: bool = False) -> Path:
    """Write `value` as strict JSON (NaN and infinity are refused), atomically."""
    return write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n", keep_equal=keep_equal)


def finite(value: Any) -> Any:
    """Return JSON values with None in place of NaN and infinity, which JSON cannot hold."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_tensors(
    path: str | Path,
    tensors: dict[str, "Tensor"],
    metadata: dict[str, str] | None = None,
    *,
    keep_equal: bool = False,
) -> Path:
    """Write named tensors in the safetensors format, atomically; `keep_equal` as in `write_atomic`."""
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

    return write_atomic(path, save, keep_equal=keep_equal)


def read_json(path: str | Path) -> Any:
    """Read a JSON file in UTF-8, with a byte order mark or without.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON; names the file, and line and column or what it is instead.
    """
    path = existing_file(path)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        kind = recognize(path)
        if kind is not None:
            raise ValueError(f"{path}: not JSON, but {kind}") from error
        where = f"{path}, line {error.lineno}, column {error.colno}"
        raise ValueError(f"{where}: not valid JSON ({_json_fault(error)})") from error
    except UnicodeDecodeError as error:
        kind = recognize(path) or f"not a text file (byte {error.start} is not UTF-8)"
        raise ValueError(f"{path}: not JSON, but {kind}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets without end
        raise ValueError(f"{path}: not JSON that can be read: {error}") from error


def _json_fault(error: json.JSONDecodeError) -> str:
    """Return in words what is wrong at the place where reading stopped."""
    before, after = error.doc[: error.pos].rstrip(), error.doc[error.pos :].strip()
    if before.endswith(",") and after[:1] in ("]", "}"):
        return "a comma before the closing bracket: take it out"
    if after[:1] == "," and after[1:].lstrip()[:1] in ("]", "}"):
        return "a comma before the closing bracket: take it out"
    if not after or error.msg.startswith("Unterminated string"):
        return f"{error.msg}; is the file truncated?"
    if error.msg == "Extra data":
        return "something follows the end of the value: one value a file is read, not one a line (JSON Lines)"
    return error.msg


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file without running anything in it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not YAML; names the file and the place.
    """
    path = existing_file(path)
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid YAML: {recognize(path) or error}") from error


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
    except (safetensors.SafetensorError, RuntimeError, ValueError, KeyError, OSError) as error:
        kind = recognize(path)
        if kind is not None and "name it .safetensors" not in kind:
            raise ValueError(f"{path}: not a safetensors file, but {kind}") from error
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from error


def existing_file(path: str | Path) -> Path:
    """Return `path` if it is a file, else raise FileNotFoundError that names it."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    return path
