/* The gradient by a convolution's weights: the activated input, shifted by each tap, times the gradient by z.
 *
 * A block walks along a chain of planes (see tiling.h) with one plane of the input and three of the gradient in shared memory, and more of each on
 * their way there (plane_maker.h). A multiplying warp has one input channel and one kz, and holds the sums of nine (ky, kx) for every
 * output in registers to the end of the item: 45 for five outputs. A thread goes down the lines of its column with the three lines of
 * the input that a line of the gradient meets, so that three values and five of the gradient serve 45 multiply-adds. */
#include "plane_maker.h"

namespace mfl::cuda {

namespace {

/** Static shared memory, rounded up. */
constexpr uint32_t fixed_bytes = 1024;

/** partials (items, splits, Co, Ci, 27). Overwrites, z as well when made. */
template <class T, class Shape, int CI, int G, bool made, Compiled known>
__global__ void __launch_bounds__(Block<Shape, CI, G>::threads, 1) weight_gradient_kernel(const __grid_constant__ Products p, double *partials) {
  using B = Block<Shape, CI, G>;
  __shared__ Scaling scalings[CI];
  __shared__ Coefficients backwards[G];
  const Tiling &t = p.tiling;
  const Place &place = shared_place(t);
  const uint32_t groups = divide_up(p.inputs, CI);
  const uint32_t first_input = blockIdx.y % groups * CI, first_output = blockIdx.y / groups * G;
  const int inputs = p.inputs - first_input < CI ? static_cast<int>(p.inputs - first_input) : CI;
  const int outputs = p.outputs - first_output < G ? static_cast<int>(p.outputs - first_output) : G;
  const int me = static_cast<int>(threadIdx.x), warp = me / warp_size, lane = me % warp_size;
  if (me < inputs) scalings[me] = scaling_of(p.from.coefficients ? p.from.coefficients + place.volume * p.inputs + first_input + me : nullptr);
  if (made && me < outputs) backwards[me] = p.coefficients[place.volume * p.outputs + first_output + me];
  for (int i = me; i < (B::inputs + B::gradients) / 4; i += B::threads) reinterpret_cast<float4 *>(shared_memory())[i] = {0, 0, 0, 0};
  __syncthreads();

  const bool some = place.z_first < place.z_end && place.y_first < place.y_count;
  const int begin = place.z_first > 0 ? place.z_first - 1 : 0;
  const int last = place.z_end < place.z_count ? place.z_end : place.z_count - 1;
  if (warp >= B::multipliers) {
    if (!some) return;
    const PlaneMaker<T, Shape, CI, G, made, known> maker(p, place, scalings, backwards, me - B::multipliers * warp_size, first_input, inputs,
                                                          first_output, outputs);
    maker.walk(begin, last);
    return;
  }

  const int kz = warp % 3, c = warp / 3 % CI, split = warp / (3 * CI), dilation = static_cast<int>(t.dilation);
  float sums[3][3][G] = {};
  if (some) __syncthreads();
  for (int link = begin; some && link <= last; link++) {
    const int of = link + 1 - kz;
    if (of >= place.z_first && of < place.z_end) {
      const float *const from = B::inputs_of(link) + c * Shape::input_plane + t.padding + lane, *const slopes = B::gradients_of(of) + lane;
#pragma unroll 1
      for (int x = split * warp_size; x < static_cast<int>(t.columns); x += B::splits * warp_size) {
        const float *const left = from + x - dilation, *const middle = from + x, *const right = from + x + dilation;
        float values[Shape::rows + 2][3];
#pragma unroll
        for (int line = 0; line < Shape::rows + 2; line++) {
          values[line][0] = left[line * Shape::pitch];
          values[line][1] = middle[line * Shape::pitch];
          values[line][2] = right[line * Shape::pitch];
          if (line < 2) continue;
          float slope[G];
#pragma unroll
          for (int g = 0; g < G; g++) slope[g] = slopes[g * Shape::gradient_plane + (line - 2) * Shape::columns + x];
#pragma unroll
          for (int kx = 0; kx < 3; kx++) {
#pragma unroll
            for (int ky = 0; ky < 3; ky++) {
#pragma unroll
              for (int g = 0; g < G; g++) sums[ky][kx][g] = multiply_add(values[line - 2 + ky][kx], slope[g], sums[ky][kx][g]);
            }
          }
        }
      }
    }
    __syncthreads();
  }
  double *const to = partials + (static_cast<size_t>(blockIdx.x) * B::splits + split) * p.outputs * p.inputs * 27;
#pragma unroll
  for (int g = 0; g < G; g++) {
#pragma unroll
    for (int ky = 0; ky < 3; ky++) {
#pragma unroll
      for (int kx = 0; kx < 3; kx++) {
        const float sum = warp_sum(sums[ky][kx][g]);
        const uint32_t input = first_input + c, output = first_output + g;
        if (lane == 0 && input < p.inputs && output < p.outputs) to[(output * p.inputs + input) * 27 + (kz * 3 + ky) * 3 + kx] = sum;
      }
    }
  }
}

/** z = the gradient by z, from that by normalised, scaled values: for a block's channels that are too many for one group. In place. */
template <class T>
__global__ void through_normalisation_kernel(const __grid_constant__ Tiling t, const Coefficients *coefficients, const T *gradient, T *z) {
  const size_t channel = static_cast<size_t>(blockIdx.y) * t.channel;
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < t.channel / 4; i += gridDim.x * blockDim.x) {
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

/** Whether its largest block fits. */
template <class Shape>
bool fits(const Device &device) {
  return Block<Shape, 5, 5>::bytes + fixed_bytes <= device.shared_bytes;
}

bool is_wide(const Device &device, const Convolution &shape) { return shape.dilation <= march_wide_dilation && fits<Wide>(device); }

/** On tensor cores, or of the largest block that the device's shared memory takes. */
Tiling products_tiling(const Device &device, const Convolution &shape) {
  if (on_tiles(device, shape.precision)) return product_tiles_tiling(shape);
  if (!is_wide(device, shape)) return tiling_of(shape.grid, shape.dilation, Narrow::columns, Narrow::rows);
  return tiling_of(shape.grid, shape.dilation, shape.grid.width > 32 ? Wide::columns : 32, Wide::rows);
}

/** Sums that are to be added up. */
uint32_t products_items(const Device &device, const Convolution &shape) {
  const uint32_t items = products_tiling(device, shape).items();
  if (on_tiles(device, shape.precision) || shape.inputs > 1) return items;
  return items * (is_wide(device, shape) ? Block<Wide, 1, 1>::splits : Block<Narrow, 1, 1>::splits);
}

template <class T>
Status make_gradient(cudaStream_t stream, const Products &p) {
  constexpr uint32_t threads = 256;
  const dim3 grid(divide_up(p.tiling.channel, 16 * threads), p.tiling.volumes * p.outputs);
  return launch(stream, grid, dim3(threads), 0, through_normalisation_kernel<T>, p.tiling, p.coefficients,
                static_cast<const T *>(p.gradient), static_cast<T *>(p.z));
}

template <class T, class Shape, int CI, int G, Compiled known = Compiled::any>
Status multiply(cudaStream_t stream, const Products &p, double *partials) {
  using B = Block<Shape, CI, G>;
  const dim3 grid(p.tiling.items(), divide_up(p.inputs, CI) * divide_up(p.outputs, G)), block(B::threads);
  if (grid.y == 1) return launch(stream, grid, block, B::bytes, weight_gradient_kernel<T, Shape, CI, G, true, known>, p, partials);
  const Status status = make_gradient<T>(stream, p);
  if (status != Status::ok) return status;
  return launch(stream, grid, block, B::bytes, weight_gradient_kernel<T, Shape, CI, G, false, known>, p, partials);
}

template <class T, class Shape>
Status multiply_groups(cudaStream_t stream, const Groups &groups, const Products &p, double *partials) {
  switch (groups.inputs == 1 ? groups.outputs : 5 + groups.outputs) {
    case 1: return multiply<T, Shape, 1, 1>(stream, p, partials);
    case 2: return multiply<T, Shape, 1, 2>(stream, p, partials);
    case 3: return multiply<T, Shape, 1, 3>(stream, p, partials);
    case 4: return multiply<T, Shape, 1, 4>(stream, p, partials);
    case 5: return multiply<T, Shape, 1, 5>(stream, p, partials);
    case 7: return multiply<T, Shape, 2, 2>(stream, p, partials);
    case 8: return multiply<T, Shape, 3, 3>(stream, p, partials);
    case 9: return multiply<T, Shape, 4, 4>(stream, p, partials);
    default: return multiply<T, Shape, 5, 5>(stream, p, partials);
  }
}

template <class T>
Status multiply_shaped(cudaStream_t stream, const Device &device, const Convolution &shape, const Products &p, double *partials) {
  // Two planes ahead for the blocks that the default model has.
  const bool is_deep = is_wide(device, shape) && fits<Deep>(device) && shape.outputs == 5;
  if (is_deep && shape.inputs == 5 && p.from.activation == Activation::elu) return multiply<T, Deep, 5, 5, Compiled::elu>(stream, p, partials);
  if (is_deep && shape.inputs == 1 && p.from.activation == Activation::identity) {
    return multiply<T, Deep, 1, 5, Compiled::identity>(stream, p, partials);
  }
  if (is_wide(device, shape)) return multiply_groups<T, Wide>(stream, groups_of(shape), p, partials);
  return multiply_groups<T, Narrow>(stream, groups_of(shape), p, partials);
}

}  // namespace

size_t weight_gradient_partials(const Device &device, const Convolution &shape) {
  if (!is_valid(shape)) return 0;
  return size_t{27} * shape.outputs * shape.inputs * products_items(device, shape);
}

Status weight_gradient(cudaStream_t stream, const Device &device, const Convolution &shape, const Activated &input,
                       const Coefficients *coefficients, const void *gradient, void *z, double *partials) {
  if (!is_valid(shape) || !input.z || !coefficients || !gradient || !z || !partials) return Status::invalid_argument;
  if ((input.activation == Activation::identity) != (input.coefficients == nullptr)) return Status::invalid_argument;
  const Products p = {products_tiling(device, shape), shape.inputs, shape.outputs, input, coefficients, gradient, z};
  if (shape.precision == Precision::fp32) return multiply_shaped<float>(stream, device, shape, p, partials);
  if (!on_tiles(device, shape.precision)) return multiply_shaped<Bfloat16>(stream, device, shape, p, partials);
  const Status status = is_one_group_of_tiles(shape) ? Status::ok : make_gradient<Bfloat16>(stream, p);
  return status == Status::ok ? multiply_tiles(stream, p, partials) : status;
}

Status finish_weight_gradient(cudaStream_t stream, const Device &device, const Convolution &shape, const double *partials,
                              float *by_weights) {
  if (!is_valid(shape) || !partials || !by_weights) return Status::invalid_argument;
  const uint32_t columns = 27 * shape.outputs * shape.inputs;
  return launch(stream, dim3(divide_up(columns, warp_size)), dim3(32 * warp_size), 0, sum_columns_kernel, partials,
                products_items(device, shape), columns, by_weights);
}

}  // namespace mfl::cuda
