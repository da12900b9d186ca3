"""Functions compiled for this processor by numba, once, and kept where there is a place to keep them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from numba import njit

log = logging.getLogger("signbind.kept")


def kept(function: Callable[..., Any]) -> Any:
    """The function compiled, so that it holds no lock of the interpreter's. A kept function knows its own file alone: what
    other files define comes as an argument."""
    return _compiled(function, fastmath=True)


def kept_exactly(function: Callable[..., Any]) -> Any:
    """The same, for what adds up in the order that is written, and knows infinity and NaN."""
    return _compiled(function, fastmath=False)


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    options |= {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError as error:
        log.warning("compiled functions are not kept, so every start takes longer: %s", error)
        return njit(**options)(function)
