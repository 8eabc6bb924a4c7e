/* The one use of tensor cores: a 16 x 8 tile of float sums += a 16 x 16 tile of bf16 * a 16 x 8 tile of bf16, each shared out among the
 * lanes of a warp as mma.sync.m16n8k16 has them (PTX ISA, "Matrix Fragments for mma.m16n8k16"). With g = lane / 4 and t = lane % 4:
 *   a[0] = rows g, k 2t and 2t + 1; a[1] = row g + 8; a[2], a[3] = the same with k + 8
 *   b[0] = k 2t and 2t + 1, column g; b[1] = k + 8
 *   sums[0], [1] = row g, columns 2t and 2t + 1; [2], [3] = row g + 8
 *
 * And the way of an 8 x 8 matrix of bf16 from one lane to another: as a fragment holds it, and as a line of memory does. */
#pragma once

#include "storage.h"

namespace mfl::cuda {

#ifdef MFL_CUDA_SHIM

/** The scalar twin. */
inline void tile_mma(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  struct Fragments {
    uint32_t a[4], b[2];
  } mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  const char *slots = shim::exchange(&mine, sizeof mine);
  const auto value = [](uint32_t word, int k) { return __uint_as_float(k % 2 ? word & 0xffff0000u : word << 16); };
  const auto of = [&](int lane) { return reinterpret_cast<const Fragments *>(slots + 64 * lane); };
  const int lane = static_cast<int>(threadIdx.x) % warp_size, g = lane / 4, t = lane % 4;
  for (int i = 0; i < 4; i++) {
    const int upper = i / 2, column = 2 * t + i % 2;
    float sum = sums[i];
    for (int k = 0; k < 16; k++) {
      const int pair = k % 8 / 2, half = k / 8;
      sum += value(of(g * 4 + pair)->a[upper + 2 * half], k) * value(of(column * 4 + pair)->b[half], k);
    }
    sums[i] = sum;
  }
}

/** The scalar twin. */
inline uint32_t transposed(uint32_t word) {
  const char *slots = shim::exchange(&word, sizeof word);
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const auto half = [&](int row, int column) {
    uint32_t held;
    std::memcpy(&held, slots + 64 * (4 * row + column / 2), sizeof held);
    return column % 2 ? held >> 16 : held & 0xffff;
  };
  return half(lane % 4 * 2, lane / 4) | half(lane % 4 * 2 + 1, lane / 4) << 16;
}

#else

/** Kernels that use it are launched from compute capability 8.0 on. */
__device__ __forceinline__ void tile_mma(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

/** Lane 4 r + c holds columns 2c and 2c + 1 of row r of an 8 x 8 matrix: before, and after it was transposed. All lanes must call it. */
__device__ __forceinline__ uint32_t transposed(uint32_t word) {
  uint32_t result;
  // Volatile, for it must not sink into a branch that only some lanes take.
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(word));
  return result;
}

#endif

/** Rows, columns and depth of a tile. */
constexpr int tile_rows = 16, tile_columns = 8, tile_depth = 16;

}  // namespace mfl::cuda
