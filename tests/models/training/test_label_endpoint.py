"""The labeller that asks a server: a real one on this machine that is busy, babbles, cuts connections; and a kill -9."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from models.training.label_answers import AnswerError, tokens_of
from models.training.label_cache import Answer, AnswerCache
from models.training.label_endpoint import Endpoint, EndpointError, EndpointGlosser
from models.training.label_files import read_labels
from models.training.label_rate import Pace, backoff_s, told_wait_s
from models.training.labels_stage import train

Reply = tuple[int, str | bytes | None, dict[str, str]]
"""Status; the model's text, the raw body, or None for a connection that is cut within its body; more headers."""


def ok(text: str) -> Reply:
    return 200, text, {}


def shouting(body: dict[str, Any]) -> Reply:
    """A model that knows no better than capitals."""
    return ok(body["messages"][1]["content"].upper().rstrip("."))


class ChatServer(ThreadingHTTPServer):
    """OpenAI's chat completions; `reply` says what to answer to a request's body."""

    daemon_threads = True

    def __init__(self) -> None:
        self.reply: Callable[[dict[str, Any]], Reply] = shouting
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        super().__init__(("127.0.0.1", 0), ChatHandler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def script(self, *replies: Reply) -> None:
        """Answers in this order, whatever is asked."""
        waiting = iter(replies)
        self.reply = lambda _: next(waiting)

    def asked(self) -> Counter[str]:
        return Counter(body["messages"][1]["content"] for body in self.bodies)

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no news."""


class ChatHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, ChatServer) and self.path == "/v1/chat/completions"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.bodies.append(body)
        server.keys.add(self.headers["Authorization"])
        status, text, headers = server.reply(body)
        data = text if isinstance(text, bytes) else _completion(status, text)
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) + (100 if text is None else 0)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Quiet."""


def _completion(status: int, text: str | None) -> bytes:
    if status != 200:
        return json.dumps({"error": {"message": text}}).encode()
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 40, "completion_tokens": 5, "total_tokens": 45}
    return json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}).encode()


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join(5)


def endpoint(server: ChatServer, **changes: Any) -> Endpoint:
    return Endpoint(server.url, "some-model", **{"key": "secret", "first_wait_s": 0.01, **changes})


def test_a_sentence_is_asked_once_for_all_time(server: ChatServer, tmp_path: Path) -> None:
    cache = tmp_path / "cache.jsonl"
    server.script(ok("ME NAME #MARIA"))
    with EndpointGlosser(endpoint(server), cache) as glosser:
        assert glosser.known("My name is Maria.") is None
        assert glosser("My name is Maria.") == glosser("My name is Maria.") == ("ME", "NAME", "#MARIA")
        assert (glosser.spent.requests, glosser.spent.prompt_tokens, glosser.spent.completion_tokens) == (1, 40, 5)
    assert server.keys == {"Bearer secret"}
    body = server.bodies[0]
    assert body["model"] == "some-model" and body["temperature"] == 0
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    with cache.open("a") as file:
        file.write('{"key": "cut off by a cra')
    server.script(ok("YOU GO WHERE"))
    for _ in range(2):
        with EndpointGlosser(endpoint(server), cache) as glosser:
            assert glosser("My name is Maria.") == ("ME", "NAME", "#MARIA")
            assert glosser("Where are you going?") == ("YOU", "GO", "WHERE")
    assert len(server.bodies) == 2


def test_another_model_or_prompt_is_another_answer(server: ChatServer, tmp_path: Path) -> None:
    for changes in ({}, {"prompt": "Gloss this."}, {"prompt": "Gloss this."}):
        with EndpointGlosser(endpoint(server, **changes), tmp_path / "cache.jsonl") as glosser:
            glosser("Go.")
    assert [body["messages"][0]["content"] == "Gloss this." for body in server.bodies] == [False, True]
    assert "secret" not in repr(endpoint(server))


@pytest.mark.parametrize(
    "trouble",
    [(429, "busy", {"Retry-After": "0"}), (503, "down", {}), (200, None, {}), (200, b"<html>", {}), (200, b"{}", {}),
     (200, b'{"error": {"message": "overloaded"}}', {})],
)  # fmt: skip
def test_trouble_that_passes_is_waited_out(server: ChatServer, tmp_path: Path, trouble: Reply) -> None:
    server.script(trouble, trouble, ok("GO"))
    with EndpointGlosser(endpoint(server), tmp_path / "cache.jsonl") as glosser:
        assert glosser("Go.") == ("GO",)
        assert glosser.spent.requests == len(server.bodies) == 3


