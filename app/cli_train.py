"""signbind train: the recipes of `models.training`, by name, with what they need checked before they start."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_errors import CliError
from app.cli_paper import PaperChoices, SplitBy, one_folder, train_paper
from app.cli_recipes import DEFAULT_CHECKPOINT, Figures, imported, show

if TYPE_CHECKING:
    from rich.progress import Progress


class Preset(enum.StrEnum):
    compact = "compact"
    paper = "paper"


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
    closer = "closer"
    lips = "lips"
    features = "features"
    spelling = "spelling"
    silence = "silence"
    sign = "sign"
    fingerspelling = "fingerspelling"
    routing = "routing"
    fusion = "fusion"
    tables = "tables"
    language = "language"
    noise = "noise"
    text = "text"
    lora = "lora"
    words = "words"
    confidence = "confidence"
    int8 = "int8"
    student = "student"


STAGES: dict[str, str] = {
    Stage.all: "clips to fusion in one go",
    Stage.labels: "glosses, spelled words and phonemes of clips that have only English",
    Stage.locate: "finds hands, face and mouth in a picture",
    Stage.clips: "draws signers, for what follows",
    Stage.encoder: "looks at a hand",
    Stage.backbones: "compares small networks for that; changes no weights",
    Stage.closer: "looks at a spelling hand once more, with a published network of hand landmarks",
    Stage.lips: "looks at a mouth, and reads phonemes",
    Stage.features: "drawn clips as the networks over time will see them",
    Stage.spelling: "photographs of letters set in a row, likewise",
    Stage.silence: "scenes in which nobody signs, for router and sign expert",
    Stage.sign: "the expert of signs",
    Stage.fingerspelling: "the expert of spelled letters",
    Stage.routing: "sign, fingerspelling or rest, at every moment",
    Stage.fusion: "joins what the experts say",
    Stage.tables: "the paper's comparisons; changes no weights",
    Stage.language: "glosses to an English sentence",
    Stage.noise: "the study of language models under noise; changes no weights",
    Stage.text: "glosses of real corpora to English, the base of lora",
    Stage.lora: "an adapter for one corpus or domain (--adapter)",
    Stage.words: "glosses of PHOENIX-2014T to German weather forecasts",
    Stage.confidence: "how likely a caption is right, from `evaluate synthetic | answers | silence --record`",
    Stage.int8: "eight-bit copies of the picture networks, for processors",
    Stage.student: "a hand encoder of half the work",
}
"""What each trains, in the same order."""

SHARED_STAGES: dict[Stage, tuple[str, dict[str, str]]] = {
    Stage.sign: ("experts", {"only": "sign"}),
    Stage.fingerspelling: ("experts", {"only": "fingerspelling"}),
}
"""Stages whose recipe serves two: its module and the option that tells them apart."""


GOING_ON = 0.5
"""Of the learning rate, for weights that have learned already."""

DERIVED_STAGES = frozenset(
    {
        Stage.features,
        Stage.silence,
        Stage.sign,
        Stage.fingerspelling,
        Stage.routing,
        Stage.fusion,
        Stage.tables,
        Stage.noise,
        Stage.confidence,
    }
)
"""Stages that read no outside data, only what earlier stages made: they are as free as those."""


def train(
    stage: Annotated[
        Stage,
        typer.Argument(metavar="STAGE", help="What to train: one of the names below."),
    ],
    data: Annotated[
        list[str],
        typer.Option(
            help="The folder of training data (docs/design-notes.md lists its parts); with --preset paper NAME=DIR for "
            "every corpus (docs/corpora.md lists them)."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help=f"Where the weights go; {DEFAULT_CHECKPOINT} if not given, runs/paper for the paper preset."),
    ] = None,
    preset: Annotated[Preset, typer.Option(help="The sizes of the networks.")] = Preset.compact,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to train; a run that was stopped goes on.")] = 30,
    seed: Annotated[int, typer.Option(help="Seed of the data's order and of fresh weights.")] = 0,
    device: Annotated[
        Device | None, typer.Option(help="Where to train; cuda where there is one, if not given.")
    ] = None,
    permissive_only: Annotated[
        bool, typer.Option("--permissive-only", help="Leave out every source that is for research only.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="paper: the whole path once, with tiny random networks on a few samples.")
    ] = False,
    split_by: Annotated[
        SplitBy, typer.Option(help="paper: what is held out; whole signers or recordings instead of the corpora's own.")
    ] = SplitBy.published,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="paper: dinov2=, vit= or llm=, a name on the hub or a folder to start from instead of the usual."
        ),
    ] = None,
    readers: Annotated[
        int, typer.Option(min=1, help="paper: threads that decode clips, in each process.")
    ] = PaperChoices.readers,
    adapter: Annotated[
        str | None, typer.Option(help="lora: aslg, phoenix, ncslgr (of the text model), live-ncslgr, live-aslg.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="sign, fingerspelling, routing, fusion, language: a folder of weights to go on from, at half the learning"
            " rate; its lexicon may be smaller. For language the model's own folder.",
        ),
    ] = None,
    marked: Annotated[
        bool, typer.Option("--marked", help="language: with marks behind signs of which recognition is not sure.")
    ] = False,
    text_only: Annotated[
        bool,
        typer.Option(
            "--text-only", help="language: three batches in ten are English alone, to fill in function words."
        ),
    ] = False,
) -> None:
    """Train one STAGE of the translator; it logs as it goes and resumes where it was stopped."""
    choices = PaperChoices(dry_run, split_by, tuple(weights or ()), readers)
    if preset is Preset.paper:
        check_paper(stage, device, permissive_only, adapter)
        train_paper(data, out, minutes, seed, device.value if device else None, choices)
        return
    folder, out = one_folder(data, choices), out or DEFAULT_CHECKPOINT
    recipe, fixed = stage_recipe(stage)
    chosen = {**fixed, **recipe_options(stage, recipe, device, permissive_only)}
    if adapter is not None and "adapter" not in inspect.signature(recipe).parameters:
        raise CliError(f"--adapter is an option of `train lora`; leave it out for {stage.value}.")
    chosen |= {} if adapter is None else {"adapter": adapter}
    chosen |= language_options(stage, recipe, marked=marked, text_only=text_only)
    chosen |= {} if start is None else going_on(stage, recipe, start)
    out.mkdir(parents=True, exist_ok=True)
    with time_bar(stage.value, minutes) as bar:
        bar.add_task(stage.value, total=60 * minutes)
        figures = recipe(folder, out, minutes=minutes, seed=seed, **chosen)
    show(f"{stage.value}: trained into {out}", figures, as_json=False)


def check_paper(stage: Stage, device: Device | None, permissive_only: bool, adapter: str | None) -> None:
    """CliError for what the paper's schedule cannot do."""
    if stage is not Stage.all:
        raise CliError(f"the paper preset trains all its stages in one schedule; say `train all`, not `train {stage}`.")
    if adapter is not None:
        raise CliError("--adapter is an option of `train lora`; leave it out for the paper preset.")
    if permissive_only:
        raise CliError("the paper preset's corpora are for research only; leave out --permissive-only.")
    if device is Device.cuda:
        check_cuda(stage, takes_device=True)


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


def language_options(stage: Stage, recipe: Callable[..., Figures], **wanted: bool) -> dict[str, Any]:
    """The language model's own options that are wanted; CliError for one that the recipe lacks."""
    options = {name: True for name, on in wanted.items() if on}
    for name in options.keys() - inspect.signature(recipe).parameters.keys():
        option = f"--{name.replace('_', '-')}"
        raise CliError(f"{option} is an option of `train language`; leave it out for {stage.value}.")
    return options


def going_on(stage: Stage, recipe: Callable[..., Figures], start: Path) -> dict[str, Any]:
    """The options of a recipe that goes on from the weights in `start`; CliError for one that cannot."""
    taken = inspect.signature(recipe).parameters
    if "start" not in taken:
        raise CliError(f"{stage.value} begins from nothing or where it was stopped; leave out --start.")
    return {"start": start, "learning_rate": GOING_ON * float(taken["learning_rate"].default)}


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
