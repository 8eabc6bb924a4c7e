/* A block's convolution: what the next block reads comes out of it as z, with the sums that its normalisation needs. */
#include "tile_march.h"

namespace mfl::cuda {

namespace {

/** z (N, Co, D, H, P) from the activated input; partials (items, 2, Co): sums and sums of squares of z, or null. Overwrites. */
template <class T, int G, Compiled known, int exact_inputs>
__global__ void __launch_bounds__(march_threads, 2) convolve_kernel(const __grid_constant__ March m, T *z, double *partials) {
  const Place &place = shared_place(m.tiling);
  Marcher<T, G, known, exact_inputs> marcher(m, place, blockIdx.y, false);
  marcher.template begin<false>();
  const Tiling &t = m.tiling;
  const bool inside = marcher.inside();
  T *const own = z + (static_cast<size_t>(place.volume) * m.outputs + marcher.first_output) * t.channel + marcher.own;
  const auto finish = [&](size_t at, const float(&sums)[march_lines][G]) {
    T *to = own + at;
#pragma unroll
    for (int g = 0; g < G; g++, to += t.channel) {
      if (!marcher.has_output(g)) break;
      float sum = 0, squares = 0;
#pragma unroll
      for (int line = 0; line < march_lines; line++) {
        const bool kept = line < marcher.lines;
        const T stored = narrow<T>(kept && inside ? sums[line][g] : 0.0f);
        if (kept) to[line * marcher.line_step] = stored;
        sum += widen(stored);
        squares = multiply_add(widen(stored), widen(stored), squares);
      }
      marcher.measured.add(g, sum, squares);
    }
  };
  marcher.walk([](size_t) {}, finish);
  if (partials) marcher.measured.write(m.outputs, marcher.first_output, partials);
}

template <class T, int G, Compiled known = Compiled::any, int exact_inputs = 0>
Status march(cudaStream_t stream, const Device &device, March m, T *z, double *partials) {
  m.chunk = march_chunk<G>(device, m.tiling, m.inputs, false);
  const dim3 grid(m.tiling.items(), divide_up(m.outputs, G)), block(march_block(m.tiling));
  return launch(stream, grid, block, march_shared_bytes<G>(m, false), convolve_kernel<T, G, known, exact_inputs>, m, z, partials);
}

template <class T>
Status convolve_by_march(cudaStream_t stream, const Device &device, const March &m, T *z, double *partials) {
  switch (march_channels(m.outputs)) {
    case 1: return march<T, 1>(stream, device, m, z, partials);
    case 2: return march<T, 2>(stream, device, m, z, partials);
    case 3: return march<T, 3>(stream, device, m, z, partials);
    case 4: return march<T, 4>(stream, device, m, z, partials);
    default:
      // The two kinds of block that the default model has.
      if (is_whole(m.tiling) && m.outputs == 5 && march_chunk<5>(device, m.tiling, m.inputs, false) == m.inputs) {
        const Activation activation = m.from.activation;
        if (m.inputs == 1 && activation == Activation::identity) return march<T, 5, Compiled::identity, 1>(stream, device, m, z, partials);
        if (m.inputs == 5 && activation == Activation::elu) return march<T, 5, Compiled::elu, 5>(stream, device, m, z, partials);
      }
      return march<T, 5>(stream, device, m, z, partials);
  }
}

/** As convolve_kernel, on tensor cores. */
template <class Marcher>
__global__ void __launch_bounds__(march_threads, 2)
    convolve_tiles_kernel(const __grid_constant__ March m, Bfloat16 *z, double *partials) {
  const Place &place = shared_place(m.tiling);
  Marcher marcher(m, place, blockIdx.y);
  marcher.template begin<false>();
  float sums[2] = {}, squares[2] = {};
  const auto finish = [&](size_t at) {
    Bfloat16 *const to = z + marcher.output_at(at);
#pragma unroll
    for (int line = 0; line < march_lines; line++) {
      const float(&of)[4] = marcher.sums[0][line];
      const uint32_t upper = narrow_pair(of[0], of[1]), lower = narrow_pair(of[2], of[3]);
      // What was stored is measured.
      const float stored[2][2] = {{lower_of(upper), upper_of(upper)}, {lower_of(lower), upper_of(lower)}};
#pragma unroll
      for (int i = 0; i < 4; i++) {
        sums[i % 2] += stored[i / 2][i % 2];
        squares[i % 2] = multiply_add(stored[i / 2][i % 2], stored[i / 2][i % 2], squares[i % 2]);
      }
      marcher.store_line(to, line, upper, lower);
    }
  };
  marcher.walk([](size_t) {}, finish);
  if (partials) marcher.write_measured(sums, squares, partials);
}

Status convolve_by_tiles(cudaStream_t stream, const March &m, Bfloat16 *z, double *partials) {
  const dim3 grid(m.tiling.items(), divide_up(m.outputs, tile_columns)), block(tile_block(m.tiling));
  const auto kernel = is_narrow_tile(m.tiling.dilation)                          ? convolve_tiles_kernel<NarrowTiles<Compiled::any>>
                      : m.from.activation == Activation::elu && is_whole_tiles(m) ? convolve_tiles_kernel<WholeTiles<Compiled::elu>>
                                                                                  : convolve_tiles_kernel<WideTiles<Compiled::any>>;
  return launch(stream, grid, block, tile_shared_bytes(m), kernel, m, z, partials);
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
  const March m = {convolution_tiling(device, shape), shape.inputs, shape.outputs, 0, input, weights};
  if (shape.precision == Precision::fp32) return convolve_by_march(stream, device, m, static_cast<float *>(z), partials);
  if (!convolves_on_tiles(device, shape)) return convolve_by_march(stream, device, m, static_cast<Bfloat16 *>(z), partials);
  return convolve_by_tiles(stream, m, static_cast<Bfloat16 *>(z), partials);
}

}  // namespace mfl::cuda
