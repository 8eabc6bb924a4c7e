/* The gradient by a block's input, through the activation of the block before: the mirrored convolution of the gradient by z. */
#include "tile_march.h"

namespace mfl::cuda {

namespace {

/** What the sums of the convolution are multiplied by: the slope of the block before. */
struct Before {
  const void *z;
  const Coefficients *coefficients;
  Activation activation;
};

/** gradient (N, C, D, H, P) by normalised, scaled values; partials (items, 2, C): sums of it and of its products with the normalised
 * values. Overwrites. */
template <class T, int G, Compiled known, int exact_inputs>
__global__ void __launch_bounds__(march_threads, 2)
    data_gradient_kernel(const __grid_constant__ March m, const __grid_constant__ Before before, T *gradient, double *partials) {
  const Place &place = shared_place(m.tiling);
  Marcher<T, G, Compiled::identity, exact_inputs> marcher(m, place, blockIdx.y, true);
  marcher.template begin<true>();
  const Tiling &t = m.tiling;
  const bool inside = marcher.inside();
  const uint32_t channel = place.volume * m.outputs + marcher.first_output;
  const size_t own = static_cast<size_t>(channel) * t.channel + marcher.own;
  // walk() begins with a barrier.
  __shared__ Coefficients coefficients[G];
  if (threadIdx.x < G && marcher.first_output + threadIdx.x < m.outputs) coefficients[threadIdx.x] = before.coefficients[channel + threadIdx.x];
  // z comes by shared memory: to load it where it is needed would be to wait for it there, and registers are scarce.
  T *const zs = reinterpret_cast<T *>(marcher.outputs) + threadIdx.x;
  const auto prepare = [&](size_t at) {
    const T *from = static_cast<const T *>(before.z) + own + at;
#pragma unroll
    for (int g = 0; g < G; g++, from += t.channel) {
      if (!marcher.has_output(g)) break;
#pragma unroll
      for (int line = 0; line < march_lines; line++) {
        if (line < marcher.lines) copy_async(zs + (g * march_lines + line) * blockDim.x, from + line * marcher.line_step);
      }
    }
  };
  const auto finish = [&](size_t at, const float(&sums)[march_lines][G]) {
    T *to = gradient + own + at;
#pragma unroll
    for (int g = 0; g < G; g++, to += t.channel) {
      if (!marcher.has_output(g)) break;
      const Coefficients &k = coefficients[g];
      float z[march_lines], slopes[march_lines], sum = 0, product = 0;
#pragma unroll
      for (int line = 0; line < march_lines; line++) {
        z[line] = line < marcher.lines ? widen(zs[(g * march_lines + line) * blockDim.x]) : 0.0f;
        slopes[line] = multiply_add(k.scale, z[line], k.shift);
      }
      slopes_at_all(activation_of<known>(before.activation), k.factor, slopes);
#pragma unroll
      for (int line = 0; line < march_lines; line++) {
        const bool kept = line < marcher.lines;
        const T stored = narrow<T>(kept && inside ? slopes[line] * sums[line][g] : 0.0f);
        if (kept) to[line * marcher.line_step] = stored;
        sum += widen(stored);
        product = multiply_add(widen(stored), multiply_add(k.inverse, z[line], k.center), product);
      }
      marcher.measured.add(g, sum, product);
    }
  };
  marcher.walk(prepare, finish);
  marcher.measured.write(m.outputs, marcher.first_output, partials);
}

template <class T, int G, Compiled known = Compiled::any, int exact_inputs = 0>
Status march(cudaStream_t stream, const Device &device, March m, const Before &before, T *gradient, double *partials) {
  m.chunk = march_chunk<G>(device, m.tiling, m.inputs, true);
  const dim3 grid(m.tiling.items(), divide_up(m.outputs, G)), block(march_block(m.tiling));
  return launch(stream, grid, block, march_shared_bytes<G>(m, true), data_gradient_kernel<T, G, known, exact_inputs>, m, before, gradient, partials);
}

template <class T>
Status gradient_by_march(cudaStream_t stream, const Device &device, const March &m, const Before &before, T *gradient, double *partials) {
  switch (march_channels(m.outputs)) {
    case 1: return march<T, 1>(stream, device, m, before, gradient, partials);
    case 2: return march<T, 2>(stream, device, m, before, gradient, partials);
    case 3: return march<T, 3>(stream, device, m, before, gradient, partials);
    case 4: return march<T, 4>(stream, device, m, before, gradient, partials);
    default:
      if (is_whole(m.tiling) && m.inputs == 5 && m.outputs == 5 && before.activation == Activation::elu &&
          march_chunk<5>(device, m.tiling, m.inputs, true) == m.inputs) {
        return march<T, 5, Compiled::elu, 5>(stream, device, m, before, gradient, partials);
      }
      return march<T, 5>(stream, device, m, before, gradient, partials);
  }
}

/** As data_gradient_kernel, on tensor cores. */
template <class Marcher, Compiled known>
__global__ void __launch_bounds__(march_threads, 2) data_gradient_tiles_kernel(const __grid_constant__ March m,
                                                                              const __grid_constant__ Before before,
                                                                              Bfloat16 *gradient, double *partials) {
  const Place &place = shared_place(m.tiling);
  Marcher marcher(m, place, blockIdx.y);
  marcher.template begin<true>();
  // walk() begins with a barrier.
  __shared__ Coefficients coefficients[tile_columns];
  if (threadIdx.x < tile_columns) {
    const uint32_t channel = marcher.first_output + threadIdx.x;
    coefficients[threadIdx.x] = channel < m.outputs ? before.coefficients[place.volume * m.outputs + channel] : Coefficients{};
  }
  float sums[2] = {}, products[2] = {};
  uint2 zs[march_lines];
  const auto prepare = [&](size_t at) {
    const Bfloat16 *const from = static_cast<const Bfloat16 *>(before.z) + marcher.output_at(at);
#pragma unroll
    for (int line = 0; line < march_lines; line++) {
      zs[line] = {0, 0};
      if (marcher.keeps && marcher.has_line(line)) zs[line] = *reinterpret_cast<const uint2 *>(from + line * marcher.line_step);
    }
  };
  const auto finish = [&](size_t at) {
    Bfloat16 *const to = gradient + marcher.output_at(at);
    // Of the lane's two outputs.
    const Coefficients k[2] = {coefficients[2 * marcher.pair], coefficients[2 * marcher.pair + 1]};
#pragma unroll
    for (int line = 0; line < march_lines; line++) {
      const uint32_t words[2] = {transposed(zs[line].x), transposed(zs[line].y)};
      uint32_t stored[2];
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const float z[2] = {lower_of(words[half]), upper_of(words[half])};
        float value[2];
#pragma unroll
        for (int output = 0; output < 2; output++) {
          float slope[1] = {multiply_add(k[output].scale, z[output], k[output].shift)};
          slopes_at_all(activation_of<known>(before.activation), k[output].factor, slope);
          value[output] = slope[0] * marcher.sums[0][line][2 * half + output];
        }
        stored[half] = narrow_pair(value[0], value[1]);
        const float kept[2] = {lower_of(stored[half]), upper_of(stored[half])};
#pragma unroll
        for (int output = 0; output < 2; output++) {
          sums[output] += kept[output];
          products[output] = multiply_add(kept[output], multiply_add(k[output].inverse, z[output], k[output].center), products[output]);
        }
      }
      marcher.store_line(to, line, stored[0], stored[1]);
    }
  };
  marcher.walk(prepare, finish);
  marcher.write_measured(sums, products, partials);
}

Status gradient_by_tiles(cudaStream_t stream, const March &m, const Before &before, Bfloat16 *gradient, double *partials) {
  const dim3 grid(m.tiling.items(), divide_up(m.outputs, tile_columns)), block(tile_block(m.tiling));
  using Whole = WholeTiles<Compiled::identity>;
  using Wide = WideTiles<Compiled::identity>;
  using Narrow = NarrowTiles<Compiled::identity>;
  const auto kernel = is_narrow_tile(m.tiling.dilation)                          ? data_gradient_tiles_kernel<Narrow, Compiled::any>
                      : before.activation == Activation::elu && is_whole_tiles(m) ? data_gradient_tiles_kernel<Whole, Compiled::elu>
                                                                                  : data_gradient_tiles_kernel<Wide, Compiled::any>;
  return launch(stream, grid, block, tile_shared_bytes(m), kernel, m, before, gradient, partials);
}

}  // namespace

GradientSums data_gradient_sums(const Device &device, const Convolution &shape, const double *partials) {
  return {partials, convolution_tiling(device, shape).items(), 2 * shape.inputs, 0};
}

Status data_gradient(cudaStream_t stream, const Device &device, const Convolution &shape, const void *z, const float *weights,
                     const Activated &before, void *gradient, double *partials) {
  if (!is_valid(shape) || !z || !weights || !before.z || !before.coefficients || !gradient || !partials) {
    return Status::invalid_argument;
  }
  const March m = {convolution_tiling(device, shape), shape.outputs, shape.inputs, 0, {z, nullptr, Activation::identity}, weights};
  const Before slope = {before.z, before.coefficients, before.activation};
  if (shape.precision == Precision::fp32) return gradient_by_march(stream, device, m, slope, static_cast<float *>(gradient), partials);
  Bfloat16 *to = static_cast<Bfloat16 *>(gradient);
  if (!convolves_on_tiles(device, shape)) return gradient_by_march(stream, device, m, slope, to, partials);
  return gradient_by_tiles(stream, m, slope, to, partials);
}

}  // namespace mfl::cuda
