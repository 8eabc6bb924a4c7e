/* What a step reads: images as a tensor of one channel, and how often each label occurs. */
#include "storage.h"
#include "tiling.h"

namespace mfl::cuda {

namespace {

constexpr uint32_t threads = 256;
// Enough for every processor; a thread takes many.
constexpr uint32_t most_blocks = 2048;

/** Four values side by side as they lie in memory. */
template <class Image>
struct alignas(4 * sizeof(Image)) Four {
  Image values[4];
};

__device__ __forceinline__ float intensity(float value) { return value; }
// Divided, as the other engines do, so that all see the same image.
__device__ __forceinline__ float intensity(uint8_t value) {
#ifdef MFL_CUDA_SHIM
  return static_cast<float>(value) / 255.0f;
#else
  // What the division gives, for each of the 256 values: a product, and what it is short of by the remainder.
  const float x = static_cast<float>(value), share = 1.0f / 255.0f, near = x * share;
  return fmaf(fmaf(near, -255.0f, x), share, near);
#endif
}

/** to (rows, pitch) from images (rows, width); zero beyond the width. fours: images and their rows are aligned to four values.
 * Overwrites. */
template <class T, class Image>
__global__ void convert_kernel(uint32_t rows, uint32_t width, uint32_t pitch, bool fours, const Image *images, T *to) {
  const uint32_t quads = pitch / 4, step = gridDim.x * threads, rows_step = step / quads, quads_step = step % quads;
  uint64_t row = (blockIdx.x * threads + threadIdx.x) / quads;
  uint32_t quad = (blockIdx.x * threads + threadIdx.x) % quads;
  while (row < rows) {
    const uint32_t x = quad * 4;
    const Image *from = images + row * width + x;
    float values[4] = {};
    if (fours) {
      if (x < width) {
        const Four<Image> four = *reinterpret_cast<const Four<Image> *>(from);
#pragma unroll
        for (uint32_t k = 0; k < 4; k++) values[k] = intensity(four.values[k]);
      }
    } else {
#pragma unroll
      for (uint32_t k = 0; k < 4; k++) {
        if (x + k < width) values[k] = intensity(from[k]);
      }
    }
    store_quad(to + row * pitch + x, values);
    row += rows_step;
    quad += quads_step;
    if (quad >= quads) {
      quad -= quads;
      row++;
    }
  }
}

/** Neighbours have the same label mostly: a run of one is added at once. */
struct Run {
  uint32_t *counts;
  uint32_t label = 0, length = 0;

  __device__ __forceinline__ void end() {
    if (length > 0) atomicAdd(&counts[label], length);
    length = 0;
  }
  __device__ __forceinline__ void add(uint32_t next) {
    if (next != label) end();
    label = next;
    length++;
  }
  __device__ __forceinline__ void add_four(uint32_t labels) {
    if (labels == label * 0x01010101u) {
      length += 4;
      return;
    }
    for (uint32_t k = 0; k < 4; k++) add(labels >> (8 * k) & 255);
  }
};

/** Sixteen labels a load, from `lead` on, where truth is aligned to them; the rest one by one. */
__global__ void __launch_bounds__(threads) count_kernel(uint64_t voxels, uint32_t lead, const uint8_t *truth, unsigned long long *counts) {
  __shared__ uint32_t mine[256];
  mine[threadIdx.x] = 0;
  __syncthreads();
  Run run = {mine};
  const uint64_t first = static_cast<uint64_t>(blockIdx.x) * threads + threadIdx.x, step = static_cast<uint64_t>(gridDim.x) * threads;
  const uint64_t groups = (voxels - lead) / 16, rest = lead + groups * 16;
  const uint4 *from = reinterpret_cast<const uint4 *>(truth + lead);
  for (uint64_t i = first; i < groups; i += step) {
    const uint4 labels = from[i];
    run.add_four(labels.x);
    run.add_four(labels.y);
    run.add_four(labels.z);
    run.add_four(labels.w);
  }
  if (first < lead) run.add(truth[first]);
  if (first < voxels - rest) run.add(truth[rest + first]);
  run.end();
  __syncthreads();
  if (mine[threadIdx.x] > 0) atomicAdd(&counts[threadIdx.x], static_cast<unsigned long long>(mine[threadIdx.x]));
}

__global__ void loss_kernel(uint32_t classes, const unsigned long long *counts, const double *loss, LossTerms *terms) {
  if (threadIdx.x > 0) return;
  LossTerms result = {0, 0, loss[classes], 0};
  for (uint32_t k = 0; k < classes; k++) {
    result.total += loss[k] * static_cast<double>(counts[k]);
    result.all += loss[k];
  }
  for (uint32_t k = classes; k < 256; k++) result.bad_label |= counts[k] > 0;
  *terms = result;
}

uint32_t blocks_for(uint64_t work) {
  const uint64_t wanted = (work + threads - 1) / threads;
  return static_cast<uint32_t>(wanted < most_blocks ? wanted : most_blocks);
}

template <class T>
Status convert(cudaStream_t stream, const Grid &grid, const void *images, bool float_images, T *to) {
  const uint32_t rows = grid.volumes * grid.depth * grid.height, pitch = row_pitch(grid.width);
  const dim3 blocks(blocks_for(static_cast<uint64_t>(rows) * pitch / 4)), block(threads);
  const bool fours = grid.width % 4 == 0 && reinterpret_cast<uintptr_t>(images) % (float_images ? 16 : 4) == 0;
  const auto put = [&](auto kernel, auto from) {
    return launch(stream, blocks, block, 0, kernel, rows, grid.width, pitch, fours, from, to);
  };
  if (float_images) return put(convert_kernel<T, float>, static_cast<const float *>(images));
  return put(convert_kernel<T, uint8_t>, static_cast<const uint8_t *>(images));
}

}  // namespace

Status convert_images(cudaStream_t stream, const Grid &grid, const void *images, bool float_images, Precision precision, void *to) {
  if (!is_valid(grid) || !images || !to) return Status::invalid_argument;
  if (static_cast<uint64_t>(grid.volumes) * grid.depth * grid.height >> 32) return Status::invalid_argument;
  if (precision == Precision::fp32) return convert(stream, grid, images, float_images, static_cast<float *>(to));
  return convert(stream, grid, images, float_images, static_cast<Bfloat16 *>(to));
}

Status count_labels(cudaStream_t stream, const Grid &grid, const uint8_t *truth, unsigned long long *counts) {
  if (!is_valid(grid) || !truth || !counts) return Status::invalid_argument;
  if (cudaMemsetAsync(counts, 0, 256 * sizeof *counts, stream) != cudaSuccess) return Status::launch_failed;
  const uint64_t voxels = static_cast<uint64_t>(grid.volumes) * grid.depth * grid.height * grid.width;
  const uint64_t unaligned = (16 - reinterpret_cast<uintptr_t>(truth) % 16) % 16;
  const uint32_t lead = static_cast<uint32_t>(unaligned < voxels ? unaligned : voxels);
  return launch(stream, dim3(blocks_for((voxels + 15) / 16)), dim3(threads), 0, count_kernel, voxels, lead, truth, counts);
}

Status prepare_loss(cudaStream_t stream, uint32_t classes, const unsigned long long *counts, const double *loss, LossTerms *terms) {
  if (classes < 2 || classes > most_classes || !counts || !loss || !terms) return Status::invalid_argument;
  return launch(stream, dim3(1), dim3(warp_size), 0, loss_kernel, classes, counts, loss, terms);
}

}  // namespace mfl::cuda
