# `make demo` and `make test` need Python 3.11+ and nothing else: each makes .venv, installs the pinned packages, runs.
# Another interpreter: make PYTHON=python3.12 test

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
METAWORLD := .venv-metaworld
DEMO := configs/bandits/capacity.yaml

.PHONY: help demo docs test test-slow lint format install dev metaworld faults clean
.DEFAULT_GOAL := help

help:
	@echo "make demo       install, then run a whole scenario ($(DEMO)) and write its report"
	@echo "make test       install, then lint, type-check and run the tests"
	@echo "make test-slow  the tests that take minutes"
	@echo "make test-X     the tests of one family: bandits, offline, shooting, modem, numeric or ramp"
	@echo "make docs       install, execute tutorials and how-tos, build the documentation site: build/docs/index.html"
	@echo "make lint       ruff, mypy and import-linter only"
	@echo "make format     let ruff format and mend the code"
	@echo "make metaworld  an environment of its own for Meta-World, whose pinned mujoco clashes with ours"
	@echo "make faults     kill, interrupt and starve every long command, and compare its results (most of an hour);"
	@echo "                make faults FAULTS='--trials 2 --commands fit' for a few"
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
	$(PIP) -e '.[rl]'
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

$(VENV)/.installed-docs: $(VENV)/.installed
	@echo "installing what builds the documentation into $(VENV)"
	$(PIP) -e '.[docs]'
	@touch $@

install: $(VENV)/.installed
dev: $(VENV)/.installed-dev

metaworld: $(METAWORLD)/.installed
	@echo "now: export WORLDPLAN_METAWORLD_PYTHON=$(CURDIR)/$(METAWORLD)/bin/python"

demo: install
	$(BIN)/worldplan bandits run $(DEMO)
	@echo "report: $$(ls -t runs/*/*/report.html | head -n 1)"

docs: $(VENV)/.installed-docs
	$(BIN)/python -m pytest -q -m "" tests/documents/test_followed.py  # every tutorial and how-to works as it stands
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs
	@echo "documentation: build/docs/index.html"

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

# the tests of one family: make test-bandits, test-offline, test-shooting, test-modem, test-numeric, test-ramp
FAMILY_bandits := milp envs/bandits world_models/arms planners/bandits worldplan/commands/bandits
FAMILY_offline := envs/dynamics world_models/data world_models/collection world_models/ensemble planners/offline worldplan/commands/studies
FAMILY_shooting := envs/dynamics planners/shooting
FAMILY_modem := envs/manipulation world_models/latent planners/modem worldplan/commands/evaluation benchmarks/modem
FAMILY_numeric := world_models/exact world_models/numeric world_models/action_model world_models/pddl planners/numeric worldplan/commands/actions
FAMILY_ramp := envs/crafting planners/ramp planners/numeric/pddl_env worldplan/commands/ramp benchmarks/crafting
test-%: dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 $(addprefix tests/,$(or $(FAMILY_$*),$(error make test-$*: there is no such family: bandits, offline, shooting, modem, numeric, ramp)))

test-slow: dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m slow

faults: dev
	$(BIN)/python -m benchmarks.faults $(FAULTS)

clean:
	rm -rf $(VENV) $(METAWORLD) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
