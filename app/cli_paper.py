"""signbind train all --preset paper: the paper's schedule over real corpora; folders and corpora are checked first."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.cli_errors import CliError
from app.cli_recipes import Figures, imported, show

PAPER_CHECKPOINT = Path("runs/paper")
COMPACT_MARK = "hand_encoder.json"
ORIGINS = {"dinov2": "dinov2", "vit": "vit", "llm": "language"}
"""What --weights may name, and what `paper_plan.Origins` calls it."""


class SplitBy(enum.StrEnum):
    published = "published"
    signer = "signer"
    source = "source"


@dataclass(frozen=True)
class PaperChoices:
    """Options that only this preset has."""

    dry_run: bool = False
    split_by: SplitBy = SplitBy.published
    weights: tuple[str, ...] = ()
    readers: int = 4

    @property
    def given(self) -> str | None:
        """The first of them that was given."""
        chosen = {"--dry-run": self.dry_run, "--split-by": self.split_by is not SplitBy.published,
                  "--weights": bool(self.weights), "--readers": self.readers != PaperChoices.readers}  # fmt: skip
        return next((name for name, is_given in chosen.items() if is_given), None)


def one_folder(data: Sequence[str], choices: PaperChoices) -> Path:
    """The compact preset's data: one folder, and none of the paper preset's options."""
    if option := choices.given:
        raise CliError(f"{option} is an option of `train all --preset paper`; leave it out.")
    if len(data) > 1 or not Path(data[0]).is_dir():
        said = "two folders" if len(data) > 1 else data[0]
        raise CliError(f"{said} is no folder; give the training data's with --data.")
    return Path(data[0])


def train_paper(
    data: Sequence[str], out: Path | None, minutes: float, seed: int, device: str | None, choices: PaperChoices
) -> None:
    """The whole schedule, or a dry run of it."""
    out = out or PAPER_CHECKPOINT
    if (out / COMPACT_MARK).is_file():
        raise CliError(f"{out} holds weights of the compact preset; name another folder with --out.")
    stage = "models.training.paper_stage"
    wanted = imported(stage, "Wanted")(
        origins=imported("models.training.paper_plan", "Origins")(**origins(choices.weights)),
        split_by=choices.split_by.value, seed=seed, readers=choices.readers,
    )  # fmt: skip
    figures: Figures = imported(stage, "train")(
        data, out, minutes=minutes, device=device, dry_run=choices.dry_run, wanted=wanted
    )
    if figures:
        title = f"dry run: {out / 'dry-run'}" if choices.dry_run else f"all: trained into {out}"
        show(title, figures, as_json=False)


def origins(weights: Sequence[str]) -> dict[str, str]:
    """`dinov2=NAME` and the like, as the plan takes them."""
    found = {}
    for one in weights:
        name, equals, source = one.partition("=")
        if not equals or not source or name not in ORIGINS:
            raise CliError(f"--weights takes dinov2=NAME, vit=NAME or llm=NAME, but got {one!r}; correct it.")
        found[ORIGINS[name]] = source
    return found
