# The verbs of every day; `make` prints them.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help setup lock

help:  ## print the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready  ## make .venv from the lock, with the four members in it

.venv/ready: requirements.lock proto/pyproject.toml adapters/pyproject.toml server/pyproject.toml clients/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Maestro needs Python 3.11 or newer; say which: make PYTHON=python3.12 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e proto -e adapters -e clients/python -e server
	@touch $@

lock:  ## solve the dependencies again, with hashes and without addresses
	$(BIN)/uv lock --upgrade --quiet
	$(BIN)/uv export --quiet --all-packages --all-extras --all-groups --no-emit-workspace --no-header -o requirements.lock > /dev/null

proto: setup  ## generate all code that comes from proto/
	$(BIN)/python proto/tools/generate.py
