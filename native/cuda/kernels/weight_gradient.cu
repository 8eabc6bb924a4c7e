/* The gradient by a convolution's weights: the activated input, shifted by each tap, times the gradient by z.
 *
 * A block walks along a chain of planes (see tiling.h) with one plane of the input and three of the gradient in shared memory, and the next of
 * each on its way there. A warp has one input channel and one kz, and holds the sums of nine (ky, kx) for every output in registers to
 * the end of the item: 45 for five outputs. A thread goes down the lines of its column with the three lines of the input that a line
 * of the gradient meets, so that three values and five of the gradient serve 45 multiply-adds. A thread makes in place what it copied
 * itself, so that a plane takes one barrier. What lies outside the grid is zero in shared memory from the beginning. */
#include "products.h"

namespace mfl::cuda {

namespace {

/** Floats of an input channel of a plane in shared memory: (8 + 2) lines of 96, or (4 + 2) of 160. */
constexpr int input_plane = 960;
/** Quads of an input channel of a plane, at most. */
constexpr int most_quads = input_plane / 4;
/** Planes of the gradient in shared memory: three that are multiplied, and the next. */
constexpr int gradient_planes = 4;

/** How shared memory is laid out, in constants, so that addresses are immediate. Wide: dilations up to 16. Narrow: up to 64. */
struct Wide {
  static constexpr int columns = 64, rows = 8, pitch = 96;
};
struct Narrow {
  static constexpr int columns = 32, rows = 4, pitch = 160;
};

/** A quad that a thread copies from every plane. */
struct OwnQuad {
  /** Elements from the beginning of the plane in the tensor. */
  uint32_t from;
  /** Floats from the beginning of the planes of all channels in shared memory. */
  uint16_t to;
  /** How many of the four lie in the grid: none where the thread has nothing to copy. */
  uint8_t channel, valid;
};

template <class Shape>
constexpr int gradient_plane = Shape::columns * Shape::rows;

/** Warps that share the columns of an input channel and kz: an image has few channels. */
template <class Shape, int CI>
constexpr int splits = CI == 1 ? Shape::columns / warp_size : 1;

template <class Shape, int CI>
constexpr int threads_of = warp_size * 3 * CI * splits<Shape, CI>;

template <class Shape>
__host__ __device__ constexpr uint32_t shared_bytes(int inputs, int outputs, bool made) {
  return static_cast<uint32_t>(sizeof(float)) * (2 * inputs * input_plane + (gradient_planes + made) * outputs * gradient_plane<Shape>);
}

/** Static shared memory, rounded up. */
constexpr uint32_t fixed_bytes = 1024;

/** partials (items, splits, Co, Ci, 27). Overwrites, z as well when made. */
template <class T, class Shape, int CI, int G, bool made, Compiled known>
__global__ void __launch_bounds__(threads_of<Shape, CI>, CI == 5 ? 1 : 2)
    weight_gradient_kernel(const __grid_constant__ Products p, double *partials) {
  constexpr int plane = gradient_plane<Shape>, step = threads_of<Shape, CI>;
  constexpr int input_slots = (CI * most_quads + step - 1) / step, gradient_slots = (G * plane / 4 + step - 1) / step;
  __shared__ Scaling scalings[CI];
  __shared__ Coefficients backwards[G];
  const Tiling &t = p.tiling;
  const Place &place = shared_place(t);
  const uint32_t groups = divide_up(p.inputs, CI);
  const uint32_t first_input = blockIdx.y % groups * CI, first_output = blockIdx.y / groups * G;
  const int inputs = p.inputs - first_input < CI ? static_cast<int>(p.inputs - first_input) : CI;
  const int outputs = p.outputs - first_output < G ? static_cast<int>(p.outputs - first_output) : G;
  const int quads = static_cast<int>(march_quads(t)), me = static_cast<int>(threadIdx.x);
  float *const planes = reinterpret_cast<float *>(shared_memory());
  float *const gradients = planes + 2 * CI * input_plane;
  float *const zs = gradients + gradient_planes * G * plane;

  if (me < inputs) scalings[me] = scaling_of(p.from.coefficients ? p.from.coefficients + place.volume * p.inputs + first_input + me : nullptr);
  if (made && me < outputs) backwards[me] = p.coefficients[place.volume * p.outputs + first_output + me];
  for (int i = me; i < static_cast<int>(shared_bytes<Shape>(CI, G, false) / 16); i += step) reinterpret_cast<float4 *>(planes)[i] = {0, 0, 0, 0};
  __syncthreads();

  // The quads that are this thread's in every plane.
  OwnQuad own_inputs[input_slots], own_gradients[gradient_slots];
#pragma unroll
  for (int s = 0; s < input_slots; s++) {
    const int i = me + s * step, c = i / quads;
    own_inputs[s] = {0, 0, 0, 0};
    if (c >= inputs) continue;
    const Fetch fetch = fetch_of(t, place, i % quads, Shape::pitch);
    own_inputs[s] = {fetch.from, static_cast<uint16_t>(c * input_plane + fetch.to), static_cast<uint8_t>(c), static_cast<uint8_t>(fetch.valid)};
  }
#pragma unroll
  for (int s = 0; s < gradient_slots; s++) {
    constexpr int row = Shape::columns / 4;
    const int i = me + s * step, g = i / (plane / 4), line = i / row % Shape::rows, column = i % row * 4;
    const int k = place.y_first + line, x = place.x_first + column, left = static_cast<int>(t.width) - x;
    own_gradients[s] = {0, 0, 0, 0};
    if (g >= outputs || k >= place.y_count || left <= 0 || column >= static_cast<int>(t.columns)) continue;
    own_gradients[s] = {(place.y_residue + k * t.dilation) * t.pitch + x, static_cast<uint16_t>(4 * i), static_cast<uint8_t>(g),
                        static_cast<uint8_t>(left < 4 ? left : 4)};
  }

  const T *const z_before = static_cast<const T *>(p.from.z) + (static_cast<size_t>(place.volume) * p.inputs + first_input) * t.channel;
  const size_t first_channel = (static_cast<size_t>(place.volume) * p.outputs + first_output) * t.channel;
  const auto place_of_inputs = [&](int link) { return planes + (link & 1) * CI * input_plane; };
  const auto place_of_gradients = [&](int link) { return gradients + (link & (gradient_planes - 1)) * G * plane; };
  const auto fetch_inputs = [&](int link) {
    const T *const from = z_before + plane_at(t, place, link);
    float *const to = place_of_inputs(link);
#pragma unroll
    for (const OwnQuad &s : own_inputs) {
      if (s.valid == 0) continue;
      const T *const own = from + s.channel * static_cast<size_t>(t.channel) + s.from;
      copy_async(reinterpret_cast<Quad<T> *>(to + s.to), reinterpret_cast<const Quad<T> *>(own));
    }
  };
  const auto make_inputs = [&](int link) {
    const Activation activation = activation_of<known>(p.from.activation);
    if (activation == Activation::identity && sizeof(T) == sizeof(float)) return;
    float *const to = place_of_inputs(link);
#pragma unroll
    for (const OwnQuad &s : own_inputs) {
      if (s.valid == 0) continue;
      float values[4];
      reinterpret_cast<const Quad<T> *>(to + s.to)->widen_to(values);
      activate_quad(activation, scalings[s.channel], s.valid, values);
      *reinterpret_cast<float4 *>(to + s.to) = {values[0], values[1], values[2], values[3]};
    }
  };
  const auto fetch_gradients = [&](int link) {
    const size_t first = first_channel + plane_at(t, place, link);
    float *const to = place_of_gradients(link);
#pragma unroll
    for (const OwnQuad &s : own_gradients) {
      if (s.valid == 0) continue;
      const size_t from = first + s.channel * static_cast<size_t>(t.channel) + s.from;
      copy_async(reinterpret_cast<Quad<T> *>((made ? zs : to) + s.to), reinterpret_cast<const Quad<T> *>(static_cast<const T *>(p.z) + from));
      if (made) copy_async(reinterpret_cast<Quad<T> *>(to + s.to), reinterpret_cast<const Quad<T> *>(static_cast<const T *>(p.gradient) + from));
    }
  };
  const auto make_gradients = [&](int link) {
    if (!made && sizeof(T) == sizeof(float)) return;
    const size_t first = first_channel + plane_at(t, place, link);
    float *const to = place_of_gradients(link);
#pragma unroll
    for (const OwnQuad &s : own_gradients) {
      if (s.valid == 0) continue;
      float values[4];
      reinterpret_cast<const Quad<T> *>((made ? zs : to) + s.to)->widen_to(values);
      if (made) {
        float slopes[4];
        reinterpret_cast<const Quad<T> *>(to + s.to)->widen_to(slopes);
        through_normalisation<T>(backwards[s.channel], s.valid, slopes, values);
        store_quad(static_cast<T *>(p.z) + first + s.channel * static_cast<size_t>(t.channel) + s.from, values);
      }
      *reinterpret_cast<float4 *>(to + s.to) = {values[0], values[1], values[2], values[3]};
    }
  };

  const int warp = me / warp_size, lane = me % warp_size;
  const int kz = warp % 3, c = warp / 3 % CI, split = warp / (3 * CI);
  float sums[3][3][G] = {};
  const bool some = place.z_first < place.z_end && place.y_first < place.y_count;
  if (some) {
    const int first = place.z_first > 0 ? place.z_first - 1 : 0;
    const int last = place.z_end < place.z_count ? place.z_end : place.z_count - 1;
    // The planes of the gradient that the first step meets, one after the other: they share the place of z.
    fetch_inputs(first);
    for (int of = place.z_first; of <= first + 1 && of < place.z_end; of++) {
      fetch_gradients(of);
      wait_for_copies();
      make_gradients(of);
    }
    wait_for_copies();
    make_inputs(first);
    __syncthreads();
    for (int link = first; link <= last; link++) {
      if (link < last) fetch_inputs(link + 1);
      if (link + 2 < place.z_end) fetch_gradients(link + 2);
      const int of = link + 1 - kz;
      if (of >= place.z_first && of < place.z_end) {
        const float *const from = planes + ((link & 1) * CI + c) * input_plane + t.padding + lane;
        const float *const slopes = place_of_gradients(of) + lane;
        const int dilation = static_cast<int>(t.dilation);
#pragma unroll 1
        for (int x = split * warp_size; x < static_cast<int>(t.columns); x += splits<Shape, CI> * warp_size) {
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
            for (int g = 0; g < G; g++) slope[g] = slopes[g * plane + (line - 2) * Shape::columns + x];
#pragma unroll
            for (int ky = 0; ky < 3; ky++) {
#pragma unroll
              for (int kx = 0; kx < 3; kx++) {
#pragma unroll
                for (int g = 0; g < G; g++) sums[ky][kx][g] = multiply_add(values[line - 2 + ky][kx], slope[g], sums[ky][kx][g]);
              }
            }
          }
        }
      }
      wait_for_copies();
      if (link < last) make_inputs(link + 1);
      if (link + 2 < place.z_end) make_gradients(link + 2);
      __syncthreads();
    }
  }
  double *const to = partials + (static_cast<size_t>(blockIdx.x) * splits<Shape, CI> + split) * p.outputs * p.inputs * 27;
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

/** z (channels of all volumes, D, H, P) = the gradient by z, from that by normalised, scaled values: for a block's channels that are too many
 * for one group. In place. */
template <class T>
__global__ void through_normalisation_kernel(const __grid_constant__ Tiling t, uint32_t channels, const Coefficients *coefficients,
                                             const T *gradient, T *z) {
  // A grid has 65,535 blocks along y.
  for (uint32_t c = blockIdx.y; c < channels; c += gridDim.y) {
    const size_t channel = static_cast<size_t>(c) * t.channel;
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < t.channel / 4; i += gridDim.x * blockDim.x) {
      float values[4], slopes[4];
      load_quad(z + channel + 4 * i).widen_to(values);
      load_quad(gradient + channel + 4 * i).widen_to(slopes);
      through_normalisation<T>(coefficients[c], static_cast<int>(t.width) - static_cast<int>(4 * i % t.pitch), slopes, values);
      store_quad(z + channel + 4 * i, values);
    }
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

bool is_wide(const Device &device, const Convolution &shape) {
  const Groups groups = groups_of(shape);
  const uint32_t bytes = shared_bytes<Wide>(static_cast<int>(groups.inputs), static_cast<int>(groups.outputs), true) + fixed_bytes;
  return shape.dilation <= march_wide_dilation && bytes <= device.shared_bytes;
}

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
  return items * (is_wide(device, shape) ? splits<Wide, 1> : splits<Narrow, 1>);
}

template <class T>
Status make_gradient(cudaStream_t stream, const Products &p) {
  constexpr uint32_t threads = 256;
  const uint32_t channels = p.tiling.volumes * p.outputs;
  const dim3 grid(divide_up(p.tiling.channel, 16 * threads), channels < 65535 ? channels : 65535);
  return launch(stream, grid, dim3(threads), 0, through_normalisation_kernel<T>, p.tiling, channels, p.coefficients,
                static_cast<const T *>(p.gradient), static_cast<T *>(p.z));
}

template <class T, class Shape, int CI, int G, Compiled known = Compiled::any>
Status multiply(cudaStream_t stream, const Products &p, double *partials) {
  const dim3 grid(p.tiling.items(), divide_up(p.inputs, CI) * divide_up(p.outputs, G)), block(threads_of<Shape, CI>);
  if (grid.y == 1) {
    return launch(stream, grid, block, shared_bytes<Shape>(CI, G, true), weight_gradient_kernel<T, Shape, CI, G, true, known>, p, partials);
  }
  const Status status = make_gradient<T>(stream, p);
  if (status != Status::ok) return status;
  return launch(stream, grid, block, shared_bytes<Shape>(CI, G, false), weight_gradient_kernel<T, Shape, CI, G, false, known>, p, partials);
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
    default:
      if (p.from.activation == Activation::elu) return multiply<T, Shape, 5, 5, Compiled::elu>(stream, p, partials);
      return multiply<T, Shape, 5, 5>(stream, p, partials);
  }
}

template <class T>
Status multiply_shaped(cudaStream_t stream, const Device &device, const Convolution &shape, const Products &p, double *partials) {
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
