#!/usr/bin/env bash
# Compare the contract with the last release. Before the first tag nothing can break.
set -euo pipefail
buf=$1
tag=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
if [ -z "$tag" ]; then
  echo "no release yet: nothing can be broken"
  exit 0
fi
exec "$buf" breaking --against ".git#tag=$tag"
