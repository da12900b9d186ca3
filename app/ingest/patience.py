"""What becomes of a live stream's video that comes while its worker is away: it waits, and only what is too much is lost.

First it waits as frames in the ring, then as bytes on their way to the decoder. When so many wait that the client would have
to be held up, and with its video its pings, which it would take for the server's death, the oldest frames give way.
"""

from __future__ import annotations

import asyncio

from app.ingest.decoder import Decoder
from app.ingest.frame_buffer import FrameBuffer
from models.clock import CHUNK_FRAMES


class Patience:
    """Of one stream. `is_live` false: nothing of it is ever dropped."""

    def __init__(self, buffer: FrameBuffer, decoder: Decoder, is_live: bool, catch_up_s: float) -> None:
        self._buffer, self._decoder, self._is_live, self._catch_up_s = buffer, decoder, is_live, catch_up_s
        self._holds = False
        self._catching_up: asyncio.TimerHandle | None = None

    def hold(self) -> None:
        """The worker is away: what comes waits."""
        self.end()
        self._buffer.drops, self._holds = False, True
        self._decoder.hold(True)

    def catch_up(self) -> None:
        """The worker's successor goes on; for some time it may be behind without a loss."""
        self._catching_up = asyncio.get_running_loop().call_later(self._catch_up_s, self.end)

    def note_idle(self, consumed: int) -> None:
        """The decoder has taken so many bytes and waits for more: perhaps the stream has caught up."""
        if self._catching_up and consumed >= self._decoder.fed and len(self._buffer) < CHUNK_FRAMES:
            self.end()

    def end(self) -> None:
        """Back to the rule for streams that are late."""
        if self._catching_up is not None:
            self._catching_up.cancel()
            self._catching_up = None
        self._buffer.drops, self._holds = self._is_live, False
        self._decoder.hold(False)

    def make_room(self, size: int) -> int:
        """Before `size` bytes more are fed: frames give way if they are too many; how many are lost at once."""
        if not self._holds or self._buffer.drops or self._decoder.has_room(size):
            return 0
        self._buffer.drops = self._is_live
        freed = self._buffer.trim()
        self._decoder.free(freed)
        return len(freed)

    def note_taken(self) -> None:
        """The decoder has gone on: perhaps there is room again, and no more need be lost."""
        if self._holds and self._buffer.drops and self._decoder.has_room():
            self._buffer.drops = False
