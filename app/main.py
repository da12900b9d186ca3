"""The application: routes and lifespan, nothing else. `serve` runs it with the server's options."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from types import FrameType

import uvicorn
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from app.access import Access
from app.api import health, live, models, page, problems, translations
from app.api.answers import AnswerHeaders
from app.services import Services
from app.settings import Settings, load_settings

DESCRIPTION = """
American Sign Language video in, English captions with confidence out. Live streams: WebSocket `/v1/live`
(text frames are JSON, binary frames are media; `session.start` comes first). Failures are RFC 9457 problem documents.
"""
FAREWELL_SHARE = 0.85
"""Of the grace time, what streams have to end by themselves; the rest is for the engine's end."""
HURRY_EVERY_S = 0.2
LARGEST_MESSAGE_FACTOR = 2
"""Messages over the limit but under this are answered by an error; larger ones end the connection unread (1009)."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ASGI application; its engine starts with its lifespan."""
    settings = settings or load_settings()
    app = FastAPI(
        title="SignBind", version=_version(), description=DESCRIPTION, lifespan=_lifespan, docs_url=None, redoc_url=None
    )
    app.state.settings, app.state.access = settings, Access(settings)
    problems.install(app)
    app.add_middleware(AnswerHeaders)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.allowed_origins), allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )  # fmt: skip
    for routes in (health, live, models, translations, page):
        app.include_router(routes.router)
    app.mount("/", page.Page(directory=page.WEB, html=True), name="page")
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with Services.create(app.state.settings) as services:
        app.state.services = services
        yield


def server_config(settings: Settings, app: FastAPI | None = None) -> uvicorn.Config:
    """uvicorn's options: no permessage-deflate (video does not shrink), small messages, a bounded shutdown."""
    return uvicorn.Config(
        app or create_app(settings),
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        ws_per_message_deflate=False,
        ws_max_size=settings.max_message_bytes * LARGEST_MESSAGE_FACTOR,
        ws_max_queue=8,
        server_header=False,
    )


class Server(uvicorn.Server):
    """uvicorn's server that drains first: live streams are finished and told, then their connections are closed."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app = self.config.app
        assert isinstance(app, FastAPI), f"server_config gives a FastAPI, got {type(app).__name__}"
        loop, drain_s = asyncio.get_running_loop(), app.state.settings.drain_s
        ends_s = loop.time() + drain_s * FAREWELL_SHARE
        app.state.services.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(ends_s):
                while not self.force_exit:  # a second Ctrl-C
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(app.state.access.unconnected.wait(), HURRY_EVERY_S)
                        break
        self.config.timeout_graceful_shutdown = max(1, round(ends_s - loop.time()))
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM is the proper way to end: the process exits with 0. Ctrl-C is passed on, as everywhere."""
        if sig == signal.SIGTERM:
            self.should_exit = True
        else:
            super().handle_exit(sig, frame)


def serve(settings: Settings | None = None) -> None:
    """Runs the server until it is told to end."""
    Server(server_config(settings or load_settings())).run()


def _version() -> str:
    try:
        return version("signbind")
    except PackageNotFoundError:
        return "0"
