"""Symbols to tokens: a run of letters is one spelled word."""

from models.hypothesis import Decoded, tokens_of


def test_letters_join_and_glosses_do_not() -> None:
    symbols = [
        Decoded("NAME", 0, 10, 0.9),
        Decoded("#B", 12, 16, 0.8),
        Decoded("#O", 17, 20, 0.6),
        Decoded("WANT", 22, 30, 0.7),
        Decoded("#A", 32, 34, 1.0),
    ]
    tokens = tokens_of(symbols, origin_ms=1000)
    assert [(token.text, token.kind) for token in tokens] == [
        ("NAME", "sign"),
        ("BO", "fingerspelling"),
        ("WANT", "sign"),
        ("A", "fingerspelling"),
    ]
    assert (tokens[1].start_ms, tokens[1].end_ms) == (1480, 1800)
    assert tokens[1].letters == (0.8, 0.6) and tokens[1].posterior == 0.7


def test_a_pause_parts_two_spelled_words() -> None:
    tokens = tokens_of([Decoded("#A", 0, 4, 1.0), Decoded("#B", 40, 44, 1.0)], origin_ms=0)
    assert [token.text for token in tokens] == ["A", "B"]
