# The verbs of every day; `make` prints them.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
CODE := proto/python proto/tools adapters server clients/python tests examples bench docs
.DEFAULT_GOAL := help
.PHONY: help setup lock proto fix check test serve docs services bench bench-tokens conformance return-trip test-local

help:  ## print the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready  ## make .venv from the lock, with the four members in it

.venv/ready: requirements.lock proto/pyproject.toml adapters/pyproject.toml server/pyproject.toml clients/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Maestro needs Python 3.11 or newer; name one: make PYTHON=python3.12 …")'
	@echo "installing what the lock names into .venv (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e proto -e adapters -e clients/python -e server
	@touch $@

lock:  ## solve the dependencies again, with hashes and without addresses
	$(BIN)/uv lock --upgrade --quiet
	$(BIN)/uv export --quiet --all-packages --all-extras --all-groups --no-emit-workspace --no-header -o requirements.lock > /dev/null

serve: setup  ## start the gateway on the embedded default: no key, no service
	@$(BIN)/maestro serve

test: setup  ## run the tests; groups whose server or toolchain is missing are listed at the end
	$(BIN)/pytest

check: setup  ## format, lint, types, import contracts, buf, drift of all that is generated
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf format --diff --exit-code --exclude-path proto/google --exclude-path proto/buf
	$(BIN)/buf lint
	proto/tools/breaking.sh $(BIN)/buf
	$(BIN)/python proto/tools/generate.py --check
	$(BIN)/python proto/tools/clients.py --check
	$(BIN)/python docs/tools/make.py --check

fix: setup  ## format, and mend what can be mended
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/buf format -w --exclude-path proto/google --exclude-path proto/buf

proto: setup  ## generate all code that comes from proto/
	$(BIN)/python proto/tools/generate.py
	$(BIN)/python proto/tools/clients.py

docs: setup  ## generate the pages that come from code
	$(BIN)/python docs/tools/make.py

services:  ## bring the servers and tools that groups of tests need (Debian packages, Go modules)
	@services/bring.sh

conformance: setup  ## play recorded exchanges to the adapters: make conformance CORPUS=folder [PROVIDER=name]
	@test -n "$(CORPUS)" || { echo "name the folder of recordings: make conformance CORPUS=…"; exit 2; }
	@$(BIN)/python -m tests.conformance $(CORPUS) $(PROVIDER)

return-trip: setup  ## what providers signed or encrypted goes back byte for byte: make return-trip CORPUS=folder
	@test -n "$(CORPUS)" || { echo "name the folder of recordings: make return-trip CORPUS=…"; exit 2; }
	@$(BIN)/python -m tests.conformance.return_trip $(CORPUS)

test-local: setup  ## a real engine with random weights; compiled once into .local
	@PYTHON=$(PYTHON) tests/local/prepare.sh
	$(BIN)/pytest tests/local

bench-tokens: setup  ## CPU per streamed token, beside the SDKs' own objects in the same run
	$(BIN)/python bench/tokens.py

bench: setup  ## CPU per call and per message, beside a bare echo in the same run
	$(BIN)/python bench/run.py
