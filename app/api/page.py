"""The page at / and the API's at /docs: the files of `app/web`. FastAPI's own /docs would load its parts from elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

WEB = Path(__file__).parent.parent / "web"
router = APIRouter()


@router.get("/docs", include_in_schema=False)
async def docs() -> FileResponse:
    return FileResponse(WEB / "docs.html")


def is_file(path: str) -> bool:
    """Whether the page has a file at a path of the server's."""
    return path == "/" or path.removeprefix("/") in {file.name for file in WEB.iterdir()}


class Page(StaticFiles):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Files by HTTP; a WebSocket to no route is refused."""
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close(1008, "there is no such stream; see /v1/live")
            return
        await super().__call__(scope, receive, send)
