"""Where a decoder's bytes come from: a live stream's socket, read as libav or as single messages.

Runs in the decoder's process; everything blocks.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable

MESSAGE_LENGTH = struct.Struct(">I")
LARGEST_MOOV_BYTES = 1 << 20
READ_BYTES = 1 << 16


class MediaSocket:
    """A readable, unseekable file on a socket that tells `on_idle` whenever it has to wait for more."""

    def __init__(self, connection: socket.socket, on_idle: Callable[[int], None]) -> None:
        self._connection, self._on_idle = connection, on_idle
        self._received = 0
        self.received_s = time.monotonic()
        self.first_bytes = b""
        self._buffer = bytearray()  # of messages alone: libav has a buffer of its own

    @property
    def consumed(self) -> int:
        """Bytes given out so far."""
        return self._received - len(self._buffer)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes as soon as there are any; b"" at the end."""
        try:
            data = self._connection.recv(size, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._on_idle(self.consumed)
            data = self._connection.recv(size)
        self._received += len(data)
        self.received_s = time.monotonic()
        if len(self.first_bytes) < 16:
            self.first_bytes += data[:16]
        return data

    def read_exactly(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end."""
        parts: list[bytes] = []
        while size:
            data = self.read(size)
            if not data:
                break
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def read_message(self) -> bytes | None:
        """One message as `framed` wrote it; None at the end."""
        head = self._buffered(MESSAGE_LENGTH.size)
        return self._buffered(MESSAGE_LENGTH.unpack(head)[0]) if len(head) == MESSAGE_LENGTH.size else None

    def _buffered(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end; what came with them waits here and does not count as consumed."""
        while len(self._buffer) < size and (data := self.read(max(size, READ_BYTES))):
            self._buffer += data
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


class WholeMoov:
    """Fragmented MP4 with its head in one piece: libav misreads a `moov` box that comes in several short reads."""

    def __init__(self, source: MediaSocket) -> None:
        self._source = source
        self._head: bytes | None = None

    def read(self, size: int) -> bytes:
        if self._head is None:
            self._head = self._read_head()
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._source.read(size)

    def _read_head(self) -> bytes:
        head = b""
        while len(head) < LARGEST_MOOV_BYTES:
            box = self._source.read_exactly(8)
            head += box
            length = int.from_bytes(box[:4], "big")
            if not 8 <= length <= LARGEST_MOOV_BYTES or not box[4:].isalnum():
                break
            head += self._source.read_exactly(length - 8)
            if box[4:] == b"moov":
                break
        return head


def framed(message: bytes) -> bytes:
    """A message with its length before it, for `MediaSocket.read_message`."""
    return MESSAGE_LENGTH.pack(len(message)) + message
