"""Decoded pictures on the canvas: the same colours and places whatever the picture's size, form, range and matrix."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from app.ingest import decode
from app.ingest.planes import PlaneWriter
from models.canvas import letterbox, planes

Pixels = NDArray[np.uint8]
LIMITED, FULL = ColorRange.MPEG, ColorRange.JPEG


def smooth(width: int, height: int) -> Pixels:
    """Soft patches of every colour, (height, width, 3) RGB."""
    patches = np.random.default_rng(0).integers(40, 216, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def of_rgb(rgb: Pixels, form: str, matrix: Colorspace = Colorspace.ITU601, span: ColorRange = LIMITED) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    return frame.reformat(format=form, dst_colorspace=matrix, dst_color_range=span)


def drawn(frame: av.VideoFrame) -> Pixels:
    """On a canvas that had something else on it."""
    canvas = np.full((720, 640), 77, np.uint8)
    PlaneWriter().draw(frame, canvas)
    return canvas


def as_rgb(canvas: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(canvas, cv2.COLOR_YUV2RGB_I420), np.uint8)


def apart(one: Pixels, other: Pixels) -> NDArray[np.int_]:
    return np.abs(one.astype(int) - other)


def test_a_picture_that_fits_is_copied() -> None:
    frame = of_rgb(smooth(640, 480), "yuv420p")
    np.testing.assert_array_equal(drawn(frame), frame.to_ndarray())


def test_lines_from_the_last_to_the_first_are_read_in_order() -> None:
    """libav's vflip turns a picture by its line sizes alone."""
    frame = of_rgb(smooth(640, 480), "yuv420p")
    frame.pts = 0
    graph = av.filter.Graph()
    source = graph.add_buffer(width=640, height=480, format="yuv420p", time_base=Fraction(1, 25))
    flip, sink = graph.add("vflip"), graph.add("buffersink")
    source.link_to(flip)
    flip.link_to(sink)
    graph.configure()
    graph.push(frame)
    flipped = graph.pull()
    assert flipped.planes[0].line_size < 0
    for part, other in zip(planes(drawn(flipped)), planes(frame.to_ndarray()), strict=True):
        np.testing.assert_array_equal(part, other[::-1])


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (480, 640), (320, 240), (641, 479), (854, 480), (90, 1000)])
@pytest.mark.parametrize(
    ("form", "matrix", "span"),
    [
        ("yuv420p", Colorspace.ITU601, LIMITED), ("yuv420p", Colorspace.ITU709, LIMITED),
        ("yuvj420p", Colorspace.ITU601, FULL), ("yuv444p", Colorspace.ITU709, FULL),
        ("yuv420p10le", Colorspace.BT2020, LIMITED), ("yuv420p", Colorspace.SMPTE240M, LIMITED),
    ],
)  # fmt: skip
def test_colours_and_places_are_the_rgb_canvas_s(
    size: tuple[int, int], form: str, matrix: Colorspace, span: ColorRange
) -> None:
    rgb = smooth(*size)
    error = apart(as_rgb(drawn(of_rgb(rgb, form, matrix, span))), letterbox(rgb)[0])
    assert error.mean() < 2 and np.percentile(error, 99.5) <= 12


def test_an_rgb_picture_is_converted() -> None:
    rgb = smooth(640, 480)
    assert apart(as_rgb(drawn(av.VideoFrame.from_numpy_buffer(rgb, "rgb24"))), rgb).mean() < 1.6


def test_grey_stays_grey() -> None:
    grey = np.asarray(cv2.cvtColor(smooth(640, 480), cv2.COLOR_RGB2GRAY), np.uint8)
    canvas = as_rgb(drawn(av.VideoFrame.from_ndarray(grey, format="gray")))
    assert apart(canvas, grey[..., None]).max() <= 3


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_picture_is_turned_upright(degrees: int) -> None:
    rgb = smooth(320, 240)
    turned = next(decode.file_container(turned_file(rgb, degrees), 1 << 20).pictures)
    canvas = np.zeros((720, 640), np.uint8)
    turned.draw(canvas)
    upright = np.ascontiguousarray(np.rot90(rgb, degrees // 90))
    assert apart(as_rgb(canvas), letterbox(upright)[0]).mean() < 4


def turned_file(rgb: Pixels, degrees: int) -> io.BytesIO:
    """One picture as an MP4 that says by how much to turn it against the clock."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "4"})
        stream.height, stream.width, stream.pix_fmt = *rgb.shape[:2], "yuv420p"
        stream.set_display_rotation(degrees)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        out.mux(stream.encode(None))
    target.seek(0)
    return target
