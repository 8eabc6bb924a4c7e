#!/usr/bin/env bash
# Everything that a machine with an NVIDIA GPU can show, from a clone, with nvcc, cmake, ninja and python3 with PyTorch (without it the
# peer is left out):
#   native/cuda/bench/run.sh [results.jsonl] [device]
# Writes JSON lines: what the machine is, every check, what compute-sanitizer says, our times and PyTorch's in turn, and their ratios.
# EDGE=256, CHANNELS=5, REPEATS=20 and PYTHON=python3 can be set. Ends with 1 when a check failed.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
results=${1:-cuda-results.jsonl}
device=${2:-0}
edge=${EDGE:-256} channels=${CHANNELS:-5} repeats=${REPEATS:-20} python=${PYTHON:-python3}
build=${BUILD:-$root/native/build/bench}
failed=0

say() { printf '%s\n' "$1" | tee -a "$results"; }
# Runs a program whose lines belong to the results.
keep() { "$@" | tee -a "$results"; return "${PIPESTATUS[0]}"; }

: > "$results"
generator=$(command -v ninja > /dev/null && echo "-G Ninja")
# shellcheck disable=SC2086
cmake -S "$root/native/cuda" -B "$build" $generator > "$build.log" 2>&1 && cmake --build "$build" --parallel >> "$build.log" 2>&1 ||
  { say "{\"failed\":\"the build failed\",\"log\":\"$build.log\"}"; exit 1; }
commit=$(git -C "$root" rev-parse --short HEAD 2> /dev/null || echo unknown)
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader -i "$device" 2> /dev/null || echo none)
nvcc=$(nvcc --version | tail -1)
say "{\"commit\":\"$commit\",\"driver\":\"$driver\",\"nvcc\":\"$nvcc\",\"architectures\":\"$(cat "$build/cuda-architectures.txt")\"}"

export MESHFL_REQUIRE=cuda
"$build/kernels_test" > "$build/kernels_test.log" 2>&1 || failed=1
say "{\"check\":\"kernels against float64 loops\",\"verdict\":\"$(tail -1 "$build/kernels_test.log")\"}"
keep "$build/bench/meshfl_cuda_check" --golden "$root/fixtures/golden" --device "$device" --edge "$edge" || failed=1

if command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck synccheck initcheck; do
    # Kernel by kernel, so that a finding names its kernel.
    MESHFL_CUDA_GRAPH=0 compute-sanitizer --tool "$tool" --error-exitcode 9 \
      "$build/bench/meshfl_cuda_check" --golden "$root/fixtures/golden" --device "$device" --edge 16 > "$build/$tool.log" 2>&1
    verdict=$?
    [ "$verdict" = 0 ] || failed=1
    say "{\"check\":\"compute-sanitizer $tool\",\"exitCode\":$verdict,\"log\":\"$build/$tool.log\"}"
  done
else
  say '{"skipped":"compute-sanitizer is not here"}'
fi

ours() {
  keep "$build/bench/meshfl_cuda_time" --device "$device" --edge "$edge" --channels "$channels" --repeats "$repeats" || failed=1
}
theirs() { CUDA_VISIBLE_DEVICES=$device keep "$python" "$here/peer.py" "$edge" "$channels" "$repeats" || failed=1; }
if "$python" -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null; then
  ours
  theirs
  ours
  theirs
  keep "$python" "$here/ratios.py" "$results"
else
  say '{"skipped":"PyTorch with CUDA is not here"}'
  ours
fi
exit "$failed"
