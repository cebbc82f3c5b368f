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

# Where the compiled engine is built, apart from the sources, so that nothing stale is ever taken for them.
COMPILED := build/compiled
# Runs Python there: the compiled modules come first, the rest (tests, benchmarks) from here.
IN_COMPILED := cd $(COMPILED) && PYTHONPATH=$(CURDIR) $(CURDIR)/$(BIN)/python
# Which benchmark `make bench` and `make bench-compiled` run.
BENCH ?= engine

.PHONY: run test compiled test-compiled bench bench-compiled year soak memory chaos fuzz audit clean

run: $(VENV)/.run
	$(BIN)/router run config/laquila --show --always-open --play $(SPEED)

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist worksteal -q

bench: $(VENV)/.run
	$(BIN)/python -m benchmarks $(BENCH)

# The engine as C (setup.py): the same decisions in less than half the time.
compiled: $(VENV)/.dev
	@command -v cc >/dev/null || { echo "A C compiler is missing: sudo apt-get install gcc python3-dev" >&2; exit 1; }
	ROUTER_COMPILED=1 $(BIN)/python setup.py --quiet build --build-lib $(COMPILED) --build-temp build/temp
	@$(IN_COMPILED) -c 'import router.core.engine as e; assert not e.__file__.endswith(".py"), e.__file__'

test-compiled: compiled
	$(IN_COMPILED) -m pytest --import-mode=importlib --rootdir $(CURDIR) -c $(CURDIR)/pyproject.toml \
		-p no:cacheprovider -n 2 --dist worksteal -q $(CURDIR)/tests/core $(CURDIR)/tests/simulation/test_generator.py

bench-compiled: compiled
	$(IN_COMPILED) -m benchmarks $(BENCH)

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
