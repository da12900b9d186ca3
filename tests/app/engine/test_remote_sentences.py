"""The refining thread against a real HTTP server that speaks as vLLM does: in time, late, wrong, broken, gone."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from app.engine.messages import LlmConfig, Refined, RefinedDraft
from app.engine.refine_queue import RefineRequest
from app.engine.refining import RefineThread
from app.engine.remote_sentences import RemoteSentences, remote_adapters
from models.hypothesis import Token
from models.lexemes import Lexemes
from models.names import show
from models.prompts import Show
from models.speech import Speaker
from tests.app.engine.hypotheses import hypothesis

WAIT_S = 20.0
LEXEMES = Lexemes({"WHO": frozenset({"who"}), "COME": frozenset({"coming"})})

Answer = Callable[[dict[str, Any]], Any]


def fixed(text: str) -> Answer:
    """One piece a word, each of log-probability -0.1."""

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        pieces = [{"token": f"{' ' * bool(place)}{word}", "logprob": -0.1} for place, word in enumerate(text.split())]
        return {"choices": [{"message": {"content": text}, "logprobs": {"content": pieces}}]}

    return answer


@dataclass
class Server:
    """A server in a thread; `answer` makes its answers, after `delay_s`."""

    answer: Answer = fixed("my name is <fs1>.")
    delay_s: float = 0.0
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    port: int = 0
    all_here: asyncio.Barrier | None = None
    """If set, nothing is answered until so many requests are there at once."""
    hung_up: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def complete(self, request: Request) -> Response:
        self.asked.append({**await request.json(), "path": request.url.path})
        self.keys.append(request.headers.get("authorization"))
        if self.all_here is not None:
            await self.all_here.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.delay_s):
                await request.receive()  # the body has been read: what still comes is the end of the connection
                self.hung_up.set()
        answer = self.answer(self.asked[-1])
        return answer if isinstance(answer, Response) else JSONResponse(answer)

    async def models(self) -> dict[str, Any]:
        return {"data": [{"id": "base"}, {"id": "medical", "parent": "base"}, {"id": "else", "parent": "other"}]}

    def app(self) -> FastAPI:
        app = FastAPI()
        for path in ("/v1/chat/completions", "/v1/completions"):
            app.add_api_route(path, self.complete, methods=["POST"])
        app.add_api_route("/v1/models", self.models)
        return app


@pytest.fixture
def server() -> Iterator[Server]:
    held = Server()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        held.port = listening.getsockname()[1]
        running = uvicorn.Server(uvicorn.Config(held.app(), log_level="error", lifespan="off"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        yield held
        running.should_exit = True
        thread.join(WAIT_S)
        assert not thread.is_alive()


@dataclass
class Refining:
    thread: RefineThread
    answers: queue.Queue[Refined | RefinedDraft]

    def ask(self, stream: int, *texts: str, in_s: float = WAIT_S, adapter: str | None = None) -> None:
        deadline_s = time.monotonic() + in_s
        self.thread.request(RefineRequest(stream, 0, hypothesis(*texts), (), "draft", deadline_s, adapter))

    def texts(self, count: int = 1) -> dict[int, str | None]:
        found = [self.answers.get(timeout=WAIT_S) for _ in range(count)]
        return {one.stream: one.caption.text if one.caption else None for one in found}


Connect = Callable[..., Refining]


@pytest.fixture
def connect() -> Iterator[Connect]:
    begun: list[RefineThread] = []

    def connect(url: str, shown: Show = show, **options: Any) -> Refining:
        llm = LlmConfig(url=url, model="base", **options)
        answers: queue.Queue[Refined | RefinedDraft] = queue.Queue()
        captions = Speaker(None, None).captions(RemoteSentences(llm, LEXEMES, shown))
        begun.append(RefineThread(captions, answers.put))
        return Refining(begun[-1], answers)

    yield connect
    for thread in begun:
        thread.stop(WAIT_S)
        assert not thread._thread.is_alive()


def test_a_name_comes_back_in_its_place_and_the_key_is_shown(server: Server, connect: Connect) -> None:
    refining = connect(server.url, api_key="secret")
    refining.ask(1, "ME", "NAME", "#MARIA")
    assert refining.texts() == {1: "My name is Maria."}
    assert server.keys == ["Bearer secret"]
    assert server.asked[0]["path"] == "/v1/chat/completions"


def test_a_model_of_our_own_is_asked_by_its_own_prompt(server: Server, connect: Connect) -> None:
    server.answer = lambda asked: {
        "choices": [{"text": " my name is<fs1>.</s>", "logprobs": {
            "tokens": [" my", " name", " is", "<fs1>", ".", "</s>"], "token_logprobs": [-0.1] * 6}}]
    }  # fmt: skip
    refining = connect(server.url, api="completions")
    refining.ask(1, "ME", "NAME", "#MARIA")
    assert refining.texts() == {1: "My name is Maria."}
    assert (server.asked[0]["path"], server.asked[0]["prompt"]) == (
        "/v1/completions",
        "<gloss> me name <fs1> <english>",
    )
    assert server.keys == [None]


def test_an_adapter_is_a_model_of_the_server(server: Server, connect: Connect) -> None:
    refining = connect(server.url)
    refining.ask(1, "ME", "NAME", "#MARIA", adapter="medical")
    refining.texts()
    refining.ask(2, "ME", "NAME", "#MARIA")
    refining.texts()
    assert [asked["model"] for asked in server.asked] == ["medical", "base"]
    assert remote_adapters(LlmConfig(url=server.url, model="base")) == ["medical"]


@pytest.mark.parametrize("said", ["Zorro is coming.", "who, Zorro, is coming?", "who is coming with Zorro?"])
def test_the_guard_drops_names_that_the_server_invents(server: Server, connect: Connect, said: str) -> None:
    server.answer = fixed(said)
    refining = connect(server.url)
    refining.ask(1, "WHO", "COME")
    text = refining.texts()[1]
    assert text is not None
    assert "coming" in text and "zorro" not in text.lower()


def test_many_requests_are_on_their_way_at_once(server: Server, connect: Connect) -> None:
    server.all_here = asyncio.Barrier(16)
    refining = connect(server.url)
    for stream in range(16):
        refining.ask(stream, "ME", "NAME", "#MARIA")
    assert refining.texts(16) == dict.fromkeys(range(16), "My name is Maria.")


def test_a_late_answer_is_none_at_the_deadline_and_its_connection_ends(server: Server, connect: Connect) -> None:
    server.delay_s = 60.0
    refining = connect(server.url)
    begun_s = time.monotonic()
    refining.ask(1, "ME", "NAME", "#MARIA", in_s=0.3)
    assert refining.texts() == {1: None}
    assert 0.3 <= time.monotonic() - begun_s < 5.0
    assert server.hung_up.wait(WAIT_S), "the server is told to stop writing"
    server.delay_s = 0.0
    refining.ask(2, "ME", "NAME", "#MARIA")
    assert refining.texts() == {2: "My name is Maria."}


@pytest.mark.parametrize(
    "broken",
    [
        JSONResponse({"error": "overloaded"}, 503), Response("<html>", 200), JSONResponse({"choices": []}),
        JSONResponse({"choices": [{"message": {"content": ""}}]}), JSONResponse([1]),
    ],
)  # fmt: skip
def test_an_error_or_a_strange_answer_leaves_the_draft(
    server: Server, connect: Connect, broken: Response, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = lambda asked: broken
    refining = connect(server.url)
    refining.ask(1, "ME", "NAME", "#MARIA")
    assert refining.texts() == {1: None}
    assert "the draft stays" in caplog.text
    server.answer = fixed("my name is <fs1>.")
    refining.ask(2, "ME", "NAME", "#MARIA")
    assert refining.texts() == {2: "My name is Maria."}


def test_a_fault_of_our_own_leaves_the_draft_at_once(
    server: Server, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(token: Token, vocabulary: Sequence[str]) -> str:
        raise KeyError(token.text)

    refining = connect(server.url, shown=broken)
    begun_s = time.monotonic()
    refining.ask(1, "ME", "NAME", "#MARIA")
    assert refining.texts() == {1: None}
    assert time.monotonic() - begun_s < WAIT_S / 2, "not only by the deadline"
    assert "reference" in caplog.text and "KeyError: 'MARIA'" in caplog.text


def test_nobody_at_the_url_leaves_the_draft_and_no_adapters(connect: Connect) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/v1"
        refining = connect(url)
        refining.ask(1, "ME", "NAME", "#MARIA")
        assert refining.texts() == {1: None}
        assert remote_adapters(LlmConfig(url=url, model="base")) == []


def test_log_probabilities_reach_the_words(server: Server) -> None:
    writer = RemoteSentences(LlmConfig(url=server.url, model="base"), LEXEMES, show)
    try:
        from models.prompts import Request as Asked

        writer.join({7: Asked(hypothesis("ME", "NAME", "#MARIA").tokens)})
        [(key, refined)] = writer.step(WAIT_S)
        assert key == 7 and refined is not None
        assert [word.log_prob for word in refined.words] == pytest.approx([-0.1] * 4)
        assert len(writer) == 0
        writer.poke()
        begun_s = time.monotonic()
        assert writer.step(WAIT_S) == []
        assert time.monotonic() - begun_s < WAIT_S / 2, "a poke ends the waiting"
    finally:
        writer.close()
