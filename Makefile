# `make demo` and `make test` need Python 3.11+ and nothing else: each makes .venv, installs the pinned packages, runs.
# Another interpreter: make PYTHON=python3.12 test

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
SOURCES := milp envs world_models planners worldplan tests benchmarks
METAWORLD := .venv-metaworld
DEMO := configs/bandits/capacity.yaml

.PHONY: help demo test test-slow lint format install dev metaworld clean
.DEFAULT_GOAL := help

help:
	@echo "make demo       install, then run a whole scenario ($(DEMO)) and write its report"
	@echo "make test       install, then lint, type-check and run the tests"
	@echo "make test-slow  the tests that take minutes"
	@echo "make lint       ruff and mypy only"
	@echo "make format     let ruff format and mend the code"
	@echo "make metaworld  an environment of its own for Meta-World, whose pinned mujoco clashes with ours"
	@echo "make clean      remove .venv, $(METAWORLD) and caches (runs/ stays)"

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "worldplan needs Python 3.11 or newer; $(PYTHON) is not: make PYTHON=python3.12 ..."; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing worldplan into $(VENV) (minutes on the first call)"
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing the development tools into $(VENV)"
	$(PIP) -e '.[dev]'
	@touch $@

$(METAWORLD)/.installed: benchmarks/metaworld-requirements.txt
	@echo "installing Meta-World into $(METAWORLD)"
	$(PYTHON) -m venv --clear $(METAWORLD)
	$(METAWORLD)/bin/python -m pip install --disable-pip-version-check --quiet -r $<
	@touch $@

install: $(VENV)/.installed
dev: $(VENV)/.installed-dev

metaworld: $(METAWORLD)/.installed
	@echo "now: export WORLDPLAN_METAWORLD_PYTHON=$(CURDIR)/$(METAWORLD)/bin/python"

demo: install
	$(BIN)/worldplan bandits run $(DEMO)
	@echo "report: $$(ls -t runs/*/*/report.html | head -n 1)"

lint: dev
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

format: dev
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

test-slow: dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m slow

clean:
	rm -rf $(VENV) $(METAWORLD) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
