"""GET /v1/models and POST /v1/tokens."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from app.access import LONGEST_TOKEN_S, SHORTEST_TOKEN_S, TOKEN_SUBPROTOCOL, USUAL_TOKEN_S, Access
from app.api.problems import problem_responses
from app.services import Services

router = APIRouter()


class TokenRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    ttl_s: int = Field(USUAL_TOKEN_S, ge=SHORTEST_TOKEN_S, le=LONGEST_TOKEN_S, description="How long it is good for.")


class Token(BaseModel):
    token: str
    subprotocol: str = Field(description="What a browser gives to `new WebSocket(url, [subprotocol])`.")
    expires_at: str


@router.get("/v1/models", tags=["models"], summary="What is loaded", responses=problem_responses(401))
async def models(request: Request) -> dict[str, Any]:
    services: Services = request.app.state.services
    access: Access = request.app.state.access
    access.caller(request.headers.get("authorization"))
    return {"object": "list", "data": services.pool.models}


@router.post(
    "/v1/tokens", tags=["access"], status_code=201, summary="A short-lived client token",
    responses=problem_responses(400, 401, 422),
)  # fmt: skip
async def tokens(request: Request, wanted: TokenRequest | None = None) -> Token:
    """For a browser, which must not see the API key; needs the key."""
    access: Access = request.app.state.access
    access.check_origin(request.headers)
    caller = access.key_holder(request.headers.get("authorization"))
    token, expires_s = access.issue(caller, (wanted or TokenRequest()).ttl_s)
    expires_at = datetime.fromtimestamp(expires_s, UTC).isoformat()
    return Token(token=token, subprotocol=TOKEN_SUBPROTOCOL + token, expires_at=expires_at)
