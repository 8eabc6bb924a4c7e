/* The gradient by a convolution's weights: the activated input, shifted by each tap, times the gradient by z.
 *
 * A block walks along a chain of planes (see tiling.h) with three planes of the input and one of the gradient in shared memory. Each of
 * its nine warps has one (kz, kx) and holds the sums of three ky for every pair of channels in registers to the end of the
 * item: 75 for 5 x 5 channels. A thread takes four lines at a time: 30 values of the input and 20 of the gradient serve 300
 * multiply-adds. */
#include "products.h"

namespace mfl::cuda {

namespace {

constexpr int threads = 9 * warp_size;

__host__ __device__ inline uint32_t gradient_plane(const Tiling &t) { return t.rows * t.columns; }

uint32_t shared_bytes(const Tiling &t, uint32_t inputs, uint32_t outputs) {
  return static_cast<uint32_t>(sizeof(float)) * (3 * inputs * march_plane(t) + outputs * gradient_plane(t));
}

/** partials (items, Co, Ci, 27). Overwrites, z as well when made. */
template <class T, int CI, int G, bool made>
__global__ void __launch_bounds__(threads, 2) weight_gradient_kernel(const __grid_constant__ Products p, double *partials) {
  const Tiling &t = p.tiling;
  const Place &place = shared_place(t);
  const uint32_t groups = divide_up(p.inputs, CI);
  const uint32_t first_input = blockIdx.y % groups * CI, first_output = blockIdx.y / groups * G;
  const uint32_t plane = march_plane(t), row = t.columns + 2 * t.padding;
  float *const ring = reinterpret_cast<float *>(shared_memory());
  float *const slopes = ring + 3 * CI * plane;
  const int warp = static_cast<int>(threadIdx.x) / warp_size, lane = static_cast<int>(threadIdx.x) % warp_size;
  const int kz = warp / 3, kx = warp % 3;
  const auto slot = [&](int link) { return ring + (link + 3) % 3 * CI * plane; };

  float sums[3][CI][G] = {};
  const bool some = place.z_first < place.z_end && place.y_first < place.y_count;
  const auto load_plane = [&](int link) {
    float4 *const to = reinterpret_cast<float4 *>(slot(link));
    load_input<T, CI>(p, place, first_input, link, [&](int c, uint32_t index, const float(&v)[4]) {
      to[c * (plane / 4) + index] = {v[0], v[1], v[2], v[3]};
    });
  };
  if (some) {
    load_plane(place.z_first - 1);
    load_plane(place.z_first);
  }
  for (int link = place.z_first; some && link < place.z_end; link++) {
    load_plane(link + 1);
    load_gradient<T, G, made>(p, place, first_output, link, [&](int g, uint32_t index, const float(&v)[4]) {
      reinterpret_cast<float4 *>(slopes)[g * (gradient_plane(t) / 4) + index] = {v[0], v[1], v[2], v[3]};
    });
    __syncthreads();
    const float *from = slot(link + kz - 1) + t.padding + lane + (kx - 1) * static_cast<int>(t.dilation);
    for (uint32_t group = 0; group < t.rows / march_lines; group++) {
      for (uint32_t x = 0; x < t.columns; x += warp_size) {
        float slope[march_lines][G];
#pragma unroll
        for (int line = 0; line < march_lines; line++) {
#pragma unroll
          for (int g = 0; g < G; g++) slope[line][g] = slopes[(g * t.rows + group * march_lines + line) * t.columns + x + lane];
        }
#pragma unroll
        for (int c = 0; c < CI; c++) {
          float values[march_lines + 2];
#pragma unroll
          for (int i = 0; i < march_lines + 2; i++) values[i] = from[c * plane + (group * march_lines + i) * row + x];
#pragma unroll
          for (int ky = 0; ky < 3; ky++) {
#pragma unroll
            for (int line = 0; line < march_lines; line++) {
#pragma unroll
              for (int g = 0; g < G; g++) sums[ky][c][g] = multiply_add(values[line + ky], slope[line][g], sums[ky][c][g]);
            }
          }
        }
      }
    }
    __syncthreads();
  }
  double *to = partials + static_cast<size_t>(blockIdx.x) * p.outputs * p.inputs * 27;
#pragma unroll
  for (int c = 0; c < CI; c++) {
#pragma unroll
    for (int g = 0; g < G; g++) {
#pragma unroll
      for (int ky = 0; ky < 3; ky++) {
        const float sum = warp_sum(sums[ky][c][g]);
        const uint32_t input = first_input + c, output = first_output + g;
        if (lane == 0 && input < p.inputs && output < p.outputs) {
          to[(output * p.inputs + input) * 27 + (kz * 3 + ky) * 3 + kx] = sum;
        }
      }
    }
  }
}

/** z = the gradient by z, from that by normalised, scaled values: for a block's channels that are too many for one group. In place. */
template <class T>
__global__ void through_normalisation_kernel(const __grid_constant__ Tiling t, const Coefficients *coefficients, const T *gradient, T *z) {
  const size_t channel = static_cast<size_t>(blockIdx.y) * t.channel;
  for (uint32_t i = blockIdx.x * threads + threadIdx.x; i < t.channel / 4; i += gridDim.x * threads) {
    float values[4], slopes[4];
    load_quad(z + channel + 4 * i).widen_to(values);
    load_quad(gradient + channel + 4 * i).widen_to(slopes);
    through_normalisation<T>(coefficients[blockIdx.y], static_cast<int>(t.width) - static_cast<int>(4 * i % t.pitch), slopes, values);
    store_quad(z + channel + 4 * i, values);
  }
}

/** by_weights (columns) = the sums over items of partials (items, columns); 32 columns a block, 32 lanes of items. */
__global__ void sum_columns_kernel(const double *partials, uint32_t items, uint32_t columns, float *by_weights) {
  constexpr uint32_t lanes = 32;
  __shared__ double sums[lanes][warp_size];
  const uint32_t within = threadIdx.x % warp_size, lane = threadIdx.x / warp_size, column = blockIdx.x * warp_size + within;
  double sum = 0;
  if (column < columns) {
    for (uint32_t item = lane; item < items; item += lanes) sum += partials[static_cast<size_t>(item) * columns + column];
  }
  sums[lane][within] = sum;
  __syncthreads();
  if (lane > 0 || column >= columns) return;
  for (uint32_t i = 1; i < lanes; i++) sum += sums[i][within];
  by_weights[column] = static_cast<float>(sum);
}

/** Channels of a block: those of the outputs, and as many inputs or one. */
struct Groups {
  uint32_t inputs, outputs;
};
Groups groups_of(const Convolution &shape) {
  const uint32_t inputs = march_channels(shape.inputs), outputs = march_channels(shape.outputs);
  if (shape.inputs == 1 || inputs == outputs) return {inputs, outputs};
  return {march_group, march_group};
}

/** On tensor cores, or of the largest block that the device's shared memory takes. */
Tiling products_tiling(const Device &device, const Convolution &shape) {
  if (on_tiles(device, shape.precision)) return product_tiles_tiling(shape);
  const Groups groups = groups_of(shape);
  const uint32_t columns = shape.grid.width > 32 ? 64 : 32;
  const uint32_t rows = divide_up(shape.grid.height, shape.dilation) > march_lines ? 2 * march_lines : march_lines;
  const auto fits = [&](const Tiling &t) { return shared_bytes(t, groups.inputs, groups.outputs) <= device.shared_bytes; };
  const Tiling large = tiling_of(shape.grid, shape.dilation, columns, rows);
  if (fits(large)) return large;
  const Tiling flat = tiling_of(shape.grid, shape.dilation, columns, march_lines);
  return fits(flat) ? flat : tiling_of(shape.grid, shape.dilation, 32, march_lines);
}

template <class T>
Status make_gradient(cudaStream_t stream, const Products &p) {
  const dim3 grid(divide_up(p.tiling.channel, 16 * threads), p.tiling.volumes * p.outputs);
  return launch(stream, grid, dim3(threads), 0, through_normalisation_kernel<T>, p.tiling, p.coefficients,
                static_cast<const T *>(p.gradient), static_cast<T *>(p.z));
}

template <class T, int CI, int G>
Status multiply(cudaStream_t stream, const Products &p, double *partials) {
  const dim3 grid(p.tiling.items(), divide_up(p.inputs, CI) * divide_up(p.outputs, G));
  const uint32_t bytes = shared_bytes(p.tiling, CI, G);
  if (grid.y == 1) return launch(stream, grid, dim3(threads), bytes, weight_gradient_kernel<T, CI, G, true>, p, partials);
  const Status status = make_gradient<T>(stream, p);
  if (status != Status::ok) return status;
  return launch(stream, grid, dim3(threads), bytes, weight_gradient_kernel<T, CI, G, false>, p, partials);
}

template <class T>
Status multiply_groups(cudaStream_t stream, const Groups &groups, const Products &p, double *partials) {
  switch (groups.inputs == 1 ? groups.outputs : 5 + groups.outputs) {
    case 1: return multiply<T, 1, 1>(stream, p, partials);
    case 2: return multiply<T, 1, 2>(stream, p, partials);
    case 3: return multiply<T, 1, 3>(stream, p, partials);
    case 4: return multiply<T, 1, 4>(stream, p, partials);
    case 5: return multiply<T, 1, 5>(stream, p, partials);
    case 7: return multiply<T, 2, 2>(stream, p, partials);
    case 8: return multiply<T, 3, 3>(stream, p, partials);
    case 9: return multiply<T, 4, 4>(stream, p, partials);
    default: return multiply<T, 5, 5>(stream, p, partials);
  }
}

}  // namespace

size_t weight_gradient_partials(const Device &device, const Convolution &shape) {
  if (!is_valid(shape)) return 0;
  return size_t{27} * shape.outputs * shape.inputs * products_tiling(device, shape).items();
}

Status weight_gradient(cudaStream_t stream, const Device &device, const Convolution &shape, const Activated &input,
                       const Coefficients *coefficients, const void *gradient, void *z, double *partials) {
  if (!is_valid(shape) || !input.z || !coefficients || !gradient || !z || !partials) return Status::invalid_argument;
  if ((input.activation == Activation::identity) != (input.coefficients == nullptr)) return Status::invalid_argument;
  const Products p = {products_tiling(device, shape), shape.inputs, shape.outputs, input, coefficients, gradient, z};
  if (shape.precision == Precision::fp32) return multiply_groups<float>(stream, groups_of(shape), p, partials);
  if (!on_tiles(device, shape.precision)) return multiply_groups<Bfloat16>(stream, groups_of(shape), p, partials);
  const Status status = is_one_group_of_tiles(shape) ? Status::ok : make_gradient<Bfloat16>(stream, p);
  return status == Status::ok ? multiply_tiles(stream, p, partials) : status;
}

Status finish_weight_gradient(cudaStream_t stream, const Device &device, const Convolution &shape, const double *partials,
                              float *by_weights) {
  if (!is_valid(shape) || !partials || !by_weights) return Status::invalid_argument;
  const uint32_t columns = 27 * shape.outputs * shape.inputs;
  return launch(stream, dim3(divide_up(columns, warp_size)), dim3(32 * warp_size), 0, sum_columns_kernel, partials,
                products_tiling(device, shape).items(), columns, by_weights);
}

}  // namespace mfl::cuda
