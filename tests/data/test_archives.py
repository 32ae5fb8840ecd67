import io
import stat
import tarfile
import zipfile

import pytest

from pctlib.data import download
from pctlib.data.archives import extract


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return path


def make_tar(path, members):
    with tarfile.open(path, "w:gz") as packed:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    return path


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize(("make", "name"), [(make_zip, "a.zip"), (make_tar, "a.tar.gz")])
def test_files_land_in_their_place_beside_what_is_there(tmp_path, make, name):
    out = tmp_path / "out"
    (out / "annotations").mkdir(parents=True)
    (out / "annotations" / "mine.json").write_text("{}")
    (out / "annotations" / "new.json").write_text("old")
    archive = make(tmp_path / name, {"annotations/new.json": b"new", "val/1.jpg": b"jpg"})
    assert extract(archive, out, progress=False) == 2
    assert files(out) == ["annotations/mine.json", "annotations/new.json", "val/1.jpg"]
    assert (out / "annotations" / "new.json").read_text() == "new"


@pytest.mark.parametrize(("make", "ending"), [(make_zip, "zip"), (make_tar, "tar.gz")])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../evil.txt", "leaves the folder"),
        ("a/../../evil.txt", "leaves the folder"),
        ("/tmp/evil.txt", "absolute"),
        ("C:\\evil.txt", "absolute"),
        ("..\\evil.txt", "leaves the folder"),
    ],
)
def test_a_member_outside_is_refused_and_nothing_is_unpacked(tmp_path, make, ending, name, message):
    archive = make(tmp_path / f"a.{ending}", {"good.txt": b"good", name: b"evil"})
    with pytest.raises(ValueError, match=rf"a\.{ending}: member .*evil.txt' .*{message}"):
        extract(archive, tmp_path / "out" / "in", progress=False)
    assert files(tmp_path) == [f"a.{ending}"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_tar_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as packed:
        entry = tarfile.TarInfo("images/link")
        entry.type, entry.linkname = kind, "/etc/passwd"
        packed.addfile(entry)
    with pytest.raises(ValueError, match=r"member 'images/link' is a (link|device)"):
        extract(tmp_path / "a.tar", tmp_path / "out", progress=False)


def test_links_in_zip_are_refused(tmp_path):
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    make_zip(tmp_path / "a.zip", {entry: b"/etc/passwd"})
    with pytest.raises(ValueError, match="member 'link' is a link"):
        extract(tmp_path / "a.zip", tmp_path / "out", progress=False)


@pytest.mark.parametrize(("make", "name"), [(make_zip, "a.zip"), (make_tar, "a.tar.gz")])
def test_damaged_archives_are_named_and_leave_no_trace(tmp_path, make, name):
    archive = make(tmp_path / name, {"a.bin": bytes(range(256)) * 400})
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=name):
        extract(archive, tmp_path / "out", progress=False)
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 0xFF
    archive.write_bytes(damaged)
    with pytest.raises(ValueError, match=name):
        extract(archive, tmp_path / "out", progress=False)
    assert files(tmp_path / "out") == []


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "page.zip").write_text("<html>Please log in</html>")
    with pytest.raises(ValueError, match=r"page\.zip: neither a whole zip nor a tar archive"):
        extract(tmp_path / "page.zip", tmp_path / "out", progress=False)
    with pytest.raises(FileNotFoundError, match=r"none\.zip"):
        extract(tmp_path / "none.zip", tmp_path / "out", progress=False)


def test_full_disk_is_noticed_first(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "a.zip", {"a.bin": bytes(5000)})
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(OSError, match=r"5\.0 kB are needed for what a\.zip holds"):
        extract(archive, tmp_path / "out", progress=False)
    assert files(tmp_path / "out") == []
