"""The load generator: what it searches, counts, sends and draws. The whole command is a slow test."""

from __future__ import annotations

import asyncio
import json
import math
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import pytest
from websockets.asyncio.server import ServerConnection, serve

from app.bench import figures, machine, plot, server
from app.bench.clip import Clip, encoded_clip
from app.bench.level import Load, dropped_since, entries, measured_level, reason, summed
from app.bench.memory import Sample, figures_of
from app.bench.search import FINEST, largest
from app.bench.stream import Entry, PacedStream, Report
from app.bench.streams import summary
from app.cli import main
from app.cli_bench import SAMPLE
from app.cli_errors import CliError
from app.client import LiveError
from app.protocol import parse_packet
from tests.app.media import video


def found(carried: int, most: int, first: int = 2) -> tuple[int, list[int]]:
    """What the search says of a machine that carries `carried`, and what it tried."""
    tried: list[int] = []

    def passes(streams: int) -> bool:
        tried.append(streams)
        return streams <= carried

    return largest(passes, most, first), tried


@pytest.mark.parametrize("first", [1, 2, 5, 40])
def test_the_largest_number_is_found(first: int) -> None:
    for carried in range(45):
        most, tried = found(carried, 40, first)
        assert most == min(carried, 40)
        assert tried[0] == 1 and len(tried) == len(set(tried)) and max(tried) <= 40
        assert len(tried) <= 2 + 2 * math.log2(40)


def test_large_numbers_are_found_to_a_part() -> None:
    for carried in (100, 300, 777, 1000):
        most, _ = found(carried, 4096)
        assert carried * (1 - 2 / FINEST) <= most <= carried


def test_percentiles_median_and_mean() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert figures.percentiles("lag", values, 50, 95, 99) == {"lag_p50": 50.0, "lag_p95": 95.0, "lag_p99": 99.0}
    assert figures.median([3.0, 1.0, 2.0]) == 2.0 and figures.median([4.0, 1.0, 2.0, 3.0]) == 2.5
    assert math.isnan(figures.median([])) and math.isnan(figures.mean([]))


def test_a_line_is_fitted() -> None:
    assert figures.line_through([(1, 3), (2, 5), (4, 9)]) == pytest.approx((2.0, 1.0))
    assert figures.line_through([(0, 0), (1, 1), (2, 0)]) == pytest.approx((0.0, 0.0))
    assert math.isnan(figures.line_through([(1, 3), (2, 5)])[0])


GOOD = {
    "frames_dropped": 0, "frames_per_s": 100.0, "drafts": 9, "compute_lag_ms_p95": 250.0, "worker_restarts": 0.0
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"frames_dropped": 3}, "3 frames were dropped"),
        ({"frames_per_s": 60.0}, "only 60%"),
        ({"drafts": 0}, "no draft"),
        ({"compute_lag_ms_p95": 250.1}, "p95 is 250 ms"),
        ({"worker_restarts": 1.0}, "worker"),
    ],
)
def test_a_level_passes_or_says_why_not(changed: dict[str, Any], said: str | None) -> None:
    why = reason({**GOOD, **changed}, streams=4)
    assert why is None if said is None else said in str(why)


def test_only_frames_lost_in_the_time_that_counts_fail_it() -> None:
    reports = [Report(at_s, 0.0, 25.0, dropped) for at_s, dropped in ((1.0, 4), (2.0, 7), (3.0, 7), (4.0, 9))]
    assert [dropped_since(reports, begin_s) for begin_s in (0.0, 2.5, 9.0)] == [9, 2, 0]
    assert dropped_since([], 1.0) == 0


def test_series_are_summed_over_their_labels() -> None:
    text = '# TYPE a_total counter\na_total{device="0"} 2\na_total{device="1"} 3\n# TYPE b gauge\nb 7\n'
    assert summed(text) == {"a_total": 5.0, "b": 7.0}


def test_the_servers_own_words_are_found() -> None:
    assert server.fault_in("INFO: up\nWARNING signbind: slow\n") is None
    assert (
        server.fault_in("INFO: up\nERROR signbind.pool: worker: it stopped\nINFO: more")
        == "signbind.pool: worker: it stopped"
    )
    assert server.fault_in('x\nTraceback (most recent call last):\n  File "a"\nKeyError: 3\nINFO: on') == "KeyError: 3"
    assert server.last_words("signbind: The port is taken.\nINFO: bye\n") == "The port is taken"
    assert server.last_words("") == "it said nothing"


