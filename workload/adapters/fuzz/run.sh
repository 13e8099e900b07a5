#!/bin/sh
# Every target for every platform that it concerns: run.sh [EXECUTIONS], 1,000,000 if nothing else is said.
# It needs a nightly compiler and cargo-fuzz. What crashes is left in artifacts/.
set -eu
cd "$(dirname "$0")"
executions=${1:-1000000}
cargo +nightly fuzz build
run() {
  corpus="corpus/$2/$1"
  mkdir -p "$corpus"
  fixtures="../tests/fixtures/$1"
  [ -d "$fixtures" ] || fixtures=
  echo "== $2 of $1"
  # shellcheck disable=SC2086
  PLATFORM=$1 cargo +nightly fuzz run "$2" "$corpus" $fixtures -- \
    -runs="$executions" -max_len=16384 -print_final_stats=1 -verbosity=0
}
for platform in webChat whatsApp telegram slack discord feishu webhook openAI; do
  run "$platform" deliveries
  [ "$platform" = webChat ] || run "$platform" signatures
  [ "$platform" = webChat ] || run "$platform" responses
done
for platform in slack discord feishu; do
  run "$platform" connections
done
