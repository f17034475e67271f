"""A headless Chromium, driven over its DevTools protocol; nothing to install but the browser.

The websocket client is Tornado's, which Bokeh brings along.
"""

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
PATIENCE = 60.0  # seconds until a silent browser counts as broken


class Tab:
    """One tab, cut off from the network; what it asked for and complained about is kept."""

    def __init__(self, address: str) -> None:
        from tornado.websocket import websocket_connect

        self.loop = asyncio.new_event_loop()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.last = 0

        async def connect() -> Any:
            return await websocket_connect(address, max_message_size=1 << 28)

        self.socket = self.loop.run_until_complete(connect())
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call(
            "Network.emulateNetworkConditions",
            offline=True,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come meanwhile are noted."""
        self.last += 1
        message = json.dumps({"id": self.last, "method": method, "params": params})

        async def answer() -> dict[str, Any]:
            await self.socket.write_message(message)
            while True:
                text = await asyncio.wait_for(self.socket.read_message(), PATIENCE)
                assert text is not None, "the browser closed the connection"
                said = json.loads(text)
                if said.get("id") == self.last:
                    assert "error" not in said, f"{method}: {said['error']}"
                    return dict(said["result"])
                self._note(said["method"], said["params"])

        return self.loop.run_until_complete(answer())

    def _note(self, event: str, params: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"])[:2000])
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(
                " ".join(str(a.get("value", a.get("description"))) for a in params["args"])
            )
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])

    def emulate(self, width: int = 1400, height: int = 1000, scheme: str = "light", media: str = "") -> None:
        """Set the size of the window, the reader's colour scheme and the medium."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=width < 600)
        self.call(
            "Emulation.setEmulatedMedia",
            media=media,
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def open(self, path: Path) -> None:
        """Open a report and wait until its charts are painted."""
        self.call("Page.navigate", url=path.as_uri())
        self.wait("document.documentElement?.dataset.painted !== undefined")

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        until = time.monotonic() + PATIENCE
        while not self.run(condition):
            assert time.monotonic() < until, f"never true: {condition}; {self.complaints}"
            time.sleep(0.05)

    def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; promises are awaited."""
        done = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag the mouse from one point of the window to another."""
        steps = [("mouseMoved", start, 0), ("mousePressed", start, 1)]
        steps += [
            ("mouseMoved", ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2), 1),
            ("mouseMoved", end, 1),
        ]
        for kind, (x, y), buttons in [*steps, ("mouseReleased", end, 0)]:
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1
            )

    def picture(self, path: Path) -> None:
        """Save the whole page as a PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(base64.b64decode(data))

    def pdf(self) -> bytes:
        """Print the page."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=False)["data"])

    def close(self) -> None:
        """Hang up; outside its loop the socket would make another, which nobody closes."""

        async def hang_up() -> None:
            self.socket.close()
            await asyncio.sleep(0.05)

        self.loop.run_until_complete(hang_up())
        self.loop.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[str]:
    """Start a browser; yields the address of its first tab."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("needs a Chromium (or Chrome) on the PATH")
    pytest.importorskip("tornado")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield _first_tab(Path(profile, "DevToolsActivePort"))
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _first_tab(port_file: Path) -> str:
    from urllib.request import ProxyHandler, build_opener

    until = time.monotonic() + PATIENCE
    while not (port_file.is_file() and port_file.read_text().count("\n")):
        assert time.monotonic() < until, "the browser did not start"
        time.sleep(0.05)
    port = int(port_file.read_text().split()[0])
    with build_opener(ProxyHandler({})).open(
        f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE
    ) as answer:
        tabs = json.load(answer)
    return str(next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"))


@pytest.fixture
def tab(chromium: str) -> Iterator[Tab]:
    """Yield the browser's tab, on a wide, light screen and without a network."""
    tab = Tab(chromium)
    tab.emulate()
    try:
        yield tab
    finally:
        tab.close()
