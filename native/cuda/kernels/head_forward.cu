/* The 1x1x1 convolution for labels and logits alone. */
#include "head.h"

namespace mfl::cuda {

namespace {

constexpr uint32_t threads = 128;

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
  const size_t voxels = static_cast<size_t>(a.volumes) * a.plane * a.width, wanted = (voxels + 4 * threads - 1) / (4 * threads);
  const dim3 grid(static_cast<uint32_t>(wanted < 65536 ? wanted : 65536)), block(threads);
  const size_t bytes = sizeof(float) * threads * a.channels;
  if (shape.precision == Precision::fp32) return launch(stream, grid, block, bytes, head_forward_kernel<float>, a, labels, logits);
  return launch(stream, grid, block, bytes, head_forward_kernel<Bfloat16>, a, labels, logits);
}

}  // namespace mfl::cuda
