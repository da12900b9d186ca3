"""Figures -> one HTML file that needs nothing else: no network, no script to be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from models.clock import FRAME_RATE_HZ, STEP_MS
from models.evaluation.report import plots
from models.evaluation.report.before import Change, Comparison, Unit
from models.evaluation.report.edits import letter_accuracy
from models.evaluation.report.figures import Figures
from models.evaluation.report.gates import BINS
from models.evaluation.report.plots import SHARE, Axis, Line, Trace
from models.evaluation.report.records import LETTER_OF_ROUTE, Records, Sentence, runs_of
from models.evaluation.report.sureness import Sureness
from models.evaluation.report.texts import Interval
from models.evaluation.scores import caption_right
from models.hypothesis import StreamOptions
from models.vocabulary import ROUTES

MANY = 1_000
"""So many sentences must have no invented name."""
NOTHING = "none"


@dataclass(frozen=True)
class Headline:
    """A row of the summary: the figure as text, its goal and whether it is reached (None: there is no goal)."""

    name: str
    value: str
    goal: str
    reached: bool | None
    meaning: str


def page(records: Records, figures: Figures, comparison: Comparison | None = None) -> str:
    """The whole page; with what other records had, if there is a comparison."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"share": share, "number": number, "interval": interval, "in_unit": in_unit, "gain": gain}
    return environment.get_template("page.html").render(
        run=records.run, f=figures, comparison=comparison, headlines=headlines(figures), plots=all_plots(figures),
        traces=traces(records.sentences), rows=sentence_rows(records.sentences), routes=ROUTES,
    )  # fmt: skip


def share(value: float | None, digits: int = 1) -> str:
    """0.876 -> "87.6 %"."""
    return NOTHING if value is None else f"{100 * value:.{digits}f} %"


def number(value: float | None, digits: int = 1) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"


def interval(value: Interval | None) -> str:
    """Shares in 0..1 with their 95 % interval."""
    return NOTHING if value is None else f"{share(value.value)} ({100 * value.low:.1f} to {100 * value.high:.1f})"


def in_unit(value: float | None, unit: Unit) -> str:
    return share(value) if unit == "share" else number(value)


def gain(change: Change) -> str:
    """Its difference in points, with the 95 % interval: "+2.1 (+0.3 to +3.9)"."""
    scale = 100 if change.unit == "share" else 1
    value, low, high = (scale * one for one in (change.change.value, change.change.low, change.change.high))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def headlines(f: Figures) -> list[Headline]:
    """What a reader wants to know first."""
    read, scores = f.recognition, {score.name: score for score in f.texts}
    bleu, wrong, invented = scores["BLEU-4"], len(f.wrong_names), f.wrong("invented")
    rows = [
        Headline("Captions entirely right", interval(f.right), "", None,
                 "All words of the English reference and no others; case and punctuation do not count."),
        Headline("BLEU-4", f"{bleu.score:.1f} (± {bleu.spread:.1f})", "at least 50", bleu.score >= 50,
                 "How many runs of one to four words captions share with their references, 100 at most."),
        Headline("Gloss word error rate", interval(read.gloss_wer), "at most 12 %", read.gloss_wer.value <= 0.12,
                 "Signs missed, mistaken or added, a hundred signs shown."),
        Headline("Letters right", interval(read.letter_accuracy), "at least 95 %",
                 read.letter_accuracy.value >= 0.95 if read.letter_accuracy else None,
                 "Of spelled letters, before names are checked against lists."),
        Headline("Invented names", f"{invented} in {f.sentences} sentences", f"0 in {MANY:,}",
                 none_in_many(invented, f.sentences), f"Names in captions that nothing stood for. {wrong - invented} more were "
                 "misread from what was spelled or signed; see Names."),
        Headline("Caption after the last sign", f"{f.after_last_sign.p50:.0f} ms, 95 % within {f.after_last_sign.p95:.0f} ms",
                 "", None, f"Of it {StreamOptions().endpoint_ms} ms are the rest that ends a sentence."),
    ]  # fmt: skip
    return rows + _sure_headlines(f.caption_sureness)


