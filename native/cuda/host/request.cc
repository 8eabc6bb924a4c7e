#include "request.h"

#include <algorithm>
#include <string>

#include "error.h"

namespace mfl::cuda {

namespace {

/** Voxels of a batch: beyond any memory, and far from overflow. */
constexpr uint64_t most_voxels = uint64_t{1} << 40;
constexpr uint32_t most_edge = INT32_MAX;

void within(const char *what, uint32_t value, uint32_t low, uint32_t high) {
  if (value >= low && value <= high) return;
  throw Failure(MFL_INVALID_ARGUMENT, std::string(what) + " is " + std::to_string(value) + ": it can be " + std::to_string(low) +
                                          " to " + std::to_string(high));
}

}  // namespace

void check_request(const mfl_request &r) {
  within("mode", r.mode, MFL_FORWARD, MFL_TRAIN);
  within("channels", r.channels, 1, most_channels);
  within("classes", r.classes, 2, most_classes);
  within("blocks", r.blocks, 1, MFL_MAX_BLOCKS);
  within("activation", r.activation, MFL_ELU, MFL_GELU);
  within("normalization", r.normalization, MFL_BATCH_NORM, MFL_NO_NORM);
  within("precision", r.precision, MFL_FP32, MFL_BF16);
  within("convolution_bias", r.convolution_bias, 0, 1);
  within("float_images", r.float_images, 0, 1);
  within("want_logits", r.want_logits, 0, 1);
  within("volumes", r.volumes, 1, most_edge);
  within("depth", r.depth, 1, most_edge);
  within("height", r.height, 1, most_edge);
  within("width", r.width, 1, most_edge);
  for (uint32_t block = 0; block < r.blocks; block++) within("a dilation", r.dilations[block], 1, 1 << 16);
  if (r.mode == MFL_TRAIN && r.normalization == MFL_INSTANCE_NORM) {
    throw Failure(MFL_INVALID_ARGUMENT, "models with instance normalisation do not train");
  }
  double voxels = 1;
  for (const uint32_t edge : {r.volumes, r.depth, r.height, r.width}) voxels *= edge;
  if (voxels > static_cast<double>(most_voxels)) {
    throw Failure(MFL_INVALID_ARGUMENT, "a batch of " + std::to_string(voxels) + " voxels");
  }
  for (uint32_t block = 0; block < r.blocks; block++) {
    if (r.dilations[block] <= most_dilation) continue;
    throw Failure(MFL_UNSUPPORTED, "a dilation of " + std::to_string(r.dilations[block]) + ": the cuda engine goes up to " +
                                       std::to_string(most_dilation));
  }
  if (tensor_bytes(grid_of(r), r.channels, precision_of(r)) == 0) {
    throw Failure(MFL_UNSUPPORTED, "a channel of a volume has 2^31 elements or more: the cuda engine counts them in 31 bits");
  }
}

bool is_train(const mfl_request &r) { return r.mode == MFL_TRAIN; }
bool is_scored(const mfl_request &r) { return r.mode != MFL_FORWARD; }
bool has_batch_norm(const mfl_request &r) { return r.normalization == MFL_BATCH_NORM; }
bool measures(const mfl_request &r) {
  return r.normalization == MFL_INSTANCE_NORM || (has_batch_norm(r) && is_train(r));
}

Grid grid_of(const mfl_request &r) { return {r.volumes, r.depth, r.height, r.width}; }
Precision precision_of(const mfl_request &r) { return static_cast<Precision>(r.precision); }
uint64_t voxels_of(const mfl_request &r) { return uint64_t{r.volumes} * r.depth * r.height * r.width; }

Convolution convolution_of(const mfl_request &r, uint32_t block) {
  return {grid_of(r), block == 0 ? 1 : r.channels, r.channels, r.dilations[block], precision_of(r)};
}
Head head_of(const mfl_request &r) { return {grid_of(r), r.channels, r.classes, precision_of(r)}; }

uint64_t parameters_of(const mfl_request &r, uint32_t block) {
  const uint64_t channels = r.channels;
  const uint64_t extra = channels * (r.convolution_bias + (has_batch_norm(r) ? 2 : 0));
  uint64_t at = 0;
  for (uint32_t b = 0; b < block; b++) at += 27 * channels * (b == 0 ? 1 : channels) + extra;
  return at;
}
uint64_t parameter_count(const mfl_request &r) {
  return parameters_of(r, r.blocks) + uint64_t{r.classes} * (r.channels + 1);
}
uint64_t statistic_count(const mfl_request &r) { return has_batch_norm(r) ? uint64_t{2} * r.channels * r.blocks : 0; }

uint64_t kept_of(const mfl_request &r) {
  return r.kept_low | uint64_t{r.kept_high} << 32 | uint64_t{1} << (r.blocks - 1);
}

std::vector<mfl_request> with_fewer_kept(const mfl_request &r) {
  std::vector<mfl_request> requests;
  if (!is_train(r)) return requests;
  // As packages/engine/src/session/kept-blocks.ts plans: long segments in front, short ones behind, where most is kept already.
  for (uint32_t tensors = r.blocks - 1; tensors * (tensors + 1) / 2 >= r.blocks; tensors--) {
    uint64_t kept = 0;
    for (uint32_t next = 0, i = 1; i <= tensors; i++) {
      next += std::min(tensors - i + 1, r.blocks - next - (tensors - i));
      kept |= uint64_t{1} << (next - 1);
    }
    mfl_request other = r;
    other.kept_low = static_cast<uint32_t>(kept);
    other.kept_high = static_cast<uint32_t>(kept >> 32);
    requests.push_back(other);
  }
  return requests;
}

}  // namespace mfl::cuda
