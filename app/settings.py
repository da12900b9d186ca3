"""The environment, read once into one frozen `Settings`; every variable is `SIGNBIND_` and the field's name.

Lists are written with commas: `SIGNBIND_API_KEYS=first,second`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "SIGNBIND_"
BUNDLED_CHECKPOINT = Path(__file__).resolve().parent.parent / "models" / "checkpoints" / "compact"
RANDOM = "random:"
"""Begins the name of a checkpoint of random weights; its seed follows."""
DEVICE = re.compile(r"cpu|cuda(:[0-9]{1,2})?")
OTHER_VARIABLES = frozenset({"SIGNBIND_API_KEY", "SIGNBIND_TRACEBACK"})
"""Read by the command line, so no mistake when the server finds them."""

Words = Annotated[tuple[str, ...], NoDecode]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode]


def usable_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that this process may use: a container's share where it has one, else what the system lets it run on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said = quota.read_text().split() if quota.is_file() else ["max"]
    return cores if said[0] == "max" else max(1, min(cores, int(said[0]) // int(said[1])))


def user_cache() -> Path | None:
    """This user's folder for what can be made again; None where the system knows of none."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if Path(chosen).is_absolute():
        return Path(chosen) / "signbind"
    try:
        return Path.home() / ".cache" / "signbind"
    except RuntimeError:  # a user without a home
        return None