@pytest.mark.parametrize(
    ("replies", "says"),
    [([(401, "no such key", {})], "refuses: status 401.*no such key"), ([(400, "what?", {})], "refuses: status 400"),
     ([(429, "insufficient_quota", {})], "refuses: status 429"), ([(500, "x", {})] * 2, "got status 500"),
     ([(200, b"hello", {})] * 2, "no chat completion: 'hello'.*as /v1"), ([(200, None, {})] * 2, "RemoteProtocolError")],
)  # fmt: skip
def test_trouble_that_stays_is_said_in_a_sentence(
    server: ChatServer, tmp_path: Path, replies: list[Reply], says: str
) -> None:
    server.script(*replies)
    with (
        EndpointGlosser(endpoint(server, attempts=2), tmp_path / "c.jsonl") as glosser,
        pytest.raises(EndpointError, match=says),
    ):
        glosser("One.")
    assert len(server.bodies) == len(replies)


def test_a_babbling_model_is_told_once_then_its_sentence_is_refused(server: ChatServer, tmp_path: Path) -> None:
    server.script(ok("Sure, here you go!"), ok("YOU GO"), ok("Of course!"), ok(""))
    for _ in range(2):  # the second time from the cache alone
        with EndpointGlosser(endpoint(server), tmp_path / "c.jsonl") as glosser:
            assert glosser("You go.") == ("YOU", "GO")
            with pytest.raises(AnswerError, match=r"expected glosses in capitals for 'Stop\.', got ''"):
                glosser("Stop.")
    assert len(server.bodies) == 4
    told = server.bodies[1]["messages"]
    assert told[2] == {"role": "assistant", "content": "Sure, here you go!"}
    assert "no line of glosses" in told[3]["content"]


def test_a_sentence_that_the_server_refuses_does_not_stop_the_others(server: ChatServer, tmp_path: Path) -> None:
    sentences = tmp_path / "s.tsv"
    sentences.write_text("a\tGood dog.\nb\tBad dog.\nc\tOld dog.\n")
    server.reply = lambda body: (
        (400, "content filter", {}) if "Bad" in body["messages"][1]["content"] else shouting(body)
    )
    figures = train(sentences, tmp_path / "out", endpoint=endpoint(server, concurrency=1))
    assert (figures["labels"], figures["refused"], figures["requests"]) == (2.0, 1.0, 3.0)
    assert "b: the server refused 'Bad dog.' (status 400" in (tmp_path / "out" / "refused.jsonl").read_text()
    assert train(sentences, tmp_path / "out", endpoint=endpoint(server))["requests"] == 0


def test_a_folder_of_sentences_is_asked_for_several_at_a_time(server: ChatServer, tmp_path: Path) -> None:
    together = threading.Barrier(3)

    def reply(body: dict[str, Any]) -> Reply:
        together.wait(20)  # passes only when three are asked at once
        return shouting(body)

    server.reply = reply
    sentences = tmp_path / "s.tsv"
    sentences.write_text("".join(f"{n}\tGood dog {n % 6}.\n" for n in range(12)))
    figures = train(sentences, tmp_path / "out", endpoint=endpoint(server, concurrency=3))
    assert (figures["labels"], figures["requests"]) == (12.0, 6.0)
    assert set(server.asked().values()) == {1}
    assert [label.name for label in read_labels(tmp_path / "out")] == [str(n) for n in range(12)]


def test_what_was_answered_before_the_server_failed_is_kept(server: ChatServer, tmp_path: Path) -> None:
    server.script(ok("ONE"), ok("TWO"), (403, "over", {}))
    sentences = tmp_path / "s.tsv"
    sentences.write_text("1\tOne.\n2\tTwo.\n3\tThree.\n")
    with pytest.raises(EndpointError, match="status 403"):
        train(sentences, tmp_path / "out", endpoint=endpoint(server, concurrency=1))
    assert [label.tokens for label in read_labels(tmp_path / "out")] == [("ONE",), ("TWO",)]


RUN = """
import sys
from pathlib import Path
from models.training.label_endpoint import Endpoint
from models.training.labels_stage import train
train(Path(sys.argv[2]), Path(sys.argv[3]), endpoint=Endpoint(sys.argv[1], "some-model", concurrency=2))
"""


def test_a_run_that_was_killed_pays_for_no_answer_twice(server: ChatServer, tmp_path: Path) -> None:
    """Of 12 sentences two are under way when the process is killed: those alone are asked again."""
    sentences, out = tmp_path / "s.tsv", tmp_path / "out"
    sentences.write_text("".join(f"{n}\tDog {n}.\n" for n in range(12)))
    held, release, count = threading.Semaphore(0), threading.Event(), iter(range(100))

    def reply(body: dict[str, Any]) -> Reply:
        if next(count) >= 6 and not release.is_set():
            held.release()
            release.wait(50)
        return shouting(body)

    server.reply = reply
    with subprocess.Popen([sys.executable, "-c", RUN, server.url, str(sentences), str(out)]) as process:
        assert held.acquire(timeout=50) and held.acquire(timeout=50)
        process.kill()
    release.set()
    assert len(server.bodies) == 8
    with pytest.raises(ValueError, match="no such file|holds no labels"):
        read_labels(out)
    figures = train(sentences, out, endpoint=endpoint(server))
    assert (figures["labels"], figures["requests"]) == (12.0, 6.0)
    assert sorted(server.asked().values()) == [1] * 10 + [2] * 2


