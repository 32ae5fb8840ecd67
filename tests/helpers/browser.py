"""Opening pages in headless Chromium through the DevTools protocol: what a static check cannot see."""

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websocket import WebSocket, create_connection

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)
AUDIT = Path(__file__).with_name("audit.js").read_text(encoding="utf-8")
START_S, LOAD_S = 30.0, 60.0


def find_chromium() -> str | None:
    """Return the path of an installed Chromium or Chrome; None if there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


@dataclass
class Visit:
    """What a browser saw on one page.

    Attributes:
        console: errors and warnings of the console, and uncaught exceptions.
        requests: addresses outside the machine that the page asked for.
        problems: overflow, unreadable contrast, broken pictures and anchors.
        screenshot: the whole page as PNG; empty if none was asked for.
    """

    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    screenshot: bytes = b""

    @property
    def all_problems(self) -> list[str]:
        """Return everything that should not be, one sentence each."""
        return [
            *(f"console: {text}" for text in self.console),
            *(f"request: {url}" for url in self.requests),
            *self.problems,
        ]


class Browser:
    """One tab of a running Chromium; made by `open_browser`."""

    def __init__(self, connection: WebSocket) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._events: list[dict] = []
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = ""
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._send(f"{domain}.enable")

    def visit(
        self, path: str | Path, *, width: int = 1280, dark: bool = False, screenshot: bool = False
    ) -> Visit:
        """Open a page and report what is wrong with it.

        Args:
            path: the HTML file.
            width: of the window in CSS pixels; 500 and less is a phone.
            dark: whether the reader prefers dark pages.
            screenshot: whether to take a picture of the whole page.

        Raises:
            FileNotFoundError: if there is no such file: the browser's own page about that has no faults.
            TimeoutError: if the page does not finish loading.
        """
        address = Path(path).resolve(strict=True).as_uri()
        phone, theme = width <= 500, "dark" if dark else "light"
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": phone}
        self._send("Emulation.setDeviceMetricsOverride", **metrics)
        feature = {"name": "prefers-color-scheme", "value": theme}
        self._send("Emulation.setEmulatedMedia", features=[feature])
        self._events.clear()
        self._send("Page.navigate", url=address)
        self._wait_for("Page.loadEventFired")
        problems = json.loads(self.evaluate(AUDIT))
        image = self._screenshot() if screenshot else b""
        return Visit(_console(self._events), _requests(self._events), problems, image)

    def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression in the page; promises are awaited."""
        options = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self._send("Runtime.evaluate", **options)
        if "exceptionDetails" in answer:
            raise ValueError(f"the script failed in the page: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def _screenshot(self) -> bytes:
        size = self._send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        answer = self._send("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(answer["data"])

    def _send(self, method: str, **params: Any) -> dict:
        """Send a command and return its result; events that come meanwhile are kept."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if getattr(self, "_session", ""):
            message["sessionId"] = self._session
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv())
            if answer.get("id") == number:
                break
            self._events.append(answer)
        if "error" in answer:
            raise ValueError(f"{method}: {answer['error']}")
        return answer["result"]

    def _wait_for(self, method: str) -> None:
        deadline = time.monotonic() + LOAD_S
        while not any(event.get("method") == method for event in self._events):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the page did not finish within {LOAD_S:.0f} s: no {method}")
            self._events.append(json.loads(self._connection.recv()))


@contextmanager
def open_browser(executable: str) -> Iterator[Browser]:
    """Start a headless Chromium with a fresh profile, give a tab of it, and end it.

    Args:
        executable: from `find_chromium`.

    Raises:
        TimeoutError: if it does not start.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [executable, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            connection = create_connection(_address(Path(profile), process), timeout=LOAD_S)
            yield Browser(connection)
            connection.close()
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(profile: Path, process: subprocess.Popen) -> str:
    """Return the address of the DevTools socket, which Chromium writes into its profile."""
    file, deadline = profile / "DevToolsActivePort", time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.05)
    raise TimeoutError(f"Chromium did not start within {START_S:.0f} s (exit code {process.poll()})")


def _console(events: list[dict]) -> list[str]:
    messages = []
    for event in events:
        values = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            messages.append(str(values["exceptionDetails"].get("text")))
        elif event.get("method") == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            messages.append(values["entry"]["text"])
        elif event.get("method") == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning"):
            messages.append(" ".join(str(argument.get("value")) for argument in values["args"]))
    return messages


def _requests(events: list[dict]) -> list[str]:
    """Return the addresses of requests that are neither for a file nor for data inside the page."""
    sent = [event for event in events if event.get("method") == "Network.requestWillBeSent"]
    urls = [event["params"]["request"]["url"] for event in sent]
    return [url for url in urls if not url.startswith(("file:", "data:", "blob:", "about:"))]
