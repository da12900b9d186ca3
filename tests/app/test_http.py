"""Health, metrics, models, tokens, OpenAPI, and failures of any route."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.app import media
from tests.app.conftest import KEY, RunningServer
from tests.app.test_translations import check_problem, upload


@pytest.fixture
async def http(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url(""), timeout=30) as client:
        yield client


async def test_health_and_readiness(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).json() == {"status": "ok"}
    assert (await http.get("/readyz")).json() == {"status": "ready", "free_slots": 2}


async def test_not_ready_says_why(
    server: RunningServer, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (worker,) = server.app.state.services.pool.workers
    monkeypatch.setattr(worker, "model", None)
    problem = check_problem(await http.get("/readyz"), 503, "not_ready")
    assert worker.reason in problem["detail"]
    check_problem(await upload(http, media.video()), 503, "not_ready")


async def test_metrics_name_their_units(http: httpx.AsyncClient) -> None:
    await upload(http, media.video("webm_file"))
    answer = await http.get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    stages = {
        sample.labels["stage"]
        for sample in families["signbind_stage_latency_seconds"].samples
        if sample.name.endswith("_count") and sample.value > 0
    }
    assert stages == {"decode", "queue", "experts", "fusion", "llm", "total"}
    units = ("_seconds", "_bytes", "_ratio", "_streams", "_slots", "_connections", "_workers")
    for name, family in families.items():
        assert name.startswith("signbind_")
        assert family.documentation
        assert family.type == "counter" or name.endswith(units), f"{name} ends in no unit"
    assert families["signbind_free_slots"].samples[0].value == 2
    assert sum(sample.value for sample in families["signbind_captions"].samples if sample.name.endswith("_total")) > 0


async def test_models(http: httpx.AsyncClient) -> None:
    (model,) = (await http.get("/v1/models")).json()["data"]
    assert model["id"] == "random"
    assert model["slots"] == 2


async def test_openapi_describes_the_failures(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    translate = paths["/v1/translations"]["post"]
    assert set(translate["responses"]) >= {"200", "401", "413", "415", "422", "429", "503"}
    form = translate["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["file"]
    assert {"response_format", "vocabulary", "min_confidence"} <= set(form["properties"])
    assert {"/healthz", "/readyz", "/metrics", "/v1/models", "/v1/tokens"} <= set(paths)
    live = paths["/v1/live"]["get"]
    assert set(live["x-client-messages"]) == {"session.start", "session.update", "keepalive", "finalize", "close"}
    assert {"session.ready", "caption", "error", "session.closed"} <= set(live["x-server-messages"])
    assert live["x-failures"]["no_slot"] == {
        "title": "No free slot",
        "close_code": 1013,
        "status": 503,
        "retryable": True,
    }


async def test_tokens_need_the_key_and_a_sensible_time(http: httpx.AsyncClient, keyed: None) -> None:
    check_problem(await http.post("/v1/tokens"), 401, "unauthorized")
    key = {"Authorization": f"Bearer {KEY}"}
    token = (await http.post("/v1/tokens", headers=key)).json()["token"]
    check_problem(await http.post("/v1/tokens", headers={"Authorization": f"Bearer {token}"}), 401, "unauthorized")
    check_problem(await http.post("/v1/tokens", headers=key, json={"ttl_s": 9}), 422, "bad_option")
    check_problem(await http.post("/v1/tokens", headers=key, json={"ttl": 60}), 422, "bad_option")
    no_json = await http.post("/v1/tokens", headers={**key, "Content-Type": "application/json"}, content="{")
    check_problem(no_json, 400, "bad_request")
    by_token = await http.get("/v1/models", headers={"Authorization": f"Bearer {token}"})
    assert by_token.status_code == 200


async def test_unknown_paths_and_methods_are_problems(http: httpx.AsyncClient) -> None:
    check_problem(await http.get("/v1/nothing"), 404, "not_found")
    check_problem(await http.post("/v1/translation"), 404, "not_found")  # without its s
    for method, path, allowed in (
        ("DELETE", "/healthz", "GET"), ("GET", "/v1/translations", "POST"), ("PUT", "/v1/tokens", "POST"),
        ("POST", "/", "GET"), ("POST", "/app.js", "GET"), ("POST", "/docs", "GET"), ("HEAD", "/healthz", "GET"),
    ):  # fmt: skip
        answer = await http.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed), (method, path)
        if method != "HEAD":
            assert (
                f"Expected {allowed} at '{path}', got {method}" in check_problem(answer, 405, "wrong_method")["detail"]
            )


async def test_a_live_stream_needs_a_websocket(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/live")
    assert "/v1/translations" in check_problem(answer, 426, "websocket_needed")["detail"]
    assert answer.headers["upgrade"] == "websocket"


async def test_a_foreign_page_may_not_post(http: httpx.AsyncClient) -> None:
    for origin in ("https://elsewhere.example", "http://["):
        http.headers["Origin"] = origin
        check_problem(await upload(http, media.video()), 403, "origin_refused")


async def test_a_fault_of_ours_hides_its_cause(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setattr(server.app.state.access, "caller", fail)
    async with httpx.AsyncClient(base_url=server.url("")) as client:
        answer = await client.get("/v1/models")
    problem = check_problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert any(record.getMessage().split("reference ")[-1] in problem["detail"] for record in caplog.records)


async def test_every_answer_is_safe_to_show(http: httpx.AsyncClient) -> None:
    answer = await http.get("/healthz")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers
