"""The page that is served at /: the files of `app/web`."""

from __future__ import annotations

from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket


class Page(StaticFiles):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Files by HTTP; a WebSocket to no route is refused."""
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close(1008, "there is no such stream; see /v1/live")
            return
        await super().__call__(scope, receive, send)
