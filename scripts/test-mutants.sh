#!/usr/bin/env bash
# Switches off one safeguard at a time, in a copy of the tree: each must turn its named test red. By hand; long.
set -euo pipefail
cd "$(dirname "$0")/.."
copy=target/mutants
rm -rf "$copy/tree"
mkdir -p "$copy/tree"
passed=0
failed=0

# mutant NAME FILE SED-EXPRESSION CARGO-TEST-ARGUMENTS…
mutant() {
  local name=$1 file=$2 expression=$3
  shift 3
  git archive HEAD | tar -x -C "$copy/tree"
  sed -E -i "$expression" "$copy/tree/$file"
  if git diff --no-index --quiet "$file" "$copy/tree/$file"; then
    echo "mutant: $name: $file has nothing to switch off any more: mend this script"
    failed=$((failed + 1))
    return
  fi
  if (cd "$copy/tree" && CARGO_TARGET_DIR="$PWD/../build" timeout 1800 cargo test --locked "$@") >"$copy/log" 2>&1; then
    echo "mutant: $name: SURVIVED: cargo test $*"
    failed=$((failed + 1))
  elif grep -q "error: could not compile" "$copy/log"; then
    echo "mutant: $name: did not compile: mend this script"
    failed=$((failed + 1))
  else
    echo "mutant: $name: found by: cargo test $*"
    passed=$((passed + 1))
  fi
}

mutant "the sync before the ack" src/adapters/embedded/log/committer.rs \
  's/\.and_then\(\|\(\)\| self\.file\.sync\(\)\)//' --lib what_was_acknowledged_or_read_survives_every_power_cut
mutant "the sync of the kept tail at open" src/adapters/embedded/log/recover.rs \
  '/^fn make_durable/,/^}/ s/^    file\.sync\(\)\?;//' --lib what_is_read_after_a_kill_survives_a_power_cut
mutant "the durable_to check" src/adapters/embedded/log/recover.rs \
  's/if head\.durable_to > segment\.end/if head.durable_to == u64::MAX/' --lib a_bad_byte_below_what_a_later_frame_calls_durable_refuses_to_open
mutant "the prefix drop" src/adapters/embedded/usage/apply.rs \
  's/batch\.drop_before\(applied\.next\(batch\.range\.partition\)\)/batch.range.from = applied.next(batch.range.partition)/' \
  --lib after_a_kill_or_a_power_cut_anywhere_the_same_answers
mutant "the same-position rule" src/adapters/embedded/id_index/entry.rs \
  's/return Claim::WonBefore;/return Claim::Duplicate { winner: request.position };/' --lib id_index
mutant "the generation check" src/actors/runtime/stage.rs \
  's/generation < self\.shared\.generation\(\)/generation == u64::MAX/' --lib runtime
mutant "the frontier wait of a read" src/http/freshness.rs \
  's/state\.freshness\.wait\(target, bound\)\.await/{ let _ = (target, bound, state); Wait::Reached }/' --test reference

echo "mutants: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
