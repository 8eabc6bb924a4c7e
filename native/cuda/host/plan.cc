#include "plan.h"

#include <algorithm>
#include <string>

#include "error.h"

namespace mfl::cuda {

namespace {

/** Of cudaMalloc, and of everything in what it gives. */
constexpr uint64_t alignment = 256;

const mfl_request &checked(const mfl_request &request) {
  check_request(request);
  return request;
}

std::array<uint64_t, MFL_SCORE + 1> host_bytes(const mfl_request &r) {
  const uint64_t voxels = voxels_of(r), classes = r.classes;
  const bool train = is_train(r), scored = is_scored(r);
  std::array<uint64_t, MFL_SCORE + 1> bytes{};
  bytes[MFL_PARAMETERS] = 4 * parameter_count(r);
  bytes[MFL_STATISTICS] = 4 * statistic_count(r);
  bytes[MFL_DROPOUT] = train ? 4 * uint64_t{r.volumes} * r.blocks * r.channels : 0;
  bytes[MFL_LOSS] = 8 * (classes + 1);
  bytes[MFL_IMAGES] = voxels * (r.float_images ? 4 : 1);
  bytes[MFL_TRUTH] = scored ? voxels : 0;
  bytes[MFL_LABELS] = scored ? 0 : voxels;
  bytes[MFL_LOGITS] = r.want_logits ? 4 * voxels * classes : 0;
  bytes[MFL_GRADIENTS] = train ? 4 * parameter_count(r) : 0;
  bytes[MFL_BATCH_STATISTICS] = 4 * statistic_count(r);
  bytes[MFL_SCORE] = 8 * (1 + classes * classes);
  return bytes;
}

}  // namespace

Plan::Plan(const mfl_request &asked, const Device &on)
    : request(checked(asked)), device(on), kept_(kept_of(asked)), host_bytes_(host_bytes(asked)), at_{} {
  const mfl_request &r = request;
  uint64_t at = 0;
  const auto take = [&](uint32_t place, uint64_t bytes) {
    at_[place] = at;
    at += (bytes + alignment - 1) / alignment * alignment;
  };
  for (const uint32_t region : {MFL_PARAMETERS, MFL_STATISTICS, MFL_DROPOUT, MFL_LOSS, MFL_GRADIENTS, MFL_BATCH_STATISTICS, MFL_SCORE}) {
    take(region, host_bytes_[region]);
  }
  take(terms, sizeof(LossTerms));
  for (const uint32_t region : {MFL_IMAGES, MFL_TRUTH, MFL_LABELS, MFL_LOGITS}) take(region, host_bytes_[region]);
  take(label_counts, 256 * sizeof(unsigned long long));
  take(confusion, uint64_t{r.classes} * r.classes * sizeof(unsigned long long));
  take(coefficients, uint64_t{r.blocks} * r.volumes * r.channels * sizeof(Coefficients));
  take(partials, partial_bytes());
  take(image_tensor, cuda::tensor_bytes(grid_of(r), 1, precision_of(r)));
  tensor_bytes_ = (cuda::tensor_bytes(grid_of(r), r.channels, precision_of(r)) + alignment - 1) / alignment * alignment;
  tensor_count_ = is_train(r) ? 1 : 0;
  uint32_t outputs = 0;
  for (uint32_t block = 0; block < r.blocks; block++) outputs = std::max(outputs, slot(block) + 1);
  tensor_count_ += outputs;
  take(tensors, tensor_count_ * tensor_bytes_);
  end_ = at;
}

uint64_t Plan::region_bytes(uint32_t region) const {
  if (region > MFL_SCORE) throw Failure(MFL_INVALID_ARGUMENT, "there is no region " + std::to_string(region));
  return host_bytes_[region];
}

Segment Plan::segment(uint32_t block) const {
  uint32_t first = block, last = block;
  while (first > 0 && !(kept_ >> (first - 1) & 1)) first--;
  while (!(kept_ >> last & 1)) last++;
  return {first, last};
}

uint32_t Plan::slot(uint32_t block) const {
  if (!is_train(request)) return block % 2;
  const Segment at = segment(block);
  uint32_t segments_before = 0;
  for (uint32_t b = 0; b < at.first; b++) segments_before += kept_ >> b & 1;
  return block == at.last ? segments_before : segments_before + 1 + block - at.first;
}

uint32_t Plan::recomputed_blocks() const {
  uint32_t count = 0;
  for (uint32_t block = 0; block < request.blocks; block++) {
    const uint32_t last = segment(block).last;
    count += is_train(request) && block != last && last + 1 != request.blocks;
  }
  return count;
}

uint64_t Plan::partial_bytes() const {
  size_t most = is_scored(request) ? head_partials(device, head_of(request)) : 0;
  for (uint32_t block = 0; block < request.blocks; block++) {
    const Convolution shape = convolution_of(request, block);
    if (measures(request) || is_train(request)) most = std::max(most, convolution_partials(device, shape));
    if (is_train(request)) most = std::max(most, weight_gradient_partials(device, shape));
  }
  return most * sizeof(double);
}

}  // namespace mfl::cuda
