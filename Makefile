# make install   the environment in .venv, with the command .venv/bin/millrace
# make run       both doors on free ports, everything embedded, ready to be tried
# make check     format, lint, types, floors
# make test      all checks, then all tests; installs the servers that live tests need
# make bench     CPU milliseconds a mail, latencies, memory, beside those of other filters
# make soak      fifteen minutes at 70 % of the capacity: does anything grow?
#
# Each may be run again and again; what is done is not done twice.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: install run check test bench soak peers servers clean

install: $(STAMP)

$(STAMP): pyproject.toml models/_words.c
	@echo "install: Python environment in $(VENV)"
	@contrib/install-venv "$(PYTHON)" "$(VENV)"
	@touch $(STAMP)
	@echo "install: done, the command is $(BIN)/millrace"

run: install
	@$(BIN)/millrace run --demo

peers:
	@contrib/install-peers

servers:
	@VENV="$(VENV)" contrib/install-servers

check: install
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache 2>&1 | tail -n 12
	@$(BIN)/millrace check

test: install servers check
	@$(BIN)/pytest

bench: install peers
	@$(BIN)/python -m tests.bench

soak: install
	@$(BIN)/python -m tests.bench.soak $(SOAK)

clean:
	rm -rf $(VENV) build dist *.egg-info demo models/*.so
