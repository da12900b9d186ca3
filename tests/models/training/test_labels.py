"""Labels from sentences: by rules, from a real server on this machine, refused by name when they do not fit."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from models.training.label_endpoint import Endpoint, EndpointError, EndpointGlosser, tokens_of
from models.training.labels import Label, LabelError, checked, ctc_steps
from models.training.labels_stage import train


class GlossServer(HTTPServer):
    """Answers every sentence with the next of `answers`: a status and a text."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str]] = []
        self.bodies: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), GlossHandler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class GlossHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, GlossServer)
        server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        status, text = server.answers.pop(0)
        held = {"choices": [{"message": {"content": text}}]} if status == 200 else {"error": text}
        body = json.dumps(held).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[GlossServer]:
    with GlossServer() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join(5)


def test_ctc_needs_a_blank_between_repeats() -> None:
    assert ctc_steps("ANNA") == 5
    assert ctc_steps(()) == 0
    label = Label("clip-7", "Anna.", ("#ANNA",), ("AE", "N", "AH"))
    assert label.joint == ("#A", "#N", "#N", "#A")
    assert label.letters == ("A", "N", "N", "A")
    assert checked(label, 5) is label
    with pytest.raises(LabelError, match=r"clip-7: its glosses need 5 steps .*the clip has 4"):
        checked(label, 4)
    with pytest.raises(LabelError, match="clip-8.*no gloss"):
        checked(Label("clip-8", "The.", (), ()), None)


def test_the_server_is_asked_once_for_a_sentence_and_busy_answers_are_waited_out(
    server: GlossServer, tmp_path: Path
) -> None:
    endpoint, cache = Endpoint(server.url, "some-model", key="secret", first_wait_s=0.01), tmp_path / "cache.jsonl"
    server.answers = [(429, "busy"), (200, "ME NAME #MARIA")]
    with EndpointGlosser(endpoint, cache) as glosser:
        assert glosser("My name is Maria.") == glosser("My name is Maria.") == ("ME", "NAME", "#MARIA")
    assert len(server.bodies) == 2
    assert server.bodies[1]["messages"][1]["content"] == "My name is Maria."
    with cache.open("a") as file:
        file.write('{"key": "cut off by a cra')
    server.answers = [(200, "YOU GO WHERE")]
    with EndpointGlosser(endpoint, cache) as glosser:
        assert glosser("My name is Maria.") == ("ME", "NAME", "#MARIA")
        assert glosser("Where are you going?") == ("YOU", "GO", "WHERE")
        assert glosser.asked == 1
    with EndpointGlosser(endpoint, cache) as glosser:
        assert glosser("Where are you going?") == ("YOU", "GO", "WHERE")


def test_a_server_that_refuses_or_babbles_is_an_error_that_says_so(server: GlossServer, tmp_path: Path) -> None:
    server.answers = [(401, "no key"), (200, "Sure, here you go!"), (500, "x"), (500, "x")]
    with EndpointGlosser(Endpoint(server.url, "m", attempts=2, first_wait_s=0.01), tmp_path / "c.jsonl") as glosser:
        with pytest.raises(EndpointError, match="status 401"):
            glosser("One.")
        with pytest.raises(EndpointError, match="expected glosses in capitals for 'Two.'"):
            glosser("Two.")
        with pytest.raises(EndpointError, match="status 500"):
            glosser("Three.")
    assert tokens_of("ME, LOOK-FOR #NY2.\n", "x") == ("ME", "LOOK-FOR", "#NY2")
    with pytest.raises(ValueError, match="address and a model"):
        Endpoint("localhost", "m")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    text = tmp_path / "data" / "text"
    text.mkdir(parents=True)
    (text / "how2sign.train.tsv").write_text("a.mp4\tMy name is Zoltan.\nb.mp4\tThe.\n")
    (text / "how2sign_realigned_val.csv").write_text(
        "VIDEO_ID,VIDEO_NAME,SENTENCE_ID,SENTENCE_NAME,START_REALIGNED,END_REALIGNED,SENTENCE\n"
        'v,v,s,short,1.0,1.2,"Where are you going, my friend?"\nv,v,s,long,1.0,5.0,Where are you going?\n'
    )
    return tmp_path / "data"


def test_the_stage_labels_by_rules_and_refuses_by_name(data: Path, tmp_path: Path) -> None:
    assert train(data, tmp_path) == {"labels": 2.0, "refused": 2.0}
    labels = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert [label["name"] for label in labels] == ["a.mp4", "long"]
    assert labels[0]["tokens"] == ["MY", "NAME", "#ZOLTAN"]
    assert labels[0]["phonemes"][:3] == ["M", "AY", "N"]
    refused = (tmp_path / "refused.jsonl").read_text()
    assert "short: its glosses need 5 steps" in refused
    assert "b.mp4: the sentence 'The.' has no gloss" in refused


def test_the_stage_goes_on_where_it_was_stopped(data: Path, tmp_path: Path, server: GlossServer) -> None:
    assert train(data, tmp_path, minutes=0) == {"labels": 0.0, "refused": 0.0}
    train(data, tmp_path)
    with (tmp_path / "labels.jsonl").open("r+") as file:
        lines = file.readlines()
        file.seek(0)
        file.truncate()
        file.write(lines[0] + lines[1][:20])
    server.answers = [(200, "YOU GO WHERE")]
    figures = train(data, tmp_path, endpoint=Endpoint(server.url, "m"))
    assert figures == {"labels": 2.0, "refused": 2.0}
    assert len(server.bodies) == 1
    assert '["YOU", "GO", "WHERE"]' in (tmp_path / "labels.jsonl").read_text().splitlines()[1]


def test_missing_sentences_are_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected .*how2sign\.train\.tsv"):
        train(tmp_path, tmp_path)
