"""The loop that every stage shares: AdamW, cosine over minutes, averaged weights, checkpoints that resume by time spent.

It runs where it is told: on a GPU in bfloat16 autocast, on a CPU in single precision. Losses take their batch as it
comes and put it on the module's device (`moved`).
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

RUNS = Path("runs")
CHECK_EVERY = 50  # steps between looks at the loss: each look waits for the GPU
Loss = Callable[[nn.Module, Any], tuple[Tensor, Mapping[str, Tensor | float]]]
B = TypeVar("B")


def best_device(wanted: str | torch.device | None = None) -> torch.device:
    """The device named, else the GPU where there is one, else the CPU."""
    return torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters are."""
    return next(module.parameters()).device


def moved(batch: B, device: torch.device) -> B:
    """A dataclass with its tensors on `device`; what is no tensor stays as it is."""
    held = {one.name: getattr(batch, one.name) for one in fields(batch)}  # type: ignore[arg-type]  # a dataclass
    tensors = {name: value for name, value in held.items() if isinstance(value, Tensor)}
    return replace(batch, **{name: value.to(device, non_blocking=True) for name, value in tensors.items()})  # type: ignore[type-var]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn; `minutes` counts all runs of the same name together."""

    minutes: float
    learning_rate: float = 2e-3
    weight_decay: float = 0.03
    warmup_minutes: float = 0.5
    final_share: float = 0.02  # of the learning rate, at the end of the cosine
    clip_norm: float = 1.0
    average_decay: float = 0.998
    half: bool = True  # bfloat16 on a GPU; for small networks the casts cost more than they save
    half_on_cpu: bool = False
    log_every_s: float = 20.0
    save_every_s: float = 60.0
    clock: Callable[[], float] = time.monotonic  # what counts as spent; time.process_time for comparisons

    def __post_init__(self) -> None:
        if self.minutes <= 0:
            raise ValueError(f"minutes must be above 0, got {self.minutes}: give the time to train for")

    def rate(self, spent_minutes: float) -> float:
        """Learning rate after `spent_minutes`: linear warm-up, then half a cosine."""
        warmup = min(1.0, (spent_minutes + 0.01) / max(self.warmup_minutes, 0.01))
        progress = min(1.0, spent_minutes / self.minutes)
        cosine = self.final_share + (1 - self.final_share) * 0.5 * (1 + math.cos(math.pi * progress))
        return self.learning_rate * warmup * cosine


@dataclass
class Run:
    """A module being trained, with all that a resume needs; kept in `folder/name.ckpt`."""

    name: str
    module: nn.Module
    seed: int = 0
    folder: Path = RUNS
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    average: nn.Module = field(init=False)
    optimizer: torch.optim.AdamW = field(init=False)
    spent_s: float = 0.0
    steps: int = 0

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.module.to(self.device)
        self.average = copy.deepcopy(self.module).eval().requires_grad_(False)
        decayed = [p for p in self.module.parameters() if p.requires_grad and p.ndim > 1]
        plain = [p for p in self.module.parameters() if p.requires_grad and p.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
        fused = self.device.type == "cuda"
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=fused)
        self._resume()

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.ckpt"

    def _resume(self) -> None:
        if not self.path.exists():
            return
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        self.module.load_state_dict(state["module"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.spent_s, self.steps = state["spent_s"], state["steps"]
        torch.manual_seed(self.seed + self.steps)

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "module": self.module.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "spent_s": self.spent_s,
            "steps": self.steps,
        }
        partial = self.path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self.path)

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Moves the averaged weights; early on the decay is smaller, so that the random start is forgotten."""
        decay = min(decay, (1 + self.steps) / (10 + self.steps))
        pairs = list(zip(self.average.state_dict().values(), self.module.state_dict().values(), strict=True))
        floats = [(mean, value) for mean, value in pairs if mean.is_floating_point()]
        torch._foreach_lerp_([mean for mean, _ in floats], [value for _, value in floats], 1 - decay)
        for mean, value in pairs:
            if not mean.is_floating_point():
                mean.copy_(value)


Watch = Callable[["Run"], None]


def learn(
    run: Run, schedule: Schedule, batches: Iterator[Any], loss: Loss, log: Callable[[str], None] = print,
    watch: Watch | None = None,
) -> nn.Module:  # fmt: skip
    """Trains until `schedule.minutes` are spent over all resumes; returns the averaged module in eval mode.

    `loss(module, batch)` gives a scalar and named figures, whose running means are logged. `watch(run)` is called
    whenever the run is saved: a place to measure the averaged module, or to keep it.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("high")
    run.module.train()
    means: dict[str, Tensor | float] = {}
    logged_s = saved_s = run.spent_s
    while run.spent_s < 60 * schedule.minutes:
        started = schedule.clock()
        figures = _advance(run, schedule, next(batches), loss)
        for key, value in figures.items():
            means[key] = value if key not in means else 0.95 * means[key] + 0.05 * value
        run.spent_s += schedule.clock() - started
        if run.spent_s - logged_s > schedule.log_every_s:
            logged_s = run.spent_s
            shown = " ".join(f"{key} {float(value):.4f}" for key, value in means.items())
            log(f"{run.name} {run.spent_s / 60:.1f}/{schedule.minutes:g} min, step {run.steps}: {shown}")
        if run.spent_s - saved_s > schedule.save_every_s:
            saved_s = run.spent_s
            run.save()
            if watch is not None:
                watch(run)
    run.save()
    return run.average.eval()


def _advance(run: Run, schedule: Schedule, batch: Any, loss: Loss) -> dict[str, Tensor | float]:
    for group in run.optimizer.param_groups:
        group["lr"] = schedule.rate(run.spent_s / 60)
    run.optimizer.param_groups[0]["weight_decay"] = schedule.weight_decay
    half = schedule.half if run.device.type == "cuda" else schedule.half_on_cpu
    with torch.autocast(run.device.type, torch.bfloat16, enabled=half):
        value, figures = loss(run.module, batch)
    if run.steps % CHECK_EVERY == 0 and not torch.isfinite(value):
        raise ValueError(f"{run.name}: the loss became {value.item()} at step {run.steps}; lower the learning rate")
    run.optimizer.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(run.module.parameters(), schedule.clip_norm)
    run.optimizer.step()
    run.steps += 1
    run.follow(schedule.average_decay)
    return {"loss": value.detach(), **figures}
