"""One real server for all tests here: uvicorn on a free port, a small random translator in its worker process."""

from __future__ import annotations

import dataclasses
import multiprocessing
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect

from app.access import Access
from app.main import Server, create_app, server_config
from app.settings import Settings, load_settings
from tests.app.live_client import LiveClient

KEY = "test-key-0123456789abcdef"
START_TIMEOUT_S = 150.0
"""Loading torch takes seconds, on a machine that trains beside the tests a minute."""


def small_settings(**changes: Any) -> Settings:
    """A server for tests: nothing of the environment, two slots, short patience."""
    values = {
        "checkpoint": "random:0", "slots": 2, "torch_threads": 1, "port": 0, "log_level": "warning", "draft_interval_ms": 0,
        "status_interval_s": 0.2, "idle_timeout_s": 20.0, "decoder_start_timeout_s": 40.0, "max_pixels": 1280 * 960,
        "max_upload_bytes": 2 << 20, "max_message_bytes": 64 << 10, "max_segment_ms": 1_000,
    }  # fmt: skip
    return load_settings({}, **{**values, **changes})


class RunningServer:
    """uvicorn in a thread of this process."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self._server = Server(server_config(app.state.settings, app))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return "{}:{}".format(*self._server.servers[0].sockets[0].getsockname())

    def url(self, path: str) -> str:
        return f"http://{self.address}{path}"

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not (self._server.started and self.app.state.services.pool.is_ready):
            assert time.monotonic() < deadline_s, "the server did not get ready"
            assert self._thread.is_alive(), "the server ended while starting"
            self._thread.join(0.05)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive(), "the server did not end"

    @contextmanager
    def settings(self, **changes: Any) -> Iterator[None]:
        """Other settings for new streams, with the same engine, for the time of the block."""
        services, access = self.app.state.services, self.app.state.access
        changed = services.settings.model_copy(update=changes)
        self.app.state.services = dataclasses.replace(services, settings=changed)
        self.app.state.access = Access(changed)
        try:
            yield
        finally:
            self.app.state.services, self.app.state.access = services, access

    @asynccontextmanager
    async def live(self, **handshake: Any) -> AsyncIterator[LiveClient]:
        connection: ClientConnection
        async with connect(
            f"ws://{self.address}/v1/live", compression=None, open_timeout=20, **handshake
        ) as connection:
            yield LiveClient(connection)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test with the server waits for its start as well."""
    for item in items:
        if "server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(START_TIMEOUT_S + 60))


@contextmanager
def running_server(**changes: Any) -> Iterator[RunningServer]:
    """A server with `small_settings`, ready; ended afterwards."""
    running = RunningServer(create_app(small_settings(**changes)))
    try:
        running.wait_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    with running_server() as running:
        yield running
    assert multiprocessing.active_children() == [], "a child process was left behind"


@pytest.fixture
def keyed(server: RunningServer) -> Iterator[None]:
    """The server asks for a key."""
    with server.settings(api_keys=(SecretStr(KEY),)):
        yield
