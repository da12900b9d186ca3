"""What a server's processes and this machine spend: processor time, memory, the GPU."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from app.bench.figures import mean
from app.settings import usable_cores

GPU_QUERY = ("--query-gpu=index,memory.used,utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=1000")
OWN_PAGES = ("Pss_Anon", "Pss_Shmem")


@dataclass(frozen=True)
class Spent:
    """Seconds, so far."""

    at_s: float
    server_s: float | None
    own_s: float
    machine_s: float

    @classmethod
    def now(cls, pid: int | None) -> Spent:
        times = psutil.cpu_times()
        busy_s = sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
        return cls(time.monotonic(), None if pid is None else cpu_seconds(pid), time.process_time(), busy_s)


def shares(before: Spent, after: Spent) -> dict[str, float | None]:
    """Of all cores that may be used, 0 to 1: the server's, and this program's, which in real use runs elsewhere. Of all cores
    that the machine has: what was spent, what other programs spent, what nobody did."""
    core_s = (after.at_s - before.at_s) * usable_cores()
    machine_core_s = (after.at_s - before.at_s) * int(psutil.cpu_count() or 1)
    server_s = None if before.server_s is None or after.server_s is None else after.server_s - before.server_s
    own_s, machine_s = after.own_s - before.own_s, after.machine_s - before.machine_s
    return {
        "server_cpu_share": None if server_s is None else server_s / core_s,
        "generator_cpu_share": own_s / core_s,
        "machine_cpu_share": machine_s / machine_core_s,
        "idle_cpu_share": max(0.0, 1 - machine_s / machine_core_s),
        "others_cpu_share": None if server_s is None else max(0.0, machine_s - server_s - own_s) / machine_core_s,
    }


def tree(pid: int) -> list[psutil.Process]:
    """A process and all that came of it; what ends meanwhile is left out."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pid: int) -> float:
    """Processor time so far of a process and all its children, those that have ended included."""
    total_s = 0.0
    for process in tree(pid):
        try:
            spent = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total_s += spent.user + spent.system + spent.children_user + spent.children_system
    return float(total_s)


@dataclass(frozen=True)
class Memory:
    """Of a process and its children, pages that they share counted once.

    `own_mb` leaves out pages of files (libraries): the system drops them at will, and other programs share them.
    """

    processes: int
    own_mb: float
    all_mb: float

    @classmethod
    def of(cls, pid: int) -> Memory:
        own = everything = 0
        processes = tree(pid)
        for process in processes:
            mine, whole = memory_bytes(process)
            own, everything = own + mine, everything + whole
        return cls(len(processes), own / 1e6, everything / 1e6)


def memory_bytes(process: psutil.Process) -> tuple[int, int]:
    """(own, all) proportional pages; where the system does not count those, what is the process's alone."""
    rollup = Path(f"/proc/{process.pid}/smaps_rollup")
    try:
        if rollup.exists():
            return rolled_up(rollup.read_text())
        alone = int(process.memory_full_info().uss)
        return alone, alone
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return 0, 0


def rolled_up(text: str) -> tuple[int, int]:
    """(own, all) bytes that a `smaps_rollup` names."""
    lines = (line.split() for line in text.splitlines() if line.endswith("kB"))
    sizes = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}
    whole = sizes["Pss"]
    return sum(sizes.get(name, 0) for name in OWN_PAGES) if OWN_PAGES[0] in sizes else whole, whole


@dataclass
class GpuUse:
    """Filled when the watch ends; empty where there is no NVIDIA GPU."""

    figures: dict[str, float] = field(default_factory=dict)


@contextmanager
def watched_gpu() -> Iterator[GpuUse]:
    """Asks nvidia-smi once a second for as long as the block lasts."""
    use, program = GpuUse(), shutil.which("nvidia-smi")
    if program is None:
        yield use
        return
    watch = subprocess.Popen([program, *GPU_QUERY], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield use
    finally:
        watch.terminate()
        use.figures = gpu_figures(watch.communicate()[0])


def gpu_figures(said: str) -> dict[str, float]:
    """Most memory in use (of all GPUs together) and mean utilisation (0 to 1) in nvidia-smi's lines; its last may be cut."""
    rows = [line.split(", ") for line in said.splitlines()]
    samples = [(int(row[0]), float(row[1]), float(row[2])) for row in rows if len(row) == 3 and row[2].isdigit()]
    if not samples:
        return {}
    most: dict[int, float] = {}
    for gpu, used_mib, _ in samples:
        most[gpu] = max(most.get(gpu, 0.0), used_mib)
    return {
        "gpu_memory_mb": sum(most.values()) * (1 << 20) / 1e6,
        "gpu_utilisation": mean([busy for _, _, busy in samples]) / 100,
    }
