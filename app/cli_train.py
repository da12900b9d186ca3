"""signbind train: the recipes of `models.training`, by name, with what they need checked before they start."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_errors import CliError
from app.cli_recipes import DEFAULT_CHECKPOINT, Figures, imported, show

if TYPE_CHECKING:
    from rich.progress import Progress


class Preset(enum.StrEnum):
    compact = "compact"


class Device(enum.StrEnum):
    cpu = "cpu"
    cuda = "cuda"


class Stage(enum.StrEnum):
    """In the order in which they are trained."""

    all = "all"
    labels = "labels"
    locate = "locate"
    clips = "clips"
    encoder = "encoder"
    backbones = "backbones"
    lips = "lips"
    features = "features"
    spelling = "spelling"
    sign = "sign"
    fingerspelling = "fingerspelling"
    routing = "routing"
    fusion = "fusion"
    language = "language"
    lora = "lora"
    confidence = "confidence"
    int8 = "int8"


SHARED_STAGES: dict[Stage, tuple[str, dict[str, str]]] = {
    Stage.sign: ("experts", {"only": "sign"}),
    Stage.fingerspelling: ("experts", {"only": "fingerspelling"}),
}
"""Stages whose recipe serves two: its module and the option that tells them apart."""


DERIVED_STAGES = frozenset(
    {Stage.features, Stage.sign, Stage.fingerspelling, Stage.routing, Stage.fusion, Stage.confidence}
)
"""Stages that read no outside data, only what earlier stages made: they are as free as those."""


def train(
    stage: Annotated[
        Stage,
        typer.Argument(help="What to train, in the order in which stages build on each other; all: clips to fusion."),
    ],
    data: Annotated[Path, typer.Option(help="The folder of training data (docs/design-notes.md lists its parts).")],
    out: Annotated[Path, typer.Option(help="Where the weights go.")] = DEFAULT_CHECKPOINT,
    preset: Annotated[Preset, typer.Option(help="The sizes of the networks.")] = Preset.compact,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to train; a run that was stopped goes on.")] = 30,
    seed: Annotated[int, typer.Option(help="Seed of the data's order and of fresh weights.")] = 0,
    device: Annotated[
        Device | None, typer.Option(help="Where to train; cuda where there is one, if not given.")
    ] = None,
    permissive_only: Annotated[
        bool, typer.Option("--permissive-only", help="Leave out every source that is for research only.")
    ] = False,
) -> None:
    """Train one STAGE of the translator; it logs as it goes and resumes where it was stopped."""
    del preset
    if not data.is_dir():
        raise CliError(f"{data} is no folder; give the training data's with --data.")
    recipe, fixed = stage_recipe(stage)
    chosen = {**fixed, **recipe_options(stage, recipe, device, permissive_only)}
    out.mkdir(parents=True, exist_ok=True)
    with time_bar(stage.value, minutes) as bar:
        bar.add_task(stage.value, total=60 * minutes)
        figures = recipe(data, out, minutes=minutes, seed=seed, **chosen)
    show(f"{stage.value}: trained into {out}", figures, as_json=False)


def stage_recipe(stage: Stage) -> tuple[Callable[..., Figures], dict[str, str]]:
    """The stage's `train` function and the options that it is always called with."""
    name, fixed = SHARED_STAGES.get(stage, (stage.value, {}))
    recipe: Callable[..., Figures] = imported(f"models.training.{name}_stage", "train")
    return recipe, fixed


def recipe_options(
    stage: Stage, recipe: Callable[..., Figures], device: Device | None, permissive_only: bool
) -> dict[str, Any]:
    """What of the user's choices the recipe is called with; CliError for one that it cannot follow."""
    taken, options = inspect.signature(recipe).parameters, dict[str, Any]()
    if device is Device.cuda:
        check_cuda(stage, takes_device="device" in taken)
    if device is not None and "device" in taken:
        options["device"] = device.value
    if permissive_only and "permissive_only" in taken:
        options["permissive_only"] = True
    elif permissive_only and stage not in DERIVED_STAGES:
        raise CliError(
            f"{stage.value} cannot do without its research-only sources; leave out --permissive-only, for research use."
        )
    elif permissive_only:
        typer.echo(f"{stage.value} reads no outside data: it is as free as the weights and features it stands on.")
    return options


def check_cuda(stage: Stage, takes_device: bool) -> None:
    from app.cli_doctor import graphics

    if not takes_device:
        raise CliError(f"{stage.value} trains on the CPU alone; leave out --device cuda.")
    if graphics().level != "ok":
        raise CliError("There is no GPU that torch can use here; leave out --device, or see `signbind doctor`.")


def time_bar(name: str, minutes: float) -> Progress:
    """A bar of elapsed time that is drawn anew with every line logged.

    It has no refreshing thread: recipes fork, and a fork while such a thread holds a lock would never end.
    """
    from rich.progress import Progress, ProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress_bar import ProgressBar

    class ElapsedBar(ProgressColumn):
        def render(self, task: Any) -> ProgressBar:
            return ProgressBar(total=task.total, completed=min(task.elapsed or 0.0, task.total), width=40)

    return Progress(
        TextColumn(name), ElapsedBar(), TimeElapsedColumn(), TextColumn(f"of {minutes:g} min"), auto_refresh=False
    )
