"""Failures of HTTP requests as RFC 9457 problem documents."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from app.api.page import is_file
from app.errors import ServiceError, failure

log = logging.getLogger("signbind.http")

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PROBLEM = "application/problem+json"
SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "retryable"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "retryable": {"type": "boolean"},
        "retry_after_ms": {"type": "integer"},
        "instance": {"type": "string"},
    },
}
DESCRIPTIONS = {
    400: "The request cannot be read.",
    401: "An API key or client token is needed.",
    403: "This web origin may not use the server.",
    413: "The video is too large or too long.",
    415: "The file is no video that can be decoded.",
    426: "This path is a WebSocket.",
    422: "An option is unknown or out of its range.",
    429: "The key runs too many streams.",
    500: "A fault of the server.",
    503: "No worker can take the request now; Retry-After says when to try again.",
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI descriptions of these failures."""
    return {
        status: {"description": DESCRIPTIONS[status], "content": {PROBLEM: {"schema": SCHEMA}}}
        for status in sorted({*statuses, 403})
    }


def install(app: FastAPI) -> None:
    """Every failure of a route becomes a problem document."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _fault)


def problem(request: Request, error: ServiceError, status: int | None = None) -> JSONResponse:
    request.app.state.services.metrics.failures.labels(error.code).inc()
    document = error.problem(request.url.path)
    status = status or error.failure.http_status
    return JSONResponse({**document, "status": status}, status, error.headers(), PROBLEM)


async def _service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError), f"installed for ServiceError, got {type(error).__name__}"
    return problem(request, error)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException), f"installed for HTTPException, got {type(error).__name__}"
    if error.status_code in (404, 405):
        return _not_here(request)
    answer = problem(request, failure("bad_request", got=str(error.detail).lower()), error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def _not_here(request: Request) -> JSONResponse:
    """What no route takes: the page, which answers for all other paths, has only files, and gives them by GET alone."""
    path, allowed = request.url.path[:200], ", ".join(_methods(request))
    if not allowed:
        return problem(request, failure("not_found", got=path))
    answer = problem(request, failure("wrong_method", path=path, allowed=allowed, got=request.method))
    answer.headers["Allow"] = allowed
    return answer


def _methods(request: Request) -> list[str]:
    """By which methods this path would be answered."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    asked = [(method, {**request.scope, "method": method}) for method in METHODS]
    found = [method for method, scope in asked if any(route.matches(scope)[0] is Match.FULL for route in routes)]
    return found or ["GET"] * is_file(request.url.path)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError), f"installed for validation, got {type(error).__name__}"
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return problem(request, failure("bad_request", got="its body is no JSON"))
    option = ".".join(str(part) for part in first["loc"][1:]) or "body"
    said = failure("bad_option", owner="the request", option=option, problem=first["msg"], got=str(first["input"])[:60])
    return problem(request, said)


async def _fault(request: Request, error: Exception) -> JSONResponse:
    reference = secrets.token_hex(4)
    log.error("%s %s failed, reference %s", request.method, request.url.path, reference, exc_info=error)
    return problem(request, failure("internal", reference=reference))
