"""A decoder process seen from the server: started, fed, listened to, and always reaped.

A crash, a stall or an error of one decoder is a `ServiceError` for its stream and nothing to any other.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from typing import Any

from app.errors import FAILURES, ServiceError, failure
from app.frames import FrameRing
from app.ingest import child
from app.settings import Settings

log = logging.getLogger("signbind.ingest")

REAP_TIMEOUT_S = 5.0
LINE_LIMIT_BYTES = 1 << 16
HELD_BYTES = 8 << 20
"""Encoded video of one stream that waits here while its decoder must wait: about a minute of it."""
ROOM_SHARE = 1 / 16
"""Of HELD_BYTES: when they are full, the sender waits until so much is free, and so never long."""


@dataclass(frozen=True)
class Decoded:
    """One frame is in the ring; `consumed` bytes of the stream had been read for it."""

    position: int
    tick: int
    consumed: int
    decode_ms: float


@dataclass(frozen=True)
class Idle:
    """All frames of the first `consumed` bytes are out, and the decoder waits for more."""

    consumed: int


def _started() -> tuple[SpawnProcess, socket.socket, socket.socket]:
    """A decoder's process, and our ends of the sockets for control and media."""
    with ExitStack() as ours, ExitStack() as theirs:

        def pair() -> tuple[socket.socket, socket.socket]:
            own, other = socket.socketpair()
            return ours.enter_context(own), theirs.enter_context(other)

        (control, child_control), (media, child_media) = pair(), pair()
        process = multiprocessing.get_context("spawn").Process(
            target=child.main, args=(child_control, child_media), name="signbind-decoder", daemon=True
        )
        process.start()
        ours.pop_all()
    return process, control, media