def test_slots_are_spread_over_workers() -> None:
    assert server.settings_for(5, workers=2)["SIGNBIND_SLOTS"] == "3"
    assert "SIGNBIND_DEVICE" not in server.settings_for(5)
    assert server.settings_for(5, "cuda")["SIGNBIND_DEVICE"] == "cuda"


def test_memory_of_files_is_not_the_servers_own() -> None:
    text = "1-2 ---p [rollup]\nRss: 900 kB\nPss: 100 kB\nPss_Anon: 30 kB\nPss_File: 60 kB\nPss_Shmem: 10 kB\n"
    assert machine.rolled_up(text) == (40 * 1024, 100 * 1024)
    assert machine.rolled_up("Pss: 100 kB\n") == (100 * 1024, 100 * 1024)


def test_this_process_is_measured() -> None:
    before = machine.Spent.now(os.getpid())
    held = bytearray(os.urandom(30_000_000))
    memory, after = machine.Memory.of(os.getpid()), machine.Spent.now(os.getpid())
    assert memory.processes >= 1 and len(held) / 1e6 < memory.own_mb <= memory.all_mb
    shares = machine.shares(before, after)
    assert shares["server_cpu_share"] is not None and shares["server_cpu_share"] > 0
    left = max(0.0, 1 - (shares["machine_cpu_share"] or 0.0))  # a busy machine's ticks may make more than a whole
    assert shares["idle_cpu_share"] == pytest.approx(left, abs=0.05)


def test_what_is_spent_is_told_apart() -> None:
    """In ten seconds of every core: the server half a core, this program a fifth, others a tenth."""
    cores, used = os.cpu_count() or 1, machine.usable_cores()
    before = machine.Spent(at_s=0.0, server_s=1.0, own_s=2.0, machine_s=3.0)
    after = machine.Spent(at_s=10.0, server_s=6.0, own_s=4.0, machine_s=3.0 + 5.0 + 2.0 + 1.0)
    assert machine.shares(before, after) == pytest.approx(
        {"server_cpu_share": 0.5 / used, "generator_cpu_share": 0.2 / used, "machine_cpu_share": 0.8 / cores,
         "others_cpu_share": 0.1 / cores, "idle_cpu_share": 1 - 0.8 / cores}
    )  # fmt: skip


def test_gpu_figures_are_read() -> None:
    said = "0, 1000, 50\n1, 2000, 100\n0, 1500, 70\n1, 2000, [N/A]\n0, 15"
    found_figures = machine.gpu_figures(said)
    assert found_figures["gpu_memory_mb"] == pytest.approx(3500 * (1 << 20) / 1e6)
    assert found_figures["gpu_utilisation"] == pytest.approx((50 + 100 + 70) / 300)
    assert machine.gpu_figures("") == {}


def grown(at_s: float, streams: int, mb: float) -> Sample:
    return Sample(at_s, streams, streams + 3, mb, mb + 100)


def test_memory_is_compared_at_like_moments() -> None:
    samples = [grown(at_s, 3, 900 + at_s) for at_s in range(0, 300, 3)]
    samples += [grown(at_s + 1, 2, 100.0) for at_s in range(0, 300, 6)]
    told = figures_of(samples, 300.0)
    assert (told["streams"], told["processes"]) == (3, 6)
    assert told["memory_mb_first"] == pytest.approx(950, abs=3) and told["memory_mb_end"] == pytest.approx(1190, abs=3)
    assert told["memory_ratio"] == pytest.approx(1190 / 950, abs=0.01) and len(told["series"]) == len(samples)


def test_too_few_moments_are_said() -> None:
    with pytest.raises(CliError, match="--minutes"):
        figures_of([grown(10.0, 3, 900.0), grown(59.0, 2, 900.0)], 60.0)


CURVE: list[dict[str, Any]] = [
    {"streams": streams, "passed": streams < 8, "why": "late" if streams == 8 else None, "frames_dropped": 0,
     "compute_lag_ms_p50": 50.0 + 5 * streams, "compute_lag_ms_p95": 100.0 + 20 * streams,
     "frames_per_s": 25.0 * streams, "memory_mb": 600.0 + 100 * streams, "cpu_s_per_media_s": 0.25,
     "compute_lag_ms_p95_low": 90.0 + 20 * streams, "compute_lag_ms_p95_high": 130.0 + 20 * streams, "rounds": 2,
     "rounds_passed": 2 if streams < 8 else 0, "server_cpu_share": 0.1 * streams, "idle_cpu_share": 1 - 0.11 * streams,
     "generator_cpu_share": 0.01 * streams}
    for streams in (1, 4, 8)
]  # fmt: skip
CURVE.append({"streams": 16, "passed": False, "why": "it is full", "rounds": 2, "rounds_passed": 0})


def test_the_summary_is_of_the_largest_that_passed() -> None:
    told = summary({level["streams"]: level for level in CURVE}, 4)
    assert told["max_streams"] == 4 and told["compute_lag_ms_p95"] == 180.0 and told["why_not_more"] == "late"
    assert told["memory_mb_per_stream"] == 100.0 and math.isnan(told["gpu_memory_mb_per_stream"])
    assert told["cores_per_stream"] == pytest.approx(0.25) and told["cost_linearity_r2"] == pytest.approx(1.0)
    assert [level["streams"] for level in told["curve"]] == [1, 4, 8, 16]
    assert (told["rounds"], told["levels_disagreed"]) == (8, 0)
    assert told["lag_p95_spread_most"] == pytest.approx(40 / 120)


def test_the_curve_is_drawn() -> None:
    root = ElementTree.fromstring(plot.curve_svg(CURVE, 250.0, "lag & load"))
    name = "{http://www.w3.org/2000/svg}"
    drawn = {line.get("class"): line.get("points", "").split() for line in root.iter(f"{name}polyline")}
    assert [len(drawn[style]) for style in ("p50", "p95", "rate", "server", "generator", "idle")] == [3] * 6
    ranges = [line for line in root.iter(f"{name}line") if line.get("class") == "range"]
    assert len(ranges) == 3 and all(float(line.get("y1", 0)) > float(line.get("y2", 0)) for line in ranges)
    heights = [float(point.split(",")[1]) for point in drawn["p95"]]
    assert heights == sorted(heights, reverse=True) and len(set(heights)) == 3, "more lag lies higher"
    assert "lag & load" in [words.text for words in root.iter(f"{name}text")]


