/* From sums to coefficients, and the way back: one block a channel, in double precision. */
#include "item_sums.h"
#include "tile_march.h"

namespace mfl::cuda {

namespace {

constexpr double epsilon = 1e-5;

struct Moments {
  double mean, variance;
};

__device__ Moments moments(const double *partials, uint32_t items, uint32_t channels, double samples) {
  const double mean = sum_items(partials, items, 2 * channels) / samples;
  const double squares = sum_items(partials + channels, items, 2 * channels) / samples;
  const double variance = squares - mean * mean;
  // Not max(): what is not a number stays so.
  return {mean, variance < 0 ? 0 : variance};
}

__device__ Coefficients normalised(const Moments &m, double weight, double offset, float factor) {
  const double inverse = 1.0 / sqrt(m.variance + epsilon);
  Coefficients k;
  k.scale = static_cast<float>(weight * inverse);
  k.shift = static_cast<float>(offset - weight * inverse * m.mean);
  k.factor = factor;
  k.inverse = static_cast<float>(inverse);
  k.center = static_cast<float>(-m.mean * inverse);
  k.by_slope = 1;
  k.by_z = k.constant = 0;
  return k;
}

__device__ Coefficients plain(float bias, float factor) { return {1, bias, factor, 0, 0, 1, 0, 0}; }

__device__ float factor_of(const Affine &affine, uint32_t volume, uint32_t channel) {
  return affine.factors ? affine.factors[volume * affine.factors_volume_stride + channel] : 1.0f;
}

__global__ void batch_statistics_kernel(const double *partials, uint32_t items, uint32_t volumes, double samples,
                                        const __grid_constant__ Affine affine, Coefficients *coefficients, float *measured) {
  const uint32_t channel = blockIdx.x, channels = gridDim.x;
  const Moments m = moments(partials + channel, items, channels, samples);
  if (threadIdx.x == 0 && measured) {
    measured[channel] = static_cast<float>(m.mean + (affine.bias ? affine.bias[channel] : 0.0f));
    measured[channels + channel] = static_cast<float>(m.variance);
  }
  for (uint32_t volume = threadIdx.x; volume < volumes; volume += finish_threads) {
    coefficients[volume * channels + channel] =
        normalised(m, affine.weight[channel], affine.offset[channel], factor_of(affine, volume, channel));
  }
}

__global__ void instance_statistics_kernel(const double *partials, uint32_t items, double samples, Coefficients *coefficients) {
  const uint32_t channel = blockIdx.x, channels = gridDim.x, volume = blockIdx.y;
  const double *own = partials + static_cast<size_t>(volume) * items * 2 * channels + channel;
  const Moments m = moments(own, items, channels, samples);
  if (threadIdx.x == 0) coefficients[volume * channels + channel] = normalised(m, 1, 0, 1);
}

__global__ void fixed_coefficients_kernel(uint32_t volumes, const float *running, const __grid_constant__ Affine affine,
                                          Coefficients *coefficients) {
  const uint32_t channel = blockIdx.x, channels = gridDim.x;
  const float bias = affine.bias ? affine.bias[channel] : 0.0f;
  for (uint32_t volume = threadIdx.x; volume < volumes; volume += finish_threads) {
    const float factor = factor_of(affine, volume, channel);
    Coefficients *to = coefficients + volume * channels + channel;
    if (running) {
      // z is without the bias, the running mean with it.
      const Moments m = {static_cast<double>(running[channel]) - bias, running[channels + channel]};
      *to = normalised(m, affine.weight[channel], affine.offset[channel], factor);
    } else {
      *to = plain(bias, factor);
    }
  }
}

__global__ void normalisation_kernel(const __grid_constant__ GradientSums sums, uint32_t volumes, bool batch_norm, double samples,
                                     Coefficients *coefficients, float *by_weight, float *by_offset, float *by_bias) {
  const uint32_t channel = blockIdx.x, channels = gridDim.x;
  const double *own = sums.partials + sums.first + channel;
  const double gradient = sum_items(own, sums.items, sums.stride);
  const double product = sum_items(own + channels, sums.items, sums.stride);
  if (threadIdx.x == 0) {
    if (by_weight) by_weight[channel] = static_cast<float>(product);
    if (by_offset) by_offset[channel] = static_cast<float>(gradient);
    if (by_bias) by_bias[channel] = batch_norm ? 0.0f : static_cast<float>(gradient);
  }
  if (!batch_norm) return;
  for (uint32_t volume = threadIdx.x; volume < volumes; volume += finish_threads) {
    Coefficients *k = coefficients + volume * channels + channel;
    const double scale = k->scale, inverse = k->inverse, center = k->center;
    k->by_slope = k->scale;
    k->by_z = static_cast<float>(-scale * inverse * product / samples);
    k->constant = static_cast<float>(-scale * (gradient + center * product) / samples);
  }
}

double voxels(const Grid &grid) { return static_cast<double>(grid.depth) * grid.height * grid.width; }

bool is_channel_count(uint32_t channels) { return channels >= 1 && channels <= most_channels; }

}  // namespace

Status finish_batch_statistics(cudaStream_t stream, const Device &device, const Convolution &shape, const double *partials,
                               const Affine &affine, Coefficients *coefficients, float *measured) {
  if (!is_valid(shape) || !partials || !affine.weight || !affine.offset || !coefficients) return Status::invalid_argument;
  return launch(stream, dim3(shape.outputs), dim3(finish_threads), 0, batch_statistics_kernel, partials,
                convolution_tiling(device, shape).items(), shape.grid.volumes, shape.grid.volumes * voxels(shape.grid), affine,
                coefficients, measured);
}

Status finish_instance_statistics(cudaStream_t stream, const Device &device, const Convolution &shape, const double *partials,
                                  Coefficients *coefficients) {
  if (!is_valid(shape) || !partials || !coefficients) return Status::invalid_argument;
  return launch(stream, dim3(shape.outputs, shape.grid.volumes), dim3(finish_threads), 0, instance_statistics_kernel, partials,
                convolution_tiling(device, shape).items_per_volume(), voxels(shape.grid), coefficients);
}

Status fixed_coefficients(cudaStream_t stream, uint32_t volumes, uint32_t channels, const float *running, const Affine &affine,
                          Coefficients *coefficients) {
  if (volumes == 0 || !is_channel_count(channels) || !coefficients) return Status::invalid_argument;
  if (running && (!affine.weight || !affine.offset)) return Status::invalid_argument;
  return launch(stream, dim3(channels), dim3(finish_threads), 0, fixed_coefficients_kernel, volumes, running, affine, coefficients);
}

Status finish_normalisation(cudaStream_t stream, const Grid &grid, uint32_t channels, bool batch_norm, const GradientSums &sums,
                            Coefficients *coefficients, float *by_weight, float *by_offset, float *by_bias) {
  if (!is_valid(grid) || !is_channel_count(channels) || !sums.partials || !coefficients) return Status::invalid_argument;
  return launch(stream, dim3(channels), dim3(finish_threads), 0, normalisation_kernel, sums, grid.volumes, batch_norm,
                grid.volumes * voxels(grid), coefficients, by_weight, by_offset, by_bias);
}

}  // namespace mfl::cuda
