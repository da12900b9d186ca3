"""Plots as inline SVG: colours come from the page's style, so that they follow light and dark; every plot has a title and a
description for those who do not see it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from markupsafe import Markup, escape

WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 48, 26, 22, 42
_numbers = count(1)


@dataclass(frozen=True)
class Axis:
    """A range of values, what they are, the marks on it, and how a mark is written."""

    label: str
    low: float
    high: float
    marks: tuple[float, ...]
    form: str = "{:g}"


@dataclass(frozen=True)
class Line:
    """Points that belong together; `style` is a class of the page: first, second, ideal. `dots`: without a line."""

    name: str
    points: Sequence[tuple[float, float]]
    style: str
    dots: bool = False


SHARE = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
STEPS = (0.02, 0.05, 0.1, 0.2, 0.25, 0.5)


def shares_to(most: float, label: str) -> Axis:
    """An axis of shares from 0 to the first even mark that is not under `most`, with at most six marks."""
    step = next((step for step in STEPS if most <= 5 * step), 1.0)
    marks = max(1, math.ceil(most / step - 1e-9))
    return Axis(label, 0, marks * step, tuple(mark * step for mark in range(marks + 1)), "{:.0%}")


def mark_text(axis: Axis, mark: float) -> str:
    """The mark as it is written; a blank before the percent sign as in the text."""
    return axis.form.format(mark).replace("%", " %")


class Frame:
    """Places values in a picture, with axes and marks."""

    def __init__(self, across: Axis, up: Axis, width: int = WIDTH, height: int = HEIGHT) -> None:
        self.across, self.up, self.width, self.height = across, up, width, height

    def x(self, value: float) -> float:
        share = (value - self.across.low) / (self.across.high - self.across.low)
        return round(LEFT + share * (self.width - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.up.low) / (self.up.high - self.up.low)
        return round(self.height - BOTTOM - share * (self.height - TOP - BOTTOM), 1)

    def grid(self) -> list[str]:
        """Lines, marks and names of both axes."""
        floor, right = self.height - BOTTOM, self.width - RIGHT
        parts = []
        for mark in self.up.marks:
            y = self.y(mark)
            parts.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{right}" y2="{y}"/>')
            parts.append(
                f'<text class="mark" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{mark_text(self.up, mark)}</text>'
            )
        for mark in self.across.marks:
            text = mark_text(self.across, mark)
            parts.append(f'<text class="mark" x="{self.x(mark)}" y="{floor + 16}" text-anchor="middle">{text}</text>')
        parts.append(f'<line class="axis" x1="{LEFT}" y1="{floor}" x2="{right}" y2="{floor}"/>')
        middle = (LEFT + right) / 2
        parts.append(f'<text class="label" x="{middle}" y="{self.height - 6}" text-anchor="middle">'
                     f"{escape(self.across.label)}</text>")  # fmt: skip
        return parts


def picture(title: str, description: str, parts: Sequence[str], width: int, height: int) -> Markup:
    """The parts as one SVG."""
    number = next(_numbers)
    wide = " wide-plot" if width > WIDTH else ""
    return Markup(
        f'<svg class="plot{wide}" role="img" viewBox="0 0 {width} {height}"'
        f' aria-labelledby="plot{number}t plot{number}d">'
        f'<title id="plot{number}t">{escape(title)}</title><desc id="plot{number}d">{escape(description)}</desc>'
        + "".join(parts)
        + "</svg>"
    )


def lines(title: str, description: str, across: Axis, up: Axis, drawn: Sequence[Line]) -> Markup:
    """Lines or dots in one frame, the legend above them where there is more than one."""
    frame = Frame(across, up)
    parts = frame.grid()
    for line in drawn:
        places = [(frame.x(x), frame.y(y)) for x, y in line.points]
        if line.dots:
            parts += [f'<circle class="{line.style}" cx="{x}" cy="{y}" r="4"/>' for x, y in places]
        else:
            path = " ".join(f"{x},{y}" for x, y in places)
            parts.append(f'<polyline class="line {line.style}" points="{path}"/>')
    return picture(title, description, [*parts, *_legend(drawn)], WIDTH, HEIGHT)


def _legend(drawn: Sequence[Line]) -> list[str]:
    if len(drawn) < 2:
        return []
    parts, x = [], LEFT + 8.0
    for line in drawn:
        parts.append(f'<line class="line {line.style}" x1="{x}" y1="8" x2="{x + 18}" y2="8"/>')
        parts.append(f'<text class="mark" x="{x + 23}" y="12">{escape(line.name)}</text>')
        x += 40 + 7 * len(line.name)
    return parts


def columns(title: str, description: str, across: Axis, shares: Sequence[float], up: Axis) -> Markup:
    """A histogram: equal bins over the whole of `across`."""
    frame = Frame(across, up)
    wide = (across.high - across.low) / len(shares)
    parts = frame.grid()
    for number, share in enumerate(shares):
        left, right = frame.x(across.low + number * wide), frame.x(across.low + (number + 1) * wide)
        top = frame.y(share)
        parts.append(f'<rect class="bar first" x="{left + 1}" y="{top}" width="{max(1.0, right - left - 2):.1f}" '
                     f'height="{frame.y(0) - top:.1f}"/>')  # fmt: skip
    return picture(title, description, parts, WIDTH, HEIGHT)


def bars(title: str, description: str, rows: Sequence[tuple[str, float, float]], label: str) -> Markup:
    """(name, value, upper value): a bar to the value and a thin one on to the upper value, one row each."""
    height, left, right = 34 * len(rows) + 30, 120, 90
    most = max((upper for _, _, upper in rows), default=1.0) or 1.0
    scale = (WIDTH - left - right) / most
    parts = []
    for number, (name, value, upper) in enumerate(rows):
        y = 8 + 34 * number
        end = left + scale * upper
        parts.append(f'<text class="name" x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="bar second" x="{left}" y="{y + 8}" width="{scale * upper:.1f}" height="4"/>')
        parts.append(f'<rect class="bar first" x="{left}" y="{y}" width="{scale * value:.1f}" height="20" rx="2"/>')
        parts.append(f'<text class="mark" x="{end + 6:.1f}" y="{y + 15}">{value:.0f} / {upper:.0f}</text>')
    parts.append(f'<text class="label" x="{left}" y="{height - 6}">{escape(label)}</text>')
    return picture(title, description, parts, WIDTH, height)


Span = tuple[str, float, float]
"""(text or style, from second, to second)"""


@dataclass(frozen=True)
class Trace:
    """One clip over time: alpha (second, value), rows of bands under each other (name, spans of a style), words above."""

    length_s: float
    alpha: Sequence[tuple[float, float]]
    bands: Sequence[tuple[str, Sequence[Span]]]
    words: Sequence[Span]


def trace(title: str, description: str, shown: Trace) -> Markup:
    """Alpha over time, with what was shown and what was found above it."""
    width, height, over = 720, 264, 52
    marks = tuple(float(second) for second in range(int(shown.length_s) + 1))
    frame = Frame(Axis("seconds", 0, shown.length_s, marks), Axis("alpha", 0, 1, (0, 0.5, 1)), width, height - over)
    path = " ".join(f"{frame.x(second)},{frame.y(value)}" for second, value in shown.alpha)
    curve = f'<polyline class="line first" points="{path}"/>'
    parts = [f'<g transform="translate(0 {over})">{"".join(frame.grid())}{curve}</g>']
    for row, (name, spans) in enumerate(shown.bands):
        parts += _band(frame, name, spans, 26 + 16 * row)
    for text, begin, end in shown.words:
        middle = (frame.x(begin) + frame.x(end)) / 2
        parts.append(f'<text class="mark" x="{middle:.1f}" y="16" text-anchor="middle">{escape(text)}</text>')
    return picture(title, description, parts, width, height)


def _band(frame: Frame, name: str, spans: Sequence[Span], y: int) -> list[str]:
    parts = [f'<text class="mark" x="{LEFT - 6}" y="{y + 10}" text-anchor="end">{escape(name)}</text>']
    for style, begin, end in spans:
        wide = frame.x(end) - frame.x(begin)
        parts.append(f'<rect class="band {style}" x="{frame.x(begin)}" y="{y}" width="{wide:.1f}" height="12"/>')
    return parts
