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
template <class T, int G>
__global__ void __launch_bounds__(march_threads, 2)
    data_gradient_kernel(const __grid_constant__ March m, const __grid_constant__ Before before, T *gradient, double *partials) {
  const Place &place = shared_place(m.tiling);
  Marcher<T, G> marcher(m, place, blockIdx.y);
  marcher.template load_weights<true>();
  const Tiling &t = m.tiling;
  const int x = place.x_first + marcher.column;
  marcher.walk([&](int link, const float(&sums)[march_lines][G]) {
    if (x >= static_cast<int>(t.pitch)) return;
    const size_t plane = static_cast<size_t>(place.z_residue + link * static_cast<int>(t.dilation)) * t.height;
    const uint32_t channel = place.volume * m.outputs + marcher.first_output;
    size_t at = static_cast<size_t>(channel) * t.channel + plane * t.pitch + x;
    const Coefficients *k = before.coefficients + channel;
#pragma unroll
    for (int g = 0; g < G; g++, k++, at += t.channel) {
      if (marcher.first_output + g >= m.outputs) break;
      float sum = 0, product = 0;
#pragma unroll
      for (int line = 0; line < march_lines; line++) {
        int y;
        if (!marcher.line_at(line, &y)) break;
        const size_t voxel = at + static_cast<uint32_t>(y) * t.pitch;
        const float z = widen(static_cast<const T *>(before.z)[voxel]);
        const float slope = k->factor * slope_at(before.activation, multiply_add(k->scale, z, k->shift));
        const T stored = narrow<T>(x < static_cast<int>(t.width) ? slope * sums[line][g] : 0.0f);
        gradient[voxel] = stored;
        sum += widen(stored);
        product = multiply_add(widen(stored), multiply_add(k->inverse, z, k->center), product);
      }
      marcher.measured.add(g, sum, product);
    }
  });
  marcher.measured.write(m.outputs, marcher.first_output, partials);
}

template <class T>
Status gradient_by_march(cudaStream_t stream, const March &m, const Before &before, T *gradient, double *partials) {
  const uint32_t channels = march_channels(m.outputs);
  const dim3 grid(m.tiling.items(), divide_up(m.outputs, channels)), block(march_block(m.tiling));
  switch (channels) {
    case 1: return launch(stream, grid, block, march_shared_bytes<1>(m), data_gradient_kernel<T, 1>, m, before, gradient, partials);
    case 2: return launch(stream, grid, block, march_shared_bytes<2>(m), data_gradient_kernel<T, 2>, m, before, gradient, partials);
    case 3: return launch(stream, grid, block, march_shared_bytes<3>(m), data_gradient_kernel<T, 3>, m, before, gradient, partials);
    case 4: return launch(stream, grid, block, march_shared_bytes<4>(m), data_gradient_kernel<T, 4>, m, before, gradient, partials);
    default: return launch(stream, grid, block, march_shared_bytes<5>(m), data_gradient_kernel<T, 5>, m, before, gradient, partials);
  }
}

/** As data_gradient_kernel, on tensor cores. */
__global__ void __launch_bounds__(march_threads, 2) data_gradient_tiles_kernel(const __grid_constant__ March m,
                                                                              const __grid_constant__ Before before,
                                                                              Bfloat16 *gradient, double *partials) {
  const Place &place = shared_place(m.tiling);
  TileMarcher marcher(m, place, blockIdx.y);
  marcher.load_weights<true>();
  const Coefficients *coefficients = before.coefficients + place.volume * m.outputs + marcher.first_output + 2 * marcher.pair;
  marcher.walk([&](int link, const float(&sums)[march_lines][4]) {
    const size_t at = marcher.output_at(link);
    float sum[2] = {}, products[2] = {};
    marcher.for_each(sums, [&](int output, uint32_t offset, bool inside, float value) {
      const Coefficients &k = coefficients[output];
      const size_t voxel = at + output * static_cast<size_t>(m.tiling.channel) + offset;
      const float z = widen(static_cast<const Bfloat16 *>(before.z)[voxel]);
      const float slope = k.factor * slope_at(before.activation, multiply_add(k.scale, z, k.shift));
      const Bfloat16 stored = narrow<Bfloat16>(inside ? slope * value : 0.0f);
      gradient[voxel] = stored;
      sum[output] += widen(stored);
      products[output] = multiply_add(widen(stored), multiply_add(k.inverse, z, k.center), products[output]);
    });
    for (int output = 0; output < 2; output++) marcher.measure(output, sum[output], products[output]);
  });
  marcher.write_measured(partials);
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
  const March m = {convolution_tiling(device, shape), shape.outputs, shape.inputs, {z, nullptr, Activation::identity}, weights};
  const Before slope = {before.z, before.coefficients, before.activation};
  if (shape.precision == Precision::fp32) return gradient_by_march(stream, m, slope, static_cast<float *>(gradient), partials);
  Bfloat16 *to = static_cast<Bfloat16 *>(gradient);
  if (!on_tiles(device, shape.precision)) return gradient_by_march(stream, m, slope, to, partials);
  const dim3 grid(m.tiling.items(), divide_up(m.outputs, tile_columns)), block(tile_block(m.tiling));
  return launch(stream, grid, block, tile_shared_bytes(m), data_gradient_tiles_kernel, m, slope, to, partials);
}

}  // namespace mfl::cuda
