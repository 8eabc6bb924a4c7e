#!/usr/bin/env bash
# Everything that a machine with an NVIDIA GPU can show, from a clone, with nvcc, cmake, ninja and python3 with PyTorch (without it the
# peer is left out):
#   native/cuda/bench/run.sh [results.jsonl] [device]
# Writes JSON lines: what the machine is, every check, our times and PyTorch's in turn, their ratios, what compute-sanitizer says, and how
# long each part took. Ends with 1 when a check failed. These can be set:
#   EDGE=256 CHANNELS=5 REPEATS=20 PYTHON=python3
#   PROGRAMS=<folder>           kernels_test, meshfl_cuda_check and meshfl_cuda_time, built elsewhere: nothing is built
#   LOGS=<folder>               of the build, of kernels_test and of compute-sanitizer, instead of logs/ in the build folder
#   PEER_SECONDS='60 20'        most that PyTorch may take, in its first round and in its second
#   PEER_VARIANT_SECONDS=2      most for the repetitions of one of its variants
#   SANITIZER_SECONDS=100       most for one tool on one case
set -uo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
results=${1:-cuda-results.jsonl}
device=${2:-0}
edge=${EDGE:-256} channels=${CHANNELS:-5} repeats=${REPEATS:-20} python=${PYTHON:-python3}
build=${BUILD:-$root/native/build/bench}
programs=${PROGRAMS:-$build}
logs=${LOGS:-$build/logs}
golden=$root/fixtures/golden
read -r first_peer_seconds second_peer_seconds <<< "${PEER_SECONDS:-60 20}"
second_peer_seconds=${second_peer_seconds:-$first_peer_seconds}
failed=0

say() { printf '%s\n' "$1" | tee -a "$results"; }
# A JSON string of a program's words.
quoted() { printf '"%s"' "$(printf '%s' "$1" | tr '\n\t' '  ' | tr -d '\000-\037' | sed 's/[\\"]/\\&/g')"; }
# Runs a program whose lines belong to the results.
keep() { "$@" | tee -a "$results"; return "${PIPESTATUS[0]}"; }
# Runs a part, and says how long it took.
part() {
  local name=$1 began=$EPOCHREALTIME
  shift
  "$@"
  say "{\"part\":\"$name\",\"seconds\":$(awk "BEGIN { print $EPOCHREALTIME - $began }")}"
}
program() { if [ -x "$programs/$1" ]; then echo "$programs/$1"; else echo "$programs/bench/$1"; fi; }

build() {
  local generator
  generator=$(command -v ninja > /dev/null && echo "-G Ninja")
  # shellcheck disable=SC2086
  { cmake -S "$root/native/cuda" -B "$build" $generator && cmake --build "$build" --parallel; } > "$logs/build.log" 2>&1 ||
    { say "{\"failed\":\"the build failed\",\"log\":\"$logs/build.log\"}"; exit 1; }
}

kernels() {
  "$(program kernels_test)" > "$logs/kernels_test.log" 2>&1 || failed=1
  say "{\"check\":\"kernels against float64 loops\",\"verdict\":$(quoted "$(tail -n 1 "$logs/kernels_test.log")")}"
}

conformance() { keep "$(program meshfl_cuda_check)" --golden "$golden" --device "$device" --edge "$edge" || failed=1; }

ours() { keep "$(program meshfl_cuda_time)" --device "$device" --edge "$edge" --channels "$channels" --repeats "$repeats" || failed=1; }
# $1: seconds. The results so far say which variants are the fastest.
theirs() {
  CUDA_VISIBLE_DEVICES=$device keep "$python" "$here/peer.py" "$edge" "$channels" "$repeats" "${PEER_VARIANT_SECONDS:-2}" "$1" "$results" ||
    failed=1
}

# $1: a tool, $2: a case. Kernel by kernel, so that a finding names its kernel.
sanitize() {
  local options=(--tool "$1" --print-limit 1000 --error-exitcode 9)
  # An allocation that is refused is part of a check, which memcheck would count as an error.
  [ "$1" = memcheck ] && options+=(--report-api-errors no)
  MESHFL_CUDA_GRAPH=0 timeout "${SANITIZER_SECONDS:-100}" compute-sanitizer "${options[@]}" \
    "$(program meshfl_cuda_check)" --golden "$golden" --case "$2" --device "$device" > "$logs/$1-$2.log" 2>&1
  echo $? > "$logs/$1-$2.exit"
}

# All tools on all cases, as many at once as there are cores.
sanitizers() {
  local cases tool name code
  cases="$(basename -s .json -a "$golden"/*.json | grep -v '^schedule$') whole-tiles"
  rm -f "$logs"/*check-*.{exit,log}
  # racecheck first: it takes the longest.
  for tool in racecheck initcheck memcheck synccheck; do
    for name in $cases; do
      while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
      sanitize "$tool" "$name" &
    done
  done
  wait
  for tool in memcheck racecheck synccheck initcheck; do
    local passed=0 bad="" unfinished="" worst=0
    for name in $cases; do
      code=$(cat "$logs/$tool-$name.exit")
      if [ "$code" = 0 ]; then
        passed=$((passed + 1))
        continue
      elif [ "$code" = 124 ]; then
        unfinished+="${unfinished:+,}\"$name\""
        continue
      fi
      failed=1 worst=$code
      bad+="${bad:+,}{\"case\":\"$name\",\"exitCode\":$code,\"last\":$(quoted "$(tail -n 1 "$logs/$tool-$name.log" | cut -c1-200)")}"
    done
    say "{\"check\":\"compute-sanitizer $tool\",\"cases\":$(wc -w <<< "$cases"),\"passed\":$passed,\"noTime\":[$unfinished],\"failed\":[$bad],\"exitCode\":$worst}"
  done
}

mkdir -p "$logs" "$(dirname "$results")"
: > "$results"
[ -n "${PROGRAMS:-}" ] || part build build
commit=$(git -C "$root" rev-parse --short HEAD 2> /dev/null || echo unknown)
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader -i "$device" 2> /dev/null || echo none)
compiler=$(nvcc --version 2> /dev/null | tail -n 1)
architectures=$(cat "$programs/cuda-architectures.txt" 2> /dev/null || echo unknown)
say "{\"commit\":\"$commit\",\"driver\":$(quoted "$driver"),\"nvcc\":$(quoted "$compiler"),\"architectures\":$(quoted "$architectures")}"

export MESHFL_REQUIRE=cuda
part kernels_test kernels
part meshfl_cuda_check conformance
part "meshfl_cuda_time, first round" ours
if "$python" -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null; then
  part "peer.py, first round" theirs "$first_peer_seconds"
  part "meshfl_cuda_time, second round" ours
  part "peer.py, second round" theirs "$second_peer_seconds"
  keep "$python" "$here/ratios.py" "$results" || failed=1
else
  say '{"skipped":"PyTorch with CUDA is not here"}'
fi
if command -v compute-sanitizer > /dev/null; then
  part compute-sanitizer sanitizers
else
  say '{"skipped":"compute-sanitizer is not here"}'
fi
exit "$failed"
