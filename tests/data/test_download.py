import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from pctlib.data import download
from pctlib.data.download import ask_remote, fetch, readable_size

BODY = np.random.default_rng(7).bytes(300_000)  # several chunks
MD5 = "md5:" + hashlib.md5(BODY).hexdigest()
FAST = {"timeout": 0.3, "pause": 0.01, "progress": False}


class _Handler(BaseHTTPRequestHandler):
    """Serves `BODY`; each GET takes the next behaviour from the server's script, the last one stays."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        if not self.server.answers_head:
            self._refuse(405)
            return
        self._start(200, len(self.server.body))

    def do_GET(self):
        script = self.server.script
        behaviour = script.pop(0) if len(script) > 1 else script[0]
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if behaviour in (404, 500, 503):
            self._refuse(behaviour)
            return
        body, start = self.server.body, 0
        same = self.headers.get("If-Range") in (None, self.server.etag)
        if asked and same and behaviour != "no ranges":
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self._refuse(416)
                return
            shown = start + 5 if behaviour == "wrong range" else start
            self._start(206, len(body) - start, f"bytes {shown}-{len(body) - 1}/{len(body)}")
        else:
            self._start(200, len(body))
        rest = body[start:]
        if behaviour in ("truncate", "stall"):
            self.wfile.write(rest[: max(len(rest) // 2, 1)])
            self.wfile.flush()
            if behaviour == "stall":
                self.server.released.wait(3)
            self.close_connection = True
        else:
            self.wfile.write(rest)

    def _start(self, status, length, content_range=None):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()

    def _refuse(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def serve():
    """Return a context manager that serves BODY on 127.0.0.1 with the given behaviours, one a request."""

    @contextmanager
    def run(*script, etag='"v1"', answers_head=True):
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.script, server.ranges, server.body = list(script), [], BODY
        server.handle_error = lambda *_: None  # a client that goes away is no fault
        server.etag, server.answers_head, server.released = etag, answers_head, threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        server.url = f"http://127.0.0.1:{server.server_port}/data.zip"
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            server.server_close()
            thread.join()

    return run


def left_over(folder):
    return sorted(p.name for p in folder.iterdir())


def test_file_arrives_whole_and_alone(serve, tmp_path):
    with serve("ok") as server:
        assert ask_remote(server.url) == download.RemoteInfo(300_000, '"v1"')
        assert fetch(server.url, tmp_path / "data.zip", checksum=MD5, **FAST).read_bytes() == BODY
    assert left_over(tmp_path) == ["data.zip"]


def test_file_that_is_there_is_checked_and_not_fetched_again(serve, tmp_path):
    (tmp_path / "data.zip").write_bytes(BODY)
    with serve("ok") as server:
        fetch(server.url, tmp_path / "data.zip", checksum=MD5, **FAST)
        assert server.ranges == []


def test_server_error_is_tried_again(serve, tmp_path):
    with serve(500, 503, "ok") as server:
        assert fetch(server.url, tmp_path / "data.zip", **FAST).read_bytes() == BODY
        assert len(server.ranges) == 3


def test_server_that_keeps_failing_is_named_with_its_answer(serve, tmp_path):
    with serve(500) as server, pytest.raises(ConnectionError, match=r"data\.zip: gave up after 2 tries.*500"):
        fetch(server.url, tmp_path / "data.zip", attempts=2, **FAST)
    assert left_over(tmp_path) == []


def test_wrong_address_is_not_tried_again(serve, tmp_path):
    with serve(404) as server:
        with pytest.raises(ConnectionError, match=r"data\.zip: the server answers 404"):
            fetch(server.url, tmp_path / "data.zip", **FAST)
        assert len(server.ranges) == 1
    assert left_over(tmp_path) == []
    with pytest.raises(ValueError, match="not an http address: 'ftp:"):
        fetch("ftp://127.0.0.1/data.zip", tmp_path / "data.zip", **FAST)


def test_nobody_listens(tmp_path):
    with pytest.raises(ConnectionError, match="gave up after 1 tries, the last could not be made"):
        fetch("http://127.0.0.1:9/data.zip", tmp_path / "data.zip", attempts=1, **FAST)


def test_truncated_answers_are_resumed_by_range(serve, tmp_path):
    with serve("truncate", "truncate", "ok") as server:
        assert fetch(server.url, tmp_path / "data.zip", checksum=MD5, **FAST).read_bytes() == BODY
        assert server.ranges[0] is None
        starts = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in server.ranges[1:]]
        assert 0 < starts[0] <= 150_000 < starts[1]


def test_partial_file_of_an_earlier_call_is_resumed(serve, tmp_path):
    with (
        serve("truncate") as server,
        pytest.raises(ConnectionError, match=r"broke off.*are kept in .*\.part"),
    ):
        fetch(server.url, tmp_path / "data.zip", attempts=1, **FAST)
    assert left_over(tmp_path) == ["data.zip.part", "data.zip.part.version"]
    with serve("ok") as server:
        assert fetch(server.url, tmp_path / "data.zip", checksum=MD5, **FAST).read_bytes() == BODY
        assert server.ranges[0].startswith("bytes=")
    assert left_over(tmp_path) == ["data.zip"]


def test_finished_partial_file_needs_no_transfer(serve, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(BODY)
    with serve("ok", etag=None) as server:
        fetch(server.url, tmp_path / "data.zip", checksum=MD5, **FAST)
        assert server.ranges == []


@pytest.mark.parametrize("excess", [0, 10])
def test_partial_file_that_is_too_long_is_thrown_away(serve, tmp_path, excess):
    (tmp_path / "data.zip.part").write_bytes(b"x" * (len(BODY) + excess))
    with serve("ok") as server:
        assert fetch(server.url, tmp_path / "data.zip", **FAST).read_bytes() == BODY
        assert server.ranges == [f"bytes={len(BODY) + excess}-", None]  # 416, then afresh


def test_changed_version_is_not_glued_to_the_old_part(serve, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(b"old" * 100)
    (tmp_path / "data.zip.part.version").write_text('"v0"')
    with serve("ok") as server:
        assert fetch(server.url, tmp_path / "data.zip", **FAST).read_bytes() == BODY


@pytest.mark.parametrize("behaviour", ["no ranges", "wrong range"])
def test_server_without_sound_ranges(serve, tmp_path, behaviour):
    (tmp_path / "data.zip.part").write_bytes(BODY[:1000])
    with serve(behaviour) as server:
        if behaviour == "no ranges":
            assert fetch(server.url, tmp_path / "data.zip", **FAST).read_bytes() == BODY
        else:
            with pytest.raises(ConnectionError, match="asked for the bytes from 1000, got 'bytes 1005-"):
                fetch(server.url, tmp_path / "data.zip", attempts=1, **FAST)


def test_stalled_server_ends_with_a_clear_error_and_keeps_what_came(serve, tmp_path):
    with (
        serve("stall") as server,
        pytest.raises(ConnectionError, match=r"stalled for 0\.3 s; 1[0-9.]+ kB are kept"),
    ):
        fetch(server.url, tmp_path / "data.zip", attempts=1, **FAST)


def test_stalled_server_is_resumed(serve, tmp_path):
    with serve("stall", "ok") as server:
        assert fetch(server.url, tmp_path / "data.zip", checksum=MD5, **FAST).read_bytes() == BODY
        assert server.ranges[1] is not None


@pytest.mark.parametrize("there", [False, True])
def test_wrong_checksum_names_both_and_removes_the_file(serve, tmp_path, there):
    if there:
        (tmp_path / "data.zip").write_bytes(BODY)
    with serve("ok") as server, pytest.raises(ValueError, match=rf"md5 checksum is {MD5[4:]}, expected 00ff"):
        fetch(server.url, tmp_path / "data.zip", checksum="md5:00ff", **FAST)
    assert left_over(tmp_path) == []


def test_server_that_refuses_head_still_serves(serve, tmp_path):
    with serve("ok", answers_head=False) as server:
        assert ask_remote(server.url).size is None
        assert fetch(server.url, tmp_path / "data.zip", checksum=MD5, **FAST).read_bytes() == BODY


def test_full_disk_is_noticed_before_the_transfer(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with serve("ok") as server:
        with pytest.raises(OSError, match=r"300\.0 kB are needed for data\.zip .*1\.0 kB are free"):
            fetch(server.url, tmp_path / "data.zip", **FAST)
        assert server.ranges == []


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 bytes"), (1000, "1.0 kB"), (815_585_330, "815.6 MB"), (1.2e13, "12.0 TB")]
)
def test_readable_size(count, text):
    assert readable_size(count) == text
