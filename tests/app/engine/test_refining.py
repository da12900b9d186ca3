"""The refining thread with the bundled language model: many streams at once, deadlines, drafts, failures."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import pytest

from app.engine.messages import Refined, RefinedDraft
from app.engine.refine_queue import RefineRequest
from app.engine.refining import DRAFT_PAUSE_S, Captions, RefineThread
from app.settings import BUNDLED_CHECKPOINT
from models.bundle import language
from models.hypothesis import Caption, Token, Wanted
from models.speech import Speaker
from tests.app.engine.hypotheses import hypothesis

LONG_S, WAIT_S = 50.0, 50.0

Answers = queue.Queue[Refined | RefinedDraft]
Start = Callable[..., RefineThread]


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    return Speaker(language(BUNDLED_CHECKPOINT), None)


@pytest.fixture
def answers() -> Answers:
    return queue.Queue()


@pytest.fixture
def start(answers: Answers) -> Iterator[Start]:
    begun: list[RefineThread] = []

    def start(captions: Captions | None, **options: bool | int | Callable[[], bool]) -> RefineThread:
        begun.append(RefineThread(captions, answers.put, **options))  # type: ignore[arg-type]
        return begun[-1]

    yield start
    for thread in begun:
        thread.stop(WAIT_S)
        assert not thread._thread.is_alive()


def request(stream: int, *texts: str, segment: int = 0, in_s: float = LONG_S, is_final: bool = True) -> RefineRequest:
    return RefineRequest(stream, segment, hypothesis(*texts), (), "draft", time.monotonic() + in_s, None, is_final)


def texts_of(answers: Answers, count: int) -> dict[int, str | None]:
    found = [answers.get(timeout=WAIT_S) for _ in range(count)]
    return {one.stream: one.caption.text if one.caption else None for one in found}


class Watched:
    """Captions that note what comes and goes. While they are `held`, their steps wait as for a server that does not answer."""

    def __init__(self, inner: Captions, held: bool = False) -> None:
        self._inner, self.held = inner, held
        self.joined: list[list[Wanted]] = []
        self.left: list[int] = []
        self.most = self._now = 0
        self._poked, self._changed = threading.Event(), threading.Condition()

    def join(self, wanted: Mapping[int, Wanted]) -> None:
        self._inner.join(wanted)
        with self._changed:
            self.joined.append(list(wanted.values()))
            self._now += len(wanted)
            self.most = max(self.most, self._now)
            self._changed.notify_all()

    def leave(self, keys: Collection[int]) -> None:
        self._inner.leave(keys)
        with self._changed:
            self.left += keys
            self._now -= len(keys)
            self._changed.notify_all()

    def step(self, wait_s: float) -> list[tuple[int, Caption | None]]:
        if self.held:
            self._poked.wait(wait_s)
            self._poked.clear()
            return []
        finished = self._inner.step(wait_s)
        self._now -= len(finished)
        return finished

    def poke(self) -> None:
        self._poked.set()
        self._inner.poke()

    def close(self) -> None:
        self._inner.close()

    def release(self) -> None:
        self.held = False
        self.poke()

    def await_that(self, holds: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(holds, WAIT_S), "it does not come"


class Stuck(Watched):
    """Captions that cannot end the segments of `stuck`; joining waits for `may_join`."""

    def __init__(self, inner: Captions, stuck: Collection[int] = ()) -> None:
        super().__init__(inner, held=bool(stuck))
        self.stuck, self.may_join, self.joins = stuck, threading.Event(), threading.Event()

    def join(self, wanted: Mapping[int, Wanted]) -> None:
        self.joins.set()
        assert self.may_join.wait(WAIT_S)
        super().join(wanted)

    def leave(self, keys: Collection[int]) -> None:
        if set(keys) & set(self.stuck):
            raise IndexError(f"no row for {keys}")
        super().leave(keys)


def stuck_captions(speaker: Speaker, *stuck: int) -> Stuck:
    captions = speaker.captions()
    assert captions is not None
    return Stuck(captions, stuck)


def watched(speaker: Speaker, held: bool = False) -> Watched:
    captions = speaker.captions()
    assert captions is not None
    return Watched(captions, held)


def test_many_streams_are_written_in_one_batch_each_with_its_own_words(
    speaker: Speaker, start: Start, answers: Answers
) -> None:
    captions = watched(speaker)
    names = [f"#{name}" for name in ("MARIA", "ANNA", "OLIVER", "TOM")]
    alone = {n: speaker.refine([hypothesis("ME", "NAME", name)])[0].text for n, name in enumerate(names)}
    thread = start(captions)
    for stream in range(24):
        thread.request(request(stream, "ME", "NAME", names[stream % 4]))
    assert texts_of(answers, 24) == {stream: alone[stream % 4] for stream in range(24)}
    assert captions.most > 4, "they ran together"


def test_a_vocabulary_is_its_own_streams_alone(speaker: Speaker, start: Start, answers: Answers) -> None:
    thread = start(speaker.captions())
    for stream, vocabulary in ((1, ("DuPont",)), (2, ())):
        asked = request(stream, "ME", "NAME", "#DUPONT")
        thread.request(replace(asked, vocabulary=vocabulary))
    texts = texts_of(answers, 2)
    assert "DuPont" in str(texts[1])
    assert "Dupont" in str(texts[2])


def test_the_last_caption_of_a_stream_is_its_next_ones_context(
    speaker: Speaker, start: Start, answers: Answers
) -> None:
    captions = watched(speaker)
    thread = start(captions)
    thread.request(request(1, "ME", "NAME", "#MARIA"))
    first = texts_of(answers, 1)[1]
    for stream in (1, 2):
        thread.request(request(stream, "YOU", "GO", "WHERE", segment=1))
    texts_of(answers, 2)
    contexts = [one.context for joined in captions.joined[1:] for one in joined]
    assert contexts == [(first,), ()]


def test_what_is_not_written_by_its_deadline_is_none_and_leaves(
    speaker: Speaker, start: Start, answers: Answers
) -> None:
    captions = watched(speaker, held=True)
    thread = start(captions, most_rows=1)
    thread.request(request(1, "ME", "NAME", "#MARIA", in_s=0.3))
    thread.request(request(2, "ME", "NAME", "#MARIA", in_s=0.2))
    assert texts_of(answers, 2) == {1: None, 2: None}
    captions.release()
    thread.request(request(3, "THANK-YOU"))
    assert texts_of(answers, 1)[3] is not None
    assert captions.left[0] == 0 and captions.most == 1, "the one that ran has left, and made room"


def test_without_a_language_model_all_is_answered_with_none(start: Start, answers: Answers) -> None:
    thread = start(None)
    thread.request(request(1, "THANK-YOU"))
    thread.request(request(2, "THANK-YOU", is_final=False))
    thread.request(request(3, "THANK-YOU"))
    assert texts_of(answers, 2) == {1: None, 3: None}


def test_a_draft_is_written_in_spare_time_if_asked_for(speaker: Speaker, start: Start, answers: Answers) -> None:
    asked = request(1, "ME", "NAME", "#MARIA", is_final=False)
    start(speaker.captions()).request(asked)
    start(speaker.captions(), writes_drafts=True).request(asked)
    answer = answers.get(timeout=WAIT_S)
    assert isinstance(answer, RefinedDraft)
    assert answer.hypothesis == asked.hypothesis
    assert "Maria" in answer.caption.text
    assert answers.empty()


def test_drafts_wait_until_there_is_time_and_finals_do_not(speaker: Speaker, start: Start, answers: Answers) -> None:
    has_time = threading.Event()
    thread = start(speaker.captions(), writes_drafts=True, has_time=has_time.is_set)
    thread.request(request(1, "I", "WANT", is_final=False))
    thread.request(request(2, "YOU", "NAME", "WHAT"))
    final = answers.get(timeout=WAIT_S)
    assert isinstance(final, Refined) and final.stream == 2 and final.caption is not None
    with pytest.raises(queue.Empty):
        answers.get(timeout=4 * DRAFT_PAUSE_S)
    has_time.set()
    draft = answers.get(timeout=WAIT_S)
    assert isinstance(draft, RefinedDraft) and draft.stream == 1


def test_a_final_ends_the_drafts_that_are_being_written(speaker: Speaker, start: Start, answers: Answers) -> None:
    captions = watched(speaker, held=True)
    thread = start(captions, writes_drafts=True)
    for stream in (1, 2):
        thread.request(request(stream, "ME", "NAME", "#MARIA", is_final=False))
    captions.await_that(lambda: captions.most == 2)
    thread.request(request(3, "ME", "NAME", "#MARIA"))
    captions.await_that(lambda: captions.left == [0, 1])
    captions.release()
    assert isinstance(answers.get(timeout=WAIT_S), Refined)
    assert answers.empty()


def test_a_failure_leaves_the_drafts_and_the_next_is_written(
    speaker: Speaker, start: Start, answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    captions = watched(speaker)
    thread = start(captions)
    asked = request(1, "ME", "NAME", "#MARIA")
    thread.request(replace(asked, adapter="nobody"))
    assert texts_of(answers, 1) == {1: None}
    assert "segments failed (0 of stream 1), reference" in caplog.text
    thread.request(request(2, "THANK-YOU"))
    assert texts_of(answers, 1)[2] is not None


def test_a_segment_that_cannot_be_ended_has_its_draft_and_the_others_go_on(
    speaker: Speaker, start: Start, answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    captions = stuck_captions(speaker, 0)
    captions.may_join.set()
    thread = start(captions)
    thread.request(request(1, "ME", "NAME", "#MARIA", in_s=1.0))
    thread.request(request(2, "ME", "NAME", "#ANNA"))
    assert texts_of(answers, 1) == {1: None}
    captions.release()
    assert "Anna" in str(texts_of(answers, 1)[2])
    assert "(0 of stream 1), reference" in caplog.text, "logged after the answer, before anything else"
    thread.request(request(3, "THANK-YOU"))
    assert texts_of(answers, 1)[3] is not None
    assert answers.empty(), "what could not be ended is not answered again"


def test_a_segment_that_cannot_begin_does_not_keep_out_those_beside_it(
    speaker: Speaker, start: Start, answers: Answers
) -> None:
    captions = stuck_captions(speaker)
    thread = start(captions)
    thread.request(request(1, "THANK-YOU"))
    assert captions.joins.wait(WAIT_S)
    thread.request(replace(request(2, "ME", "NAME", "#MARIA"), adapter="nobody"))
    thread.request(request(3, "ME", "NAME", "#ANNA"))
    captions.may_join.set()
    texts = texts_of(answers, 3)
    assert texts[2] is None and "Anna" in str(texts[3])


def test_a_sentence_that_cannot_be_read_leaves_its_draft_and_no_others(
    speaker: Speaker, start: Start, answers: Answers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(token: Token, vocabulary: Sequence[str]) -> str:
        raise KeyError(token.text)

    monkeypatch.setattr(speaker.refiner, "show", broken)
    captions = stuck_captions(speaker)
    thread = start(captions)
    thread.request(request(0, "THANK-YOU"))
    assert captions.joins.wait(WAIT_S)
    for stream in (1, 2, 3):
        thread.request(request(stream, "ME", "NAME", "#MARIA" if stream == 1 else "WHAT"))
    captions.may_join.set()
    texts = texts_of(answers, 4)
    assert {stream for stream, text in texts.items() if text is None} == {1}
    assert "cannot be read, reference" in caplog.text
