"""What the engine tells of segments -> caption events: drafts with a revision, then one final that never changes.

No I/O and no clocks: the caller passes the times. The files made of final captions are in `transcript`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from app.protocol import CaptionEvent, CaptionWord, Event, Gate, Latency, Route, SigningEnded, SigningStarted
from models.hypothesis import Caption, Hypothesis, Update

UNCLEAR = "[unclear]"
"""Text of a final caption that is withheld: its confidence is under `min_confidence`."""


@dataclass
class Choices:
    """What the client may change while the stream runs."""

    interim: bool = True
    min_confidence: float = 0.0
    vocabulary: tuple[str, ...] = ()


@dataclass(frozen=True)
class Heard:
    """What a caption says of its own making: the media time it has seen, and what that took."""

    newest_ms: int
    latency: Latency


@dataclass(frozen=True)
class Measured:
    """Of the newest frame behind an update: its end in media time, when its bytes arrived (monotonic), each stage."""

    newest_ms: int
    arrived_s: float
    decode_ms: float
    queue_ms: float
    experts_ms: float
    fusion_ms: float

    def heard(self, now_s: float, llm_ms: float = 0.0) -> Heard:
        latency = Latency(
            decode=round(self.decode_ms, 1), queue=round(self.queue_ms, 1), experts=round(self.experts_ms, 1),
            fusion=round(self.fusion_ms, 1), llm=round(llm_ms, 1), total=round((now_s - self.arrived_s) * 1e3, 1),
        )  # fmt: skip
        return Heard(self.newest_ms, latency)


class WrittenDraft(Protocol):
    """What the language model made of a running segment (`engine.messages.RefinedDraft`)."""

    @property
    def segment_id(self) -> int: ...
    @property
    def hypothesis(self) -> Hypothesis: ...
    @property
    def caption(self) -> Caption: ...
    @property
    def llm_ms(self) -> float: ...


@dataclass
class Segment:
    """A segment that has no final caption yet."""

    rev: int = 0
    text: str = ""
    """Of the newest draft by the tokens alone."""
    newest: Hypothesis | None = None
    ended: Hypothesis | None = None
    draft: Caption | None = None
    """The ended segment's words before the language model."""
    measured: Measured | None = None


