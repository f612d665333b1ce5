# Every target sets up what it needs: a virtual environment in .venv with the tested versions of constraints.txt.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.PHONY: help train test validate lint bench clean
help:                ## show this help
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*##/:/' | column -t -s ':'

train: $(VENV)/.ready ## train the default experiment; ARGS="trainer.max_steps=2000" changes settings
	$(BIN)/python train.py $(ARGS)

test: $(VENV)/.ready ## run the tests; ARGS="-k reader" chooses some
	$(BIN)/python -m pytest $(ARGS)

validate: $(VENV)/.ready ## check the scientific claims
	$(BIN)/python -m pytest -m validation $(ARGS)

lint: $(VENV)/.ready ## style, types and the layers of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(VENV)/.bench ## measure speed, side by side with others
	$(BIN)/python benchmarks/reader.py
	$(BIN)/python benchmarks/scot.py
	$(BIN)/python benchmarks/navier_stokes.py

clean:               ## remove the environment and caches, keep data and runs
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e ".[train,dispatch,dev]"
	@touch $@

$(VENV)/.bench: $(VENV)/.ready
	$(INSTALL) -e ".[bench]"
	@touch $@
