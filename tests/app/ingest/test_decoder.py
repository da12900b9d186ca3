"""A decoder that cannot be started costs its stream alone, and nothing is left of it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.errors import ServiceError
from app.ingest.supervisor import Supervisor
from app.settings import load_settings


def open_files() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}


@contextmanager
def room_for_files(count: int) -> Iterator[None]:
    """This process can open `count` files more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = open_files()
    free = [number for number in range(len(used) + count + 1) if number not in used]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[count], hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("room", [1, 3, 5])
async def test_a_machine_without_room_for_a_decoder_takes_no_stream(room: int) -> None:
    supervisor = Supervisor(load_settings({}, spare_decoders=0))
    before = open_files()
    with room_for_files(room), pytest.raises(ServiceError, match="no decoder can be started") as refused:
        await supervisor.take()
    assert (refused.value.code, refused.value.failure.http_status) == ("not_ready", 503)
    assert open_files() == before
    await supervisor.aclose()
