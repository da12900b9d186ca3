"""The bundled weights, language model included: a video whose worker is killed gets the captions it gets in peace."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time

import pytest

from app.offline import transcribe
from app.protocol import CaptionEvent, Options
from app.sample import PATH
from app.services import Services
from app.settings import load_settings
from app.transcript import Transcript
from tests.app.conftest import START_TIMEOUT_S

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
KILLS = 4


async def captions(services: Services) -> Transcript:
    with PATH.open("rb") as file:
        return await transcribe(services, file.fileno(), Options(), interim=True)


async def killing(services: Services, seed: int, calm_s: float) -> int:
    """Kills the worker KILLS times while a video is translated, which takes `calm_s` in peace, at random moments of it;
    returns how often."""
    (worker,), rng = services.pool.workers, random.Random(seed)
    for _ in range(KILLS):
        async with asyncio.timeout(START_TIMEOUT_S):
            while not (worker.is_ready and worker.streams):
                await asyncio.sleep(0.01)
        await asyncio.sleep(
            rng.uniform(0.1, 0.9) * calm_s / KILLS
        )  # what is done stays done: all kills find it running
        killed = worker.process
        assert killed is not None
        os.kill(killed.process.pid or 0, signal.SIGKILL)
        assert await killed.ended(10.0)
    return KILLS


def said(caption: CaptionEvent) -> CaptionEvent:
    """Without what depends on the time of day, and on how often drafts were told."""
    return caption.model_copy(update={"latency_ms": None, "rev": 0})


async def test_the_sample_has_the_same_captions_after_kills() -> None:
    settings = load_settings({}, slots=1, torch_threads=1, upload_refine_deadline_ms=60_000, draft_interval_ms=0)
    async with Services.create(settings) as services:
        await services.pool.until_ready(START_TIMEOUT_S)
        begun_s = time.monotonic()
        calm = await captions(services)
        calm_s = time.monotonic() - begun_s
        troubled, kills = await asyncio.gather(captions(services), killing(services, 5, calm_s))
    assert kills == KILLS
    assert len(calm.captions) >= 3 and all(caption.stage == "refined" for caption in calm.captions)
    assert [said(caption) for caption in troubled.captions] == [said(caption) for caption in calm.captions]
