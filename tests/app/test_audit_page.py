"""The audit page in a real browser: marked by keyboard alone, opened from a file, its result read back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.cli import main
from models.training.label_files import write_labels
from models.training.labels import Label
from tests.app.browser import CHROMIUM, Browser, chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
    pytest.mark.timeout(400),
]
LABELS = (
    Label("a", "My name is Maria.", ("MY", "NAME", "#MARIA"), ()),
    Label("b", 'She said "</script> & <b>go</b>".', ("SHE", "SAY", "GO"), ()),
    Label("c", "Do you live here?", ("YOU", "LIVE", "HERE"), ()),
)
KEYS = {"Enter": 13, "Tab": 9, "Backspace": 8, "ArrowDown": 40, " ": 32}
CONTRAST = """
(() => {
  const canvas = document.createElement("canvas").getContext("2d");
  const light = color => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = node => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor;
      if (color !== "rgba(0, 0, 0, 0)") return color;
    }
  };
  const ratio = node => {
    const [a, b] = [light(getComputedStyle(node).color), light(behind(node))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const shown = [...document.querySelectorAll("h1, h2, p, legend, small, label, button:enabled, summary, code")];
  return Math.min(...shown.filter(node => node.textContent.trim()).map(ratio));
})()
"""


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.jsonl"
    write_labels(path, LABELS)
    assert main(["labels", "audit", str(path), "--seed", "3"]) == 0
    return path


@pytest.fixture
async def page(labels: Path, tmp_path: Path) -> AsyncIterator[Browser]:
    async with chromium(tmp_path / "profile") as browser:
        await browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "saved"))
        await browser.open(labels.with_suffix(".audit.html").as_uri())
        yield browser


async def press(page: Browser, key: str) -> None:
    """A key as the keyboard sends it, to whatever has the focus."""
    code = KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
    text = {"Enter": "\r", "Tab": "", "Backspace": "", "ArrowDown": ""}.get(key, key)
    down = {"type": "keyDown" if text else "rawKeyDown", "key": key, "windowsVirtualKeyCode": code}
    await page.call("Input.dispatchKeyEvent", **down, **({"text": text} if text else {}))
    await page.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)


async def tab_to(page: Browser, condition: str) -> None:
    for _ in range(40):
        if await page.ask(f"(node => {condition})(document.activeElement)"):
            return
        await press(page, "Tab")
    raise AssertionError(f"the Tab key does not reach: {condition}")


async def saved(folder: Path) -> Path:
    async with asyncio.timeout(30):
        while not (found := list(folder.glob("*.json"))):
            await asyncio.sleep(0.05)  # no event tells of a finished download
    return found[0]


async def test_a_person_marks_by_keyboard_and_the_result_is_read_back(
    page: Browser, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = await page.ask("audit.samples.map(sample => sample.name)")
    assert sorted(order) == ["a", "b", "c"]
    assert await page.text("#where") == "Sentence 1 of 3"
    await tab_to(page, "node.type === 'radio'")
    for key in "rrw":  # the focus goes on by itself, at last to "Next"
        await press(page, key)
    assert await page.ask("document.activeElement.id") == "next"
    await press(page, "Enter")
    assert await page.text("#where") == "Sentence 2 of 3"
    assert await page.ask("document.activeElement.closest('fieldset').textContent.includes('right')")
    await press(page, "w")
    await press(page, "a")  # what is not marked is right
    await press(page, "Enter")
    assert await page.text("#counts") == "4 signs right, 2 wrong, 0 sentences not judged."
    await tab_to(page, "node.id === 'missing'")
    await press(page, "ArrowDown")  # below nothing there is nothing
    await press(page, "2")
    await page.open(labels.with_suffix(".audit.html").as_uri())  # as after a closed browser: nothing is lost
    assert await page.text("#where") == "Sentence 3 of 3"
    assert await page.text("#done") == "2 of 3 finished"
    await tab_to(page, "node.type === 'radio'")
    for key in (" ", "ArrowDown", " ", "Tab", "r", "r"):  # the plain way of radio buttons works as well
        await press(page, key)
    assert await page.text("#done") == "3 of 3 finished"
    await tab_to(page, "node.id === 'save'")
    await press(page, "Enter")
    result = await saved(tmp_path / "saved")
    held = {one["name"]: one for one in json.loads(result.read_text())["samples"]}
    assert held[order[0]]["marks"] == ["right", "right", "wrong"]
    assert held[order[1]]["marks"] == ["wrong", "right", "right"]
    assert held[order[2]]["marks"] == ["wrong", "right", "right"]
    assert held["b"]["english"] == LABELS[1].english and held["b"]["tokens"] == list(LABELS[1].tokens)
    assert held[order[2]]["missing"] in (2, 20) and held[order[0]]["missing"] == 0
    capsys.readouterr()
    assert main(["labels", "result", str(labels), str(result), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["tokens"] == 9 and figures["token_accuracy"] == pytest.approx(6 / 9)


async def test_clicks_mark_and_the_page_asks_no_network(page: Browser) -> None:
    await page.click("fieldset:nth-child(2) input[value=wrong]")
    assert await page.ask("document.querySelector('fieldset:nth-child(2)').dataset.mark") == "wrong"
    await page.click("#skipped")
    assert await page.text("#done") == "1 of 3 finished"
    await page.click("#open")
    assert await page.text("#where") == "Sentence 2 of 3"
    await page.click("#rest")
    assert await page.text("#done") == "2 of 3 finished"
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        got = await page.ask(f"fetch('http://127.0.0.1:{port}/').then(() => 'went', error => error.message)")
    assert got == "Failed to fetch" and asked == [], "the page's own rule forbids it, though somebody would answer"
    assert await page.ask("performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_is_readable_and_named(page: Browser, scheme: str, tmp_path: Path) -> None:
    await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    for number, value in enumerate(("right", "wrong"), 1):
        await page.click(f"fieldset:nth-child({number}) input[value={value}]")
    assert await page.ask(CONTRAST) >= 4.5
    await tab_to(page, "node.type === 'radio'")
    outline = "getComputedStyle(document.activeElement.closest('fieldset')).outlineStyle"
    assert await page.ask(outline) == "solid"
    tree = (await page.call("Accessibility.getFullAXTree"))["nodes"]
    named = [
        (node["role"]["value"], node["name"]["value"]) for node in tree if not node["ignored"] and node.get("name")
    ]
    assert ("group", await page.text("#english")) in named
    first = (await page.ask("audit.samples[0].tokens"))[0]
    assert any(role == "group" and name.startswith(first) for role, name in named)
    for role in ("radio", "button", "spinbutton", "checkbox", "textbox"):
        names = [name for its, name in named if its == role]
        assert names and all(names), role
    await page.screenshot(tmp_path / f"{scheme}.png")


async def test_a_narrow_screen_needs_no_sideways_scrolling(page: Browser, labels: Path) -> None:
    await page.open(labels.with_suffix(".audit.html").as_uri(), width=320, height=640)
    assert await page.ask("document.documentElement.scrollWidth") <= 320
