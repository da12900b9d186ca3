"""Loaded once into the process that workers are forked from, so that a new worker need not load the libraries again.

They are loaded and nothing is run: that process has one thread and never touches a device, or its children could not.
"""

from __future__ import annotations

import gc
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when the library is loaded: idle threads must not spin
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's, which begins its threads when it is loaded

import app.engine.worker  # noqa: F401
import models.bundle  # noqa: F401
from models import names
from models.backends import load_libraries

load_libraries()
names.default_names()
gc.freeze()  # what is here stays: a worker's collector does not go through it, which would copy its pages