@dataclass
class CaptionBook:
    """The segments of one stream. `media_ms` maps the engine's times to media times."""

    choices: Choices
    media_ms: Callable[[float], int]
    open: dict[int, Segment] = field(default_factory=dict)

    @property
    def awaits_finals(self) -> bool:
        """Whether an ended segment still waits for its final caption."""
        return any(segment.ended is not None for segment in self.open.values())

    def told(self, update: Update, draft: Caption | None, measured: Measured, now_s: float) -> list[Event]:
        """The events of one update and its draft; a final caption comes later, by `finish`."""
        at_ms = self.media_ms(update.at_ms)
        if update.kind == "started":
            self.open[update.segment_id] = Segment()
            return [SigningStarted(segment_id=update.segment_id, at_ms=at_ms)]
        segment = self.open.setdefault(update.segment_id, Segment())
        segment.measured = measured
        events: list[Event] = []
        if self.choices.interim and update.kind == "hypothesis":
            events += self._draft(segment, update, draft, measured.heard(now_s))
        if update.kind == "ended":
            events.append(SigningEnded(segment_id=update.segment_id, at_ms=at_ms))
            segment.ended, segment.draft = update.hypothesis, draft
            if not self._has_words(segment):
                del self.open[update.segment_id]
            elif draft is not None and not draft.text:  # what was shown is taken back: there is nothing to write
                final = self.finish(update.segment_id, None, 0.0, now_s)
                events += [final] if final is not None else []
        return events

    def finish(self, segment_id: int, refined: Caption | None, llm_ms: float, now_s: float) -> CaptionEvent | None:
        """The final caption of an ended segment, `refined` or else its draft; None where it has one already."""
        segment = self.open.get(segment_id)
        if segment is None or segment.ended is None or segment.measured is None:
            return None
        del self.open[segment_id]
        caption = refined or segment.draft
        assert caption is not None, f"segment {segment_id} ended without a draft"
        event = self._event(
            segment_id, segment.rev + 1, caption, segment.ended, "refined" if refined else "draft",
            segment.measured.heard(now_s, llm_ms),
        )  # fmt: skip
        return self._sealed(event)

    def redraft(self, written: WrittenDraft, now_s: float) -> list[Event]:
        """The language model's sentence of a running segment; nothing where the segment has gone on or ended since."""
        segment = self.open.get(written.segment_id)
        if segment is None or segment.ended is not None or segment.measured is None or segment.newest is None:
            return []
        words, now = ([token.text for token in one.tokens] for one in (written.hypothesis, segment.newest))
        if not self.choices.interim or words != now or written.caption.text == segment.text:
            return []
        segment.rev += 1
        heard = segment.measured.heard(now_s, written.llm_ms)
        event = self._event(written.segment_id, segment.rev, written.caption, written.hypothesis, "draft", heard)
        return [event.model_copy(update={"stable_prefix_len": 0})]  # more tokens, and the model may say it otherwise

    def waiting(self) -> list[int]:
        """Ended segments without a final caption."""
        return [number for number, segment in self.open.items() if segment.ended is not None]

    def owed(self, segment_id: int) -> tuple[Hypothesis, str] | None:
        """What the language model is asked about an ended segment, and its draft; None where nothing is owed."""
        segment = self.open.get(segment_id)
        if segment is None or segment.ended is None or segment.draft is None:
            return None
        return segment.ended, segment.draft.text

    def _draft(self, segment: Segment, update: Update, draft: Caption | None, heard: Heard) -> list[Event]:
        hypothesis = update.hypothesis
        if hypothesis is None or draft is None or draft.text == segment.text:
            return []
        segment.rev, segment.text, segment.newest = segment.rev + 1, draft.text, hypothesis
        return [self._event(update.segment_id, segment.rev, draft, hypothesis, "draft", heard)]

    @staticmethod
    def _has_words(segment: Segment) -> bool:
        """A segment that showed or holds words needs a final caption; any other ends silently."""
        return segment.rev > 0 or bool(segment.draft and segment.draft.text)

    def _sealed(self, event: CaptionEvent) -> CaptionEvent:
        """The event as the final one, withheld where it is not confident enough."""
        changes: dict[str, object] = {"is_final": True, "stability": 1.0, "stable_prefix_len": len(event.text)}
        if event.text and event.confidence < self.choices.min_confidence:
            changes |= {"withheld": True, "text": UNCLEAR, "words": (), "stable_prefix_len": len(UNCLEAR)}
        return event.model_copy(update=changes)

    def _event(
        self, segment_id: int, rev: int, caption: Caption, hypothesis: Hypothesis,
        stage: Literal["draft", "refined"], heard: Heard,
    ) -> CaptionEvent:  # fmt: skip
        sign, fingerspelling, rest = (round(share, 4) for share in hypothesis.route)
        return CaptionEvent(
            segment_id=segment_id,
            rev=rev,
            is_final=False,
            stage=stage,
            text=caption.text,
            stable_prefix_len=stable_prefix(caption, hypothesis),
            start_ms=self.media_ms(hypothesis.start_ms),
            end_ms=self.media_ms(hypothesis.end_ms),
            newest_ms=heard.newest_ms,
            stability=round(hypothesis.stable / len(hypothesis.tokens), 4) if hypothesis.tokens else 0.0,
            confidence=round(caption.confidence, 4),
            words=tuple(
                CaptionWord(
                    text=word.text,
                    start_ms=self.media_ms(word.start_ms),
                    end_ms=self.media_ms(word.end_ms),
                    confidence=round(word.confidence, 4),
                    source=word.source,
                )
                for word in caption.words
            ),
            glosses=tuple(token.text if token.kind == "sign" else f"#{token.text}" for token in hypothesis.tokens),
            gate=Gate(
                alpha_mean=round(hypothesis.alpha_mean, 4),
                route=Route(sign=sign, fingerspelling=fingerspelling, rest=rest),
            ),
            latency_ms=heard.latency,
        )


def stable_prefix(caption: Caption, hypothesis: Hypothesis) -> int:
    """Characters of a draft that come from stable tokens alone: later signing cannot change them."""
    if hypothesis.stable == 0 or len(caption.words) != len(hypothesis.tokens):
        return 0
    at = 0
    for word in caption.words[: hypothesis.stable]:
        found = caption.text.find(word.text, at)
        if found < 0:
            return 0
        at = found + len(word.text)
    return at
