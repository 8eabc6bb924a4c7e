/* Where everything of a run lies in one stretch of the device's memory. */
#pragma once

#include <array>

#include "request.h"

namespace mfl::cuda {

/** Regions of the ABI, mfl_region, then those that only the backend knows. */
enum Place : uint32_t {
  terms = MFL_SCORE + 1,
  label_counts,
  confusion,
  coefficients,
  partials,
  image_tensor,
  tensors,
  places
};

/** Blocks first..last of which the output of only the last one is kept. */
struct Segment {
  uint32_t first, last;
};

class Plan {
 public:
  /** Throws what check_request does. */
  Plan(const mfl_request &request, const Device &device);

  const mfl_request request;
  const Device device;

  uint64_t bytes() const { return end_; }
  uint64_t offset(uint32_t place) const { return at_[place]; }
  /** Bytes of a region of the ABI. Throws MFL_INVALID_ARGUMENT when there is no such region. */
  uint64_t region_bytes(uint32_t region) const;

  /** What a run reads and gives beside volumes lies together: one copy in, one copy out. */
  uint64_t inputs_begin() const { return at_[MFL_PARAMETERS]; }
  uint64_t inputs_end() const { return at_[MFL_LOSS] + host_bytes_[MFL_LOSS]; }
  uint64_t results_begin() const { return at_[MFL_GRADIENTS]; }
  uint64_t results_end() const { return at_[terms] + sizeof(LossTerms); }
  static bool is_input(uint32_t region) { return region <= MFL_LOSS; }
  static bool is_volume(uint32_t region) { return region >= MFL_IMAGES && region <= MFL_LOGITS; }

  Segment segment(uint32_t block) const;
  /** Where a block's output lies. What a segment computes again goes where later segments were, whose way back is done. */
  uint64_t output(uint32_t block) const { return at_[tensors] + slot(block) * tensor_bytes_; }
  /** Training: the one gradient tensor. */
  uint64_t gradient() const { return at_[tensors] + (tensor_count_ - 1) * tensor_bytes_; }
  uint32_t tensor_count() const { return tensor_count_; }
  uint32_t recomputed_blocks() const;

 private:
  uint32_t slot(uint32_t block) const;
  uint64_t partial_bytes() const;

  uint64_t kept_;
  std::array<uint64_t, MFL_SCORE + 1> host_bytes_;
  std::array<uint64_t, places> at_;
  uint64_t tensor_bytes_;
  uint32_t tensor_count_;
  uint64_t end_;
};

}  // namespace mfl::cuda