class Decoder:
    """One decoder process. It decodes one stream; `aclose` must be awaited in any case."""

    def __init__(self, settings: Settings) -> None:
        """Raises `not_ready` where the machine has no room for another process."""
        self._settings = settings
        try:
            self.process, self._control, self._media = _started()
        except OSError as error:
            raise failure("not_ready", reason=f"no decoder can be started ({error.strerror})") from error
        self._control.setblocking(False)
        self._reader: asyncio.StreamReader | None = None
        self._control_writer: asyncio.StreamWriter | None = None
        self._media_writer: asyncio.StreamWriter | None = None
        self._closed = self._holds = False
        self._feeding: asyncio.Timeout | None = None
        self._fed = self._idle_at = self._granted = self._lines = 0
        self._media_name = ""

    @property
    def is_alive(self) -> bool:
        return not self._closed and self.process.is_alive()

    async def ready(self) -> None:
        """Waits until the process has loaded its libraries."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.decoder_start_timeout_s):
                line = await loop.sock_recv(self._control, LINE_LIMIT_BYTES)
        except TimeoutError:
            raise failure("not_ready", reason="a decoder did not start in time") from None
        if not line:
            raise failure("not_ready", reason=f"a decoder did not start ({self._how_it_ended()})")

    async def begin(self, media: str, codec: str | None, ring: FrameRing, file: int | None = None) -> None:
        """Gives the process its job: a live stream's media, or a `file` descriptor."""
        job = child.Job(
            media, codec, self._settings.max_pixels, self._settings.decoder_memory_mb, ring.capacity,
            tuple(range(ring.capacity)),
        )  # fmt: skip
        descriptors = [ring.descriptor] if file is None else [ring.descriptor, file]
        try:
            socket.send_fds(self._control, [job.encoded()], descriptors)
        except OSError:
            raise self._crashed() from None
        self._granted, self._media_name = ring.capacity, media
        self._reader, self._control_writer = await asyncio.open_unix_connection(
            sock=self._control, limit=LINE_LIMIT_BYTES
        )
        _, self._media_writer = await asyncio.open_unix_connection(sock=self._media)

    async def feed(self, data: bytes) -> None:
        """Passes on bytes of the stream; waits while the decoder is behind. A dead decoder is told by `events`."""
        assert self._media_writer is not None, "begin() comes first"
        self._fed += len(data)
        self._let_go(self._media_writer.transport)
        self._media_writer.write(data)
        limit_s, is_drained = self._settings.decoder_stall_timeout_s, False
        while not (is_drained or self._may_wait_here()):
            owed, lines = self._owes(), self._lines
            try:
                async with asyncio.timeout(limit_s) as self._feeding:
                    await self._media_writer.drain()
                is_drained = True
            except TimeoutError:
                if not self._holds and owed and self._owes() and self._lines == lines:
                    raise failure("decoder_stalled", limit_s=limit_s) from None
            except (ConnectionError, RuntimeError):
                return
            finally:
                self._feeding = None

    def _may_wait_here(self) -> bool:
        return self._holds and self.has_room(0)

    def hold(self, holds: bool) -> None:
        """While it holds, `feed` waits only when HELD_BYTES wait already; and so until what waits has been taken."""
        self._holds = holds
        if holds and self._feeding is not None and not self._feeding.expired():
            # it waits by the limit of before, and nothing would tell it of the new one
            self._feeding.reschedule(asyncio.get_running_loop().time())
        if holds and self._media_writer is not None and not self._media_writer.is_closing():
            self._media_writer.transport.set_write_buffer_limits(HELD_BYTES, round(HELD_BYTES * (1 - ROOM_SHARE)))

    def has_room(self, size: int | None = None) -> bool:
        """Whether `feed`, while it holds, would take `size` bytes more without waiting; without a size, a good many more."""
        if self._media_writer is None:
            return True
        more = HELD_BYTES * ROOM_SHARE if size is None else size
        return self._media_writer.transport.get_write_buffer_size() + more <= HELD_BYTES

    def _let_go(self, transport: asyncio.WriteTransport) -> None:
        """Back to the usual limit, once that would not make `feed` wait for what came long ago: pings wait with it."""
        if not self._holds and transport.get_write_buffer_size() == 0:
            transport.set_write_buffer_limits()

    @property
    def fed(self) -> int:
        """Bytes passed on so far."""
        return self._fed

    def end_of_media(self) -> None:
        """No more bytes come; the last frames and the end are told by `events`."""
        if (
            self._media_writer is not None
            and not self._media_writer.is_closing()
            and self._media_writer.can_write_eof()
        ):
            self._media_writer.write_eof()

    def free(self, positions: list[int]) -> None:
        """These positions of the ring may be written again."""
        if positions and self._control_writer is not None and not self._control_writer.is_closing():
            self._granted += len(positions)
            self._control_writer.write(bytes(positions))

    async def events(self) -> AsyncIterator[Decoded | Idle]:
        """What the decoder tells, to the end of the media; raises `ServiceError` where it fails."""
        while True:
            line = await self._next_line()
            self._lines += 1
            if "frame" in line:
                self._granted -= 1
                yield Decoded(int(line["frame"]), int(line["tick"]), int(line["consumed"]), float(line["decode_ms"]))
            elif "idle" in line:
                self._idle_at = int(line["idle"])
                yield Idle(self._idle_at)
            elif "error" in line:
                raise self._told(str(line["error"]), str(line["message"]))
            else:
                return

    async def _next_line(self) -> dict[str, Any]:
        assert self._reader is not None, "begin() comes first"
        while True:
            owed = self._owes()
            try:
                async with asyncio.timeout(self._settings.decoder_stall_timeout_s):
                    line = await self._reader.readline()
            except TimeoutError:
                if owed and self._owes():
                    raise failure("decoder_stalled", limit_s=self._settings.decoder_stall_timeout_s) from None
                continue
            except ConnectionError:
                line = b""
            if not line.endswith(b"\n"):
                await self._wait_for_exit(REAP_TIMEOUT_S)
                raise self._crashed()
            return dict(json.loads(line))

    def _owes(self) -> bool:
        """Whether the decoder has something to do and room for its frames."""
        return self._granted > 0 and (self._media_name == "file" or self._idle_at < self._fed)

    @staticmethod
    def _told(code: str, message: str) -> ServiceError:
        return ServiceError(code, message) if code in FAILURES else failure("decoder_crashed", got="an unknown error")

    def _crashed(self) -> ServiceError:
        return failure("decoder_crashed", got=self._how_it_ended())

    def _how_it_ended(self) -> str:
        code = self.process.exitcode
        if code is not None and code < 0:
            return f"signal {signal.Signals(-code).name}"
        return "it closed its connection" if code is None else f"exit code {code}"

    async def aclose(self) -> None:
        """Ends the process, whatever it does, and waits until it is gone."""
        if self._closed:
            return
        self._closed = True
        for writer, raw in ((self._control_writer, self._control), (self._media_writer, self._media)):
            if writer is not None:
                writer.transport.abort()
            else:
                raw.close()
        self.process.kill()
        await self._wait_for_exit(REAP_TIMEOUT_S)
        if self.process.exitcode is not None:
            self.process.close()
        else:
            log.error("decoder process %s does not end after a kill", self.process.pid)

    async def _wait_for_exit(self, timeout_s: float) -> None:
        """Waits for the process's end, so long at most, without blocking the loop."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        sentinel = self.process.sentinel
        loop.add_reader(sentinel, ended.set)
        try:
            async with asyncio.timeout(timeout_s):
                await ended.wait()
        except TimeoutError:
            return
        finally:
            loop.remove_reader(sentinel)
        self.process.join(timeout_s)  # its pipes are closed: gone within the moment
