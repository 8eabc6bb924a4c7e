/* The head's score for five channels and two or three classes: all of a voxel in the registers of one thread, four voxels at a time.
 *
 * A softmax depends on the differences of logits alone, and its gradients by the logits add up to zero: logits are those less the first
 * class's, weights and biases likewise, and the first class's sums are what makes the others' zero.
 * Logits are kept in units of the logarithm to base 2, which the hardware's exponential takes: inputs are multiplied by log2(e) as they
 * are activated, sums of their products by ln(2) at the end. What is the same for all voxels of an item (dropout factors, the division by
 * the voxels' weights, the normalisation of z) is multiplied into the weights before, or into the sums after. */
#include "head_score.h"

namespace mfl::cuda {

namespace {

constexpr uint32_t C = 5;
constexpr double ln_of_2 = 0.6931471805599453;
/** Four labels of no voxel. */
constexpr uint32_t no_labels = 0xffffffffu;
/** Threads that share the sum of one column of an item. */
constexpr uint32_t sharers = 4;
/** Columns of an item lie so far apart that the 8 columns which a warp adds at a time meet every bank once. */
constexpr uint32_t column_pitch = head_threads + sharers;
/** Bits of a count of one prediction: a thread has at most 64 voxels. Three of them are a whole number that a float holds. */
constexpr uint32_t count_bits = 7;

/** Within one unit of the last place, for x in [1, 3]. */
__device__ __forceinline__ float reciprocal(float x) {
#ifdef MFL_CUDA_SHIM
  return 1.0f / x;
#else
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#endif
}

/** The larger; x where that is not a number, so that it stays so. */
__device__ __forceinline__ float larger(float x, float other) {
#if !defined(MFL_CUDA_SHIM) && __CUDA_ARCH__ >= 800
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(x), "f"(other));
  return result;
#else
  return other > x ? other : x;
#endif
}

/** The float nearest to x of those that a tensor holds. */
template <class T>
__device__ __forceinline__ float rounded(float x) {
  return x;
}
template <>
__device__ __forceinline__ float rounded<Bfloat16>(float x) {
  // The upper half of a float is a bf16: the pair is what one instruction makes, and needs no widening.
  return __uint_as_float(narrow_pair(0.0f, x));
}

/** The sum over the lanes of a warp. */
__device__ __forceinline__ uint32_t sum_of_lanes(uint32_t value) {
#if !defined(MFL_CUDA_SHIM) && __CUDA_ARCH__ >= 800
  return __reduce_add_sync(0xffffffffu, value);
#else
  return warp_sum(value);
#endif
}

/** What the loss makes of a voxel by its label, divided by the sum of all voxels' weights: the gradient by logit k is by_probability times
 * the probability less by_logit[k]. All zero for what is no voxel. */
struct alignas(16) LabelTerms {
  float by_logit[3], by_probability;
};

/** What a thread adds up: an item without the first class. */
template <int K>
constexpr uint32_t columns_of = (K - 1) * (C + 1) + 1 + 2 * C;

/** What is the same for all voxels of an item, and what its threads add up. */
template <int K>
struct Shared {
  LabelTerms labels[K + 1];
  /** Of all classes but the first, less the first's: weights with the channels' dropout factors in them, biases times log2(e). */
  float weights[K - 1][C], biases[K - 1];
  /** What is activated is scale * z + shift; for ELU times log2(e). */
  float scales[C], shifts[C];
  uint32_t counts[K * K];
  float columns[columns_of<K>][column_pitch];
  double sums[columns_of<K>][sharers];

