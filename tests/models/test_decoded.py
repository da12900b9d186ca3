"""What was read of a segment, and what of its signing was not."""

import numpy as np

from models.decoded import longest_unread
from models.hypothesis import Token, milliseconds


def test_the_longest_stretch_of_signing_without_a_token_is_found() -> None:
    signing = np.zeros(40, bool)
    signing[2:30] = True
    tokens = [Token("ME", "sign", milliseconds(start), milliseconds(stop), 0.9) for start, stop in ((6, 10), (12, 15))]
    assert longest_unread(signing, tokens) == 15  # 15..29
    signing[20:22] = False
    assert longest_unread(signing, tokens) == 8  # 22..29
    assert longest_unread(signing, []) == 18  # 2..19


def test_rest_and_read_signing_leave_nothing_unread() -> None:
    assert longest_unread(np.zeros(8, bool), []) == 0
    assert longest_unread(np.ones(8, bool), [Token("ME", "sign", 0, milliseconds(8), 0.9)]) == 0
    assert longest_unread(np.zeros(0, bool), []) == 0
