"""What the server and a worker say to each other: small records over a pipe; frames travel in shared memory.

A stream is known by a number that is never used twice, so a word about an old stream is never taken for a new one in
its slot. Times ending in `_s` are of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from app.settings import Settings
from models.hypothesis import Caption, Hypothesis, StreamOptions, Update


@dataclass(frozen=True)
class LlmConfig:
    """The language model: the checkpoint's own in some precision, or the one at `url` (see `Settings.llm_url`)."""

    precision: Literal["fp32", "bf16", "8bit", "4bit"] = "fp32"
    refines_drafts: bool = False
    url: str | None = None
    api: Literal["chat", "completions"] = "chat"
    model: str = ""
    api_key: str = field(default="", repr=False)

    @staticmethod
    def of(settings: Settings) -> LlmConfig:
        key = settings.llm_api_key.get_secret_value() if settings.llm_api_key else ""
        return LlmConfig(
            settings.llm_precision, settings.refine_drafts, settings.llm_url, settings.llm_api, settings.llm_model, key
        )


@dataclass(frozen=True)
class WorkerConfig:
    checkpoint: str
    device: str
    slots: int
    ring_capacity: int
    torch_threads: int
    llm: LlmConfig = LlmConfig()
    recall_chunks: int = 0
    """Chunks of features kept of every slot, for the worker that comes after this one."""
    backend: Literal["auto", "torch", "openvino"] = "auto"
    picture_threads: int = 1
    cache: str | None = None
    """Folder for what was compiled once."""


# server -> worker


@dataclass(frozen=True)
class Open:
    """A stream begins in a free slot; with `answered`, it goes on after so many chunks and finalizes of it, which another
    worker answered, and after the sentences of `context`."""

    stream: int
    slot: int
    options: StreamOptions
    refine_deadline_s: float
    draft_interval_s: float
    answered: int = 0
    context: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chunk:
    """CHUNK_FRAMES positions of the slot's ring; a position may stand twice (padding at the end)."""

    stream: int
    slot: int
    positions: tuple[int, ...]


@dataclass(frozen=True)
class Finalize:
    """Ends the running segment after the chunks before it."""

    stream: int
    slot: int


@dataclass(frozen=True)
class SetVocabulary:
    stream: int
    slot: int
    vocabulary: tuple[str, ...]


@dataclass(frozen=True)
class Refine:
    """Asks once more for the sentence of a segment that ended in another worker."""

    stream: int
    slot: int
    segment_id: int
    hypothesis: Hypothesis
    draft: str
    deadline_s: float


@dataclass(frozen=True)
class CloseStream:
    stream: int
    slot: int


@dataclass(frozen=True)
class Shutdown:
    """No more work comes."""


ToWorker = Open | Chunk | Finalize | SetVocabulary | Refine | CloseStream | Shutdown


# worker -> server


@dataclass(frozen=True)
class Ready:
    """The weights are loaded."""

    model: dict[str, str | int | float | bool | list[str] | None]


@dataclass(frozen=True)
class StartFailed:
    reason: str


@dataclass(frozen=True)
class Told:
    """One update of the translator, with its text where it has a hypothesis."""

    update: Update
    draft: Caption | None


@dataclass(frozen=True)
class Stepped:
    """A chunk is done and its positions are free."""

    stream: int
    positions: tuple[int, ...]
    told: tuple[Told, ...]
    signer_visible: bool
    begun_s: float
    timings_ms: dict[str, float] = field(default_factory=dict)
    """sight, experts, fusion: of the batched step."""


@dataclass(frozen=True)
class Finalized:
    stream: int
    told: tuple[Told, ...]


@dataclass(frozen=True)
class Refined:
    """The sentence of an ended segment; None where the language model was too late or failed."""

    stream: int
    segment_id: int
    caption: Caption | None
    llm_ms: float


@dataclass(frozen=True)
class RefinedDraft:
    """The sentence of a segment that still ran when it was asked for, and what it was written from."""

    stream: int
    segment_id: int
    hypothesis: Hypothesis
    caption: Caption
    llm_ms: float


@dataclass(frozen=True)
class Closed:
    """The slot is free."""

    stream: int


@dataclass(frozen=True)
class Forgotten:
    """The stream cannot go on: what it would go on from is not there."""

    stream: int


@dataclass(frozen=True)
class Interrupted:
    """Said by the pool: the stream's worker died. What it did not answer is asked of the next one."""

    stream: int


@dataclass(frozen=True)
class Recovered:
    """Said by the pool: another worker goes on with the stream."""

    stream: int


@dataclass(frozen=True)
class Lost:
    """Said by the pool: nothing more comes for this stream."""

    stream: int


FromWorker = Ready | StartFailed | Stepped | Finalized | Refined | RefinedDraft | Closed | Forgotten
ToStream = Stepped | Finalized | Refined | RefinedDraft | Interrupted | Recovered | Lost
