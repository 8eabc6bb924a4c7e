/* What a step reads: images as a tensor of one channel, and how often each label occurs. */
#include "storage.h"
#include "tiling.h"

namespace mfl::cuda {

namespace {

constexpr uint32_t threads = 256;
// Enough for every processor; a thread takes many.
constexpr uint32_t most_blocks = 2048;

/** to (rows, pitch) from images (rows, width); zero beyond the width. Overwrites. */
template <class T, class Image>
__global__ void convert_kernel(uint32_t rows, uint32_t width, uint32_t pitch, const Image *images, T *to) {
  const uint32_t quads = pitch / 4;
  for (uint64_t i = blockIdx.x * threads + threadIdx.x; i < static_cast<uint64_t>(rows) * quads; i += static_cast<uint64_t>(gridDim.x) * threads) {
    const uint64_t row = i / quads;
    const uint32_t x = static_cast<uint32_t>(i % quads) * 4;
    float values[4];
#pragma unroll
    for (uint32_t k = 0; k < 4; k++) {
      values[k] = x + k < width ? static_cast<float>(images[row * width + x + k]) : 0.0f;
      // Divided, as the other engines do, so that all see the same image.
      if (sizeof(Image) == 1) values[k] = values[k] / 255.0f;
    }
    store_quad(to + row * pitch + x, values);
  }
}

__global__ void count_kernel(uint64_t voxels, const uint8_t *truth, unsigned long long *counts) {
  __shared__ uint32_t mine[256];
  mine[threadIdx.x] = 0;
  __syncthreads();
  // Neighbours have the same label mostly: a run of one is added at once.
  uint32_t run = 0;
  uint8_t label = 0;
  const uint64_t blocks_voxels = (voxels + gridDim.x - 1) / gridDim.x, first = blockIdx.x * blocks_voxels;
  const uint64_t end = first + blocks_voxels < voxels ? first + blocks_voxels : voxels;
  for (uint64_t i = first + threadIdx.x; i < end; i += threads) {
    const uint8_t next = truth[i];
    if (next != label) {
      if (run > 0) atomicAdd(&mine[label], run);
      label = next;
      run = 0;
    }
    run++;
  }
  if (run > 0) atomicAdd(&mine[label], run);
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
  if (float_images) {
    return launch(stream, blocks, block, 0, convert_kernel<T, float>, rows, grid.width, pitch, static_cast<const float *>(images), to);
  }
  return launch(stream, blocks, block, 0, convert_kernel<T, uint8_t>, rows, grid.width, pitch, static_cast<const uint8_t *>(images), to);
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
  return launch(stream, dim3(blocks_for(voxels)), dim3(threads), 0, count_kernel, voxels, truth, counts);
}

Status prepare_loss(cudaStream_t stream, uint32_t classes, const unsigned long long *counts, const double *loss, LossTerms *terms) {
  if (classes < 2 || classes > most_classes || !counts || !loss || !terms) return Status::invalid_argument;
  return launch(stream, dim3(1), dim3(warp_size), 0, loss_kernel, classes, counts, loss, terms);
}

}  // namespace mfl::cuda
