# Cadran: everything starts here. `make demo` and `make test` set up a private .venv by themselves.
#
#   make demo           daemon, its own PostgreSQL, a fake PBX and a live campaign; prints the page's address
#   make test           every test that needs nothing but Python; prints what it left out, and why
#   make check          format, lint, strict types, import law, then the tests
#   make test-amd       machine detection: 200 spoken calls on a real Asterisk, the verdicts in a table
#   make test-asterisk  the suite on a real Asterisk 22 (see docs/installation.md, "The real-Asterisk suite")
#   make test-predictive  40 agents call 3,000 people on a real Asterisk, about a quarter of an hour
#   make test-chaos     kill -9 of daemon, database and PBX in a campaign (CADRAN_CHAOS_ROUNDS, default 6;
#                       CADRAN_CHAOS_MODE: the control mode, or ari)
#   make test-week      three weeks of a campaign on simulated time, judged on the PBX's ledger
#   make features       which promised behaviour is proven by which test; rewrites docs/features.md
#   make replay CAPTURES=folder   recorded AMI sessions against the fake PBX
#   make fuzz FUZZ_SECONDS=60     coverage-guided fuzzing of what comes from outside (needs atheris: pip install atheris)
#   make fuzz-crm CASES=N         GJSON and template subsets against their slow reference models
#   make bench, make bench-NAME   the measurements of docs/benchmarks.md
#   make simulate SEEDS=N         fault schedules on simulated time, judged from outside
#   make soak, make soak-hour     memory, tasks, leases: twelve simulated days, one real hour
#   make install        as root: install or upgrade the service (docs/installation.md)
#   make lock           renew the lock files (needs uv)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet
PYTEST := $(PY) -m pytest
# More words for pytest, for instance: make test PYTEST_ARGS="-k pacing -x"
PYTEST_ARGS ?=
# Processes that share the tests of `make test`; 0 runs them in one, as a debugger needs it.
WORKERS ?= 2
CAPTURES ?= ../shared/asterisk/captures
# Folders that hold Python of ours; those not there yet are left out.
CODE := $(wildcard daemon fake_asterisk simulation tests benchmarks tools)

.PHONY: help fuzz fuzz-crm simulate soak soak-hour demo test check features replay bench test-asterisk test-amd test-predictive test-chaos test-week install lock notice format format-check lint types imports clean setup setup-dev

help:
	@sed -n 's/^#   //p' Makefile

# ---- set-up: a private environment from the lock files ----------------------------------------------------------

setup: $(VENV)/.runtime
setup-dev: $(VENV)/.dev

$(VENV)/bin/python:
	@bash tools/make_venv.sh $(VENV)

# The stamps depend on the lock files, so a changed lock is installed and an unchanged one costs nothing.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing Cadran and the packages of requirements.lock (once; a minute or two) ..."
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "Installing the tools of requirements-dev.lock (once) ..."
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

# ---- what people run --------------------------------------------------------------------------------------------

demo: setup
	@exec $(VENV)/bin/cadran demo $(DEMO_ARGS)

test: setup-dev
	@$(PYTEST) --ignore=tests/asterisk -m "not slow" -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)
	@echo "Not run here: tests/asterisk, which needs a real Asterisk and SIPp (make test-asterisk),"
	@echo "and tests marked slow, which have targets of their own."

check: format-check lint types imports test

format-check: setup-dev
	@$(PY) -m ruff format --check --quiet $(CODE) || { echo "Formatting differs: run 'make format'."; exit 1; }

format: setup-dev
	@$(PY) -m ruff format $(CODE)

lint: setup-dev
	@$(PY) -m ruff check $(CODE)

types: setup-dev
	@$(PY) -m mypy --strict

imports: setup-dev
	@$(VENV)/bin/lint-imports

features: setup-dev
	@$(PY) tools/features.py

replay: setup-dev
	@$(PY) -m fake_asterisk.replay --captures "$(CAPTURES)"

test-chaos: setup-dev
	@$(PYTEST) tests/chaos -m slow -s $(PYTEST_ARGS)

test-week: setup-dev
	@$(PYTEST) tests/simulation/test_week.py -m slow -s $(PYTEST_ARGS)

test-amd: setup-dev
	@CADRAN_AMD_CALLS=200 $(PYTEST) tests/asterisk/test_amd.py -s $(PYTEST_ARGS)

test-asterisk: setup-dev
	@$(PYTEST) tests/asterisk -m "asterisk and not slow" $(PYTEST_ARGS)

test-predictive: setup-dev
	@$(PYTEST) tests/asterisk/test_predictive.py -m slow -s $(PYTEST_ARGS)

# Each benchmark is a module of benchmarks/ and ends with one line, "NAME: value unit (goal ...)".
# `make bench-NAME` runs one, `make bench` all of them in turn.
bench: setup-dev
	@$(PY) -m benchmarks

bench-%: setup-dev
	@$(PY) -m benchmarks.$(subst -,_,$*)

# Chaos on simulated time, resumable; ends with "simulate: N seeds, V violations".
SEEDS ?= 300
simulate: setup-dev
	@$(PY) -m simulation --seeds $(SEEDS) $(SIMULATE_ARGS)

# Seconds for each target. FUZZ_PY: a Python that has atheris, if it is not the private environment's.
FUZZ_SECONDS ?= 60
FUZZ_PY ?= $(PY)
fuzz: setup-dev
	@if ! $(FUZZ_PY) -c "import atheris" 2>/dev/null; then \
		echo "fuzz: skipped, atheris is not installed ($(PIP) atheris, or FUZZ_PY=a Python that has it)"; exit 0; fi; \
	for target in codec translator settings leads bodies; do \
		echo "fuzz: $$target"; \
		PYTHONPATH=.:$$($(PY) -c "import sysconfig; print(sysconfig.get_path('purelib'))") \
			$(FUZZ_PY) -m tests.fuzz.guided $$target -max_total_time=$(FUZZ_SECONDS) || exit 1; done

CASES ?= 100000
fuzz-crm: setup-dev
	@$(PY) -m tests.crm.fuzzing $(CASES)

# Twelve days on simulated time, what the daemon holds weighed each night; and a real hour at ten calls a second.
soak: setup-dev
	@$(PY) -m simulation.soak $(SOAK_ARGS)

soak-hour: setup-dev
	@AGENTS=100 RATE=10 SECONDS=3600 WARM_UP=600 $(PY) -m benchmarks.load

install:
	@bash tools/install.sh

# ---- upkeep -----------------------------------------------------------------------------------------------------

# Names, versions and hashes; no addresses, so that any mirror will do.
UV ?= uv
UV_LOCK = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-annotate $(LOCK_ARGS) --group build
lock:
	@command -v $(UV) >/dev/null || { echo "make lock needs uv (or: make lock UV=path/to/uv)"; exit 1; }
	@$(UV_LOCK) pyproject.toml -o requirements.lock
	@$(UV_LOCK) --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

notice: setup
	@$(PY) tools/notice.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .cache
