"""signbind bench: what this machine does with the weights; each measurement is in `app.bench` or `models.evaluation`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli_errors import CliError
from app.settings import DEVICE


def known_device(device: str | None) -> str | None:
    """CliError for what is no device; whether the machine has it, PyTorch says."""
    if device is not None and not DEVICE.fullmatch(device):
        raise CliError(f"{device} is no device; expected cpu, cuda or, of several, cuda:1.")
    return device


bench = typer.Typer(help="Measure speed and lag on this machine.", no_args_is_help=True)
SAMPLE = Path(__file__).parent / "web" / "sample.webm"

Video = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        show_default=False,
        help="A video of signing, as `signbind synth` makes; the page's sample if not given.",
    ),
]
Weights = Annotated[Path | None, typer.Option("--checkpoint", help="The weights; the bundled ones if not given.")]
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON last.")]
Device = Annotated[
    str | None, typer.Option(callback=known_device, help="cpu or cuda; SIGNBIND_DEVICE, or cpu, if not given.")
]
Seconds = Annotated[float, typer.Option(min=1, max=3600, help="How long each way is measured.")]


@bench.command()
def live(
    file: Video = SAMPLE,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Repeat the video until so much is sent.")] = 30,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The port of the server that is measured; 0: any free one.")
    ] = 0,
    checkpoint: Weights = None,
    as_json: Json = False,
) -> None:
    """One live stream at its pace: share of the machine's cores, lag of drafts, delay of final captions.

    The lag is the time from the sending of the last frame that a draft needs to the arrival of the draft. A final
    caption is timed from its segment's end (the frame that completes the rest), and from the last sign before it.
    """
    refuse_no_file(file)
    from app.bench.one_stream import GOALS, filmed, measured
    from app.bench.server import free_port, running_server
    from app.cli_doctor import free_port as port_finding
    from app.cli_recipes import show

    if port and (taken := port_finding("127.0.0.1", port)).level != "ok":
        raise CliError(f"{taken.text}.")
    with said_in_a_sentence():
        pieces = filmed(file, seconds)
        with running_server(port or free_port(), checkpoint) as server:
            figures = asyncio.run(measured(pieces, server.url, server.pid))
    goals = ", ".join(f"{name} <= {goal:g}" for name, goal in GOALS.items())
    typer.echo(f"goals on two cores: {goals}")
    show(f"live: {file}", figures, as_json)


@bench.command()
def streams(
    file: Video = SAMPLE,
    most: Annotated[int, typer.Option(min=1, max=4096, help="Try no more streams than this.")] = 64,
    seconds: Annotated[float, typer.Option(min=2, max=3600, help="How long each number of streams counts.")] = 20,
    first: Annotated[int, typer.Option(min=1, help="After one stream, go on with so many; then double.")] = 2,
    rounds: Annotated[
        int, typer.Option(min=1, max=9, help="Measure each number so often, until most rounds agree.")
    ] = 3,
    checkpoint: Weights = None,
    device: Device = None,
    url: Annotated[str | None, typer.Option(help="Measure the server that runs there, not one of our own.")] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="SIGNBIND_API_KEY", help="Key, where the server of --url wants one.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw lag and throughput over the streams (.svg).")] = None,
    as_json: Json = False,
) -> None:
    """The most live streams that this machine carries: lag p95 at most 250 ms, no frame dropped.

    Real WebSockets, 25 frames a second each, at random phases and places of the video. The number is doubled while it
    goes well, then bisected; each has a server of its own with just so many slots, and a time to settle that does not
    count. Each is measured up to three times and decided by most of them, since machines are not always equally quick;
    figures are medians. The lag is the time from the sending of the last frame that a draft needs to the draft's arrival.
    """
    refuse_no_file(file)
    if plot is not None:
        refuse_no_svg(plot)
    if url is not None and (checkpoint or device):
        raise CliError("--checkpoint and --device are for a server of our own; leave them out with --url.")
    from app.bench.clip import encoded_clip
    from app.bench.level import GOAL_LAG_MS
    from app.bench.plot import curve_svg
    from app.bench.streams import Measure, measured_streams

    with said_in_a_sentence():
        clip = encoded_clip(file)
        measure = Measure(clip, seconds, most, first, rounds, checkpoint, device, url, api_key)
        figures = measured_streams(measure, report_level)
    if plot is not None:
        plot.write_text(curve_svg(figures["curve"], GOAL_LAG_MS, f"signbind bench streams {file.name}"))
    show_streams(f"streams: {file}", figures, as_json)


@bench.command()
def memory(
    file: Video = SAMPLE,
    minutes: Annotated[float, typer.Option(min=1, max=24 * 60, help="How long streams come and go.")] = 30,
    at_once: Annotated[int, typer.Option("--streams", min=1, max=256, help="So many at the same time.")] = 3,
    checkpoint: Weights = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Whether memory stays flat while streams of 10 to 30 s come and go.

    Memory of the server and all its processes, shared pages counted once, without pages of files. Medians of moments with
    equally many streams are compared: after a sixth of the time, and at the end.
    """
    refuse_no_file(file)
    from app.bench.clip import encoded_clip
    from app.bench.memory import Coming, figures_of, sampled
    from app.bench.server import free_port, running_server, settings_for
    from app.settings import load_settings

    with said_in_a_sentence():
        clip, settings = encoded_clip(file), settings_for(at_once, device, load_settings().workers)
        with running_server(free_port(), checkpoint, settings) as server:
            coming = Coming(clip, server.url, server.pid, at_once, 60 * minutes)
            samples = asyncio.run(sampled(coming))
            server.refuse_faults()
    show_without(
        "series", f"memory: {at_once} streams, {minutes:g} minutes", figures_of(samples, 60 * minutes), as_json
    )


