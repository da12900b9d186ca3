# make setup | serve | test | check-slow | fmt
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.signbind-ready
test: export OMP_NUM_THREADS ?= 2

.PHONY: setup serve test check-slow fmt
.DELETE_ON_ERROR:

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "SignBind needs Python 3.11 or newer: name one with 'make setup PYTHON=python3.11'."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps -e .
	touch $@

serve: setup
	$(BIN)/signbind serve --host $(HOST) --port $(PORT)

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	timeout -k 20 600 $(BIN)/mypy app models
	timeout -k 20 120 $(BIN)/lint-imports
	timeout -k 20 1200 $(BIN)/pytest -q

check-slow: setup
	timeout -k 20 3600 $(BIN)/pytest -q -m slow --timeout=900

fmt: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