def none_in_many(found: int, sentences: int) -> bool | None:
    """Whether MANY sentences have none; None where that is open, as there are fewer and none was found."""
    return False if found else True if sentences >= MANY else None


def _sure_headlines(sure: Sureness | None) -> list[Headline]:
    if sure is None:
        return []
    return [
        Headline("Calibration error (ECE)", number(sure.ece, 3), "at most 0.03", sure.ece <= 0.03,
                 f"How far a caption's confidence lies from its chance to be right, on {sure.count} captions."),
        Headline("Right apart from wrong (AUROC)", number(sure.auroc, 3), "at least 0.90",
                 None if sure.auroc is None else sure.auroc >= 0.9,
                 "The chance that a right caption is surer of itself than a wrong one."),
        Headline("Wrong captions when the surest 80 % are shown", f"{share(sure.error_at_80)} (of all: {share(sure.error)})",
                 "at most half", sure.error_at_80 <= sure.error / 2, "What withholding unsure captions gains."),
    ]  # fmt: skip


def all_plots(f: Figures) -> dict[str, Markup]:
    """Every plot by name; what there is no data for is left out."""
    found = {"alpha": _alpha(f), "stages": _stages(f), "signers": _signers(f)}
    sure = {
        name: one for name, one in (("captions", f.caption_sureness), ("words", f.word_sureness)) if one is not None
    }
    if sure:
        found |= {"risk": _risk(sure), "reliability": _reliability(sure)}
    return found


def _alpha(f: Figures) -> Markup:
    up = plots.shares_to(max(f.gate.histogram), "share of steps")
    about = f"Mean {f.gate.mean:.2f}, standard deviation {f.gate.spread:.2f}, {BINS} bins over {f.gate.steps} steps."
    return plots.columns("Histogram of alpha", about, Axis("alpha: 0 the lips alone, 1 the hands alone", 0, 1, SHARE),
                         f.gate.histogram, up)  # fmt: skip


def _stages(f: Figures) -> Markup:
    rows = [(stage.name, stage.wall.p50, stage.wall.p95) for stage in f.stages]
    about = "; ".join(f"{name} {low:.0f} ms, 95 % within {high:.0f} ms" for name, low, high in rows)
    return plots.bars("Time of each stage", about, rows, "ms by the wall: median / 95 % within")


def _signers(f: Figures) -> Markup:
    points = [(row.gloss_wer, row.right) for row in f.signers]
    across = plots.shares_to(max(x for x, _ in points), "gloss word error rate of a signer")
    about = f"One dot a signer, {len(points)} of them: the fewer glosses are wrong, the more captions are right."
    return plots.lines("Captions right against gloss errors, by signer", about, across,
                       Axis("captions right", 0, 1, SHARE, "{:.0%}"), [Line("signers", points, "first", dots=True)])  # fmt: skip


def _risk(sure: dict[str, Sureness]) -> Markup:
    about = "; ".join(
        f"{name}: {share(one.error_at_80)} wrong at 80 %, {share(one.error)} at 100 %" for name, one in sure.items()
    )
    drawn = [
        Line(name, one.curve, style) for (name, one), style in zip(sure.items(), ("first", "second"), strict=False)
    ]
    up = plots.shares_to(max(risk for line in drawn for _, risk in line.points), "share wrong")
    across = Axis("share shown, the surest first", 0, 1, SHARE, "{:.0%}")
    return plots.lines("Risk against coverage", about, across, up, drawn)


def _reliability(sure: dict[str, Sureness]) -> Markup:
    about = "; ".join(f"{name}: calibration error {one.ece:.3f} on {one.count}" for name, one in sure.items())
    drawn = [Line(name, [(x, y) for x, y, _ in one.reliability], style)
             for (name, one), style in zip(sure.items(), ("first", "second"), strict=False)]  # fmt: skip
    drawn.append(Line("perfect", [(0, 0), (1, 1)], "ideal"))
    return plots.lines("Reliability: confidence against the share that is right", about, Axis("mean confidence", 0, 1, SHARE),
                       Axis("share right", 0, 1, SHARE), drawn)  # fmt: skip