def test_a_cache_belongs_to_one_run(tmp_path: Path) -> None:
    with AnswerCache(tmp_path / "c.jsonl") as cache:
        cache.put("k", "Go.", Answer("GO"))
        with pytest.raises(ValueError, match="in use by another run"):
            AnswerCache(tmp_path / "c.jsonl")
    with AnswerCache(tmp_path / "c.jsonl") as cache:
        assert cache.get("k") == Answer("GO")


def test_the_pace_spaces_requests_and_rests() -> None:
    now = 100.0
    pace = Pace(30, clock=lambda: now)
    assert [pace.take() for _ in range(3)] == [0.0, 2.0, 4.0]
    pace.rest(60)
    assert [pace.take() for _ in range(2)] == [60.0, 62.0]
    now = 300.0
    assert pace.take() == 0.0
    assert [Pace(clock=lambda: now).take() for _ in range(2)] == [0.0, 0.0]


def test_a_busy_server_holds_back_all_threads(server: ChatServer, tmp_path: Path) -> None:
    """The wait that one thread is told counts for the other: nothing is sent for as long."""
    arrivals: list[float] = []

    def reply(body: dict[str, Any]) -> Reply:
        arrivals.append(time.monotonic())
        return (429, "busy", {"Retry-After": "0.7"}) if len(arrivals) == 1 else shouting(body)

    server.reply = reply
    with EndpointGlosser(endpoint(server, concurrency=2), tmp_path / "c.jsonl") as glosser:
        glosser.fetch([f"Dog {n}." for n in range(20)], 30)
    assert len(arrivals) == 21
    assert max(later - earlier for earlier, later in zip(arrivals, arrivals[1:], strict=False)) >= 0.65


def test_the_pace_is_kept_over_all_threads(server: ChatServer, tmp_path: Path) -> None:
    with EndpointGlosser(endpoint(server, concurrency=4, requests_per_minute=600), tmp_path / "c.jsonl") as glosser:
        begun = time.monotonic()
        heard: list[tuple[int, int]] = []
        glosser.fetch([f"Dog {n}." for n in range(8)], 30, lambda done, total: heard.append((done, total)))
        assert heard == [(done, 8) for done in range(1, 9)]
        assert time.monotonic() - begun >= 0.7  # the eighth goes seven tenths of a second after the first
    assert len(server.bodies) == 8


def test_what_a_server_asks_for_is_understood() -> None:
    assert told_wait_s({"retry-after": "7"}, 0.0) == 7.0
    assert told_wait_s({"retry-after-ms": "1500", "retry-after": "7"}, 0.0) == 1.5
    assert told_wait_s({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 40.0) == 60.0
    assert told_wait_s({"retry-after": "86400"}, 0.0) == 300.0
    assert told_wait_s({"retry-after": "soon"}, 0.0) is None
    assert told_wait_s({}, 0.0) is None
    assert [backoff_s(n, 1.0, 0.0) for n in (1, 2, 3, 20)] == [1.0, 2.0, 4.0, 300.0]
    assert backoff_s(1, 1.0, 1.0) == 1.25


@pytest.mark.parametrize(
    ("answer", "tokens"),
    [("ME, LOOK-FOR #NY2.\n", "ME LOOK-FOR #NY2"), ("Gloss: ME GO", "ME GO"), ("```\nME GO\n```", "ME GO"),
     ("fs-NY2 #N-Y-2", "#NY2 #NY2"), ("<think>me? go?\n</think>\nME GO", "ME GO"), ('"ME GO"', "ME GO")],
)  # fmt: skip
def test_answers_in_near_notation_are_mended(answer: str, tokens: str) -> None:
    assert tokens_of(answer, "I look for NY2.") == tuple(tokens.split())


@pytest.mark.parametrize("answer", ["", "Sure!", "ME GO\nYOU GO", "me go", "GO " * 20, "ME GO #PARIS", "#"])
def test_answers_that_are_no_glosses_are_refused(answer: str) -> None:
    with pytest.raises(AnswerError, match="expected glosses|invented"):
        tokens_of(answer, "I go.")


def test_spelled_words_are_whole_words_of_the_sentence() -> None:
    assert tokens_of("ME #NYC", "I am in N. Y. C.") == ("ME", "#NYC")
    with pytest.raises(AnswerError, match="invented"):
        tokens_of("#HEAT", "the attic")


def test_an_endpoint_needs_an_address_and_a_model() -> None:
    with pytest.raises(ValueError, match="address and a model"):
        Endpoint("localhost", "m")
    with pytest.raises(ValueError, match="at least one request"):
        Endpoint("http://localhost", "m", concurrency=0)