def test_what_is_off_the_chart_lies_on_its_edge() -> None:
    late = [{"streams": 2, "compute_lag_ms_p50": 9_000.0, "compute_lag_ms_p95": math.nan, "frames_per_s": 10.0}]
    root = ElementTree.fromstring(plot.curve_svg(late, 250.0, "late"))
    tops = [float(dot.get("cy", "nan")) for dot in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert tops[0] == plot.LAG_TOP and len(tops) == 2


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Three seconds at 25 Hz of a file of 50 Hz."""
    file = tmp_path_factory.mktemp("bench") / "clip.mp4"
    file.write_bytes(video("mp4", "libx264", frames=150, rate=50))
    return encoded_clip(file)


def test_a_clip_can_be_begun_at_each_of_its_key_frames(clip: Clip) -> None:
    assert len(clip.frames) == 75 and clip.key_frames == (0, 25, 50)
    packets = [parse_packet(clip.message(50, number)) for number in range(40)]
    assert [packet.sequence for packet in packets] == list(range(40))
    assert [packet.pts_us for packet in packets[:3]] == [0, 40_000, 80_000]
    assert [number for number, packet in enumerate(packets) if packet.is_key] == [0, 25], "it goes round to its first"
    decoder: Any = av.CodecContext.create("h264", "r")
    shown = [len(decoder.decode(av.Packet(packet.payload))) for packet in packets]
    assert sum(shown) + len(decoder.decode(None)) == 40


def test_streams_of_a_load_begin_apart_but_the_same_each_time(clip: Clip) -> None:
    load = Load(clip, "http://127.0.0.1:1", 30, 5.0)
    assert entries(load) == entries(load)
    assert len({entry.delay_s for entry in entries(load)}) == 30
    assert {entry.first for entry in entries(load)} == set(clip.key_frames)


Answering = Callable[[ServerConnection, int], Awaitable[None]]


@asynccontextmanager
async def counter(answer: Answering) -> AsyncIterator[tuple[str, list[int]]]:
    """(address, sequence numbers that came) of a server that takes every stream and answers each frame by `answer`."""
    came: list[int] = []

    async def take(connection: ServerConnection) -> None:
        assert json.loads(await connection.recv())["media"] == "packets"
        await connection.send('{"type": "session.ready"}')
        async for message in connection:
            if isinstance(message, str):
                await connection.send('{"type": "session.closed"}')
                return
            came.append(parse_packet(message).sequence)
            await answer(connection, came[-1])

    async with serve(take, "127.0.0.1", 0, compression=None) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", came


async def test_a_stream_is_sent_at_its_pace_and_timed(clip: Clip) -> None:
    stop, door = asyncio.Event(), asyncio.Semaphore(1)

    async def caption(connection: ServerConnection, number: int) -> None:
        event = {"type": "caption", "is_final": number % 2 == 1, "newest_ms": 40 * (number + 1)}
        await connection.send(json.dumps(event))
        if number == 19:
            stop.set()

    async with counter(caption) as (url, came):
        stream = PacedStream(clip, Entry(url, 25))
        await stream.run(stop, door)
    record = stream.record
    assert came == list(range(len(came))) and len(record.sent_s) == len(came) >= 20
    assert record.sent_s[19] - record.sent_s[0] == pytest.approx(19 * 0.04, abs=0.03)
    assert min(record.late_s) >= 0
    answers = record.drafts + record.finals
    assert len(record.drafts) - len(record.finals) in (0, 1) and len(answers) == len(came)
    assert all(answer.sent_s in record.sent_s and 0 <= answer.lag_ms < 500 for answer in answers)


async def test_a_streams_failure_is_its_servers_words(clip: Clip) -> None:
    async def refuse(connection: ServerConnection, number: int) -> None:
        await connection.send('{"type": "error", "message": "All 2 streams are in use."}')

    async with counter(refuse) as (url, _):
        level = await measured_level(Load(clip, url, 2, 5.0))
    assert level == {"streams": 2, "passed": False, "why": "All 2 streams are in use."}


async def test_a_stream_that_ends_by_itself_fails(clip: Clip) -> None:
    async def end(connection: ServerConnection, number: int) -> None:
        await connection.send('{"type": "session.closed"}')

    async with counter(end) as (url, _):
        with pytest.raises(LiveError, match="ended a stream"):
            await PacedStream(clip, Entry(url, 0)).run(asyncio.Event(), asyncio.Semaphore(1))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_bench_streams_measures_a_real_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chart = tmp_path / "curve.svg"
    words = ["bench", "streams", "--most", "2", "--seconds", "2", "--checkpoint", "random:0", "--plot", str(chart)]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    passed = [level["streams"] for level in told["curve"] if level["passed"]]
    assert told["max_streams"] == max(passed, default=0), "a machine that is busy otherwise may carry none"
    assert [level["streams"] for level in told["curve"]] == ([1, 2] if 1 in passed else [1])
    for level in told["curve"]:
        assert level["drafts"] > 0 and level["compute_lag_ms_p50"] > 0
        assert 0 < level["server_cpu_share"] <= 1 and 0 < level["generator_cpu_share"] < level["server_cpu_share"]
        assert level["memory_mb"] > 100 and 0 <= level["idle_cpu_share"] < 1
        assert level["rounds"] in (2, 3) and level["passed"] == (2 * level["rounds_passed"] > level["rounds"])
        assert level["compute_lag_ms_p95_low"] <= level["compute_lag_ms_p95"] <= level["compute_lag_ms_p95_high"]
    assert told["rounds"] == sum(level["rounds"] for level in told["curve"]) and told["lag_p95_spread_most"] >= 0
    assert ElementTree.parse(chart).getroot().tag.endswith("svg") and SAMPLE.is_file()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_bench_memory_reads_a_real_server(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "memory", "--minutes", "1.5", "--streams", "1", "--checkpoint", "random:0", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["readings_first"] > 0 and told["readings_end"] > 0 and 0.8 < told["memory_ratio"] < 1.2
    assert {sample["streams"] for sample in told["series"]} >= {1}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_bench_limit_sets_the_engine_against_the_bare_networks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "limit", "--seconds", "6", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0.1 < told["efficiency"] < 1.5 and told["engine_frames_per_s"] > 0
    assert told["efficiency"] == pytest.approx(told["engine_frames_per_s"] / told["limit_frames_per_s"])
