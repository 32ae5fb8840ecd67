"""Fetching published files over unreliable lines.

The bytes come through `pooch.HTTPDownloader` and are checked with `pooch.file_hash`. pooch neither resumes a
file that stopped half way nor waits before it tries again; that part is here. Unpacking is in `archives`.
"""

import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pooch
import requests
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema
from tqdm.auto import tqdm

_CHUNK = 1 << 16  # bytes; what is lost at most when a line breaks
_RETRIED_STATUS = {408, 416, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class RemoteInfo:
    """What a server says of a file before it is fetched: its bytes and a tag of this version, if given."""

    size: int | None
    version: str | None


def ask_remote(url: str, *, timeout: float = 30.0) -> RemoteInfo:
    """Return size and version of the file at `url`; a server that does not answer gives None for both."""
    with suppress(requests.RequestException):
        headers = {"Accept-Encoding": "identity"}
        with requests.head(url, timeout=timeout, allow_redirects=True, headers=headers) as response:
            if response.ok:
                return RemoteInfo(_length(response), _version(response))
    return RemoteInfo(None, None)


def fetch(
    url: str,
    path: str | Path,
    *,
    checksum: str | None = None,
    attempts: int = 4,
    timeout: float = 30.0,
    pause: float = 2.0,
    progress: bool = True,
) -> Path:
    """Download `url` to `path`, going on from `path`.part where an earlier call stopped.

    The file appears under its name only when it is whole and its checksum agrees.

    Args:
        url: http or https address.
        path: file to be written; one that is already there is checked and kept.
        checksum: "md5:..." or "sha256:..." (or another algorithm of hashlib); None where nobody gives one.
        attempts: how many tries in a row may bring no new byte.
        timeout: seconds without a byte after which a try counts as stalled.
        pause: seconds before the second try, doubled for each further one.
        progress: whether to draw a progress bar.

    Returns:
        `path`.

    Raises:
        ConnectionError: if the server refuses, or fails, stalls or breaks off `attempts` times in a row.
        ValueError: if the checksum disagrees; names both values. The damaged file is removed.
        OSError: if the disk has too little room.
    """
    path = Path(path)
    if path.is_file():
        _verify(path, path, checksum, url)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    remote = ask_remote(url, timeout=timeout)
    have = partial.stat().st_size if partial.is_file() else 0
    if remote.size is not None:
        require_space(path.parent, remote.size - have, f"{path.name} ({readable_size(remote.size)})")
    if not (have and remote.size == have and _kept_version(partial) == remote.version):
        _transfer_until_whole(
            url, partial, attempts=attempts, timeout=timeout, pause=pause, progress=progress
        )
    if remote.size is not None and partial.stat().st_size != remote.size:
        raise ConnectionError(
            f"{url}: got {partial.stat().st_size} bytes, the server announced {remote.size}"
        )
    _verify(partial, path, checksum, url)
    partial.replace(path)
    _version_file(partial).unlink(missing_ok=True)
    return path


def _transfer_until_whole(
    url: str, partial: Path, *, attempts: int, timeout: float, pause: float, progress: bool
) -> None:
    """Try until the file is whole; give up after `attempts` tries in a row that brought nothing new."""
    best = partial.stat().st_size if partial.is_file() else 0
    failures = 0
    while True:
        try:
            _transfer(url, partial, timeout=timeout, progress=progress)
            return
        except requests.RequestException as error:
            size = partial.stat().st_size
            if size == 0:
                partial.unlink()
            _refuse_if_final(url, error)
            failures = 1 if size > best else failures + 1
            best = max(best, size)
            if failures >= attempts:
                kept = f"; {readable_size(size)} are kept in {partial} for the next try" if size else ""
                raise ConnectionError(
                    f"{url}: gave up after {failures} tries, {_reason(error, timeout)}{kept}"
                ) from error
            time.sleep(pause * 2 ** (failures - 1))


def _transfer(url: str, partial: Path, *, timeout: float, progress: bool) -> None:
    """Append to `partial` what is missing of it, or write it anew if the server or the version wants that."""
    with partial.open("ab") as stream:
        have = stream.tell()
        headers = {"Accept-Encoding": "identity"}
        version = _kept_version(partial)
        if have:
            headers["Range"] = f"bytes={have}-"
            if version:
                headers["If-Range"] = version  # another version is sent whole

        def check_answer(response: requests.Response, **_: object) -> None:
            _prepare(stream, response, have, _version_file(partial))

        label = f"{partial.stem} (from {readable_size(have)})" if have else partial.stem
        # pooch sets the total, but asks for the truth of the bar before: it needs some total from the start.
        bar = tqdm(desc=label, total=1, unit="B", unit_scale=True, leave=False, disable=not progress)
        download = pooch.HTTPDownloader(
            progressbar=bar,
            chunk_size=_CHUNK,
            timeout=timeout,
            headers=headers,
            hooks={"response": check_answer},
        )
        try:
            download(url, stream, None)
        finally:
            bar.close()


def _prepare(stream: BinaryIO, response: requests.Response, have: int, version_file: Path) -> None:
    """Make the stream ready for the answer: append to it only what continues it, else start it anew."""
    if response.is_redirect or (response.status_code >= 400 and response.status_code != 416):
        return
    if response.status_code == 206:
        match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if match and int(match[1]) == have:
            return
        raise requests.ConnectionError(
            f"asked for the bytes from {have}, got {response.headers.get('Content-Range')!r}"
        )
    stream.truncate(0)  # in append mode the next write goes to the new end
    version_file.unlink(missing_ok=True)
    if response.status_code == 200 and (version := _version(response)):
        version_file.write_text(version, encoding="utf-8")


def _refuse_if_final(url: str, error: requests.RequestException) -> None:
    """Raise at once where another try cannot help: a wrong address, no permission."""
    if isinstance(error, requests.HTTPError) and error.response.status_code not in _RETRIED_STATUS:
        answer = error.response
        raise ConnectionError(f"{url}: the server answers {answer.status_code} {answer.reason}") from error
    if isinstance(error, (InvalidURL, MissingSchema, InvalidSchema)):
        raise ValueError(f"not an http address: {url!r}") from error


def _reason(error: requests.RequestException, timeout: float) -> str:
    """Return in words why the last try failed."""
    if isinstance(error, requests.HTTPError):
        return f"the last answered {error.response.status_code} {error.response.reason}"
    text = str(error)
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return f"the last stalled for {timeout:g} s"
    if "IncompleteRead" in text or "InvalidChunk" in text:
        return "the last broke off before the end"
    return f"the last could not be made or broke off ({text})"


def _verify(file: Path, name: Path, checksum: str | None, url: str) -> None:
    """Compare the checksum of `file`; a file that fails is removed, since it cannot be resumed."""
    if checksum is None:
        return
    algorithm, _, expected = checksum.partition(":")
    found = pooch.file_hash(str(file), alg=algorithm)
    if found.lower() != expected.lower():
        file.unlink()
        _version_file(file).unlink(missing_ok=True)
        raise ValueError(
            f"{name}: {algorithm} checksum is {found}, expected {expected}; the file from {url} "
            "was damaged or changed and has been removed, so the next try starts afresh"
        )


def _length(response: requests.Response) -> int | None:
    value = response.headers.get("Content-Length", "")
    return int(value) if value.isdigit() else None


def _version(response: requests.Response) -> str | None:
    """Return a strong ETag or the date of the file: what `If-Range` may hold (RFC 9110, section 13.1.5)."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _version_file(partial: Path) -> Path:
    return partial.with_name(partial.name + ".version")


def _kept_version(partial: Path) -> str | None:
    file = _version_file(partial)
    return file.read_text(encoding="utf-8") if file.is_file() else None


def readable_size(count: int) -> str:
    """Return a number of bytes as people write it, in powers of ten: 815.6 MB."""
    value, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "bytes" else f"{value:.1f} {units[0]}"


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raise OSError if the disk of `folder` has fewer than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{folder}: {readable_size(needed)} are needed for {what}, {readable_size(free)} are free"
        )
