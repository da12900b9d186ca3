"""The decoder's process: media in by a socket or a file, frames out into the ring, a line of JSON for each.

Lines to the supervisor: {"ready": true}, {"frame": position, "tick": t, "consumed": bytes, "decode_ms": x},
{"idle": bytes}, {"error": code, "message": text} and {"end": true}. From the supervisor: the job with its descriptors,
then one byte for every position that is free again. When the supervisor is gone, so is this process.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import psutil

from app.errors import ServiceError, failure
from app.frames import Frame, FrameRing
from app.ingest import decode
from app.ingest.pace import Pacer
from app.ingest.sources import MediaSocket

JOB_BYTES = 1 << 16


@dataclass(frozen=True)
class Job:
    """What to decode: `media` of session.start, or `file`; `free` are the ring's first free positions."""

    media: str
    codec: str | None
    max_pixels: int
    memory_mb: int
    capacity: int
    free: tuple[int, ...]

    def encoded(self) -> bytes:
        return json.dumps(asdict(self)).encode()


class SupervisorGone(Exception):
    """The other end of the control socket is closed."""


class Lines:
    """What is said to the supervisor, several lines in one go where they come close together."""

    MOST = 4

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._waiting: list[bytes] = []

    def add(self, **line: Any) -> None:
        """Says the line soon: with the ones after it, at the latest before this process waits for anything."""
        self._waiting.append(json.dumps(line).encode() + b"\n")
        if len(self._waiting) >= self.MOST:
            self.flush()

    def say(self, **line: Any) -> None:
        """Says the line, and what waits, now."""
        self.add(**line)
        self.flush()

    def flush(self) -> None:
        """Raises SupervisorGone where nobody listens."""
        lines, self._waiting = b"".join(self._waiting), []
        try:
            self._control.sendall(lines)
        except OSError as error:
            raise SupervisorGone from error


class FrameWriter:
    """Puts pictures on the canvas and the clock, and into free positions of the ring."""

    def __init__(self, control: socket.socket, lines: Lines, ring: FrameRing, free: tuple[int, ...]) -> None:
        self._control, self._lines, self._ring, self._free = control, lines, ring, deque(free)
        self._shown: int | None = None
        self._since_s = time.monotonic()

    def write(self, reading: decode.Reading, source: MediaSocket | None) -> int:
        """All pictures of `reading`; returns how many frames they made."""
        pacer, written = None, 0
        for picture in reading.pictures:
            pacer = pacer or Pacer(reading.origin_ms)
            place = pacer.place(picture.time_ms)
            if place.tick is None:
                continue
            for tick in range(place.tick - place.held, place.tick):
                self._put(self._draw_again, tick, source)
            self._put(picture.draw, place.tick, source)
            written += place.held + 1
        return written

    def _put(self, draw: Callable[[Frame], None], tick: int, source: MediaSocket | None) -> None:
        begun_s = self._since_s if source is None else max(self._since_s, source.received_s)
        decoded_s = time.monotonic()
        position = self._free_position()
        waited_s = time.monotonic() - decoded_s
        self._ring.put(position, draw)
        self._shown = position
        decode_ms = (time.monotonic() - begun_s - waited_s) * 1e3
        consumed = source.consumed if source else 0
        self._lines.add(frame=position, tick=tick, consumed=consumed, decode_ms=round(decode_ms, 3))
        self._since_s = time.monotonic()

    def _draw_again(self, canvas: Frame) -> None:
        """The picture shown last: a position that was given back keeps it until this process writes there."""
        assert self._shown is not None, "nothing was shown yet"
        canvas[...] = self._ring.frames[self._shown]

    def _free_position(self) -> int:
        while not self._free:
            self._lines.flush()
            freed = self._control.recv(256)
            if not freed:
                raise SupervisorGone
            self._free.extend(freed)
        return self._free.popleft()


def main(control: socket.socket, media: socket.socket) -> None:
    """Entry point of the process; returns when its one job is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to handle
    cv2.setNumThreads(1)
    lines = Lines(control)
    try:
        lines.say(ready=True)
        job, descriptors = _receive_job(control)
        _limit_memory(job.memory_mb)
        try:
            _decode(job, descriptors, (control, lines), media)
            lines.say(end=True)
        except ServiceError as error:
            lines.say(error=error.code, message=error.message)
        except MemoryError:
            crash = failure("decoder_crashed", got=f"it needs more than {job.memory_mb} MiB")
            lines.say(error=crash.code, message=crash.message)
    except SupervisorGone:
        return


def _receive_job(control: socket.socket) -> tuple[Job, list[int]]:
    data, descriptors, _, _ = socket.recv_fds(control, JOB_BYTES, 2)
    if not data:
        raise SupervisorGone
    values = json.loads(data)
    return Job(**{**values, "free": tuple(values["free"])}), list(descriptors)


def _limit_memory(memory_mb: int) -> None:
    limit = psutil.Process().memory_info().vms + (memory_mb << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _decode(job: Job, descriptors: list[int], server: tuple[socket.socket, Lines], media: socket.socket) -> None:
    writer, lines = FrameWriter(*server, FrameRing(descriptors[0], job.capacity), job.free), server[1]
    if job.media == "file":
        with os.fdopen(descriptors[1], "rb") as file:
            written = writer.write(decode.file_container(file, job.max_pixels), None)
    else:
        source = MediaSocket(media, lambda consumed: lines.say(idle=consumed))
        written = writer.write(_reading(job, source), source)
    if not written:
        raise failure("no_frames")


def _reading(job: Job, source: MediaSocket) -> decode.Reading:
    if job.media == "packets":
        return decode.packets(source, job.codec or "", job.max_pixels)
    if job.media == "jpeg":
        return decode.jpegs(source, job.max_pixels)
    return decode.live_container(source, job.media, job.max_pixels)
