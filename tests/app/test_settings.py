"""Where settings that nobody chose come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.ingest.frame_buffer import FrameBuffer, WaitingFrame, ring_capacity
from app.settings import SECRETS, Settings, SettingsError, load_settings, user_cache
from models.clock import STEP_MS


def test_what_can_be_made_again_is_kept_in_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert load_settings({}).cache_dir == Path("/caches/signbind")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")  # to be ignored, says the XDG specification
    monkeypatch.setenv("HOME", "/home/somebody")
    assert user_cache() == Path("/home/somebody/.cache/signbind")


def test_nothing_is_kept_where_the_operator_says_so() -> None:
    assert load_settings({"SIGNBIND_CACHE_DIR": ""}).cache_dir is None
    assert load_settings({"SIGNBIND_CACHE_DIR": "/elsewhere"}).cache_dir == Path("/elsewhere")


def test_an_error_says_no_key() -> None:
    assert sorted(SECRETS) == ["api_keys", "llm_api_key", "token_secret"]
    keys = {"SIGNBIND_API_KEYS": "long-enough-to-be-a-key,short"}
    with pytest.raises(SettingsError, match=r"^SIGNBIND_API_KEYS: an API key needs at least 16 characters") as error:
        load_settings(keys)
    assert "long" not in str(error.value) and "short" not in str(error.value)
    with pytest.raises(SettingsError, match=r"got '70000'"):
        load_settings({"SIGNBIND_PORT": "70000"})


def test_the_longest_backlog_loses_no_frame() -> None:
    most_ms = next(part.le for part in Settings.model_fields["live_backlog_ms"].metadata if hasattr(part, "le"))
    buffer = FrameBuffer(ring_capacity(most_ms), drops=True)
    waiting = [WaitingFrame(0, tick, 0.0, 0.0) for tick in range(most_ms // STEP_MS + 1)]
    assert [len(buffer.add(frame)) for frame in waiting] == [0] * (len(waiting) - 1) + [1]
