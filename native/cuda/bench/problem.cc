#include "problem.h"

#include <algorithm>
#include <cmath>

#include "host/request.h"

namespace bench {

namespace {

/** A small generator whose numbers are the same everywhere (Numerical Recipes). */
class Random {
 public:
  explicit Random(uint32_t seed) : state_(seed) {}
  uint32_t next() { return (state_ = state_ * 1664525u + 1013904223u) >> 8; }
  float uniform(float low, float high) { return low + (high - low) * static_cast<float>(next()) / 16777216.0f; }

 private:
  uint32_t state_;
};

}  // namespace

uint64_t Problem::voxels() const { return mfl::cuda::voxels_of(request); }

mfl_request Problem::as(mfl_mode mode, bool logits) const {
  mfl_request other = request;
  other.mode = mode;
  other.want_logits = logits;
  return other;
}

namespace {

mfl_request training(uint32_t channels, const std::vector<uint32_t> &dilations) {
  mfl_request r{};
  r.mode = MFL_TRAIN;
  r.channels = channels;
  r.classes = 3;
  r.blocks = static_cast<uint32_t>(dilations.size());
  r.convolution_bias = 1;
  r.volumes = 1;
  r.threads = 1;
  r.kept_low = r.kept_high = UINT32_MAX;
  std::copy(dilations.begin(), dilations.end(), r.dilations);
  return r;
}

/** Numbers that look like a trained network's. */
Problem filled(const mfl_request &request) {
  Problem problem;
  problem.request = request;
  const mfl_request &r = problem.request;
  const uint32_t channels = r.channels;
  Random random(1);
  problem.parameters.resize(mfl::cuda::parameter_count(r));
  for (uint32_t block = 0; block <= r.blocks; block++) {
    const uint64_t begin = mfl::cuda::parameters_of(r, block);
    const uint64_t end = block < r.blocks ? mfl::cuda::parameters_of(r, block + 1) : problem.parameters.size();
    const uint64_t weights = block == r.blocks ? 3ull * channels : 27ull * channels * (block == 0 ? 1 : channels);
    const float size = std::sqrt(6.0f / (block == r.blocks ? channels : 27.0f * channels));
    for (uint64_t i = begin; i < end; i++) {
      const bool scale = block < r.blocks && i >= begin + weights + channels && i < begin + weights + 2 * channels;
      problem.parameters[i] = i < begin + weights ? random.uniform(-size, size) : scale ? 1.0f : 0.0f;
    }
  }
  problem.statistics.assign(mfl::cuda::statistic_count(r), 0.0f);
  for (uint32_t block = 0; block < r.blocks; block++) {
    for (uint32_t c = 0; c < channels; c++) problem.statistics[(2 * block + 1) * channels + c] = 1.0f;
  }
  problem.dropout.assign(uint64_t{r.volumes} * r.blocks * channels, 1.0f);
  problem.loss = {0.2, 1.0, 0.8, 0.01};
  problem.images.resize(problem.voxels());
  problem.truth.resize(problem.voxels());
  for (uint64_t i = 0; i < problem.voxels(); i++) {
    problem.images[i] = static_cast<uint8_t>(random.next());
    problem.truth[i] = static_cast<uint8_t>((i >> 3) % 3);
  }
  return problem;
}

}  // namespace

Problem meshnet(uint32_t channels, uint32_t edge) {
  mfl_request request = training(channels, {1, 2, 4, 8, 16, 8, 4, 2, 1});
  request.depth = request.height = request.width = edge;
  return filled(request);
}

Problem whole_tiles() {
  mfl_request request = training(5, {1, 2, 1});
  request.depth = 4;
  request.height = 16;
  request.width = 64;
  return filled(request);
}

std::vector<mfl_request> checkpointed(const mfl_request &train) { return mfl::cuda::with_fewer_kept(train); }

}  // namespace bench
