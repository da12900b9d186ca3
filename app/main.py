"""The application: routes and lifespan, nothing else. `serve` runs it with the server's options."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

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
FAREWELL_S = 3.0
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
        timeout_graceful_shutdown=5,
        server_header=False,
    )


class Server(uvicorn.Server):
    """uvicorn's server, which tells live streams that it ends before it closes their connections."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app = self.config.app
        assert isinstance(app, FastAPI), f"server_config gives a FastAPI, got {type(app).__name__}"
        app.state.services.closing.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await app.state.access.unconnected.wait()
        await super().shutdown(sockets)


def serve(settings: Settings | None = None) -> None:
    """Runs the server until it is told to end."""
    Server(server_config(settings or load_settings())).run()


def _version() -> str:
    try:
        return version("signbind")
    except PackageNotFoundError:
        return "0"
