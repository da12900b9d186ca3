"""What waits for a client that reads too slowly: bounded, but its end is always told."""

from __future__ import annotations

import asyncio
import json

from app.errors import failure
from app.outbox import MOST_WAITING, Outbox
from app.protocol import SessionClosed, SigningStarted, Status, Summary, error_event


async def test_a_client_that_is_too_slow_is_told_so() -> None:
    sent: list[str] = []

    async def send(text: str) -> None:
        sent.append(text)

    outbox = Outbox("s_1", send)
    outbox.put(Status(lag_ms=0, fps_effective=25.0, frames_dropped=0, signer_visible=True))
    outbox.put(Status(lag_ms=0, fps_effective=25.0, frames_dropped=0, signer_visible=True))
    for number in range(MOST_WAITING - 1):
        outbox.put(SigningStarted(segment_id=number, at_ms=0))
    assert not outbox.overflowed.is_set(), "the older report gives way first"
    outbox.put(SigningStarted(segment_id=MOST_WAITING, at_ms=0))
    assert outbox.overflowed.is_set()
    summary = Summary(reason="client_too_slow", duration_ms=0, captions=0, words=0, frames_dropped=0)
    outbox.put(error_event(failure("client_too_slow", waiting="too many")))
    outbox.put(SessionClosed(summary=summary))
    sending = asyncio.create_task(outbox.run())
    await outbox.until_empty(5.0)
    sending.cancel()
    events = [json.loads(text) for text in sent]
    assert [event["seq"] for event in events] == list(range(1, MOST_WAITING + 3))
    assert [event["type"] for event in events[-2:]] == ["error", "session.closed"]
