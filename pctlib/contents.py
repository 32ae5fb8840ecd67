"""Saying what a file holds when it is not what its name promises, and what to do about it."""

import zipfile
from pathlib import Path

_HEAD = 1024  # bytes looked at

# first bytes -> what it is, with what to do
_BEGINNINGS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; fetch it by `git lfs pull`"),
    (b"\x1f\x8b", "compressed by gzip; unpack it (gunzip)"),
    (b"BZh", "compressed by bzip2; unpack it (bunzip2)"),
    (b"\xfd7zXZ\0", "compressed by xz; unpack it (unxz)"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it (unzstd)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (b"Rar!", "a RAR archive; unpack it"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a numpy array (.npy)"),
    (b"%PDF", "a PDF document"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xfe", "text in UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16; save it as UTF-8"),
)
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<script")
_PAGE = (
    "a web page (HTML), not the file itself: the download site has answered with a page, often because it "
    "asks for a login or a confirmation; fetch it by a browser"
)


def recognize(path: str | Path) -> str | None:
    """Return what a file is and what to do with it, in words; None if it is none of the usual mix-ups.

    Told from the first bytes, whatever the name: a pointer of Git LFS, a web page, something compressed, an
    archive, weights of one kind or another, text in UTF-16, an empty file.

    Raises:
        OSError: if the file cannot be read.
    """
    path = Path(path)
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if not head:
        return "empty"
    if head.startswith(b"PK\x03\x04"):
        return _zip_archive(path)
    for beginning, meaning in _BEGINNINGS:
        if head.startswith(beginning):
            return meaning
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(_PAGES) or (text.startswith((b"<?xml", b"<!--")) and b"<html" in text):
        return _PAGE
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return "a drawing (SVG), no image of pixels; save it as PNG"
    if text.startswith(b"<?xml"):
        return "an XML document"
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    return _weights(head)


def _iso_media(head: bytes) -> str:
    """Return which of the formats that share one container this is."""
    if head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc"):
        return "a HEIC photograph, as iPhones take them; save it as JPEG or PNG"
    if head[8:12] in (b"avif", b"avis"):
        return "an AVIF image; save it as JPEG or PNG"
    return "a video (MP4 or QuickTime); take single images out of it"


def _weights(head: bytes) -> str | None:
    """Return which format of weights the first bytes are of."""
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and 2 <= length < 1 << 32:
        return "weights in the safetensors format; name it .safetensors"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a Python pickle, as torch wrote weights before 1.6; name it .pth"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it"
    # ONNX is a protocol buffer: field 1 (version of the format), then the name of what wrote it or the graph
    if head[:1] == b"\x08" and head[1:2] < b"\x20" and head[2:3] in (b"\x12", b"\x3a"):
        return "a network in the ONNX format, no file of weights; take the one it was exported from"
    if head[4:8] == b"TFL3":
        return "a network of TensorFlow Lite; no PyTorch weights"
    return None


def _zip_archive(path: Path) -> str | None:
    """Return what a zip archive holds, told from the names in it; None if it is damaged or cut off."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, UnicodeDecodeError):
        return None
    inside = {name.partition("/")[2] for name in names}
    if any(name.startswith("code/") for name in inside) and "data.pkl" in inside:
        return (
            "a TorchScript program, which holds code, no plain weights; save the state_dict() of the model "
            "it was made from"
        )
    if "data.pkl" in inside:
        return "weights as torch.save writes them; name it .pth"
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of numpy arrays (.npz)"
    listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"a zip archive around {listed or 'nothing'}; unpack it"
