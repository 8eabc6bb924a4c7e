#!/usr/bin/env bash
# `meshfl train` on this machine's GPU beside its CPU, on the dataset that pack.sh packed beside this script:
#   bash train.sh
# ROUNDS=6, DEVICE=cuda, AT=/tmp/meshfl (where it is unpacked, in place of what lies there) and CPU_SECONDS=40 (most for the run on the CPU) can be set. Prints the losses
# and Dice of all runs, seconds a round, and how far their models are apart; ends with 1 when a run failed, or when two on the GPU differ.
# With OUT=<folder> what it prints and the runs' events lie there too.
set -u
here=$(cd "$(dirname "$0")" && pwd)
at=${AT:-/tmp/meshfl} rounds=${ROUNDS:-6} device=${DEVICE:-cuda} cpu_seconds=${CPU_SECONDS:-40}
failed=0
[ -n "${OUT:-}" ] && mkdir -p "$OUT" && exec > >(tee "$OUT/train.log") 2>&1

began=$SECONDS
stamp() { echo "== $((SECONDS - began)) s: $*"; }
stamp unpack
rm -rf "$at"
mkdir -p "$at"
# xz may not be there; Python reads it.
unpack() { xz -dc "$1" 2> /dev/null || python3 -c 'import lzma,shutil,sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$1"; }
unpack "$here/base.tar.xz" | tar -C "$at" -xf - || exit 1
unpack "$here/meshfl.node.xz" > "$at/meshfl.node" || exit 1
# The machine's own libstdc++ where it has one: it is the newer.
"$at/node" --version > /dev/null 2>&1 && "$at/node" -e "require('$at/meshfl.node')" 2> /dev/null ||
  export LD_LIBRARY_PATH=$at/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export MESHFL_NATIVE=$at/meshfl.node NO_COLOR=1
meshfl() { "$at/node" "$at/meshfl/dist/bin.js" "$@"; }

train() {  # name device precision
  stamp "train $1"
  rm -rf "$at/run-$1"
  local limit=()
  [ "$2" = cpu ] && limit=(timeout -s INT -k 20 "$cpu_seconds")
  "${limit[@]}" "$at/node" "$at/meshfl/dist/bin.js" train "$at/dataset" --rounds "$rounds" --seed 1 --precision "$3" --device "$2" \
    --out "$at/run-$1" > "$at/run-$1.log" 2>&1
  local verdict=$?
  if [ "$verdict" = 124 ]; then
    echo "train $1: no time for more"
  elif [ "$verdict" != 0 ]; then
    failed=1
    echo "train $1 ended with $verdict"
  fi
  tail -n 12 "$at/run-$1.log"
  return "$verdict"
}
score() {  # name device precision
  meshfl eval "$at/run-$1" --data "$at/dataset" --split test --device "$2" --precision "$3" --out "$at/report-$1" --json > "$at/eval-$1.jsonl" 2>&1 ||
    { failed=1; echo "eval $1 failed"; tail -n 3 "$at/eval-$1.jsonl"; }
}

stamp doctor
meshfl doctor
train cuda "$device" fp32 && score cuda "$device" fp32
train cuda-again "$device" fp32 && score cuda-again "$device" fp32
train cuda-bf16 "$device" bf16 && score cuda-bf16 "$device" bf16
train cpu cpu fp32 && score cpu cpu fp32
stamp compare
"$at/node" "$here/compare.mjs" "$at" cpu cuda cuda-again cuda-bf16 || failed=1
[ -n "${OUT:-}" ] && (cd "$at" && tar -czf "$OUT/events.tgz" run-*/events.jsonl run-*/latest.safetensors run-*.log eval-*.jsonl)
stamp "end, $([ "$failed" = 0 ] && echo all well || echo something FAILED)"
exit "$failed"
