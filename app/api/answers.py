"""What every HTTP answer carries and counts: safe headers, one count by route and status."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=()",
}


class AnswerHeaders:
    """ASGI middleware around the routes; WebSockets pass through."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                route = getattr(scope.get("route"), "path", "other")
                requests = scope["app"].state.services.metrics.requests
                requests.labels(route, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, send_counted)
