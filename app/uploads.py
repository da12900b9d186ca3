"""One multipart upload: read within its bounds, its options checked, translated."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request
from pydantic import Field
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from app.errors import failure
from app.offline import transcribe
from app.protocol import Options, parse_options
from app.services import Services
from app.transcript import ResponseFormat, Transcript

FIELDS_BYTES = 1 << 16
MOST_FIELDS = 600


class UploadOptions(Options):
    response_format: ResponseFormat = Field("json", description="How the captions are written.")


async def translated(request: Request, services: Services) -> tuple[Transcript, UploadOptions]:
    """The captions of the request's video; raises `ServiceError`. Stops when the client goes away."""
    if not services.pool.is_ready:
        raise failure("not_ready", reason=services.pool.reason)
    if services.pool.free_slots == 0:
        raise failure("no_slot", retry_after_ms=2_000, slots=services.settings.total_slots)
    form = await _form(request, services.settings.max_upload_bytes)
    try:
        options = parse_options(UploadOptions, _fields(form), owner="the upload")
        file = form["file"]
        assert isinstance(file, UploadFile), f"_fields lets only files through, got {type(file).__name__}"
        await file.seek(0)
        translating = asyncio.create_task(transcribe(services, file.file.fileno(), options))
        return await _unless_gone(request, translating), options
    finally:
        await form.close()


async def _form(request: Request, limit_bytes: int) -> FormData:
    """The parsed form; `too_large` as soon as it is known."""
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > limit_bytes + FIELDS_BYTES:
        raise failure("too_large", limit_bytes=limit_bytes)
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise failure("no_file", got=request.headers.get("content-type") or "no content type")
    bounded = Request(request.scope, _bounded(request.receive, limit_bytes))
    try:
        return await bounded.form(max_files=1, max_fields=MOST_FIELDS, max_part_size=FIELDS_BYTES)
    except HTTPException as error:
        raise failure("bad_request", got=str(error.detail).rstrip(".")) from None


def _bounded(receive: Receive, limit_bytes: int) -> Receive:
    """`receive`, until it brought too many bytes."""
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit_bytes + FIELDS_BYTES:
            raise failure("too_large", limit_bytes=limit_bytes)
        return message

    return bounded


def _fields(form: FormData) -> dict[str, Any]:
    """The form's options; `vocabulary` may come several times or with commas."""
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name != "file":
                raise failure("no_file", got=f"a file named {name[:40]!r}")
        elif name == "file":
            raise failure("no_file", got="a text field of that name")
        elif name == "vocabulary":
            fields.setdefault(name, []).extend(word.strip() for word in value.split(",") if word.strip())
        else:
            fields[name] = value
    if "file" not in form:
        raise failure("no_file", got=", ".join(sorted(form)) or "an empty form")
    return fields


async def _unless_gone(request: Request, translating: asyncio.Task[Transcript]) -> Transcript:
    """The task's result; cancels it when the client disconnects first."""
    leaving = asyncio.create_task(_until_gone(request))
    try:
        await asyncio.wait({translating, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not translating.done():
            raise failure("bad_request", got="the client is gone")
        return translating.result()
    finally:
        for task in (translating, leaving):
            task.cancel()
        await asyncio.gather(translating, leaving, return_exceptions=True)


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