@dataclass(frozen=True)
class Traced:
    """A sentence whose alpha is drawn, and why this one."""

    why: str
    sentence: Sentence
    plot: Markup


def traces(sentences: Sequence[Sentence]) -> list[Traced]:
    """Alpha over time of a few sentences, chosen by rule."""
    return [Traced(why, sentence, _trace(sentence)) for why, sentence in _chosen(sentences).items()]


def _chosen(sentences: Sequence[Sentence]) -> dict[str, Sentence]:
    """The first right one with a spelled word, the first wrong one, and those whose alpha moves most and least."""
    seen = [sentence for sentence in sentences if len(sentence.alpha) > 1]
    right = [s for s in seen if caption_right(s.caption, s.truth.english)]
    found = {
        "the first right one with a spelled word": next((s for s in right if s.truth.letters), None),
        "the first wrong one": next((s for s in seen if s not in right), None),
        "where alpha moves most": max(seen, key=_movement, default=None),
        "where alpha moves least": min(seen, key=_movement, default=None),
    }
    return {why: sentence for why, sentence in found.items() if sentence is not None}


def _movement(sentence: Sentence) -> float:
    alpha = sentence.alpha
    mean = sum(alpha) / len(alpha)
    return sum((value - mean) ** 2 for value in alpha) / len(alpha)


def _trace(sentence: Sentence) -> Markup:
    second = STEP_MS / 1000
    alpha = [
        ((segment.start_ms / STEP_MS + step) * second, value)
        for segment in sentence.segments for step, value in enumerate(segment.alpha)
    ]  # fmt: skip
    words = [(span.text, span.start_ms / 1e3, span.end_ms / 1e3) for span in sentence.truth.glosses]
    words += _spelled(sentence)
    length_s = max([len(sentence.truth.routes) / FRAME_RATE_HZ, *(at for at, _ in alpha)])
    bands = [("shown", _spans(sentence.truth.routes)), ("found", _spans(sentence.routes))]
    about = (f"Caption: {sentence.caption}. Alpha between {min(v for _, v in alpha):.2f} and {max(v for _, v in alpha):.2f}."
             " The bands show signs and spelling, as shown and as found.")  # fmt: skip
    return plots.trace(f"Alpha over time: {sentence.truth.english}", about, Trace(length_s, alpha, bands, words))


def _spelled(sentence: Sentence) -> list[plots.Span]:
    """Spelled words with their times, from the runs of spelling."""
    found = []
    for route, first, last in runs_of(sentence.truth.routes):
        begin_ms, end_ms = first * STEP_MS, last * STEP_MS
        inside = [s.text for s in sentence.truth.letters if s.end_ms > begin_ms and s.start_ms < end_ms]
        if route == "f" and inside:
            found.append(("#" + "".join(inside), begin_ms / 1e3, end_ms / 1e3))
    return found


def _spans(routes: str) -> list[plots.Span]:
    names = dict(zip(LETTER_OF_ROUTE, ROUTES, strict=True))
    second = STEP_MS / 1000
    return [(names[route], first * second, last * second) for route, first, last in runs_of(routes) if route != "r"]


@dataclass(frozen=True)
class SentenceRow:
    """One sentence in the list of all."""

    number: int
    signer: int
    english: str
    caption: str
    right: bool
    confidence: float
    letters: float | None
    tokens: str


def sentence_rows(sentences: Sequence[Sentence]) -> list[SentenceRow]:
    """Every sentence, as it was shown and told."""
    return [
        SentenceRow(
            s.number, s.signer, s.truth.english, s.caption, caption_right(s.caption, s.truth.english), s.confidence,
            letter_accuracy(s), " ".join(t.text if t.kind == "sign" else f"#{t.text}" for g in s.segments for t in g.tokens),
        )
        for s in sentences
    ]  # fmt: skip
