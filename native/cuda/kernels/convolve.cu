/* A block's convolution: what the next block reads comes out of it as z, with the sums that its normalisation needs. */
#include "tile_march.h"

namespace mfl::cuda {

namespace {

/** z (N, Co, D, H, P) from the activated input; partials (items, 2, Co): sums and sums of squares of z, or null. Overwrites. */
template <class T, int G>
__global__ void __launch_bounds__(march_threads, 2) convolve_kernel(const __grid_constant__ March m, T *z, double *partials) {
  const Place &place = shared_place(m.tiling);
  Marcher<T, G> marcher(m, place, blockIdx.y);
  marcher.template load_weights<false>();
  const Tiling &t = m.tiling;
  const int x = place.x_first + marcher.column;
  marcher.walk([&](int link, const float(&sums)[march_lines][G]) {
    if (x >= static_cast<int>(t.pitch)) return;
    const size_t plane = static_cast<size_t>(place.z_residue + link * static_cast<int>(t.dilation)) * t.height;
    T *to = z + (static_cast<size_t>(place.volume) * m.outputs + marcher.first_output) * t.channel + plane * t.pitch + x;
#pragma unroll
    for (int g = 0; g < G; g++) {
      if (marcher.first_output + g >= m.outputs) break;
      float sum = 0, squares = 0;
#pragma unroll
      for (int line = 0; line < march_lines; line++) {
        int y;
        if (!marcher.line_at(line, &y)) break;
        const T stored = narrow<T>(x < static_cast<int>(t.width) ? sums[line][g] : 0.0f);
        to[static_cast<uint32_t>(y) * t.pitch] = stored;
        sum += widen(stored);
        squares = multiply_add(widen(stored), widen(stored), squares);
      }
      marcher.measured.add(g, sum, squares);
      to += t.channel;
    }
  });
  if (partials) marcher.measured.write(m.outputs, marcher.first_output, partials);
}

template <class T>
Status convolve_by_march(cudaStream_t stream, const March &m, T *z, double *partials) {
  const uint32_t channels = march_channels(m.outputs);
  const dim3 grid(m.tiling.items(), divide_up(m.outputs, channels)), block(march_block(m.tiling));
  switch (channels) {
    case 1: return launch(stream, grid, block, march_shared_bytes<1>(m), convolve_kernel<T, 1>, m, z, partials);
    case 2: return launch(stream, grid, block, march_shared_bytes<2>(m), convolve_kernel<T, 2>, m, z, partials);
    case 3: return launch(stream, grid, block, march_shared_bytes<3>(m), convolve_kernel<T, 3>, m, z, partials);
    case 4: return launch(stream, grid, block, march_shared_bytes<4>(m), convolve_kernel<T, 4>, m, z, partials);
    default: return launch(stream, grid, block, march_shared_bytes<5>(m), convolve_kernel<T, 5>, m, z, partials);
  }
}

/** As convolve_kernel, on tensor cores. */
__global__ void __launch_bounds__(march_threads, 2)
    convolve_tiles_kernel(const __grid_constant__ March m, Bfloat16 *z, double *partials) {
  const Place &place = shared_place(m.tiling);
  TileMarcher marcher(m, place, blockIdx.y);
  marcher.load_weights<false>();
  marcher.walk([&](int link, const float(&sums)[march_lines][4]) {
    Bfloat16 *to = z + marcher.output_at(link);
    float sum[2] = {}, squares[2] = {};
    marcher.for_each(sums, [&](int output, uint32_t offset, bool inside, float value) {
      const Bfloat16 stored = narrow<Bfloat16>(inside ? value : 0.0f);
      to[output * static_cast<size_t>(m.tiling.channel) + offset] = stored;
      sum[output] += widen(stored);
      squares[output] = multiply_add(widen(stored), widen(stored), squares[output]);
    });
    for (int output = 0; output < 2; output++) marcher.measure(output, sum[output], squares[output]);
  });
  if (partials) marcher.write_measured(partials);
}

}  // namespace

size_t convolution_partials(const Device &device, const Convolution &shape) {
  if (!is_valid(shape)) return 0;
  const uint32_t channels = shape.inputs > shape.outputs ? shape.inputs : shape.outputs;
  return size_t{2} * channels * convolution_tiling(device, shape).items();
}

Status convolve(cudaStream_t stream, const Device &device, const Convolution &shape, const Activated &input, const float *weights,
                void *z, double *partials) {
  if (!is_valid(shape) || !input.z || !weights || !z) return Status::invalid_argument;
  if ((input.activation == Activation::identity) != (input.coefficients == nullptr)) return Status::invalid_argument;
  const March m = {convolution_tiling(device, shape), shape.inputs, shape.outputs, input, weights};
  if (shape.precision == Precision::fp32) return convolve_by_march(stream, m, static_cast<float *>(z), partials);
  if (!on_tiles(device, shape.precision)) return convolve_by_march(stream, m, static_cast<Bfloat16 *>(z), partials);
  const dim3 grid(m.tiling.items(), divide_up(m.outputs, tile_columns)), block(tile_block(m.tiling));
  return launch(stream, grid, block, tile_shared_bytes(m), convolve_tiles_kernel, m, static_cast<Bfloat16 *>(z), partials);
}

}  // namespace mfl::cuda
