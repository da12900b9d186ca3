"""The page: every figure in it, whole HTML, nothing from elsewhere, nothing left out where there is no data."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from models.evaluation.report.figures import figures_of
from models.evaluation.report.page import none_in_many, page
from models.evaluation.report.plots import mark_text, shares_to
from models.evaluation.report.records import Records, Sentence
from tests.models.evaluation.report.held import RUN, segment, sentence, told

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Tags(HTMLParser):
    """Sees that tags close in order, and keeps what was opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()


def made(sentences: Sequence[Sentence]) -> str:
    records = Records(RUN, tuple(sentences))
    return page(records, figures_of(records))


@pytest.fixture(scope="module")
def html() -> str:
    return made(
        [
            sentence(0),
            sentence(1, look=("turned",)),
            told("My name is <b>Paul</b>.", 2),
            sentence(3, segments=(), shown=()),
        ]
    )


def tags(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(html)
    assert parser.open == []
    return parser.seen


def test_it_is_whole_and_needs_nothing_else(html: str) -> None:
    for tag, attributes in tags(html):
        assert tag not in ("link", "img", "iframe")
        assert not {"src", "srcset"} & attributes.keys()
        assert attributes.get("href", "#").startswith("#")
    assert "http" not in html and "url(" not in html and "@import" not in html


def test_every_table_has_a_caption_and_every_plot_a_title(html: str) -> None:
    assert html.count("<table") == html.count("<caption>") > 10
    plots = re.findall(r"<svg.*?</svg>", html, re.S)
    assert len(plots) >= 7
    for plot in plots:
        root = ElementTree.fromstring(plot)
        assert root.get("role") == "img" and root[0].tag == "title" and root[0].text and root[1].text


def test_headings_do_not_skip_and_links_lead_somewhere(html: str) -> None:
    seen = tags(html)
    levels = [int(tag[1]) for tag, _ in seen if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    ids = {attributes.get("id") for _, attributes in seen}
    assert all(str(attributes["href"])[1:] in ids for tag, attributes in seen if tag == "a")


def test_what_was_signed_cannot_write_html(html: str) -> None:
    assert "&lt;b&gt;Paul&lt;/b&gt;" in html and "<b>Paul" not in html


def test_figures_stand_in_it(html: str) -> None:
    for text in ("nrefs:1|case:mixed", "Captions entirely right", "50.0 %", "gate stuck on the hands", "nothing said", "turned",
                 "first shown", "verified, with session vocabulary", "determiners", "1 sentence got no caption"):  # fmt: skip
        assert text in html, text


def test_a_translator_that_says_nothing_still_has_a_page() -> None:
    html = made([sentence(0, segments=(), shown=(), refine=()), sentence(1, segments=(), shown=(), refine=())])
    tags(html)
    assert "Nothing was said, so there is nothing to measure." in html and "No segment was found" in html


def test_sentences_without_spelling_say_so() -> None:
    truth = sentence().truth
    plain = sentence(truth=type(truth)("My name.", ("MY", "NAME"), truth.glosses, (), (), "r" * 16 + "s" * 20))
    html = made([plain, plain])
    assert "No sentence has a spelled word." in html


def test_one_sentence_is_enough() -> None:
    tags(made([sentence(segments=(segment(alpha=(0.5,)),))]))


def test_no_sentence_is_not() -> None:
    with pytest.raises(ValueError, match="--sentences"):
        figures_of(Records(RUN, ()))


@pytest.mark.parametrize(("most", "high", "marks"), [(0.0, 0.02, 2), (0.36, 0.4, 5), (1.07, 1.25, 6), (1.0, 1.0, 6)])
def test_axes_have_even_marks(most: float, high: float, marks: int) -> None:
    axis = shares_to(most, "share")
    assert axis.high == pytest.approx(high) and len(axis.marks) == marks
    assert mark_text(axis, axis.marks[0]) == "0 %"


def test_no_invented_name_in_few_sentences_leaves_the_goal_open() -> None:
    assert none_in_many(0, 999) is None and none_in_many(0, 1000) is True and none_in_many(1, 10) is False
