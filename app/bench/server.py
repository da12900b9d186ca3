"""A server of the benchmark's own: started, waited for, watched for faults, ended."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

from app.cli_errors import CliError

READY_LIMIT_S = 300.0
OPEN_TO_ITS_BENCHMARK = {"SIGNBIND_API_KEYS": "", "SIGNBIND_MAX_STREAMS_PER_KEY": "0"}
SPARE_CONNECTIONS = 8
ENDING_S = 1.0
"""A server that broke off a stream by ending is gone within this."""
FAULT = re.compile(r"(ERROR|CRITICAL)\b[:\s]*(.*)")


@dataclass(frozen=True)
class OwnServer:
    process: subprocess.Popen[bytes]
    url: str
    log: IO[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def fault(self) -> str | None:
        """What the server logged as its own fault, or how it ended; None while all is well."""
        said = logged(self.log)
        if self.process.poll() is not None:
            return f"it ended (exit code {self.process.returncode}): {last_words(said)}"
        return fault_in(said)

    def refuse_faults(self, patience_s: float = 0.0) -> None:
        """CliError for a fault; the end of a server that is just ending is waited for."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(patience_s)
        if found := self.fault():
            raise CliError(f"The measured server had a fault: {found.rstrip('.')}.")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings_for(streams: int, device: str | None = None, workers: int = 1) -> dict[str, str]:
    """The environment of a server that is to carry just so many streams."""
    settings = {
        "SIGNBIND_SLOTS": str(-(-streams // workers)),
        "SIGNBIND_MAX_CONNECTIONS": str(streams + SPARE_CONNECTIONS),
        **OPEN_TO_ITS_BENCHMARK,
    }
    return settings | ({"SIGNBIND_DEVICE": device} if device else {})


@contextmanager
def running_server(
    port: int, checkpoint: Path | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[OwnServer]:
    """A server of its own, ready; ended afterwards; its fault, if it had one, before what came of it here.

    `settings` are environment variables over this process's own.
    """
    command = [sys.executable, "-m", "app.cli_run", "serve", "--port", str(port)]
    command += ["--checkpoint", str(checkpoint)] if checkpoint else []
    environment = {**os.environ, **(settings or {})}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=environment)
        server = OwnServer(process, f"http://127.0.0.1:{port}", log)
        try:
            wait_ready(server)
            try:
                yield server
            except Exception:
                server.refuse_faults(ENDING_S)  # its own words say more than what came of them
                raise
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_ready(server: OwnServer, limit_s: float = READY_LIMIT_S) -> None:
    """Asks until the server is ready; CliError with its last words when it ends or takes too long."""
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s and server.process.poll() is None:
        try:
            answer = httpx.get(f"{server.url}/readyz", timeout=2)
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code == 200:
            return
        time.sleep(0.2)
    raise CliError(f"The measured server did not get ready: {last_words(logged(server.log))}.")


def logged(log: IO[bytes]) -> str:
    """All that was written so far. By `pread`: the server writes at the place of the same open file."""
    return os.pread(log.fileno(), os.fstat(log.fileno()).st_size, 0).decode(errors="replace")


def last_words(said: str) -> str:
    lines = [line for line in said.strip().splitlines() if not line.startswith("INFO")] or ["it said nothing"]
    return lines[-1].removeprefix("signbind: ").rstrip(".")


def fault_in(said: str) -> str | None:
    """The last traceback's error, or the last line logged as an error; None where there is neither."""
    tracebacks = said.split("Traceback (most recent call last):")
    if len(tracebacks) > 1:
        return next((line for line in tracebacks[-1].splitlines() if line and not line[0].isspace()), "a traceback")
    errors = FAULT.findall(said)
    return str(errors[-1][1]) if errors else None