  __device__ __forceinline__ double sum(uint32_t column) const {
    return sums[column][0] + sums[column][1] + (sums[column][2] + sums[column][3]);
  }
};

/** Fills what `add` reads. All threads of a block call it, and wait before they read. */
template <int K, bool Elu>
__device__ __forceinline__ void prepare(const ScoreArguments &a, const Coefficients *coefficients, Shared<K> &shared) {
  const uint32_t i = threadIdx.x;
  if (i < (K - 1) * C) shared.weights[i / C][i % C] = (a.head.weights[C + i] - a.head.weights[i % C]) * coefficients[i % C].factor;
  if (i < K * K) shared.counts[i] = 0;
  if (i < K - 1) shared.biases[i] = log2_of_e * (a.head.biases[1 + i] - a.head.biases[0]);
  if (i < C) {
    shared.scales[i] = coefficients[i].scale * (Elu ? log2_of_e : 1.0f);
    shared.shifts[i] = coefficients[i].shift * (Elu ? log2_of_e : 1.0f);
  }
  if (i >= warp_size && i <= warp_size + K) {
    const uint32_t label = i - warp_size;
    const Smoothing smoothing(*a.terms, K);
    LabelTerms terms = {};
    if (label < K) {
      const float own = smoothing.sharp * static_cast<float>(a.loss[label]);
      for (uint32_t k = 0; k < K; k++) {
        terms.by_logit[k] = smoothing.inverse_total * (smoothing.smooth * static_cast<float>(a.loss[k]) + (k == label ? own : 0.0f));
      }
      terms.by_probability = smoothing.inverse_total * (own + smoothing.smooth * smoothing.all);
    }
    shared.labels[label] = terms;
  }
}

/** The sums over a thread's voxels. */
template <class T, int K, bool Elu, bool Gradient>
struct Voxels {
  const Activation activation;
  const LabelTerms *labels;
  float weights[K - 1][C], biases[K - 1], scales[C], shifts[C];
  float by_weights[K - 1][C] = {}, by_biases[K - 1] = {}, by_logits = 0, sums[C] = {}, products[C] = {};
  /** By label, the product of the sums of e^(logit - most), of which one logarithm is taken at the end: the sums lie between 1 and 3, and
   * 3^64 is a float. */
  float exponentials[K];
  /** By label, how often each class was predicted: count_bits for each. As floats, which are added under a predicate. */
  float counts[K] = {};

  __device__ __forceinline__ Voxels(Activation used, const Shared<K> &shared) : activation(used), labels(shared.labels) {
#pragma unroll
    for (uint32_t k = 0; k < K; k++) exponentials[k] = 1;
#pragma unroll
    for (uint32_t k = 0; k < K - 1; k++) {
#pragma unroll
      for (uint32_t c = 0; c < C; c++) weights[k][c] = shared.weights[k][c];
      biases[k] = shared.biases[k];
    }
#pragma unroll
    for (uint32_t c = 0; c < C; c++) {
      scales[c] = shared.scales[c];
      shifts[c] = shared.shifts[c];
    }
  }

  /** One voxel: z -> gradient by its normalised, scaled values, in place. */
  __device__ __forceinline__ void add(uint32_t label, float (&z)[C]) {
    float inputs[C], input_slopes[C], logits[K] = {}, powers[K];
#pragma unroll
    for (uint32_t c = 0; c < C; c++) {
      const float u = multiply_add(scales[c], z[c], shifts[c]);
      if (Elu) {
        // The slope is e^u up to 1, and ELU the larger of u and slope - 1: for u > 0 the slope is 1, for others e^u - 1 is above u.
        input_slopes[c] = fminf(power_of_2(u), 1.0f);
        inputs[c] = larger(u, multiply_add(input_slopes[c], log2_of_e, -log2_of_e));
      } else {
        inputs[c] = log2_of_e * activate(activation, u);
        if (Gradient) input_slopes[c] = slope_at(activation, u);
      }
    }
    float most = 0;
    float predicted = 1;
#pragma unroll
    for (uint32_t k = 1; k < K; k++) {
      logits[k] = biases[k - 1];
#pragma unroll
      for (uint32_t c = 0; c < C; c++) logits[k] = multiply_add(inputs[c], weights[k - 1][c], logits[k]);
      predicted = logits[k] > most ? static_cast<float>(1u << (count_bits * k)) : predicted;
      most = fmaxf(most, logits[k]);
    }
    float sum = 0;
    const LabelTerms own = labels[label < K ? label : K];
#pragma unroll
    for (uint32_t k = 0; k < K; k++) {
      logits[k] -= most;
      powers[k] = power_of_2(logits[k]);
      sum = k == 0 ? powers[0] : sum + powers[k];
      by_logits = multiply_add(own.by_logit[k], logits[k], by_logits);
    }
#pragma unroll
    for (uint32_t k = 0; k < K; k++) {
      if (label == k) {
        exponentials[k] *= sum;
        counts[k] += predicted;
      }
    }
    if (!Gradient) return;
    const float by_power = own.by_probability * reciprocal(sum);
    float gradient[C];
#pragma unroll
    for (uint32_t k = 0; k < K - 1; k++) {
      const float slope = multiply_add(powers[k + 1], by_power, -own.by_logit[k + 1]);
      by_biases[k] += slope;
#pragma unroll
      for (uint32_t c = 0; c < C; c++) {
        by_weights[k][c] = multiply_add(slope, inputs[c], by_weights[k][c]);
        gradient[c] = k == 0 ? slope * weights[k][c] : multiply_add(slope, weights[k][c], gradient[c]);
      }
    }
#pragma unroll
    for (uint32_t c = 0; c < C; c++) {
      const float by_normalised = rounded<T>(gradient[c] * input_slopes[c]);
      sums[c] += by_normalised;
      products[c] = multiply_add(by_normalised, z[c], products[c]);
      z[c] = by_normalised;
    }
  }

