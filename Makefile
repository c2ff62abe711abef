# Crosstalk: the two commands are `make serve` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
DEV_STAMP := $(VENV)/.ready-dev
GPU_STAMP := $(VENV)/.ready-gpu
ARGS ?=
MODEL ?=
# Tests start hundreds of Pythons, and each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE
# Tests that need no other program; those with peers mostly wait and run two at a time, but for those of time.
QUICK := not peer and not slow and not fuzz and not soak
# Two processes, each with folders of its own: nothing is shared between them. A test that hangs so that even its time
# limit cannot end it shows where, and ends its run.
QUICK_FOLDER := tests/unit/agent
HANG := -o faulthandler_timeout=330 -o faulthandler_exit_on_timeout=true
PEERS := (peer or slow) and not fuzz and not soak
# Where those lie (tests/arch/test_marks.py holds it): to collect the others takes longer than some of them.
PEER_FOLDERS := tests/peers tests/props tests/unit/agent/pull
TIMED_FOLDERS := tests/peers
# Real programs on a machine that others use: what fails is tried once more, and told (R).
AGAIN := --reruns 1 --reruns-delay 2
PYTEST := $(BIN)/python -m pytest -q
TWO := --no-print-directory -j2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
RUN_QUICK = $(PYTEST) -m '$(QUICK)' $(HANG)
RUN_PEERS = $(PYTEST) -m '$(PEERS) and not timed' $(PEER_FOLDERS) -n 2 --dist loadfile $(AGAIN)
RUN_TIMED = $(PYTEST) -m '$(PEERS) and timed' $(TIMED_FOLDERS) $(AGAIN)

.DEFAULT_GOAL := help
.PHONY: help serve test fast quick-agent quick-others fuzz lint check fmt demo load bench bench-media bench-duplex bench-doors doctor system clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed")'
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "no venv module; installing it needs root (apt-get install python3-venv)"; \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq python3-venv && \
	  rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); }

$(STAMP): pyproject.toml constraints.txt $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(DEV_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,redis]'
	@touch $@

# A model by its folder or its name on the hub has a slash and speaks by itself: it wants PyTorch.
$(GPU_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[gpu]'
	@touch $@

serve: $(if $(findstring /,$(MODEL)),$(GPU_STAMP),$(STAMP)) ## answer calls (first run sets everything up)
	$(BIN)/crosstalk serve $(if $(MODEL),--model $(MODEL)) $(ARGS)

system: ## install the programs that some tests call, where that is possible (root and apt)
	@sh tests/peers/install.sh

test: $(DEV_STAMP) system ## all tests
	$(MAKE) $(TWO) quick-agent quick-others
	$(RUN_PEERS)
	$(RUN_TIMED)

fast: $(DEV_STAMP) ## the tests that need no other program, in under three minutes
	$(MAKE) $(TWO) quick-agent quick-others

quick-agent: $(DEV_STAMP)
	$(RUN_QUICK) $(QUICK_FOLDER)

quick-others: $(DEV_STAMP)
	$(RUN_QUICK) tests --ignore=$(QUICK_FOLDER)

fuzz: $(DEV_STAMP) ## ten thousand random messages to each endpoint, and schemathesis (MESSAGES=1000 is shorter)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(PYTEST) -m fuzz tests/fuzz -n 2 --dist worksteal

soak: $(DEV_STAMP) system ## what takes many minutes: long calls, every kind of fault
	$(PYTEST) -m soak -o faulthandler_timeout=3900

lint: $(DEV_STAMP) ## style and types
	$(BIN)/ruff format --check agent telephony tests deploy
	$(BIN)/ruff check agent telephony tests deploy
	$(BIN)/mypy

check: $(DEV_STAMP) system ## what CI runs: all tests, the quick ones beside style and types
	$(MAKE) $(TWO) lint quick-agent quick-others
	$(RUN_PEERS)
	$(RUN_TIMED)

fmt: $(DEV_STAMP) ## format
	$(BIN)/ruff format agent telephony tests deploy
	$(BIN)/ruff check --fix agent telephony tests deploy

demo: $(STAMP) ## hear it without a phone: a simulated caller rings, a page shows the conversation
	$(BIN)/crosstalk demo $(ARGS)

load: $(STAMP) ## forty callers at once
	$(BIN)/crosstalk load --calls 40 --seconds 60 $(ARGS)

bench: bench-media bench-duplex ## all benchmarks

bench-media: $(STAMP)
	$(BIN)/crosstalk bench media $(ARGS)

bench-duplex: $(STAMP)
	$(BIN)/crosstalk bench duplex $(ARGS)

bench-doors: $(STAMP) ## browsers, Twilio and sessions beside the telephone (needs the extra webrtc, and Chromium)
	$(BIN)/crosstalk bench doors $(ARGS)

doctor: $(STAMP) ## check this machine and the configuration
	$(BIN)/crosstalk doctor $(ARGS)

clean: ## remove what was built here
	rm -rf $(VENV) out .pytest_cache .mypy_cache .ruff_cache
