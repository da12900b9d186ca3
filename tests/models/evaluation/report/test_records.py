"""Records come back as they were written."""

from pathlib import Path

import pytest

from models.evaluation.report.records import Records, line_of, route_letters, runs_of
from tests.models.evaluation.report.held import RUN, segment, sentence


def write(path: Path, *sentences: object) -> Path:
    path.write_text(line_of(RUN) + "".join(line_of(one) for one in sentences), encoding="utf-8")  # type: ignore[arg-type]
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    held = Records.read(write(tmp_path / "held.jsonl", sentence(0), sentence(1, look=("turned",), segments=())))
    assert held == Records(RUN, (sentence(0), sentence(1, look=("turned",), segments=())))


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "held.jsonl", sentence(0), sentence(1))
    path.write_text(path.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    assert [one.number for one in Records.read(path).sentences] == [0]


@pytest.mark.parametrize("held", [b"a diary\n", b"[]\n", b'{"run": {"seed": 1}}\n', b"\n", b"", b"\xec\xff no text\n"])
def test_another_file_is_refused_in_a_sentence(tmp_path: Path, held: bytes) -> None:
    path = tmp_path / "diary.txt"
    path.write_bytes(held)
    with pytest.raises(ValueError, match="--records"):
        Records.read(path)


def test_a_sentence_that_lacks_something_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "held.jsonl", sentence())
    path.write_text(path.read_text(encoding="utf-8").replace('"rest_ms"', '"rest"'), encoding="utf-8")
    with pytest.raises(ValueError, match="rest_ms"):
        Records.read(path)


def test_what_a_sentence_says_of_itself() -> None:
    assert sentence().signing_ms() == (640, 1640)
    assert sentence().found_glosses() == ["MY", "NAME"] and sentence().found_letters() == list("MARIA")
    assert sentence().found_phonemes() == ["M", "AY"] and len(sentence().alpha) == 40
    two = sentence(segments=(segment(text="One.", confidence=0.9), segment(text="Two.", confidence=0.4)))
    assert (two.caption, two.confidence) == ("One. Two.", 0.4)
    assert (sentence(segments=()).caption, sentence(segments=()).confidence) == ("", 0.0)


def test_routes_as_letters() -> None:
    assert route_letters([0, 1, 2, 2]) == "sfrr"
    assert runs_of("rrsf") == [("r", 0, 2), ("s", 2, 3), ("f", 3, 4)]
