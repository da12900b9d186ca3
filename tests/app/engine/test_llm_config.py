"""The settings of the language model reach the worker, and what does not fit together is said."""

from __future__ import annotations

import pytest

from app.engine.messages import LlmConfig
from app.settings import SettingsError, load_settings


def test_without_settings_the_checkpoints_own_model_writes_finals_alone() -> None:
    assert LlmConfig.of(load_settings({})) == LlmConfig()
    assert not LlmConfig().refines_drafts and LlmConfig().url is None


def test_a_server_by_url_is_known_to_the_worker_and_its_key_is_not_shown() -> None:
    named = {
        "SIGNBIND_LLM_URL": "http://vllm:8000/v1", "SIGNBIND_LLM_MODEL": "base", "SIGNBIND_LLM_API_KEY": "quiet",
        "SIGNBIND_LLM_API": "completions", "SIGNBIND_REFINE_DRAFTS": "true",
    }  # fmt: skip
    llm = LlmConfig.of(load_settings(named))
    assert llm == LlmConfig("fp32", True, "http://vllm:8000/v1", "completions", "base", "quiet")
    assert "quiet" not in repr(llm)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"SIGNBIND_LLM_URL": "http://vllm:8000/v1"}, "SIGNBIND_LLM_MODEL: .*name the model of that server"),
        (
            {"SIGNBIND_LLM_URL": "vllm:8000", "SIGNBIND_LLM_MODEL": "base"},
            "SIGNBIND_LLM_URL: expected a URL such as http://",
        ),
        ({"SIGNBIND_LOG_LEVEL": "loud"}, "SIGNBIND_LOG_LEVEL: .*'info' or 'debug'"),
        ({"SIGNBIND_LLM_PRECISION": "2bit"}, "SIGNBIND_LLM_PRECISION: "),
    ],
)
def test_settings_that_cannot_be_are_named(named: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings(named)
