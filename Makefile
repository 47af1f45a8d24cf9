# Seven words to learn. Each one makes its own environment on first use; nothing else needs to be installed but Python.
#   make demo                      the whole story on this machine, and the console's address
#   make demo ARGS=--headless      the same story to its end, then exit 0
#   make test ARGS=tests/unit      the tests, or some of them
#   make check                     format, lint, types, import contracts, tidy tests
#   make bench ARGS="intake --store sqlite"
#   make faults ARGS="--tier nightly --drill kill"    kill, cut, fill and starve it, and see that nothing is lost
#   make PYTHON=python3.12 demo    with another interpreter

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:

PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=

BIN := $(VENV)/bin
# An environment is current when its stamp is newer than what it was made from.
STAMP_RUN := $(VENV)/.accordant-run
STAMP_DEV := $(VENV)/.accordant-dev
SOURCES := pyproject.toml uv.lock
EXPORTS := requirements/run.txt requirements/dev.txt requirements/build.txt

# uv finds its environment here, so that VENV means the same with uv and without.
export UV_PROJECT_ENVIRONMENT := $(VENV)
# The tools below must not pick up another environment that happens to be active.
unexport VIRTUAL_ENV

.PHONY: help demo test check bench faults format clean requirements

help: ## show this list
	@echo "make demo      run the story: stand-ins, the hub and the console (ARGS=--headless runs it to its end)"
	@echo "make test      run the tests in parallel (ARGS=... goes to pytest)"
	@echo "make check     what must be true before a commit: format, lint, types, import contracts, tidy tests"
	@echo "make bench     measure (ARGS=\"intake --store sqlite\")"
	@echo "make faults    real processes under real faults (ARGS=\"--tier quick|nightly|release --drill kill\")"
	@echo "make format    format the code and apply the safe fixes"
	@echo "make clean     remove the environment and everything generated"

demo: $(STAMP_RUN)
	@$(BIN)/accordant demo $(ARGS)

bench: $(STAMP_RUN)
	@$(BIN)/accordant bench $(ARGS)

faults: $(STAMP_DEV)
	@$(BIN)/python -m tests.faults $(ARGS)

test: $(STAMP_DEV)
	@$(BIN)/pytest $(ARGS)

check: $(STAMP_DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/tidy --numprocesses=0 --quiet

format: $(STAMP_DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The hash-pinned lists for those who have no uv. Run after every change of uv.lock; a tidy test notices when it was not.
requirements:
	uv export --frozen --quiet --no-emit-project --no-dev --no-header --format requirements-txt --output-file requirements/run.txt
	uv export --frozen --quiet --no-emit-project --no-header --format requirements-txt --output-file requirements/dev.txt
	printf 'hatchling>=1.27\neditables\n' | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --output-file requirements/build.txt -

$(STAMP_RUN): $(SOURCES) $(EXPORTS)
	@VENV="$(VENV)" PYTHON="$(PYTHON)" sh requirements/install.sh run
	@touch $@

# The development environment contains the other one.
$(STAMP_DEV): $(SOURCES) $(EXPORTS)
	@VENV="$(VENV)" PYTHON="$(PYTHON)" sh requirements/install.sh dev
	@touch $(STAMP_RUN) $@
