# Two commands: `make demo` and `make test`. Both set up .venv by themselves.
# TORCH_INDEX names another package index for torch, e.g. one with CPU-only wheels.

PYTHON ?= python3
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch>=2.11,<2.14

.DEFAULT_GOAL := help
.PHONY: help demo test check bench tables clean

help:
	@echo "make demo    answer nine questions about images and videos (first run: about 3 minutes of installing)"
	@echo "make test    all tests (about 8 minutes after installing)"
	@echo "make check   lint, types, import layers"
	@echo "make bench   side by side with transformers (about 23 minutes, needs a quiet machine)"
	@echo "make tables  rewrite the generated tables of README and docs from their result files"

$(BIN)/python:
	@echo "Setting up $(VENV) (about 2 minutes, once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --upgrade pip

# torch comes first and by itself: as a dependency of another package, pip would install the newest build with CUDA.
$(VENV)/.torch: | $(BIN)/python
	@$(BIN)/python -m pip install -qq $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX),) "$(TORCH)"
	@touch $@

$(VENV)/.core: pyproject.toml | $(VENV)/.torch
	@$(BIN)/python -m pip install -qq --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.torch
	@echo "Installing what the tests need (about 1 minute, once)"
	@$(BIN)/python -m pip install -qq --editable ".[dev]"
	@touch $@ $(VENV)/.core

demo: $(VENV)/.core
	@$(BIN)/python -m examples.demo

test: $(VENV)/.dev
	@echo "Running all tests (about 8 minutes on two cores)"
	@$(BIN)/python -m pytest

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.tables --check

bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.run

tables: $(VENV)/.dev
	@$(BIN)/python -m tools.tables

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
