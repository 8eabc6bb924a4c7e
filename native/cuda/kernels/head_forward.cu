/* The 1x1x1 convolution for labels and logits alone. */
#include "head.h"

namespace mfl::cuda {

namespace {

constexpr uint32_t threads = 128;

// Of the quads' kernel: channels, and so many blocks a volume that the last ones to end do not matter.
constexpr uint32_t C = 5;
constexpr uint32_t most_blocks = 8192;
/** What gridDim.y can be. */
constexpr uint32_t most_volumes = 65535;

/** What makes a logit of five channels: their dropout factors are in the weights. */
struct alignas(16) ClassWeights {
  float weights[C], bias, unused[2];
};

/** labels (rows, width) and, unless null, logits (volumes, K, lines, width), of five channels. A thread a quad of a row. words: rows of
 * labels and of logits can be written four voxels at a time. A block has one volume, blockIdx.y. Overwrites. */
template <class T>
__global__ void __launch_bounds__(threads)
    quads_kernel(const __grid_constant__ HeadArguments a, bool words, uint8_t *labels, float *logits) {
  __shared__ ClassWeights classes[most_classes];
  const Coefficients *coefficients = a.from.coefficients + blockIdx.y * C;
  for (uint32_t i = threadIdx.x; i < a.classes * C; i += threads) classes[i / C].weights[i % C] = a.weights[i] * coefficients[i % C].factor;
  for (uint32_t i = threadIdx.x; i < a.classes; i += threads) classes[i].bias = a.biases[i];
  float scales[C], shifts[C];
#pragma unroll
  for (uint32_t c = 0; c < C; c++) {
    scales[c] = coefficients[c].scale;
    shifts[c] = coefficients[c].shift;
  }
  __syncthreads();
  const uint32_t row_quads = a.pitch / 4, quads = a.plane * row_quads;
  const size_t channel = static_cast<size_t>(a.plane) * a.pitch, class_voxels = static_cast<size_t>(a.plane) * a.width;
  const T *z = static_cast<const T *>(a.from.z) + blockIdx.y * C * channel;
  labels += blockIdx.y * class_voxels;
  if (logits) logits += blockIdx.y * a.classes * class_voxels;
  for (uint32_t quad = blockIdx.x * threads + threadIdx.x; quad < quads; quad += gridDim.x * threads) {
    const uint32_t line = quad / row_quads, x = quad % row_quads * 4;
    if (x >= a.width) continue;
    const uint32_t valid = a.width - x < 4 ? a.width - x : 4;
    const size_t voxel = static_cast<size_t>(line) * a.width + x;
    Quad<T> raw[C];
#pragma unroll
    for (uint32_t c = 0; c < C; c++) raw[c] = load_quad(z + c * channel + static_cast<size_t>(quad) * 4);
    // Four of the first channel, then of the next: one array, so that the branch over the activation is taken once.
    float inputs[4 * C];
#pragma unroll
    for (uint32_t c = 0; c < C; c++) {
      float own[4];
      raw[c].widen_to(own);
#pragma unroll
      for (uint32_t v = 0; v < 4; v++) inputs[4 * c + v] = multiply_add(scales[c], own[v], shifts[c]);
    }
    activate_all(a.from.activation, 1.0f, inputs);
    float most[4];
    uint32_t best[4] = {};
    for (uint32_t k = 0; k < a.classes; k++) {
      const ClassWeights &of = classes[k];
      float own[4];
#pragma unroll
      for (uint32_t v = 0; v < 4; v++) {
        own[v] = of.bias;
#pragma unroll
        for (uint32_t c = 0; c < C; c++) own[v] = multiply_add(inputs[4 * c + v], of.weights[c], own[v]);
        if (k == 0 || own[v] > most[v]) {
          most[v] = own[v];
          best[v] = k;
        }
      }
      if (!logits) continue;
      float *const to = logits + k * class_voxels + voxel;
      if (words) {
        store_quad(to, own);
      } else {
#pragma unroll
        for (uint32_t v = 0; v < 4; v++) {
          if (v < valid) to[v] = own[v];
        }
      }
    }
    if (words) {
      *reinterpret_cast<uint32_t *>(labels + voxel) = best[0] | best[1] << 8 | best[2] << 16 | best[3] << 24;
    } else {
#pragma unroll
      for (uint32_t v = 0; v < 4; v++) {
        if (v < valid) labels[voxel + v] = static_cast<uint8_t>(best[v]);
      }
    }
  }
}

template <class T>
Status forward_quads(cudaStream_t stream, const HeadArguments &a, uint8_t *labels, float *logits) {
  const uint32_t wanted = divide_up(a.plane * (a.pitch / 4), threads);
  const dim3 grid(wanted < most_blocks ? wanted : most_blocks, a.volumes), block(threads);
  const bool words = a.width % 4 == 0 && reinterpret_cast<uintptr_t>(labels) % 4 == 0 && reinterpret_cast<uintptr_t>(logits) % 16 == 0;
  return launch(stream, grid, block, 0, quads_kernel<T>, a, words, labels, logits);
}

/** labels (rows, width) and, unless null, logits (volumes, K, lines, width). A thread a voxel, its channels in a column of shared memory of
 * its own. Overwrites. */
template <class T>
__global__ void __launch_bounds__(threads) head_forward_kernel(const __grid_constant__ HeadArguments a, uint8_t *labels, float *logits) {
  float *const inputs = reinterpret_cast<float *>(shared_memory()) + threadIdx.x;
  const size_t voxels = static_cast<size_t>(a.volumes) * a.plane * a.width;
  for (size_t voxel = static_cast<size_t>(blockIdx.x) * threads + threadIdx.x; voxel < voxels; voxel += static_cast<size_t>(gridDim.x) * threads) {
    const size_t row = voxel / a.width;
    const uint32_t x = static_cast<uint32_t>(voxel % a.width), volume = static_cast<uint32_t>(row / a.plane);
    const uint32_t line = static_cast<uint32_t>(row % a.plane);
    for (uint32_t c = 0; c < a.channels; c++) {
      const uint32_t channel = volume * a.channels + c;
      const Coefficients &k = a.from.coefficients[channel];
      const float z = widen(static_cast<const T *>(a.from.z)[(static_cast<size_t>(channel) * a.plane + line) * a.pitch + x]);
      inputs[c * threads] = k.factor * activate(a.from.activation, multiply_add(k.scale, z, k.shift));
    }
    float most = 0;
    uint32_t best = 0;
    for (uint32_t k = 0; k < a.classes; k++) {
      float logit = a.biases[k];
      for (uint32_t c = 0; c < a.channels; c++) logit = multiply_add(inputs[c * threads], a.weights[k * a.channels + c], logit);
      if (k == 0 || logit > most) {
        most = logit;
        best = k;
      }
      if (logits) logits[((static_cast<size_t>(volume) * a.classes + k) * a.plane + line) * a.width + x] = logit;
    }
    labels[voxel] = static_cast<uint8_t>(best);
  }
}

}  // namespace

Status head_forward(cudaStream_t stream, const Device &, const Head &shape, const Activated &input, const float *weights,
                    const float *biases, uint8_t *labels, float *logits) {
  if (!is_valid(shape) || !input.z || !input.coefficients || !weights || !biases || !labels) return Status::invalid_argument;
  const HeadArguments a = head_arguments(shape, input, weights, biases);
  if (a.channels == C && a.volumes <= most_volumes) {
    if (shape.precision == Precision::fp32) return forward_quads<float>(stream, a, labels, logits);
    return forward_quads<Bfloat16>(stream, a, labels, logits);
  }
  const size_t voxels = static_cast<size_t>(a.volumes) * a.plane * a.width, wanted = (voxels + 4 * threads - 1) / (4 * threads);
  const dim3 grid(static_cast<uint32_t>(wanted < 65536 ? wanted : 65536)), block(threads);
  const size_t bytes = sizeof(float) * threads * a.channels;
  if (shape.precision == Precision::fp32) return launch(stream, grid, block, bytes, head_forward_kernel<float>, a, labels, logits);
  return launch(stream, grid, block, bytes, head_forward_kernel<Bfloat16>, a, labels, logits);
}

}  // namespace mfl::cuda
