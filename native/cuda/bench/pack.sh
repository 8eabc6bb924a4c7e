#!/usr/bin/env bash
# Packs what a machine with an NVIDIA GPU, but without Node and network, needs for train.sh: this machine's Node, the command line with its
# dependencies, the addon (npm run build:native, with MESHFL_CUDA_ARCHITECTURES for that GPU) and a dataset that `meshfl split` made:
#   native/cuda/bench/pack.sh <dataset> <folder> [programs]
# programs: a build folder with kernels_test, meshfl_cuda_check and meshfl_cuda_time, for PROGRAMS of run.sh.
# Then there: bash <folder>/train.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
dataset=$(readlink -f "$1")
mkdir -p "$2"
target=$(readlink -f "$2")
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
pack() { tar -C "$1" -cf - . | xz -T0 -6 > "$2.part" && mv "$2.part" "$2"; }

mkdir "$stage/base" "$stage/base/lib"
node=$(readlink -f "$(command -v node)")
strip -o "$stage/base/node" "$node"
# For a machine whose own are older.
ldd "$node" | awk '/libstdc|libgcc/ { print $3 }' | xargs -r cp -L -t "$stage/base/lib"
(cd "$root" && npx --no-install pnpm --filter meshfl deploy --legacy --prod --prefer-offline --config.node-linker=hoisted \
  --config.package-import-method=copy "$stage/base/meshfl") > /dev/null
modules=$stage/base/meshfl/node_modules
# What only other machines and compilers read.
find "$modules/zeromq/build" -name addon.node ! -path '*linux/x64/node/glibc-127-Release/*' -delete
find "$stage/base/meshfl" -type f \( -name '*.d.ts' -o -name '*.d.cts' -o -name '*.d.mts' -o -name '*.map' -o -name '*.md' \) -delete
cp -r "$dataset" "$stage/base/dataset"
pack "$stage/base" "$target/base.tar.xz"

strip --strip-unneeded -o "$stage/meshfl.node" "$root/native/build/Release/meshfl.node"
xz -T0 -6 -c "$stage/meshfl.node" > "$target/meshfl.node.xz"
cp "$here/train.sh" "$here/compare.mjs" "$target/"
if [ -n "${3:-}" ]; then
  mkdir "$stage/programs"
  for name in kernels_test bench/meshfl_cuda_check bench/meshfl_cuda_time; do strip -o "$stage/programs/${name##*/}" "$3/$name"; done
  cp "$3/cuda-architectures.txt" "$stage/programs/"
  pack "$stage/programs" "$target/programs.tar.xz"
fi
ls -l "$target"
