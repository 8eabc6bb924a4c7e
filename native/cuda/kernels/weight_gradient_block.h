/* How a block of the weight gradient on tensor cores is cut, where its shared memory holds what, and how it takes bf16 there and back. */
#pragma once

#include "async_copy.h"
#include "products.h"

namespace mfl::cuda {

// Of weight_gradient_tiles.cu alone: other kernels cut their blocks otherwise.
namespace {

constexpr uint32_t lines = 8;
/** Voxels that a thread copies at a time, 16 bytes. */
constexpr uint32_t chunk = 8;

/** How a block is cut, and its shared memory; all of it constant, so that loads have their offsets in the instruction. */
template <uint32_t columns_, uint32_t padding_, uint32_t outputs_>
struct Block {
  static constexpr uint32_t columns = columns_, padding = padding_, outputs = outputs_;
  static constexpr uint32_t warps = columns / tile_depth, threads = warps * warp_size;
  static constexpr uint32_t pitch = columns + 2 * padding, input_plane = (lines + 2) * pitch, gradient_plane = lines * columns;
  static_assert(input_plane % 64 == 0 && gradient_plane % 64 == 0, "sixteen halves more make neighbouring channels lie eight banks apart");
  static constexpr uint32_t input_stride = input_plane + 16, gradient_stride = gradient_plane + 16;
  static constexpr uint32_t input_chunks = tile_inputs * input_plane / chunk, gradient_chunks = outputs * gradient_plane / chunk;
  static constexpr uint32_t sums = warps * 9 * tile_rows * tile_columns;

  /** Of one buffer. */
  static constexpr uint32_t inputs_bytes = 2 * tile_inputs * input_stride, gradients_bytes = 2 * outputs * gradient_stride;
  static constexpr uint32_t gradients_at = 2 * inputs_bytes, raw_inputs_at = gradients_at + 2 * gradients_bytes;
  static constexpr uint32_t raw_z_at = raw_inputs_at + 16 * input_chunks, raw_gradients_at = raw_z_at + 16 * gradient_chunks;
  static constexpr uint32_t table_at = raw_gradients_at + 16 * gradient_chunks, scalings_at = table_at + 8 * input_chunks;
  static constexpr uint32_t coefficients_at = scalings_at + sizeof(Scaling) * tile_inputs;
  static constexpr uint32_t bytes = coefficients_at + sizeof(Coefficients) * outputs;
  static_assert(sizeof(float) * sums <= scalings_at, "the sums of the warps take the place of the planes");
  // What a block may have on every device with tensor cores for bf16.
  static_assert(bytes + sizeof(Place) <= 99 * 1024);
};
using Wide = Block<128, 16, 5>;
using Half = Block<64, 16, tile_columns>;
/** For any dilation. */
using Narrow = Block<32, most_dilation, tile_columns>;

/** Channel within its five, and kx, of a row of a tile of inputs: with four channels side by side a warp's lanes have banks of their own.
 * The sixteenth row is nothing's. */
struct Row {
  int channel, kx;
};
__device__ __forceinline__ Row row_of(int m) {
  if (m < 12) return {m % 4, m / 4};
  return {4, m < 15 ? m - 12 : 0};
}

/** The same, where the compiler would sooner compute it again than keep it in a register. */
__device__ __forceinline__ uint32_t keep(uint32_t value) {
#ifndef MFL_CUDA_SHIM
  asm volatile("" : "+r"(value));
#endif
  return value;
}

__device__ __forceinline__ void widen_all(const uint4 &words, float (&to)[8]) {
  const uint32_t each[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    to[2 * i] = lower_of(each[i]);
    to[2 * i + 1] = upper_of(each[i]);
  }
}

/** As bf16, zero from `valid` on. */
__device__ __forceinline__ uint4 narrow_all(float (&values)[8], int valid) {
  if (valid < static_cast<int>(chunk)) {
#pragma unroll
    for (int i = 0; i < 8; i++) values[i] = i < valid ? values[i] : 0.0f;
  }
  return {narrow_pair(values[0], values[1]), narrow_pair(values[2], values[3]), narrow_pair(values[4], values[5]),
          narrow_pair(values[6], values[7])};
}

/** The block's dynamic shared memory, by an address that the compiler keeps instead of finding it again at every use. */
class Shared {
 public:
#ifdef MFL_CUDA_SHIM
  __device__ __forceinline__ char *at(uint32_t bytes) const { return shared_memory() + bytes; }
#else
  __device__ __forceinline__ Shared() : start(keep(shared_address(shared_memory()))) {}
  __device__ __forceinline__ char *at(uint32_t bytes) const { return static_cast<char *>(__cvta_shared_to_generic(start + bytes)); }

 private:
  uint32_t start;
#endif
};

}  // namespace

}  // namespace mfl::cuda