@bench.command()
def limit(
    file: Video = SAMPLE,
    seconds: Seconds = 30, checkpoint: Weights = None, device: Device = None, as_json: Json = False,
) -> None:  # fmt: skip
    """How near the engine comes to the bare networks in their best batch, on the same frames: `efficiency`."""
    refuse_no_file(file)
    from app.bench.limit import STREAMS, measured_limit
    from app.cli_recipes import show
    from app.settings import load_settings

    chosen: dict[str, Any] = {"slots": STREAMS}
    chosen |= {"checkpoint": str(checkpoint)} if checkpoint else {}
    chosen |= {"device": device} if device else {}
    settings = load_settings(**chosen)
    with said_in_a_sentence():
        figures = measured_limit(file, seconds, settings)
    show(f"limit: {file}", figures, as_json)


@bench.command()
def window(seconds: Seconds = 10, checkpoint: Weights = None, device: Device = None, as_json: Json = False) -> None:
    """Each frame encoded once, against windows that overlap and against the whole growing segment."""
    from app.settings import load_settings

    options = {"seconds": seconds, "checkpoint": checkpoint, "device": device or load_settings().device}
    show_measured("window", options, as_json)


@bench.command()
def backends(
    seconds: Seconds = 10, checkpoint: Weights = None,
    letters: Annotated[
        Path | None, typer.Option(help="A folder LETTER/*.jpg of an unseen signer, to name by every way.",
                                  exists=True, file_okay=False)
    ] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """The networks on this processor: eager, bf16, int8, ONNX Runtime, OpenVINO; speed, and how equal the outputs are."""
    show_measured("backends", {"seconds": seconds, "checkpoint": checkpoint, "letters": letters}, as_json)


@bench.command()
def paper(
    device: Annotated[str, typer.Option(callback=known_device, help="cuda, or cpu.")] = "cuda",
    small: Annotated[bool, typer.Option("--small", help="Reduced sizes; always so on a CPU.")] = False,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long each live run lasts.")] = 6,
    partial: Annotated[Path | None, typer.Option(help="A file that holds the figures so far, as they come.")] = None,
    as_json: Json = False,
) -> None:
    """The paper's network sizes with random weights: streams on one GPU, utilisation, caption delay, test set's time."""
    options = {"device": device, "small": small or None, "seconds": seconds, "partial": partial}
    show_measured("paper", options, as_json)


def show_measured(what: str, options: Mapping[str, Any], as_json: bool) -> None:
    """The figures of `models.evaluation.WHAT.measure`."""
    from app.cli_recipes import imported, show

    show(what, imported(f"models.evaluation.{what}", "measure")(**options), as_json)


def refuse_no_file(file: Path) -> None:
    if not file.is_file():
        raise CliError(f"{file} is no file; make one with: signbind synth 'my name is Maria' -o {file}.")


def refuse_no_svg(path: Path) -> None:
    if path.suffix.lower() != ".svg":
        raise CliError(f"{path}: charts are drawn as .svg; change the name given with --plot.")
    if not path.parent.is_dir():
        raise CliError(f"{path.parent} is no folder; make it first, or draw elsewhere with --plot.")


@contextmanager
def said_in_a_sentence() -> Iterator[None]:
    """What goes wrong with the media or a stream, of one task or of several, as the sentence that the user reads."""
    from app.client import LiveError
    from app.client_media import MediaError

    try:
        yield
    except (LiveError, MediaError) as error:
        raise CliError(str(error)) from error
    except ExceptionGroup as several:
        known = several.subgroup((LiveError, MediaError))
        if known is None:
            raise
        first: Exception = known
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        raise CliError(str(first)) from several


def report_level(level: Mapping[str, Any]) -> None:
    """A line on stderr, as soon as the level is measured."""
    lag_ms = level.get("compute_lag_ms_p95", float("nan"))
    verdict = "passed" if level["passed"] else f"failed: {level['why']}"
    others = level.get("others_cpu_share") or 0.0
    beside = f" (other programs took {others:.0%} of this machine)" if others > BUSY_SHARE else ""
    typer.echo(
        f"{level['streams']:4d} streams: lag p95 {lag_ms:.0f} ms{told_rounds(level)}, {verdict}{beside}", err=True
    )


def told_rounds(level: Mapping[str, Any]) -> str:
    """How far the level's rounds lay apart; nothing of a single one."""
    if level["rounds"] == 1 or "compute_lag_ms_p95_low" not in level:
        return ""
    low_ms, high_ms = level["compute_lag_ms_p95_low"], level["compute_lag_ms_p95_high"]
    return f" ({low_ms:.0f} to {high_ms:.0f} in {level['rounds']} rounds)"


CURVE_COLUMNS = {
    "streams": "streams", "lag p50": "compute_lag_ms_p50", "p95": "compute_lag_ms_p95", "low": "compute_lag_ms_p95_low",
    "high": "compute_lag_ms_p95_high", "final p95": "final_caption_ms_p95", "frames/s": "frames_per_s",
    "dropped": "frames_dropped", "server CPU": "server_cpu_share", "generator": "generator_cpu_share",
    "idle": "idle_cpu_share", "rounds": "rounds", "passed": "passed",
}  # fmt: skip
BUSY_SHARE = 0.1
"""Other programs that take more of the machine spoil the figures."""


def show_streams(title: str, figures: Mapping[str, Any], as_json: bool) -> None:
    """The curve as a table, the figures at its best as another; then, if asked, all as one line of JSON."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*CURVE_COLUMNS, title=title)
    for level in figures["curve"]:
        table.add_row(*(shown(level.get(name)) for name in CURVE_COLUMNS.values()))
    Console().print(table)
    show_without("curve", "at the largest", figures, as_json)


def shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}" if value < 10 else f"{value:.0f}"
    return "" if value is None else str(value)


def show_without(left_out: str, title: str, figures: Mapping[str, Any], as_json: bool) -> None:
    """As `show`; one long figure stands in the JSON alone."""
    import json

    from rich.console import Console

    from app.cli_recipes import figure_table, plain

    Console().print(figure_table(title, {name: value for name, value in figures.items() if name != left_out}))
    if as_json:
        print(json.dumps(plain(figures)))
