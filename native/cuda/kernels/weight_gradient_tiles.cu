/* The gradient by a convolution's weights on tensor cores, in bf16 with float sums.
 *
 * A tile's depth is sixteen voxels of a line: its rows are five input channels at three kx, its columns eight outputs. A warp
 * walks along a chain of planes with sixteen voxels x 8 lines of three planes of the gradient in registers; every tile of inputs
 * that it makes of a plane serves all nine (kz, ky), whose sums stay in registers to the end of the item. */
#include "products.h"

namespace mfl::cuda {

namespace {

constexpr int threads = 256;
constexpr int lines = 8;

/** Halves of one input channel of a plane: as many as make neighbouring channels lie four banks apart. */
__host__ __device__ inline uint32_t input_stride(const Tiling &t) {
  const uint32_t words = 2 * march_quads(t);
  return 2 * (words + (4 + 32 - words % 32) % 32);
}

/** Halves of one output channel of a plane. */
__host__ __device__ inline uint32_t gradient_stride(const Tiling &t) {
  const uint32_t words = t.rows * t.columns / 2;
  return 2 * (words + 4);
}

uint32_t block_of(const Tiling &t) { return t.columns / tile_depth * warp_size; }

size_t shared_bytes(const Tiling &t) {
  const size_t planes = sizeof(Bfloat16) * (tile_inputs * input_stride(t) + tile_columns * gradient_stride(t));
  const size_t sums = sizeof(float) * tile_rows * tile_columns * (block_of(t) / warp_size);
  return planes > sums ? planes : sums;
}

/** Elements 2i and 2i + 1 from `from` as one word; `odd` where they may lie in two. */
__device__ __forceinline__ uint32_t load_pair(const Bfloat16 *from, bool odd) {
  if (odd) return from[0].bits | static_cast<uint32_t>(from[1].bits) << 16;
  return *reinterpret_cast<const uint32_t *>(from);
}

/** partials (items, Co, Ci, 27). Overwrites, z as well when made. */
template <bool made>
__global__ void __launch_bounds__(threads, 2) weight_gradient_tiles_kernel(const __grid_constant__ Products p, double *partials) {
  const Tiling &t = p.tiling;
  const Place &place = shared_place(t);
  const uint32_t groups = tile_chunks(p.inputs);
  const uint32_t first_input = blockIdx.y % groups * tile_inputs, first_output = blockIdx.y / groups * tile_columns;
  const uint32_t stride = input_stride(t), slope_stride = gradient_stride(t), pitch = t.columns + 2 * t.padding;
  Bfloat16 *const inputs = reinterpret_cast<Bfloat16 *>(shared_memory()), *const slopes = inputs + tile_inputs * stride;
  const int warp = static_cast<int>(threadIdx.x) / warp_size, lane = static_cast<int>(threadIdx.x) % warp_size;
  const int row = lane / 4, pair = lane % 4;
  const bool odd = t.dilation % 2 == 1;
  // The sixteenth row of a tile is nothing's: whatever it sums up is left out.
  const auto input_row = [&](int m) {
    const int channel = m < 15 ? m % tile_inputs : 0, kx = m < 15 ? m / tile_inputs : 0;
    return inputs + channel * stride + t.padding + warp * tile_depth + 2 * pair + (kx - 1) * static_cast<int>(t.dilation);
  };
  const Bfloat16 *const upper = input_row(row), *const lower = input_row(row + 8);
  const Bfloat16 *const own_slopes = slopes + row * slope_stride + warp * tile_depth + 2 * pair;

  float sums[9][4] = {};
  /** [kz][line][half]: kz 0 meets the plane after the inputs'. */
  uint32_t gradient[3][lines][2] = {};
  const bool some = place.z_first < place.z_end && place.y_first < place.y_count;
  for (int link = place.z_first - 1; some && link <= place.z_end; link++) {
    const bool has_inputs = link >= 0 && link < place.z_count, has_gradient = link + 1 < place.z_end;
    if (has_inputs) {
      load_input<Bfloat16, tile_inputs>(p, place, first_input, link, [&](int c, uint32_t index, const float(&values)[4]) {
        store_quad(inputs + c * stride + 4 * index, values);
      });
    }
    if (has_gradient) {
      load_gradient<Bfloat16, tile_columns, made>(p, place, first_output, link + 1, [&](int g, uint32_t index, const float(&values)[4]) {
        store_quad(slopes + g * slope_stride + 4 * index, values);
      });
    }
    __syncthreads();
#pragma unroll
    for (int line = 0; line < lines; line++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        gradient[2][line][half] = gradient[1][line][half];
        gradient[1][line][half] = gradient[0][line][half];
        gradient[0][line][half] = has_gradient ? load_pair(own_slopes + line * t.columns + half * 8, false) : 0;
      }
    }
    if (has_inputs) {
#pragma unroll
      for (int i = 0; i < lines + 2; i++) {
        const uint32_t at = i * pitch;
        const uint32_t tile[4] = {load_pair(upper + at, odd), load_pair(lower + at, odd), load_pair(upper + at + 8, odd),
                                  load_pair(lower + at + 8, odd)};
#pragma unroll
        for (int ky = 0; ky < 3; ky++) {
          const int line = i - ky;
          if (line < 0 || line >= lines) continue;
#pragma unroll
          for (int kz = 0; kz < 3; kz++) tile_mma(sums[kz * 3 + ky], tile, gradient[kz][line]);
        }
      }
    }
    __syncthreads();
  }

  double *to = partials + static_cast<size_t>(blockIdx.x) * p.outputs * p.inputs * 27;
  float *const of_warps = reinterpret_cast<float *>(shared_memory());
  const int warps = static_cast<int>(blockDim.x) / warp_size;
  constexpr int tile = tile_rows * tile_columns;
#pragma unroll
  for (int tap = 0; tap < 9; tap++) {
#pragma unroll
    for (int i = 0; i < 4; i++) of_warps[warp * tile + (row + i / 2 * 8) * tile_columns + 2 * pair + i % 2] = sums[tap][i];
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < 15 * tile_columns; i += static_cast<int>(blockDim.x)) {
      const int m = i / tile_columns;
      const uint32_t input = first_input + m % tile_inputs, output = first_output + i % tile_columns;
      if (input >= p.inputs || output >= p.outputs) continue;
      double sum = 0;
      for (int w = 0; w < warps; w++) sum += of_warps[w * tile + i];
      to[(output * p.inputs + input) * 27 + tap * 3 + m / tile_inputs] = sum;
    }
    __syncthreads();
  }
}

uint32_t groups_of(uint32_t inputs, uint32_t outputs) { return tile_chunks(inputs) * divide_up(outputs, tile_columns); }

}  // namespace

Tiling product_tiles_tiling(const Convolution &shape) {
  const uint32_t width = shape.grid.width;
  return tiling_of(shape.grid, shape.dilation, width > 64 ? 128 : width > 32 ? 64 : 32, lines);
}

bool is_one_group_of_tiles(const Convolution &shape) { return groups_of(shape.inputs, shape.outputs) == 1; }

Status multiply_tiles(cudaStream_t stream, const Products &p, double *partials) {
  const dim3 grid(p.tiling.items(), groups_of(p.inputs, p.outputs)), block(block_of(p.tiling));
  if (grid.y == 1) return launch(stream, grid, block, shared_bytes(p.tiling), weight_gradient_tiles_kernel<true>, p, partials);
  return launch(stream, grid, block, shared_bytes(p.tiling), weight_gradient_tiles_kernel<false>, p, partials);
}

}  // namespace mfl::cuda
