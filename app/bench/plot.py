"""The curve over N as a drawing: lag, frames a second, processor. Plain SVG text; nothing is needed to write it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from models.clock import FRAME_RATE_HZ

WIDTH, HEIGHT = 720, 820
LEFT, RIGHT, PANEL_HEIGHT = 70, 690, 200
LAG_TOP, RATE_TOP, PROCESSOR_TOP = 50, 310, 570
TICKS = 5
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#333}.title{font-size:15px;font-weight:600}.axis{stroke:#999}"
    ".grid{stroke:#e5e5e5}.p50{stroke:#1f77b4;fill:none}.p95{stroke:#d62728;fill:none}.rate{stroke:#2ca02c;fill:none}"
    ".range{stroke:#d62728;opacity:.5}.server{stroke:#1f77b4;fill:none}.generator{stroke:#ff7f0e;fill:none}"
    ".idle{stroke:#7f7f7f;fill:none}.goal{stroke:#777;stroke-dasharray:5 4;fill:none}polyline{stroke-width:2}"
)


@dataclass(frozen=True)
class Line:
    """`points` are (streams, value), `ranges` (streams, lowest, highest); `style` is a class of STYLE."""

    name: str
    style: str
    points: list[tuple[float, float]]
    ranges: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True)
class Panel:
    """One chart: values from 0 to `highest`, its upper edge at `top`; streams from 0 to `most`."""

    title: str
    top: float
    most: float
    highest: float

    def place(self, streams: float, value: float) -> tuple[float, float]:
        """Where on the page a point lies; what is higher than the panel lies on its edge."""
        across = LEFT + (RIGHT - LEFT) * streams / self.most
        return across, self.top + PANEL_HEIGHT * (1 - min(value, self.highest) / self.highest)

    def drawn(self, lines: Sequence[Line]) -> str:
        return "\n".join([self._axes(), *(self._line(line) for line in lines), self._legend(lines)])

    def _axes(self) -> str:
        bottom = self.top + PANEL_HEIGHT
        parts = [text(LEFT, self.top - 12, self.title)]
        for value in ticks(self.highest):
            _, y = self.place(0, value)
            parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{RIGHT}" y2="{y:.1f}"/>')
            parts.append(text(LEFT - 8, y + 4, f"{value:g}", "end"))
        for streams in ticks(self.most):
            x, _ = self.place(streams, 0)
            parts.append(text(x, bottom + 18, f"{streams:g}", "middle"))
        parts.append(
            f'<polyline class="axis" fill="none" points="{LEFT},{self.top} {LEFT},{bottom} {RIGHT},{bottom}"/>'
        )
        return "\n".join(parts)

    def _line(self, line: Line) -> str:
        placed = [self.place(*point) for point in line.points]
        path = f'<polyline class="{line.style}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in placed)}"/>'
        if line.style == "goal":
            return path
        dots = (f'<circle class="{line.style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in placed)
        return path + "".join(dots) + "".join(self._range(*one) for one in line.ranges)

    def _range(self, streams: float, lowest: float, highest: float) -> str:
        (x, bottom), (_, top) = self.place(streams, lowest), self.place(streams, highest)
        return f'<line class="range" x1="{x:.1f}" y1="{bottom:.1f}" x2="{x:.1f}" y2="{top:.1f}"/>'

    def _legend(self, lines: Sequence[Line]) -> str:
        parts = []
        for index, line in enumerate(lines):
            x = RIGHT - 150 * (len(lines) - index)
            y = self.top - 16
            parts.append(f'<line class="{line.style}" x1="{x}" y1="{y}" x2="{x + 22}" y2="{y}"/>')
            parts.append(text(x + 28, y + 4, line.name))
        return "".join(parts)


def curve_svg(curve: Sequence[Mapping[str, Any]], goal_lag_ms: float, title: str) -> str:
    """Of the levels, over the number of streams: lag (p50, p95 and its range over the rounds), frames worked off a second, and
    what the server, the load generator and nobody had of the processor."""
    most = float(max(level["streams"] for level in curve))
    drawings = [lag_panel(curve, goal_lag_ms, most), rate_panel(curve, most), processor_panel(curve, most)]
    body = "\n".join([text(LEFT, 22, title, style="title"), *drawings, text(380, HEIGHT - 8, "live streams", "middle")])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">\n'
        f'<style>{STYLE}</style>\n<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def lag_panel(curve: Sequence[Mapping[str, Any]], goal_ms: float, most: float) -> str:
    """Up to four times the goal; what is later lies on the edge."""
    middle, late = points(curve, "compute_lag_ms_p50"), points(curve, "compute_lag_ms_p95")
    lows, highs = dict(points(curve, "compute_lag_ms_p95_low")), dict(points(curve, "compute_lag_ms_p95_high"))
    ranges = tuple((streams, low, highs[streams]) for streams, low in lows.items())
    highest_ms = min(4 * goal_ms, max([goal_ms, *highs.values(), *(value for _, value in middle + late)]) * 1.1)
    goal = Line("goal", "goal", [(0.0, goal_ms), (most, goal_ms)])
    lines = [Line("p50", "p50", middle), Line("p95", "p95", late, ranges), goal]
    return Panel("lag, ms", LAG_TOP, most, round_up(highest_ms)).drawn(lines)


def rate_panel(curve: Sequence[Mapping[str, Any]], most: float) -> str:
    sent = Line("sent", "goal", [(0.0, 0.0), (most, FRAME_RATE_HZ * most)])
    lines = [Line("worked off", "rate", points(curve, "frames_per_s")), sent]
    return Panel("frames a second", RATE_TOP, most, round_up(FRAME_RATE_HZ * most)).drawn(lines)


def processor_panel(curve: Sequence[Mapping[str, Any]], most: float) -> str:
    shares = {"server": "server_cpu_share", "generator": "generator_cpu_share", "idle": "idle_cpu_share"}
    lines = [
        Line(name, name, [(streams, 100 * share) for streams, share in points(curve, figure)])
        for name, figure in shares.items()
    ]
    return Panel("processor, %", PROCESSOR_TOP, most, 100.0).drawn(lines)


def points(curve: Sequence[Mapping[str, Any]], figure: str) -> list[tuple[float, float]]:
    """(streams, figure) of the levels that have it, by streams."""
    found = [(float(level["streams"]), float(level[figure])) for level in curve if level.get(figure) is not None]
    return sorted((streams, value) for streams, value in found if math.isfinite(value))


def ticks(highest: float) -> list[float]:
    """About TICKS round numbers from 0 to `highest`."""
    raw = highest / TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    return [step * index for index in range(int(highest / step + 0.001) + 1)]


def round_up(highest: float) -> float:
    """The next tick at or above."""
    step = ticks(highest)[1]
    return step * math.ceil(highest / step - 0.001)


def text(x: float, y: float, words: str, anchor: str = "start", style: str = "label") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
