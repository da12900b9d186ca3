"""The worker's process: it owns one translator, takes work from the server and tells what came of it.

The only file of `app` that imports torch. It ends when told to, or when the server's end of the pipe is closed.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import threading
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.engine.messages import FromWorker, Open, Ready, Shutdown, StartFailed, WorkerConfig
from app.engine.recalls import Recalls
from app.engine.refining import RefineThread
from app.engine.remote_sentences import RemoteSentences, remote_adapters
from app.engine.step import EngineStep
from app.frames import FrameRing
from app.settings import RANDOM
from models import crops, ctc, names
from models.canvas import I420_ROWS
from models.clock import CHUNK_FRAMES, WIDTH
from models.decoded import search
from models.hypothesis import Hypothesis, Token
from models.lexemes import Lexemes

if TYPE_CHECKING:
    from models.pipeline import Translator
    from models.speech import Captions

log = logging.getLogger("signbind.worker")


class Outlet:
    """The pipe to the server, for two threads. Messages go in tuples, in their order: each use of the pipe wakes the server."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()
        self._kept: list[FromWorker] = []

    def send(self, message: FromWorker) -> None:
        """At once, after what was kept."""
        self.keep(message)
        self.flush()

    def keep(self, message: FromWorker) -> None:
        """With the next that is sent, or at the next `flush`."""
        with self._lock:
            self._kept.append(message)

    def flush(self) -> None:
        with self._lock:
            kept, self._kept = self._kept, []
            if kept:
                self._connection.send(tuple(kept))


def main(connection: Connection, config: WorkerConfig) -> None:
    """Entry point of the process; it ends here and now, whatever its threads do."""
    try:
        run(connection, config)
    except BaseException:
        log.exception("the worker fails")
        logging.shutdown()
        os._exit(1)
    logging.shutdown()
    os._exit(0)


def run(connection: Connection, config: WorkerConfig) -> None:
    """Loads the translator and serves until told to end, or until the server is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to handle
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded: idle threads must not spin
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    outlet = Outlet(connection)
    try:
        rings = [FrameRing(recv_handle(connection), config.ring_capacity) for _ in range(config.slots)]
        recalls = Recalls(recv_handle(connection), config.slots, config.recall_chunks)
        try:
            translator = load_translator(config)
            warm_up(translator)
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            log.exception("the translator cannot be loaded")
            outlet.send(StartFailed(" ".join(str(error).split())))
            return
        outlet.send(Ready(describe(config)))
        serve(connection, outlet, *engine_of(translator, outlet, (rings, recalls), config))
    except (EOFError, BrokenPipeError, ConnectionError):
        return  # the server is gone


def engine_of(
    translator: Translator, outlet: Outlet, memory: tuple[list[FrameRing], Recalls], config: WorkerConfig
) -> tuple[EngineStep, RefineThread]:
    """The steps, and the language model beside them."""
    captions = captions_of(translator, config)
    rings, recalls = memory
    engine = EngineStep(translator, rings, outlet.keep, lambda request: refiner.request(request), recalls)
    drafts = config.llm.refines_drafts
    refiner = RefineThread(captions, outlet.send, writes_drafts=drafts, has_time=engine.has_time)
    return engine, refiner


def serve(connection: Connection, outlet: Outlet, engine: EngineStep, refiner: RefineThread) -> None:
    """Takes in what has come, runs one tick, again and again; waits only when there is nothing to do."""
    inbox, anything = select.poll(), select.poll()  # made once: `Connection.poll` would make one for every message
    inbox.register(connection, select.POLLIN)
    anything.register(connection, select.POLLIN)
    anything.register(engine.eyes, select.POLLIN)
    while True:
        if not engine.has_work:
            anything.poll()
        while inbox.poll(0):
            message = connection.recv()
            if isinstance(message, Shutdown):
                refiner.stop(timeout_s=2.0)
                return
            if isinstance(message, Open) and message.context:
                refiner.remember(message.stream, message.context)
            engine.receive(message)
        engine.tick()
        outlet.flush()


def captions_of(translator: Translator, config: WorkerConfig) -> Captions | None:
    """Who writes the sentences: the checkpoint's language model, or the one at the URL; None where there is neither."""
    if config.llm.url is None:
        return translator.speaker.captions()
    lexemes = Lexemes.load(Path(config.checkpoint) / "llm" / "words.json")
    return translator.speaker.captions(RemoteSentences(config.llm, lexemes, names.show))


def load_translator(config: WorkerConfig) -> Translator:
    """The checkpoint's translator, or one with random weights for `random:SEED`."""
    import torch

    from models.backends import Backend
    from models.bundle import translator
    from models.pipeline import Translator

    torch.set_num_threads(config.torch_threads)
    if config.checkpoint.startswith(RANDOM):
        return Translator.random(config.slots, int(config.checkpoint.removeprefix(RANDOM)))
    cache = Path(config.cache) if config.cache else None
    backend = Backend(config.backend, config.device, config.picture_threads, cache=cache)
    precision = config.llm.precision if config.llm.url is None else None
    return translator(Path(config.checkpoint), config.device, config.slots, backend=backend, precision=precision)


def warm_up(translator: Translator) -> None:
    """Runs every part once, so that what is built at its first use does not delay the first stream's captions."""
    blank = np.zeros((I420_ROWS, WIDTH), np.uint8)
    crops.warm_up(blank)
    ctc.warm_up()
    search(translator.joint, translator.beam)
    translator.open(0)
    translator.step({0: [blank] * CHUNK_FRAMES}, np.arange(translator.slots) == 0)
    translator.close(0)
    spelled = Token("AB", "fingerspelling", 0, 80, 0.9, (0.9, 0.9))
    hypothesis = Hypothesis((spelled,), 0, 0, 80, 1.0, (0.0, 1.0, 0.0), 0.9, 1.0, 1.0)
    translator.draft(hypothesis)
    if translator.speaker.refiner is not None:
        translator.refine([hypothesis])


def adapters_of(checkpoint: Path) -> list[str]:
    """Names of the adapters that come with a checkpoint."""
    return sorted(card.parent.name for card in (checkpoint / "adapters").glob("*/adapter_config.json"))


def describe(config: WorkerConfig) -> dict[str, str | int | float | bool | list[str] | None]:
    """What GET /v1/models says of the loaded checkpoint."""
    is_random = config.checkpoint.startswith(RANDOM)
    about: dict[str, str | int | float | bool | list[str] | None] = {
        "id": "random" if is_random else Path(config.checkpoint).name,
        "object": "model",
        "owned_by": "signbind",
        "sign_language": "ase",
        "languages_out": ["en"],
        "device": config.device,
        "slots": config.slots,
        "is_random": is_random,
    }
    card = Path(config.checkpoint) / "model.json"
    if not is_random and card.is_file():
        about.update(json.loads(card.read_text(encoding="utf-8")))
    about["adapters"] = remote_adapters(config.llm) if config.llm.url else adapters_of(Path(config.checkpoint))
    return about
