/* What the host side calls: one launcher a kernel. Every launcher checks its shapes, puts its work on the stream it was given
 * and returns at once; a wrong shape is Status::invalid_argument, a kernel that could not be started Status::launch_failed (ask
 * cudaGetLastError). None allocates, synchronises or copies from the host, so all of them can be captured into a graph.
 *
 * A tensor on the device is (volumes, channels, depth, height, row_pitch(width)): planar channels, x innermost, fp32 or bf16,
 * aligned to 256 bytes as cudaMalloc gives it, zero in a row beyond the width. What is kept of a block is its convolution's
 * output z without bias; what the next block reads is factor * activation(scale * z + shift), computed while it is loaded.
 *
 * Sums over voxels are cut into items: a thread block adds its own voxels and writes doubles to `partials`, a second kernel (a
 * finish_ function) adds the items in their order. Results depend on shapes and on the kind of device alone. All launches of a
 * stream may share one buffer of partials, of the largest size asked for, as long as each finish_ follows its own launch.
 *
 * One training step, block 0 first:
 *   count_labels, prepare_loss, convert_images                                      (the first and last once an image)
 *   every block: convolve, then finish_batch_statistics (training) | finish_instance_statistics | fixed_coefficients
 *   head_score, finish_score, finish_normalisation of the last block
 *   blocks in reverse: weight_gradient, finish_weight_gradient; but for block 0: data_gradient, finish_normalisation of block - 1
 * weight_gradient leaves in the place of z the gradient by z, which data_gradient reads; data_gradient overwrites the gradient
 * that weight_gradient read: one gradient tensor serves the whole way back. To compute a block again for checkpointing is
 * convolve without partials: its coefficients are still there. */
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef MFL_CUDA_SHIM
#include "../shim/runtime.h"
#else
#include <cuda_runtime_api.h>
#endif

