"""Where settings that nobody chose come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.settings import load_settings, user_cache


def test_what_can_be_made_again_is_kept_in_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert load_settings({}).cache_dir == Path("/caches/signbind")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")  # to be ignored, says the XDG specification
    monkeypatch.setenv("HOME", "/home/somebody")
    assert user_cache() == Path("/home/somebody/.cache/signbind")


def test_nothing_is_kept_where_the_operator_says_so() -> None:
    assert load_settings({"SIGNBIND_CACHE_DIR": ""}).cache_dir is None
    assert load_settings({"SIGNBIND_CACHE_DIR": "/elsewhere"}).cache_dir == Path("/elsewhere")
