"""The sentence that is most like the others."""

import pytest

from models.consensus import consensus

WARM, WARMER, COLD = "es wird warm .".split(), "es wird morgen warm .".split(), "im norden schnee .".split()


@pytest.mark.parametrize(
    ("sentences", "scores", "place"),
    [
        ([COLD, WARM, WARMER], [-1.0, -1.1, -1.1], 1),  # two agree against the likeliest one
        ([COLD, WARM, WARMER], [-1.0, -9.0, -9.0], 0),  # unless they are far less likely
        ([WARM, WARM, COLD], [-5.0, -5.0, -5.0], 0),
        ([WARM], [-700.0], 0),
        ([[], WARM, WARMER], [-1.0, -1.0, -1.0], 1),  # an empty one is like nothing
    ],
)
def test_the_sentence_most_like_the_others_is_chosen(
    sentences: list[list[str]], scores: list[float], place: int
) -> None:
    assert consensus(sentences, scores) == place
