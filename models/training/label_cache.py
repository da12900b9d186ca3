"""Answers of a language model that were paid for: a line of JSON each, on disk before anything else is done with it.

A run that was killed loses no answer that had arrived. The file belongs to one process at a time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

Message = dict[str, str]


@dataclass(frozen=True)
class Answer:
    """`text` is what the model said, None when the server refused the sentence, which `why` then says."""

    text: str | None
    why: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


def key_of(model: str, messages: Sequence[Message]) -> str:
    """Digest of model and whole conversation: of prompt, sentence and what was said since."""
    return hashlib.sha256(json.dumps([model, list(messages)], ensure_ascii=False).encode()).hexdigest()


class AnswerCache:
    """Answers by key; a context manager; safe for threads."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise ValueError(
                f"{path} is in use by another run; wait for it, or give this one another folder"
            ) from error
        self._lock = threading.Lock()
        self._known = self._read()

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def get(self, key: str) -> Answer | None:
        with self._lock:
            return self._known.get(key)

    def put(self, key: str, english: str, answer: Answer) -> None:
        """Returns when the operating system has the line on its disk: a kill, even a power cut, cannot take it back."""
        line = json.dumps({"key": key, "english": english, **asdict(answer)}, ensure_ascii=False) + "\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._known[key] = answer

    def _read(self) -> dict[str, Answer]:
        """A line cut off by a crash is left out, and ended, so that the next one stands alone."""
        self._file.seek(0)
        text = self._file.read()
        known: dict[str, Answer] = {}
        for line in text.split("\n"):
            try:
                held = json.loads(line)
                known[held["key"]] = Answer(held["text"], held["why"], held["prompt_tokens"], held["completion_tokens"])
            except (json.JSONDecodeError, KeyError, TypeError):
                continue  # cut off: its sentence is asked again
        if text and not text.endswith("\n"):
            self._file.write("\n")
        return known