namespace mfl::cuda {

enum class Status : int { ok = 0, invalid_argument = 1, launch_failed = 2 };
enum class Precision : uint32_t { fp32 = 0, bf16 = 1 };
/** The numbers of mfl_activation; identity is the image's. */
enum class Activation : uint32_t { elu = 0, relu = 1, gelu = 2, identity = 3 };

constexpr uint32_t most_channels = 64;
constexpr uint32_t most_classes = 128;
constexpr uint32_t most_dilation = 64;

/** What launchers need to know of the device that a stream belongs to. */
struct Device {
  /** Compute capability: 90 is 9.0. From 80, bf16 runs on tensor cores. */
  int capability;
  /** Dynamic shared memory that one block may ask for (cudaDevAttrMaxSharedMemoryPerBlockOptin). */
  size_t shared_bytes;
};
Status describe_device(int index, Device *device);

struct Grid {
  uint32_t volumes, depth, height, width;
};

/** Elements of a row in memory: the width rounded up to eight. */
uint32_t row_pitch(uint32_t width);
/** Bytes of a tensor; 0 when the shape is refused (a channel of one volume must have fewer than 2^31 elements). */
size_t tensor_bytes(const Grid &grid, uint32_t channels, Precision precision);

/** Of one channel of one block in one volume; arrays of it are (volumes, channels). */
struct Coefficients {
  float scale, shift;
  /** Dropout: 0 or 1 / (1 - probability). */
  float factor;
  /** The normalised value is inverse * z + center. */
  float inverse, center;
  /** Gradient by z: by_slope * (gradient by the normalised, scaled value) + by_z * z + constant. */
  float by_slope, by_z, constant;
};

/** A block's convolution, dilation = padding. */
struct Convolution {
  Grid grid;
  uint32_t inputs, outputs, dilation;
  Precision precision;
};

/** A tensor to be read as factor * activation(scale * z + shift). Coefficients (volumes, channels) are null for the image, whose
 * activation is identity. */
struct Activated {
  const void *z;
  const Coefficients *coefficients;
  Activation activation;
};

/* ---- input ---- */

/** to (N, 1, D, H, pitch) = images (N, D, H, W): floats, or bytes divided by 255. Overwrites. */
Status convert_images(cudaStream_t stream, const Grid &grid, const void *images, bool float_images, Precision precision, void *to);

/** counts (256) = how often every value occurs in truth (N, D, H, W). Overwrites. */
Status count_labels(cudaStream_t stream, const Grid &grid, const uint8_t *truth, unsigned long long *counts);

/** What the loss is made of, on the device. */
struct LossTerms {
  /** Sum over all voxels of the weight of their class, and over the classes of their weights. */
  double total, all;
  double smoothing;
  /** 1 when a voxel has a label that is no class: scores and gradients then mean nothing. */
  uint32_t bad_label;
};

/** terms from counts (256) and loss: class weights (K), then the label smoothing. Overwrites. */
Status prepare_loss(cudaStream_t stream, uint32_t classes, const unsigned long long *counts, const double *loss, LossTerms *terms);

/* ---- a block, forward ---- */

/** Doubles that convolve writes when it is asked for statistics, and data_gradient. */
size_t convolution_partials(const Device &device, const Convolution &shape);

/** z (N, Co, ..) = weights (Co, Ci, 3, 3, 3) * activated input (N, Ci, ..). Overwrites. partials: sums and sums of squares of z;
 * null for none. */
Status convolve(cudaStream_t stream, const Device &device, const Convolution &shape, const Activated &input, const float *weights,
                void *z, double *partials);

/** A block's parameters beside its weights, and dropout factors, each (channels); null where the model has none. Factors are
 * volume_stride apart from one volume to the next. */
struct Affine {
  const float *bias, *weight, *offset;
  const float *factors;
  uint32_t factors_volume_stride;
};

/** Coefficients of BatchNorm with the batch's own statistics over all volumes, from what convolve left in partials; measured (2,
 * channels) = mean with bias and biased variance, or null. Overwrites. */
Status finish_batch_statistics(cudaStream_t stream, const Device &device, const Convolution &shape, const double *partials,
                               const Affine &affine, Coefficients *coefficients, float *measured);
/** Coefficients of instance norm: every volume and channel for itself, no parameters. Overwrites. */
Status finish_instance_statistics(cudaStream_t stream, const Device &device, const Convolution &shape, const double *partials,
                                  Coefficients *coefficients);
/** Coefficients that do not depend on the batch: of BatchNorm with running = (2, channels) means and variances, or, where running
 * is null, of no norm. Overwrites. */
Status fixed_coefficients(cudaStream_t stream, uint32_t volumes, uint32_t channels, const float *running, const Affine &affine,
                          Coefficients *coefficients);

/* ---- head ---- */

struct Head {
  Grid grid;
  uint32_t channels, classes;
  Precision precision;
};

/** labels (N, D, H, W) = the class with the largest logit, the lowest of equal ones; logits (N, K, D, H, W) floats, null for none.
 * weights (K, C), biases (K). Overwrites. */
Status head_forward(cudaStream_t stream, const Device &device, const Head &shape, const Activated &input, const float *weights,
                    const float *biases, uint8_t *labels, float *logits);

/** Doubles that head_score writes. */
size_t head_partials(const Device &device, const Head &shape);

/** The loss and confusion (K, K) counts by (truth, prediction); with gradient (N, C, ..) not null also the gradient by the
 * normalised, scaled values of the last block, and sums for its parameters. loss: class weights (K), then the smoothing, as
 * prepare_loss had it. Overwrites gradient, partials and confusion. */
Status head_score(cudaStream_t stream, const Device &device, const Head &shape, const Activated &input, const float *weights,
                  const float *biases, const uint8_t *truth, const double *loss, const LossTerms *terms, void *gradient,
                  double *partials, unsigned long long *confusion);

/** score (1 + K * K) = the loss, then the counts; by_weights (K, C) and by_biases (K), null when there was no gradient.
 * Overwrites. */
Status finish_score(cudaStream_t stream, const Device &device, const Head &shape, const double *partials, const LossTerms *terms,
                    const unsigned long long *confusion, double *score, float *by_weights, float *by_biases);

/* ---- a block, backward ---- */

/** Where the sums of a gradient by normalised values and of its products lie, for finish_normalisation. */
struct GradientSums {
  const double *partials;
  uint32_t items;
  /** Doubles of an item, and where in it the (2, channels) sums begin. */
  uint32_t stride, first;
};
/** In the partials that head_score, or data_gradient, has just filled. */
GradientSums head_sums(const Device &device, const Head &shape, const double *partials);
GradientSums data_gradient_sums(const Device &device, const Convolution &shape, const double *partials);

/** The way back through a block's normalisation. batch_norm: coefficients' by_slope, by_z and constant, by_weight and by_offset (C)
 * the gradients of its parameters, by_bias (C) zero, for a mean takes the bias away. Otherwise by_bias the gradient of the
 * convolution's bias. Pointers of what the model does not have are null. Overwrites. */
Status finish_normalisation(cudaStream_t stream, const Grid &grid, uint32_t channels, bool batch_norm, const GradientSums &sums,
                            Coefficients *coefficients, float *by_weight, float *by_offset, float *by_bias);

/** Doubles that weight_gradient writes. */
size_t weight_gradient_partials(const Device &device, const Convolution &shape);

/** Turns gradient (N, Co, ..) by a block's normalised, scaled values into that by its z, in place of z, and adds up its products
 * with the activated input (N, Ci, ..). Overwrites z and partials. */
Status weight_gradient(cudaStream_t stream, const Device &device, const Convolution &shape, const Activated &input,
                       const Coefficients *coefficients, const void *gradient, void *z, double *partials);

/** by_weights (Co, Ci, 3, 3, 3) from what weight_gradient left in partials. Overwrites. */
Status finish_weight_gradient(cudaStream_t stream, const Device &device, const Convolution &shape, const double *partials,
                              float *by_weights);

/** gradient (N, Ci, ..) by the normalised, scaled values of the block before, whose output is `before` (not the image), from z
 * (N, Co, ..), which weight_gradient has left as a gradient; partials: its sums. Overwrites. */
Status data_gradient(cudaStream_t stream, const Device &device, const Convolution &shape, const void *z, const float *weights,
                     const Activated &before, void *gradient, double *partials);

}  // namespace mfl::cuda
