"""Many segments end at once: how long until each has its sentence, by a LLaMA of full size with random weights.

Random weights say nothing sensible and never end, so how long each answer is gets drawn: 12 to 20 tokens, as captions
have, after a prompt of 30 to 64.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from models.paper_engine import Lane
from models.percentile import percentile
from models.static_llama import Llama, Sentences

PROMPT, NEW = 64, 20
SHORTEST_PROMPT, SHORTEST = 30, 12


class Burst:
    """One batch of answers, timed row by row."""

    def __init__(self, model: Llama, rows: int, compile_blocks: bool) -> None:
        device = model.head.device
        self.rows, self.device = rows, device
        self.lane = Lane(device, priority=-1)
        with self.lane.use():
            self._sentences = Sentences(model, rows, PROMPT, NEW, compile_blocks)
        self._drawn = torch.Generator().manual_seed(0)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def seconds(self) -> list[float]:
        """From the call to the last token of each row."""
        ids = self._numbers(0, 99, (self.rows, PROMPT))
        lengths = self._numbers(SHORTEST_PROMPT, PROMPT + 1, (self.rows,))
        answers = self._numbers(SHORTEST, NEW + 1, (self.rows,)).tolist()
        begun, marks = time.perf_counter(), list[Any]()
        with self.lane.use():
            written = self._sentences.write(ids, lengths, lambda _: marks.append(self._mark()))
            passed = [_moment(mark) - begun for mark in marks]
        assert written.shape == (self.rows, NEW), written.shape
        return [passed[count - 1] for count in answers]

    def _mark(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _numbers(self, low: int, high: int, shape: tuple[int, ...]) -> Tensor:
        drawn = torch.randint(low, high, shape, generator=self._drawn)
        return drawn.pin_memory() if self.device.type == "cuda" else drawn


def _moment(mark: Any) -> float:
    if isinstance(mark, float):
        return mark
    mark.synchronize()
    return time.perf_counter()


def burst_summary(burst: Burst, model: Llama, bursts: int) -> dict[str, Any]:
    """Milliseconds over several bursts, the first not counted; and what of them the weights' bytes alone would take."""
    burst.seconds()
    times = [burst.seconds() for _ in range(bursts)]
    flat = [1e3 * value for row in times for value in row]
    return {
        "sentences_at_once": burst.rows, "bursts": bursts, "prompt_tokens": [SHORTEST_PROMPT, PROMPT],
        "new_tokens": [SHORTEST, NEW], "ms_p50": percentile(flat, 0.5), "ms_p95": percentile(flat, 0.95),
        "whole_burst_s": percentile([max(row) for row in times], 0.5), "weights_gb": model.stored_bytes / 1e9,
    }  # fmt: skip
