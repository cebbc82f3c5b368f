# The two commands of the README are `make run` and `make test`; each sets up what it needs in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# How many times as fast as life the callers of `make run` live.
SPEED ?= 5
# What the long proofs start from; each prints the command that repeats it.
SEED ?= 1
# How often `make chaos` kills the router, under how many calls a second.
CYCLES ?= 200
RATE ?= 200
# How long `make soak` simulates faults, in seconds of real time.
SECONDS ?= 600
# How many calls `make memory` plays in virtual time; two million take about an hour.
CALLS ?= 2000000
# How many payloads `make fuzz` sends; a million take a quarter of an hour.
PAYLOADS ?= 1000000

.PHONY: run test bench year soak memory chaos fuzz audit clean

run: $(VENV)/.run
	$(BIN)/router run config/laquila --show --always-open --play $(SPEED)

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist worksteal -q

bench: $(VENV)/.run
	$(BIN)/python -m benchmarks

# A year of 10,000 calls a day with a supplier abroad, with the rule of the share and without; fails if a share was broken.
year: $(VENV)/.run
	$(BIN)/router simulate config/protocol/year.toml --without share

soak: $(VENV)/.dev
	$(BIN)/python -m tests.faults soak --seconds $(SECONDS) --seed $(SEED)

memory: $(VENV)/.dev
	$(BIN)/python -m tests.faults memory --calls $(CALLS) --seed $(SEED)

chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos --cycles $(CYCLES) --rate $(RATE) --seed $(SEED)

# atheris has wheels for Linux on x86-64; elsewhere: .venv/bin/python -m tests.fuzz, which is not guided by coverage.
fuzz: $(VENV)/.fuzz
	$(BIN)/python -m tests.fuzz --guided --payloads $(PAYLOADS) --seed $(SEED)

# Known vulnerabilities in what the router needs. Without a network it says so and does not fail.
audit: $(VENV)/.dev
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.9,<3' \
		|| { echo "audit: cannot reach the package index, nothing was checked"; exit 0; }; \
	$(BIN)/python .ci/audit.py

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.run: pyproject.toml
	$(MAKE) --no-print-directory $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.dev: pyproject.toml
	$(MAKE) --no-print-directory $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ $(VENV)/.run

$(VENV)/.fuzz: pyproject.toml
	$(MAKE) --no-print-directory $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	touch $@

# Debian ships the module that puts pip into virtual environments in a package of its own.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq python3-venv; } \
		|| { echo "Python's venv is missing: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
