/* The head's score for five channels and two or three classes: all of a voxel in the registers of one thread, four voxels at a time. */
#include "head_score.h"

namespace mfl::cuda {

namespace {

template <class T, int C, int K>
struct Voxels {
  const ScoreArguments &a;
  const Smoothing smoothing;
  float weights[K][C], biases[K], class_weights[K];
  float by_weights[K][C] = {}, by_biases[K] = {}, losses = 0, sums[C] = {}, products[C] = {};
  /** Seven bits for every (truth, prediction): a thread has at most 64 voxels. */
  unsigned long long counts = 0;

  __device__ __forceinline__ explicit Voxels(const ScoreArguments &arguments) : a(arguments), smoothing(*arguments.terms, K) {
#pragma unroll
    for (uint32_t k = 0; k < K; k++) {
#pragma unroll
      for (int c = 0; c < C; c++) weights[k][c] = a.head.weights[k * C + c];
      biases[k] = a.head.biases[k];
      class_weights[k] = static_cast<float>(a.loss[k]);
    }
  }

  /** One voxel: z -> gradient by its normalised, scaled values, in place. */
  __device__ __forceinline__ void add(const Coefficients *coefficients, uint32_t truth, bool with_gradient, float (&z)[C]) {
    float inputs[C], logits[K], slopes[K];
#pragma unroll
    for (int c = 0; c < C; c++) {
      const Coefficients &k = coefficients[c];
      inputs[c] = k.factor * activate(a.head.from.activation, multiply_add(k.scale, z[c], k.shift));
    }
    float most = 0;
    uint32_t best = 0;
#pragma unroll
    for (uint32_t k = 0; k < K; k++) {
      logits[k] = biases[k];
#pragma unroll
      for (int c = 0; c < C; c++) logits[k] = multiply_add(inputs[c], weights[k][c], logits[k]);
      if (k == 0 || logits[k] > most) {
        most = logits[k];
        best = k;
      }
    }
    float sum = 0, own_weight = 0, own_logit = 0, weighted = 0;
#pragma unroll
    for (uint32_t k = 0; k < K; k++) {
      const float logit = logits[k] - most;
      slopes[k] = exponential(logit);
      sum += slopes[k];
      own_weight = truth == k ? class_weights[k] : own_weight;
      own_logit = truth == k ? logit : own_logit;
      weighted = multiply_add(class_weights[k], logit, weighted);
    }
    losses += smoothing.loss(natural_logarithm(sum), own_weight, own_logit, weighted);
    counts += 1ull << (7 * (truth * K + best));
    if (!with_gradient) return;
    const float inverse = 1.0f / sum;
    float gradient[C] = {};
#pragma unroll
    for (uint32_t k = 0; k < K; k++) {
      slopes[k] = smoothing.slope(slopes[k] * inverse, own_weight, truth == k, class_weights[k]);
      by_biases[k] += slopes[k];
#pragma unroll
      for (int c = 0; c < C; c++) {
        by_weights[k][c] = multiply_add(slopes[k], inputs[c], by_weights[k][c]);
        gradient[c] = multiply_add(slopes[k], weights[k][c], gradient[c]);
      }
    }
#pragma unroll
    for (int c = 0; c < C; c++) {
      const Coefficients &k = coefficients[c];
      const float slope = k.factor * slope_at(a.head.from.activation, multiply_add(k.scale, z[c], k.shift));
      const float normalised = multiply_add(k.inverse, z[c], k.center);
      z[c] = widen(narrow<T>(gradient[c] * slope));
      sums[c] += z[c];
      products[c] = multiply_add(z[c], normalised, products[c]);
    }
  }

};


constexpr int warps = head_threads / warp_size;

template <class T, int C, int K>
__global__ void __launch_bounds__(head_threads) small_kernel(const __grid_constant__ ScoreArguments a) {
  __shared__ double of_warps[warps][K * (C + 1) + 1 + 2 * C];
  __shared__ uint32_t counted[K * K];
  if (threadIdx.x < K * K) counted[threadIdx.x] = 0;
  const HeadArguments &h = a.head;
  Voxels<T, C, K> voxels(a);
  const uint32_t row_quads = h.pitch / 4, quads = h.plane * row_quads;
  const uint32_t items = (quads + head_threads * head_quads - 1) / (head_threads * head_quads);
  const uint32_t volume = blockIdx.x / items;
  const size_t first = (static_cast<size_t>(blockIdx.x) % items) * head_threads * head_quads + threadIdx.x;
  const Coefficients *coefficients = h.from.coefficients + volume * C;
  for (uint32_t i = 0; i < head_quads; i++) {
    const size_t quad = first + i * head_threads;
    if (quad >= quads) break;
    const uint32_t line = static_cast<uint32_t>(quad) / row_quads, x = static_cast<uint32_t>(quad) % row_quads * 4;
    const uint32_t valid = x < h.width ? h.width - x : 0;
    const size_t channel = static_cast<size_t>(h.plane) * h.pitch, at = volume * C * channel + quad * 4;
    const uint8_t *truth = a.truth + (static_cast<size_t>(volume) * h.plane + line) * h.width + x;
    float z[C][4];
#pragma unroll
    for (int c = 0; c < C; c++) load_quad(static_cast<const T *>(h.from.z) + at + c * channel).widen_to(z[c]);
#pragma unroll
    for (uint32_t v = 0; v < 4; v++) {
      float own[C] = {};
      if (v < valid) {
#pragma unroll
        for (int c = 0; c < C; c++) own[c] = z[c][v];
        // A label that is no class spoils the result, which says so, but reaches no memory that is not its own.
        const uint32_t label = truth[v] < K ? truth[v] : 0;
        voxels.add(coefficients, label, a.gradient != nullptr, own);
      }
#pragma unroll
      for (int c = 0; c < C; c++) z[c][v] = own[c];
    }
    if (!a.gradient) continue;
#pragma unroll
    for (int c = 0; c < C; c++) store_quad(static_cast<T *>(a.gradient) + at + c * channel, z[c]);
  }
  __syncthreads();
#pragma unroll
  for (int pair = 0; pair < K * K; pair++) {
    const uint32_t count = warp_sum(static_cast<uint32_t>(voxels.counts >> (7 * pair)) & 127);
    if (threadIdx.x % warp_size == 0 && count > 0) atomicAdd(&counted[pair], count);
  }
  const uint32_t warp = threadIdx.x / warp_size;
  const bool leads = threadIdx.x % warp_size == 0;
  int next = 0;
  const auto put = [&](float value) {
    const float sum = warp_sum(value);
    if (leads) of_warps[warp][next] = sum;
    next++;
  };
#pragma unroll
  for (uint32_t k = 0; k < K; k++) {
#pragma unroll
    for (int c = 0; c < C; c++) put(voxels.by_weights[k][c]);
  }
#pragma unroll
  for (uint32_t k = 0; k < K; k++) put(voxels.by_biases[k]);
  put(voxels.losses);
#pragma unroll
  for (int c = 0; c < C; c++) put(voxels.sums[c]);
#pragma unroll
  for (int c = 0; c < C; c++) put(voxels.products[c]);
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < a.stride; i += head_threads) {
    double sum = 0;
    for (int w = 0; w < warps; w++) sum += of_warps[w][i];
    a.partials[static_cast<size_t>(blockIdx.x) * a.stride + i] = sum;
  }
  if (threadIdx.x < K * K && counted[threadIdx.x] > 0) {
    atomicAdd(&a.confusion[threadIdx.x], static_cast<unsigned long long>(counted[threadIdx.x]));
  }
}

template <class T>
Status score(cudaStream_t stream, const Head &shape, const ScoreArguments &a) {
  const dim3 grid(small_items(shape)), block(head_threads);
  if (shape.classes == 2) return launch(stream, grid, block, 0, small_kernel<T, 5, 2>, a);
  return launch(stream, grid, block, 0, small_kernel<T, 5, 3>, a);
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
