import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pooch
import pytest

from pctlib.data.datasets import LAYOUTS
from pctlib.data.sources import SOURCES, Archive, by_hand, choose, get, missing


def packed(**files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/"), text)
    return content.getvalue()


@pytest.fixture
def server():
    """Serve two archives on 127.0.0.1; `requests` lists the GETs."""
    content = {"/a.zip": packed(annotations__a="a" * 500), "/b.zip": packed(images__1="1", images__2="2")}
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.answer()

        def do_GET(self):
            requests.append(self.path)
            self.wfile.write(self.answer())

        def answer(self):
            body = content.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            return body or b""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    running.url, running.content, running.requests = (
        f"http://127.0.0.1:{running.server_port}",
        content,
        requests,
    )
    yield running
    running.shutdown()
    running.server_close()


def archives(server, **checksums):
    return [Archive(part, f"{server.url}/{part}.zip", checksums.get(part)) for part in ("a", "b")]


def fetch(wanted, root, said, **options):
    found = missing(wanted, root, say=said.append)
    get(found, root, say=said.append, progress=False, pause=0.01, **options)


def test_sizes_are_said_before_anything_is_fetched(server, tmp_path):
    said = []
    wanted = missing(archives(server), tmp_path / "root", say=said.append)
    assert len(wanted) == 2
    assert server.requests == []
    size = len(server.content["/a.zip"])
    assert said[0] == f"a: {server.url}/a.zip ({size} bytes)"
    assert said[2].startswith("together ")
    assert not (tmp_path / "root").exists()
    assert missing([Archive("c", f"{server.url}/c.zip")], tmp_path, say=said.append)
    assert said[-1].endswith("(size unknown)")


def test_archives_are_fetched_checked_unpacked_and_not_again(server, tmp_path):
    said = []
    (tmp_path / "a").write_bytes(server.content["/a.zip"])
    md5 = "md5:" + pooch.file_hash(str(tmp_path / "a"), "md5")
    root = tmp_path / "root"
    fetch(archives(server, a=md5), root, said)
    assert (root / "annotations" / "a").is_file()
    assert (root / "images" / "2").read_text() == "2"
    assert sorted(p.name for p in root.iterdir()) == ["annotations", "downloads.json", "images"]
    assert "checksum agrees, 1 files unpacked" in said[-2]
    assert "gives no checksum, 2 files unpacked" in said[-1]
    fetch(archives(server), root, said)
    assert server.requests == ["/a.zip", "/b.zip"]
    assert "already unpacked" in said[-1]


def test_archives_can_be_kept(server, tmp_path):
    fetch(archives(server), tmp_path, [], keep_archives=True)
    assert (tmp_path / "a.zip").is_file()


def test_first_failure_ends_it_and_keeps_what_was_done(server, tmp_path):
    wanted = archives(server, b="md5:00")
    with pytest.raises(ValueError, match=r"b\.zip: md5 checksum is"):
        fetch(wanted, tmp_path, [])
    said = []
    assert [archive.part for archive in missing(wanted, tmp_path, say=said.append)] == ["b"]


def test_a_page_in_place_of_an_archive_is_named(server, tmp_path):
    server.content["/a.zip"] = b"<html>Please accept the terms</html>"
    with pytest.raises(ValueError, match=r"a\.zip: neither a whole zip nor a tar archive"):
        fetch(archives(server), tmp_path, [])


def test_parts_are_chosen_by_name():
    assert [archive.part for archive in choose("coco", ["val", "annotations"])] == ["annotations", "val"]
    assert len(choose("coco", None)) == 3
    with pytest.raises(ValueError, match="coco has no part 'test'; it offers annotations, val, train"):
        choose("coco", ["test"])
    with pytest.raises(ValueError, match="ochuman has no part 'val'; it offers none"):
        choose("ochuman", ["val"])
    with pytest.raises(ValueError, match="unknown data set 'nope'; known are coco"):
        choose("nope", None)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_can_be_read_and_says_what_to_do(name, tmp_path):
    assert name in LAYOUTS
    source = SOURCES[name]
    assert source.archives or source.steps
    text = by_hand(name, tmp_path)
    assert source.homepage in text
    assert f"Expected below {tmp_path}" in text
    assert len({archive.part for archive in source.archives}) == len(source.archives)
    # every annotation file that the reader looks for first is announced
    for layout in LAYOUTS[name].values():
        assert any(alternative.rpartition("/")[2] in text for alternative in layout.annotations), layout
