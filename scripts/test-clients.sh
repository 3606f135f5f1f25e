#!/usr/bin/env bash
# The official clients, as their users install them, against one weir of its own; then its two OpenAPI documents held
# against it. `scripts/test-clients.sh javascript python` runs only these. WEIR is the binary; WEIR_TEST_SEED repeats
# a run.
set -euo pipefail
cd "$(dirname "$0")/.."
weir=${WEIR:-target/debug/weir}
suites=("$@")
[ "${#suites[@]}" -gt 0 ] || suites=(quickstart javascript python schemathesis)
seed=${WEIR_TEST_SEED:-4}
seconds_per_document=60
installed=$PWD/target/clients
mkdir -p "$installed"

# A data directory that the private PostgreSQL's own user can pass into.
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-clients.XXXXXX")
chmod 0711 "$work"
pid=""
finish() {
  status=$?
  trap - EXIT
  if [ -n "$pid" ] && kill -TERM "$pid" 2>/dev/null; then wait "$pid" || true; fi
  if [ "$status" -ne 0 ]; then
    echo "clients: weir's log ends:" >&2
    tail -n 40 "$work/log" >&2 || true
  fi
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# install_once NAME LIST COMMAND: once for each content of the list.
install_once() {
  local stamp=$installed/$1.installed
  if ! cmp -s "$2" "$stamp"; then
    rm -f "$stamp"
    "$3"
    cp "$2" "$stamp"
  fi
}
install_javascript() {
  mkdir -p "$installed/javascript"
  cp tests/sdk/javascript/package.json tests/sdk/javascript/package-lock.json "$installed/javascript/"
  (cd "$installed/javascript" && npm ci --legacy-peer-deps --no-audit --no-fund --loglevel=error)
}
install_python() {
  python3 -m venv "$installed/venv"
  "$installed/venv/bin/pip" install --quiet --disable-pip-version-check -r "$installed/requirements.txt"
}

start() {
  local port
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  export WEIR_URL=http://127.0.0.1:$port
  "$weir" serve --data "$work/data" --listen "127.0.0.1:$port" --meters docs/example-meters.yaml \
    </dev/null >"$work/log" 2>&1 &
  pid=$!
  # Up when the business records are: events are taken before that.
  for _ in $(seq 1 600); do
    kill -0 "$pid" 2>/dev/null || { echo "clients: weir ended" >&2; exit 1; }
    if curl -fs -o /dev/null "$WEIR_URL/api/v1/meters/api_requests_total"; then return; fi
    sleep 0.1
  done
  echo "clients: weir did not come up within 60 s" >&2
  exit 1
}

run_quickstart() {
  tests/sdk/quickstart.sh "$WEIR_URL"
}
run_javascript() {
  # Beside what was installed: that is where the names of packages are looked up.
  cp tests/sdk/javascript/*.js "$installed/javascript/" &&
    (cd "$installed/javascript" && node --test --test-reporter=spec clients.test.js)
}
run_python() {
  "$installed/venv/bin/python" -B -m pytest -q -p no:cacheprovider tests/sdk/python
}
run_schemathesis() {
  local document here=$PWD/tests/sdk/schemathesis failed=0
  for document in /api/swagger.json /api/v3/openapi.json; do
    echo "schemathesis: $document, $seconds_per_document s; WEIR_TEST_SEED=$seed repeats it"
    (cd "$work" && PYTHONDONTWRITEBYTECODE=1 SCHEMATHESIS_HOOKS="$here/hooks.py" \
      "$installed/venv/bin/schemathesis" --config-file "$here/schemathesis.toml" \
      run "$WEIR_URL$document" --seed "$seed" --max-time "$seconds_per_document") || failed=1
  done
  return "$failed"
}

cat tests/sdk/python/requirements.txt tests/sdk/schemathesis/requirements.txt >"$installed/requirements.txt"
install_once javascript tests/sdk/javascript/package-lock.json install_javascript
install_once python "$installed/requirements.txt" install_python
start
passed=0
failed=0
for suite in "${suites[@]}"; do
  echo "clients: $suite"
  if "run_$suite"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "clients: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
