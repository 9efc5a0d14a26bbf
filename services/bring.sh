#!/usr/bin/env bash
# Brings what groups of tests need and this machine lacks, into .services/ (git-ignored), and says where it is in .services/env.
# Each thing is taken from where it already is, else from a package registry.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .services/bin
: > .services/env

apt() {
  command -v "$1" > /dev/null && return
  if [ "$(id -u)" != 0 ]; then
    echo "missing: $1; install the Debian package(s) ${*:2} and run this again" >&2
    return
  fi
  echo "installing ${*:2}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${@:2}" > /dev/null
}

apt go golang-go
apt npm nodejs npm

if command -v go > /dev/null && ! command -v grpcurl > /dev/null && [ ! -x .services/bin/grpcurl ]; then
  echo "building grpcurl"
  GOBIN=$PWD/.services/bin go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3
fi

for tool in go npm grpcurl; do
  where=$(PATH=$PWD/.services/bin:$PATH command -v "$tool" || true)
  echo "$tool: ${where:-missing}"
done