class Settings(BaseSettings):
    """What the operator chooses. Times and sizes carry their unit in the name."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    log_level: Literal["critical", "error", "warning", "info", "debug"] = "info"

    checkpoint: str = str(BUNDLED_CHECKPOINT)
    """A checkpoint's folder, or `random:SEED` for small random weights (tests)."""
    device: str = "cpu"
    devices: Words = ()
    """Several devices, such as `cuda:0,cuda:1`; without them, `device` alone."""
    backend: Literal["auto", "torch", "openvino"] = "auto"
    """What runs the picture networks; auto: OpenVINO on a CPU where it is installed, else torch."""
    workers: int = Field(1, ge=1, le=64)
    """Worker processes on each device."""
    slots: int = Field(4, ge=1, le=256)
    """Streams that one worker translates at the same time."""
    torch_threads: int = Field(default_factory=lambda: max(1, usable_cores() // 2), ge=1, le=512)
    """Of all workers; half the cores, since decoders and the server need theirs, and threads that wait burn time."""
    picture_threads: int = Field(default_factory=usable_cores, ge=1, le=512)
    """Of all workers, for OpenVINO's picture networks; they wait without burning time."""
    cache_dir: Path | None = Field(default_factory=user_cache)
    """Compiled networks are kept here, so that a worker starts quicker the next time; empty: nothing is kept."""
    worker_start_timeout_s: float = Field(300.0, gt=0)
    worker_stall_timeout_s: float = Field(60.0, gt=0)
    """A worker that answers nothing for so long while work waits is replaced."""
    worker_recovery_timeout_s: float = Field(60.0, gt=0)
    """Streams wait so long for the worker that replaces theirs; then they are lost."""
    catch_up_s: float = Field(15.0, ge=0)
    """A stream whose worker was replaced drops no frame for so long afterwards, unless it has caught up before."""
    drain_s: float = Field(10.0, ge=1)
    """From SIGTERM to the process's end: running segments are finished in this time."""

    refine_deadline_ms: int = Field(700, ge=0, le=60_000)
    """Live: the language model's time for a final caption; then the draft becomes final."""
    upload_refine_deadline_ms: int = Field(30_000, ge=0, le=600_000)
    refine_drafts: bool = False
    """Lets the language model write drafts too, in its spare time; on a CPU that time is the streams'."""
    llm_precision: Literal["fp32", "bf16", "8bit", "4bit"] = "fp32"
    """How the checkpoint's language model is held; 8bit and 4bit need bitsandbytes."""
    llm_url: str | None = None
    """An OpenAI-compatible server, like http://host:8000/v1, that writes the sentences instead."""
    llm_model: str = Field("", validate_default=True)
    """Its model's name; a stream's `adapter` is a name of a model of that server too."""
    llm_api: Literal["chat", "completions"] = "chat"
    """`chat` for any instructed model, `completions` for one that SignBind trained, served by vLLM."""
    llm_api_key: SecretStr | None = None
    draft_interval_ms: int = Field(200, ge=0, le=10_000)
    """At most one draft of a segment in this time."""
    endpoint_ms: int = Field(700, ge=200, le=5_000)
    max_segment_ms: int = Field(20_000, ge=1_000, le=60_000)
    min_confidence: float = Field(0.0, ge=0, le=1)
    """Final captions below it are withheld; a stream may choose its own."""

    live_backlog_ms: int = Field(1_280, ge=320, le=8_900)
    """Decoded video a live stream may have waiting; beyond it, it loses its oldest frames."""
    max_queue_wait_ms: int = Field(2_000, ge=100)
    """New streams are refused while chunks wait longer than this for the engine."""
    max_connections: int = Field(256, ge=1)
    max_streams_per_key: int = Field(0, ge=0)
    """Streams and uploads one key may run at the same time; 0 is no limit."""
    max_stream_s: float = Field(4 * 3600.0, gt=0)
    go_away_lead_s: float = Field(30.0, ge=0)
    start_timeout_s: float = Field(10.0, gt=0)
    idle_timeout_s: float = Field(30.0, gt=0)
    status_interval_s: float = Field(1.0, gt=0)
    max_message_bytes: int = Field(1 << 20, ge=1 << 10, le=1 << 26)
    max_upload_bytes: int = Field(512 << 20, ge=1 << 10)
    max_upload_s: float = Field(1_800.0, gt=0)
    """The longest uploaded video, in media time."""
    upload_timeout_s: float = Field(3_600.0, gt=0)

    max_pixels: int = Field(4096 * 2304, ge=64 * 64)
    """The largest picture that is decoded (width times height); 8K is beyond the default."""
    decoder_memory_mb: int = Field(1_024, ge=128)
    decoder_start_timeout_s: float = Field(60.0, gt=0)
    decoder_stall_timeout_s: float = Field(20.0, gt=0)
    spare_decoders: int = Field(1, ge=0, le=64)
    """Decoder processes kept ready, so that a stream starts at once."""

    api_keys: Secrets = ()
    """Without keys everyone may use the server; bind it to this machine then."""
    token_secret: SecretStr | None = None
    """Signs client tokens; without it, tokens end with the process."""
    allowed_origins: Words = ()
    """Web origins besides the server's own; `*` allows all."""

    @field_validator("checkpoint")
    @classmethod
    def _random_weights_have_a_seed(cls, checkpoint: str) -> str:
        seed = checkpoint.removeprefix(RANDOM)
        if seed != checkpoint and not re.fullmatch("[0-9]{1,18}", seed):
            raise ValueError(f"expected a checkpoint's folder, or {RANDOM}SEED with a whole number, such as {RANDOM}0")
        return checkpoint

    @field_validator("device", "devices")
    @classmethod
    def _devices_are_known(cls, value: Any) -> Any:
        for device in (value,) if isinstance(value, str) else value:
            if not DEVICE.fullmatch(device):
                raise ValueError("expected cpu, cuda or, of several, cuda:1")
        return value

    @field_validator("cache_dir", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @field_validator("api_keys", "allowed_origins", "devices", mode="before")
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("api_keys")
    @classmethod
    def _keys_are_long_enough(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(key.get_secret_value()) < 16 for key in keys):
            raise ValueError("an API key needs at least 16 characters: make one with `openssl rand -hex 32`")
        return keys

    @field_validator("llm_url")
    @classmethod
    def _a_url_is_http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("expected a URL such as http://127.0.0.1:8001/v1")
        return url

    @field_validator("llm_model")
    @classmethod
    def _a_url_needs_a_model(cls, name: str, info: ValidationInfo) -> str:
        if info.data.get("llm_url") and not name:
            raise ValueError("SIGNBIND_LLM_URL is set, so name the model of that server")
        return name

    @property
    def total_slots(self) -> int:
        return len(self.worker_devices) * self.slots

    @property
    def worker_devices(self) -> tuple[str, ...]:
        """The device of every worker, devices taking turns, so that the first worker on each comes before any second."""
        return (self.devices or (self.device,)) * self.workers


SECRETS = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
"""Fields whose values are said to nobody."""


class SettingsError(ValueError):
    """The environment says something that cannot be; one sentence with the variable's name."""


def load_settings(environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from the environment, `overrides` (the command line's options) first; raises `SettingsError`."""
    _refuse_unknown(os.environ if environment is None else environment)
    try:
        if environment is None:
            return Settings(**overrides)
        return Settings(**{**_fields_of(environment), **overrides})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        name = f"--{field.replace('_', '-')}" if field in overrides else f"{PREFIX}{field.upper()}"
        said = first["msg"].removeprefix("Value error, ")
        got = (
            "" if SECRETS.intersection(map(str, first["loc"])) else f", got {first['input']!r}"
        )  # errors end up in logs
        raise SettingsError(f"{name}: {said}{got}.") from None


def _fields_of(environment: Mapping[str, str]) -> dict[str, str]:
    named = {name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)}
    return {name: value for name, value in named.items() if name in Settings.model_fields}


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in environment:
        if name.startswith(PREFIX) and name.upper() not in known | OTHER_VARIABLES:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise SettingsError(f"{name} is no setting of SignBind; the nearest is {near[0]}: rename or unset it.")
