"""The percentile that all figures here mean. Pure arithmetic: for what is measured in `app` and in `models`."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The value of the nearest rank, so always one of `values`; NaN of nothing. `share` is in 0 to 1."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan
