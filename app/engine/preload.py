"""Loaded once into the process that workers are forked from, so that a new worker need not load the libraries again.

They are loaded and nothing is run: that process has one thread and never touches a device, or its children could not.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when the library is loaded: idle threads must not spin
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's, which begins its threads when it is loaded

import models.bundle  # noqa: F401
