/* The head's score for any number of channels and classes: a block takes 32 voxels at a time, a lane each, and shares them out among
 * its warps by channels or by classes. */
#include "head_score.h"

namespace mfl::cuda {

namespace {

constexpr uint32_t tile = warp_size;
/** Rows of a tile in shared memory are one longer, so that a warp that reads down a column meets every bank. */
constexpr uint32_t tile_pitch = tile + 1;
/** Tiles of an item at most, and items that are enough. */
constexpr uint32_t most_tiles = 256, enough_items = 1024;
/** Counts of so many classes are gathered in shared memory first. */
constexpr uint32_t most_shared_classes = 64;

uint32_t counted_pairs(uint32_t classes) { return classes <= most_shared_classes ? classes * classes : 0; }

uint32_t tiles_of(const Head &shape) {
  return shape.grid.depth * shape.grid.height * divide_up(row_pitch(shape.grid.width), tile);
}

uint32_t tiles_per_item(const Head &shape) {
  const uint32_t wanted = divide_up(shape.grid.volumes * tiles_of(shape), enough_items);
  return wanted < most_tiles ? wanted : most_tiles;
}

/** Shared memory: inputs (C, tile), slopes (K, tile), the item's sums as floats, counts. */
size_t shared_bytes(const Head &shape) {
  const size_t words = (shape.channels + shape.classes) * tile_pitch + head_stride(shape.channels, shape.classes);
  return sizeof(float) * (words + counted_pairs(shape.classes));
}

/** The first warp: from logits in `slopes` to probabilities' slopes; best and truth of every lane. Returns the lane's loss. */
__device__ float score_voxel(const ScoreArguments &a, const Smoothing &smoothing, float *slopes, uint32_t truth, uint32_t *best) {
  const uint32_t classes = a.head.classes;
  float most = slopes[0];
  *best = 0;
  for (uint32_t k = 1; k < classes; k++) {
    if (slopes[k * tile_pitch] > most) {
      most = slopes[k * tile_pitch];
      *best = k;
    }
  }
  float sum = 0, weighted = 0;
  const float own_weight = static_cast<float>(a.loss[truth]), own_logit = slopes[truth * tile_pitch] - most;
  for (uint32_t k = 0; k < classes; k++) {
    const float logit = slopes[k * tile_pitch] - most, e = exponential(logit);
    sum += e;
    weighted = multiply_add(static_cast<float>(a.loss[k]), logit, weighted);
    slopes[k * tile_pitch] = e;
  }
  const float inverse = 1.0f / sum;
  for (uint32_t k = 0; k < classes; k++) {
    float *slope = slopes + k * tile_pitch;
    *slope = smoothing.slope(*slope * inverse, own_weight, k == truth, static_cast<float>(a.loss[k]));
  }
  return smoothing.loss(natural_logarithm(sum), own_weight, own_logit, weighted);
}

template <class T>
__global__ void __launch_bounds__(head_threads)
    any_kernel(const __grid_constant__ ScoreArguments a, uint32_t tiles, uint32_t item_tiles, uint32_t pairs) {
  const HeadArguments &h = a.head;
  const uint32_t channels = h.channels, classes = h.classes, lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  constexpr uint32_t warps = head_threads / warp_size;
  float *const inputs = reinterpret_cast<float *>(shared_memory()), *const slopes = inputs + channels * tile_pitch;
  float *const sums = slopes + classes * tile_pitch;
  uint32_t *const counts = reinterpret_cast<uint32_t *>(sums + a.stride);
  float *const by_biases = sums + classes * channels, *const losses = by_biases + classes, *const gradients = losses + 1;
  for (uint32_t i = threadIdx.x; i < a.stride; i += head_threads) sums[i] = 0;
  for (uint32_t i = threadIdx.x; i < pairs; i += head_threads) counts[i] = 0;
  const Smoothing smoothing(*a.terms, classes);
  const uint32_t row_tiles = (h.pitch + tile - 1) / tile, items = (tiles + item_tiles - 1) / item_tiles;
  const uint32_t volume = blockIdx.x / items, first = blockIdx.x % items * item_tiles;
  const uint32_t end = first + item_tiles < tiles ? first + item_tiles : tiles;
  const Coefficients *coefficients = h.from.coefficients + volume * channels;
  const size_t channel = static_cast<size_t>(h.plane) * h.pitch;
  const T *from = static_cast<const T *>(h.from.z) + volume * channels * channel;
  for (uint32_t index = first; index < end; index++) {
    const uint32_t line = index / row_tiles, x = index % row_tiles * tile + lane;
    const bool inside = x < h.width;
    const size_t voxel = static_cast<size_t>(line) * h.pitch + x;
    for (uint32_t c = warp; c < channels; c += warps) {
      const Coefficients &k = coefficients[c];
      float value = 0;
      if (inside) value = k.factor * activate(h.from.activation, multiply_add(k.scale, widen(from[c * channel + voxel]), k.shift));
      inputs[c * tile_pitch + lane] = value;
    }
    __syncthreads();
    for (uint32_t k = warp; k < classes; k += warps) {
      float logit = h.biases[k];
      for (uint32_t c = 0; c < channels; c++) logit = multiply_add(inputs[c * tile_pitch + lane], h.weights[k * channels + c], logit);
      slopes[k * tile_pitch + lane] = logit;
    }
    __syncthreads();
    if (warp == 0) {
      float loss = 0;
      if (inside) {
        const uint8_t label = a.truth[(static_cast<size_t>(volume) * h.plane + line) * h.width + x];
        // A label that is no class spoils the result, which says so, but reaches no memory that is not its own.
        const uint32_t truth = label < classes ? label : 0;
        uint32_t best;
        loss = score_voxel(a, smoothing, slopes + lane, truth, &best);
        if (pairs > 0) {
          atomicAdd(&counts[truth * classes + best], 1u);
        } else {
          atomicAdd(&a.confusion[truth * classes + best], 1ull);
        }
      } else {
        for (uint32_t k = 0; k < classes; k++) slopes[k * tile_pitch + lane] = 0;
      }
      loss = warp_sum(loss);
      if (lane == 0) *losses += loss;
    }
    __syncthreads();
    if (!a.gradient) continue;
    for (uint32_t c = warp; c < channels; c += warps) {
      const Coefficients &k = coefficients[c];
      float gradient = 0, product = 0;
      for (uint32_t j = 0; j < classes; j++) gradient = multiply_add(slopes[j * tile_pitch + lane], h.weights[j * channels + c], gradient);
      if (inside) {
        const float z = widen(from[c * channel + voxel]);
        gradient = widen(narrow<T>(gradient * k.factor * slope_at(h.from.activation, multiply_add(k.scale, z, k.shift))));
        product = gradient * multiply_add(k.inverse, z, k.center);
      } else {
        gradient = 0;
      }
      if (x < h.pitch) static_cast<T *>(a.gradient)[(volume * channels + c) * channel + voxel] = narrow<T>(gradient);
      gradient = warp_sum(gradient);
      product = warp_sum(product);
      if (lane == 0) {
        gradients[c] += gradient;
        gradients[channels + c] += product;
      }
    }
    for (uint32_t i = threadIdx.x; i < classes * channels; i += head_threads) {
      const float *slope = slopes + i / channels * tile_pitch, *input = inputs + i % channels * tile_pitch;
      float sum = 0;
      for (uint32_t v = 0; v < tile; v++) sum = multiply_add(slope[v], input[v], sum);
      sums[i] += sum;
    }
    for (uint32_t k = threadIdx.x; k < classes; k += head_threads) {
      float sum = 0;
      for (uint32_t v = 0; v < tile; v++) sum += slopes[k * tile_pitch + v];
      by_biases[k] += sum;
    }
    __syncthreads();
  }
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < a.stride; i += head_threads) a.partials[static_cast<size_t>(blockIdx.x) * a.stride + i] = sums[i];
  for (uint32_t i = threadIdx.x; i < pairs; i += head_threads) {
    if (counts[i] > 0) atomicAdd(&a.confusion[i], static_cast<unsigned long long>(counts[i]));
  }
}

}  // namespace

uint32_t any_items(const Head &shape) { return shape.grid.volumes * divide_up(tiles_of(shape), tiles_per_item(shape)); }

Status score_any(cudaStream_t stream, const Head &shape, const ScoreArguments &a) {
  const dim3 grid(any_items(shape)), block(head_threads);
  const size_t bytes = shared_bytes(shape);
  const uint32_t tiles = tiles_of(shape), each = tiles_per_item(shape), pairs = counted_pairs(shape.classes);
  if (shape.precision == Precision::fp32) return launch(stream, grid, block, bytes, any_kernel<float>, a, tiles, each, pairs);
  return launch(stream, grid, block, bytes, any_kernel<Bfloat16>, a, tiles, each, pairs);
}

}  // namespace mfl::cuda