  /** This thread's, a column each. */
  __device__ __forceinline__ void put(float (&columns)[columns_of<K>][column_pitch]) const {
    uint32_t next = 0;
    const auto put = [&](float value) { columns[next++][threadIdx.x] = value; };
#pragma unroll
    for (uint32_t k = 0; k < K - 1; k++) {
#pragma unroll
      for (uint32_t c = 0; c < C; c++) put(by_weights[k][c]);
    }
#pragma unroll
    for (uint32_t k = 0; k < K - 1; k++) put(by_biases[k]);
    float loss = static_cast<float>(-ln_of_2) * by_logits;
#pragma unroll
    for (uint32_t k = 0; k < K; k++) loss = multiply_add(labels[k].by_probability, natural_logarithm(exponentials[k]), loss);
    put(loss);
#pragma unroll
    for (uint32_t c = 0; c < C; c++) put(sums[c]);
#pragma unroll
    for (uint32_t c = 0; c < C; c++) put(products[c]);
  }
};

/** The four labels from x on, in a line of `width`; 255 beyond. words: width and truth are multiples of 4. */
__device__ __forceinline__ uint32_t load_labels(const uint8_t *truth, bool words, uint32_t line, uint32_t x, uint32_t width) {
  const uint8_t *from = truth + static_cast<size_t>(line) * width + x;
  if (words) return x < width ? *reinterpret_cast<const uint32_t *>(from) : no_labels;
  uint32_t labels = no_labels;
  for (uint32_t v = 0; v < 4; v++) {
    if (x + v < width) labels ^= static_cast<uint32_t>(from[v] ^ 255u) << (8 * v);
  }
  return labels;
}

// Blocks whose registers a processor holds at once, without any being spilled: the branch over the other activations needs more of
// them, and so does ELU where no instruction takes the larger of two numbers as `larger` must.
#if !defined(MFL_CUDA_SHIM) && __CUDA_ARCH__ >= 800
template <bool Elu>
constexpr int resident_blocks = Elu ? 4 : 3;
#else
template <bool Elu>
constexpr int resident_blocks = 3;
#endif

/** An item a block. */
template <class T, int K, bool Elu, bool Gradient>
__global__ void __launch_bounds__(head_threads, resident_blocks<Elu>) small_kernel(const __grid_constant__ ScoreArguments a) {
  __shared__ Shared<K> shared;
  const HeadArguments &h = a.head;
  const uint32_t row_quads = h.pitch / 4, quads = h.plane * row_quads;
  const uint32_t items = (quads + head_threads * head_quads - 1) / (head_threads * head_quads);
  const uint32_t volume = blockIdx.x / items, first = blockIdx.x % items * (head_threads * head_quads);
  const uint32_t end = quads - first < head_threads * head_quads ? quads : first + head_threads * head_quads;
  const Coefficients *coefficients = h.from.coefficients + volume * C;
  const size_t channel = static_cast<size_t>(h.plane) * h.pitch;
  const T *z = static_cast<const T *>(h.from.z) + volume * C * channel;
  const uint8_t *truth = a.truth + static_cast<size_t>(volume) * h.plane * h.width;
  const bool words = h.width % 4 == 0 && reinterpret_cast<uintptr_t>(a.truth) % 4 == 0;
  uint32_t quad = first + threadIdx.x, line = quad / row_quads, row_quad = quad % row_quads;
  const uint32_t next_lines = head_threads / row_quads, next_row_quads = head_threads % row_quads;
  // Read one turn ahead.
  Quad<T> next[C];
  uint32_t next_labels = no_labels;
  const auto load = [&] {
#pragma unroll
    for (uint32_t c = 0; c < C; c++) next[c] = load_quad(z + c * channel + static_cast<size_t>(quad) * 4);
    next_labels = load_labels(truth, words, line, row_quad * 4, h.width);
  };
  if (quad < end) load();

  prepare<K, Elu>(a, coefficients, shared);
  __syncthreads();
  Voxels<T, K, Elu, Gradient> voxels(h.from.activation, shared);
#pragma unroll 1
  while (quad < end) {
    float values[C][4];
#pragma unroll
    for (uint32_t c = 0; c < C; c++) next[c].widen_to(values[c]);
    const uint32_t labels = next_labels;
    quad += head_threads;
    line += next_lines;
    row_quad += next_row_quads;
    if (row_quad >= row_quads) {
      row_quad -= row_quads;
      line++;
    }
    if (quad < end) load();
#pragma unroll
    for (uint32_t v = 0; v < 4; v++) {
      float own[C];
#pragma unroll
      for (uint32_t c = 0; c < C; c++) own[c] = values[c][v];
      // A label that is no class counts for nothing; the result says that there was one.
      voxels.add(labels >> (8 * v) & 255, own);
#pragma unroll
      for (uint32_t c = 0; c < C; c++) values[c][v] = own[c];
    }
    if constexpr (Gradient) {
      T *gradient = static_cast<T *>(a.gradient) + volume * C * channel;
#pragma unroll
      for (uint32_t c = 0; c < C; c++) store_quad(gradient + c * channel + static_cast<size_t>(quad - head_threads) * 4, values[c]);
    }
  }

  voxels.put(shared.columns);
#pragma unroll
  for (uint32_t label = 0; label < K; label++) {
    const uint32_t counts = static_cast<uint32_t>(voxels.counts[label]);
#pragma unroll
    for (uint32_t k = 0; k < K; k++) {
      const uint32_t count = sum_of_lanes(counts >> (count_bits * k) & ((1u << count_bits) - 1));
      if (threadIdx.x % warp_size == 0 && count > 0) atomicAdd(&shared.counts[label * K + k], count);
    }
  }
  __syncthreads();
  if (threadIdx.x < columns_of<K> * sharers) {
    const uint32_t column = threadIdx.x / sharers, share = threadIdx.x % sharers;
    float sum = 0;
#pragma unroll 8
    for (uint32_t i = 0; i < head_threads; i += sharers) sum += shared.columns[column][i + share];
    shared.sums[column][share] = sum;
  }
  __syncthreads();
  constexpr uint32_t biases = K * C, loss = biases + K, products = loss + 1 + C, skipped = C + 1;
  if (threadIdx.x < head_stride(C, K)) {
    const uint32_t i = threadIdx.x;
    double sum = 0;
    if (i < biases) {
      if (i < C) {
        for (uint32_t k = 1; k < K; k++) sum -= shared.sum((k - 1) * C + i);
      } else {
        sum = shared.sum(i - C);
      }
      sum *= ln_of_2 * coefficients[i % C].factor;
    } else if (i == biases) {
      for (uint32_t k = 1; k < K; k++) sum -= shared.sum(biases - C + k - 1);
    } else if (i == loss) {
      // What by_logit and by_probability were multiplied by.
      sum = shared.sum(i - skipped) / Smoothing(*a.terms, K).inverse_total;
    } else {
      sum = shared.sum(i - skipped);
      if (i >= products) {
        const Coefficients &k = coefficients[i - products];
        sum = k.inverse * sum + k.center * shared.sum(i - skipped - C);
      }
    }
    a.partials[static_cast<size_t>(blockIdx.x) * a.stride + i] = sum;
  }
  if (threadIdx.x < K * K && shared.counts[threadIdx.x] > 0) {
    atomicAdd(&a.confusion[threadIdx.x], static_cast<unsigned long long>(shared.counts[threadIdx.x]));
  }
}

template <class T, int K>
Status score(cudaStream_t stream, const Head &shape, const ScoreArguments &a) {
  const dim3 grid(small_items(shape)), block(head_threads);
  const bool elu = a.head.from.activation == Activation::elu;
  const auto put = [&](void (*kernel)(ScoreArguments)) { return launch(stream, grid, block, 0, kernel, a); };
  if (a.gradient) return put(elu ? small_kernel<T, K, true, true> : small_kernel<T, K, false, true>);
  return put(elu ? small_kernel<T, K, true, false> : small_kernel<T, K, false, false>);
}

template <class T>
Status score(cudaStream_t stream, const Head &shape, const ScoreArguments &a) {
  return shape.classes == 2 ? score<T, 2>(stream, shape, a) : score<T, 3>(stream, shape, a);
}

}  // namespace

uint32_t small_items(const Head &shape) {
  const Grid &g = shape.grid;
  return g.volumes * divide_up(g.depth * g.height * (row_pitch(g.width) / 4), head_threads * head_quads);
}

Status score_small(cudaStream_t stream, const Head &shape, const ScoreArguments &a) {
  return shape.precision == Precision::fp32 ? score<float>(stream, shape, a) : score<Bfloat16>(stream, shape, a);
}

}  // namespace mfl::cuda
