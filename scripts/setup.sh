#!/usr/bin/env bash
# Installs what is missing, by package name: a C compiler for the crates that have C in them, PostgreSQL for the
# business records, curl for trying things out, and cargo-deny for `make check`. Rust itself comes from rustup, at the
# version in rust-toolchain.toml.
set -euo pipefail

missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
need cc build-essential
need curl curl
need git git
# Debian keeps the server's binaries out of the PATH.
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || need initdb postgresql
if [ "${1:-}" != "--run-only" ]; then
  # What the official clients run on (`make clients`).
  need node nodejs
  need npm npm
  python3 -c 'import ensurepip' >/dev/null 2>&1 || missing+=(python3-venv)
fi

if [ "${#missing[@]}" -gt 0 ]; then
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: please install: ${missing[*]} (this script knows apt-get only)" >&2
    exit 1
  fi
  sudo=""
  [ "$(id -u)" -eq 0 ] || sudo=sudo
  clusters=/etc/postgresql-common/createcluster.conf
  if [[ " ${missing[*]} " == *" postgresql "* ]] && [ ! -e "$clusters" ]; then
    # weir starts a server of its own; the package shall make and start none.
    $sudo mkdir -p "$(dirname "$clusters")"
    echo 'create_main_cluster = false' | $sudo tee "$clusters" >/dev/null
  fi
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

if ! command -v cargo >/dev/null 2>&1; then
  echo "setup: Rust is missing; install rustup (Debian: apt-get install rustup), then run this again" >&2
  exit 1
fi

DENY_VERSION=0.20.2
if [ "${1:-}" != "--run-only" ] && ! cargo deny --version 2>/dev/null | grep -q "$DENY_VERSION"; then
  echo "setup: installing cargo-deny $DENY_VERSION (a few minutes, once)"
  cargo install --quiet --locked cargo-deny --version "$DENY_VERSION"
fi
