"""The page at /: what it is made of, and what a user sees of it in a real browser."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import av
import httpx
import pytest

from tests.app import media
from tests.app.browser import CHROMIUM, Browser, chromium
from tests.app.conftest import KEY, RunningServer

WEB = Path(__file__).resolve().parents[2] / "app" / "web"
IS_OVER = "document.querySelector('#stop').disabled"
LISTEN = """
window.said = [];
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (message) {
  said.push(typeof message === "string" ? JSON.parse(message).type : "media");
  return send.call(this, message);
};
"""
in_a_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
    pytest.mark.timeout(400),
]


async def test_the_page_and_its_parts_are_served(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.url("")) as http:
        page = await http.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "https://" not in page.text  # nothing of other hosts
        assert "https://" not in (await http.get("/docs")).text
        for part in ("docs.js", "app.js", "session.js", "sources.js", "view.js", "style.css", "sample.webm"):
            assert (await http.get(f"/{part}")).status_code == 200


def test_the_sample_is_small_and_has_one_frame_a_cluster() -> None:
    data = (WEB / "sample.webm").read_bytes()
    assert len(data) < 300_000
    with av.open(io.BytesIO(data)) as container:
        frames = [frame.time for frame in container.decode(video=0)]
        assert (container.streams.video[0].width, container.streams.video[0].height) == (640, 480)
    assert data.count(b"\x1f\x43\xb6\x75") == len(frames)
    assert 8 < frames[-1] == (len(frames) - 1) / 25 < 20


@pytest.fixture
async def page(server: RunningServer, tmp_path: Path) -> AsyncIterator[Browser]:
    async with chromium(tmp_path / "profile") as browser:
        await browser.open(server.url("/"))
        yield browser


class TestInABrowser:
    pytestmark = in_a_browser

    async def test_the_sample_streams_at_its_pace_with_live_captions(
        self, server: RunningServer, page: Browser
    ) -> None:
        length = await page.ask(
            "import('./sources.js').then(async s => s.clusters(new Uint8Array("
            "await (await fetch('sample.webm')).arrayBuffer())).at(-1).at_ms)"
        )
        assert 8_000 < length < 20_000
        await page.ask("window.begun = performance.now()")
        await page.click("#sample")
        await page.until("!document.querySelector('#draft').hidden")
        assert await page.ask("performance.now() - begun") < length
        assert "still changing" in await page.text("#draft")
        assert await page.text("#over")
        await page.until("document.querySelector('#captions li')")
        first = await page.text("#captions li")
        assert " %" in first and "still changing" not in first
        await page.until(IS_OVER)
        assert await page.ask("performance.now() - begun") > length
        assert await page.text("#captions li") == first
        assert await page.text("#alert") == ""
        assert not await page.ask("document.querySelector('#vtt').disabled")

    async def test_the_camera_and_stop(self, page: Browser) -> None:
        await page.ask(LISTEN)
        await page.click("#camera")
        await page.until("!document.querySelector('#draft').hidden")
        assert await page.ask("document.querySelector('#sample').disabled")
        await page.click("#stop")
        await page.until(IS_OVER)
        assert await page.ask("said.indexOf('close') > said.lastIndexOf('media')"), "the last slice comes before"
        assert (await page.text("#status")).startswith("Done.")
        assert await page.ask("document.querySelector('#video').srcObject === null")

    async def test_a_browser_that_cannot_record_says_so_and_lets_the_camera_go(self, page: Browser) -> None:
        await page.ask("MediaRecorder.isTypeSupported = () => false")
        await page.click("#camera")
        await page.until("!document.querySelector('#alert').hidden")
        assert "this browser cannot record video" in await page.text("#alert")
        assert await page.ask("document.querySelector('#video').srcObject === null")
        assert await page.ask(IS_OVER)

    async def test_a_file_and_what_is_none(self, page: Browser, tmp_path: Path) -> None:
        no_video = tmp_path / "notes.mp4"
        no_video.write_bytes(b"hello " * 1000)
        await page.choose_file("#file", no_video)
        await page.until("!document.querySelector('#alert').hidden")
        assert "choose a WebM or MP4" in await page.text("#alert")
        clip = tmp_path / "clip.webm"
        clip.write_bytes(media.video("webm_file", frames=75))
        await page.choose_file("#file", clip)
        await page.until("document.querySelector('#captions li')")
        await page.until(IS_OVER)
        assert await page.ask("document.querySelector('#alert').hidden")

    async def test_a_key_is_asked_for_and_taken(self, page: Browser, keyed: None) -> None:
        await page.click("#sample")
        await page.until("!document.querySelector('#alert').hidden")
        assert "API key" in await page.text("#alert")
        assert await page.text("#status") == "Stopped."
        await page.ask(f"document.querySelector('#key').value = '{KEY}'")
        await page.click("#sample")
        await page.until("!document.querySelector('#draft').hidden")
        await page.click("#stop")
        await page.until(IS_OVER)
        assert await page.ask("document.querySelector('#alert').hidden")

    async def test_the_api_is_described(self, server: RunningServer, page: Browser) -> None:
        await page.open(server.url("/docs"), 360, 740)
        await page.until("document.querySelectorAll('section').length > 5")
        shown = await page.text("#routes")
        for said in (
            "POST /v1/translations",
            "GET /v1/live",
            "client says: session.start",
            "server says: caption",
            "endpoint_ms",
            "not_a_video",
            "4415",
        ):
            assert said in shown
        assert await page.ask("document.documentElement.scrollWidth <= innerWidth")

    async def test_it_fits_a_phone_and_reads_without_sight(self, server: RunningServer, page: Browser) -> None:
        await page.open(server.url("/?phone"), 360, 740)
        assert await page.ask("document.documentElement.scrollWidth <= innerWidth")
        unnamed = await page.ask(
            "[...document.querySelectorAll('button, input')].filter(e => !e.textContent.trim() && !e.labels?.length).length"
        )
        assert unnamed == 0
        assert await page.ask("document.querySelector('#captions').ariaLive") == "polite"
        assert await page.ask("document.querySelector('#draft').closest('[aria-live]') === null")
