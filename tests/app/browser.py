"""A real Chromium without a window, spoken to by its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--disable-dev-shm-usage", "--mute-audio",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", "--remote-debugging-port=0", "about:blank",
]  # fmt: skip
START_S, PATIENCE_S = 60.0, 120.0


class Browser:
    """One page."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection, self._numbers = connection, itertools.count(1)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its result."""
        number = next(self._numbers)
        await self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        async with asyncio.timeout(PATIENCE_S):
            while (answer := json.loads(await self._connection.recv())).get("id") != number:
                continue
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    async def open(self, url: str, width: int = 1280, height: int = 860) -> None:
        """Shows `url`; returns when it and its modules are loaded."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        await self.call("Page.navigate", url=url)
        await self.until(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    async def ask(self, expression: str) -> Any:
        """The value of JavaScript, a promise's once it is kept."""
        answer = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, condition: str) -> None:
        """Waits in the page, which looks every 20 ms, until the condition holds."""
        end_ms = int(1000 * PATIENCE_S) - 5_000
        held = await self.ask(
            f"new Promise(done => {{ const end = Date.now() + {end_ms}; (function look() {{"
            f" if ({condition}) done(true); else if (Date.now() > end) done(false); else setTimeout(look, 20); }})(); }})"
        )
        assert held, f"the page did not come to: {condition}"

    async def click(self, selector: str) -> None:
        """As a user's click, so that the page may play video."""
        call = f"document.querySelector({json.dumps(selector)}).click()"
        await self.call("Runtime.evaluate", expression=call, userGesture=True)

    async def text(self, selector: str) -> str:
        return str(await self.ask(f"document.querySelector({json.dumps(selector)}).textContent"))

    async def choose_file(self, selector: str, path: Path) -> None:
        root = (await self.call("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.call("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    async def screenshot(self, path: Path) -> None:
        data = (await self.call("Page.captureScreenshot", format="png"))["data"]
        path.write_bytes(base64.b64decode(data))


@asynccontextmanager
async def chromium(profile: Path, *flags: str) -> AsyncIterator[Browser]:
    """A started browser with an empty page; it ends with the block."""
    assert CHROMIUM is not None, "there is no Chromium"
    command = [CHROMIUM, f"--user-data-dir={profile}", *flags, *FLAGS]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            port = await _debugging_port(profile / "DevToolsActivePort", process)
            async with httpx.AsyncClient() as http:
                targets = (await http.get(f"http://127.0.0.1:{port}/json/list")).json()
            page = next(target for target in targets if target["type"] == "page")
            async with connect(page["webSocketDebuggerUrl"], max_size=1 << 26, open_timeout=START_S) as connection:
                browser = Browser(connection)
                for domain in ("Page", "Runtime", "DOM"):
                    await browser.call(f"{domain}.enable")
                yield browser
        finally:
            process.kill()


async def _debugging_port(file: Path, process: subprocess.Popen[bytes]) -> int:
    """The port that the browser writes into its profile when it listens; no event tells of it."""
    async with asyncio.timeout(START_S):
        while not (file.exists() and file.read_text().strip()):
            assert process.poll() is None, f"Chromium ended with {process.returncode}"
            await asyncio.sleep(0.05)
    return int(file.read_text().splitlines()[0])
