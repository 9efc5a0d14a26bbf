#!/usr/bin/env bash
# Brings llama-cpp-python's server into .local/venv and a model of random weights into .local/tiny.gguf; both are kept.
# The engine comes as source: compiling it, once, takes a C++ compiler and some minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p .local
if [ ! -f .local/venv/ready ] || [ tests/local/requirements.lock -nt .local/venv/ready ]; then
  test -x .local/venv/bin/python || "${PYTHON:-python3}" -m venv .local/venv
  echo "installing the engine into .local/venv (once; it is compiled)"
  .local/venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/local/requirements.lock
  touch .local/venv/ready
fi
if [ ! -f .local/tiny.gguf ] || [ tests/local/build_gguf.py -nt .local/tiny.gguf ]; then
  .local/venv/bin/python tests/local/build_gguf.py .local/tiny.gguf
fi
