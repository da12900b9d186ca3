"""POST /v1/translations: a video file in, its captions out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from app.access import Access
from app.api.problems import problem_responses
from app.services import Services
from app.transcript import CONTENT_TYPES
from app.uploads import UploadOptions, translated

router = APIRouter(tags=["captions"])


def _request_schema() -> dict[str, Any]:
    schema = UploadOptions.model_json_schema()
    video = {"type": "string", "format": "binary", "description": "WebM, MP4, MKV, MOV or AVI."}
    properties = {"file": video, **schema["properties"]}
    body = {"type": "object", "required": ["file"], "properties": properties, "additionalProperties": False}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": body}}}}


ANSWERS: dict[str, Any] = {
    "application/json": {
        "schema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    },
    "text/plain": {"schema": {"type": "string"}},
    "text/vtt": {"schema": {"type": "string"}},
    "application/x-subrip": {"schema": {"type": "string"}},
}


@router.post(
    "/v1/translations",
    summary="Captions of a video file",
    response_class=Response,
    responses={
        200: {"description": "The captions.", "content": ANSWERS},
        **problem_responses(400, 401, 413, 415, 422, 429, 500, 503),
    },
    openapi_extra=_request_schema(),
)
async def translate(request: Request) -> Response:
    """Translates the whole video and answers with its captions; nothing of the video is kept."""
    services: Services = request.app.state.services
    access: Access = request.app.state.access
    access.check_origin(request.headers)
    caller = access.caller(request.headers.get("authorization"))
    with access.counted(caller):
        transcript, options = await translated(request, services)
    rendered = transcript.rendered(options.response_format)
    if isinstance(rendered, dict):
        return JSONResponse(rendered)
    return Response(rendered, media_type=CONTENT_TYPES[options.response_format])
