/* A model, a batch and a loss, as a session takes them. */
#pragma once

#include <meshfl.h>

#include <cstdint>
#include <vector>

namespace bench {

struct Problem {
  /** For training; `as` gives the other modes. */
  mfl_request request{};
  std::vector<float> parameters, statistics, dropout;
  /** Class weights, then the label smoothing. */
  std::vector<double> loss;
  std::vector<uint8_t> images, truth;

  uint64_t voxels() const;
  mfl_request as(mfl_mode mode, bool logits = false) const;
};

/** MeshNet of nine blocks with dilations 1 2 4 8 16 8 4 2 1 and three classes, with numbers that look like a trained one's. */
Problem meshnet(uint32_t channels, uint32_t edge);

/** Three blocks of five channels on a small grid that the default model's kernels cut into nothing but whole tiles. */
Problem whole_tiles();

/** Every way to train with fewer outputs kept, after the one that keeps all. */
std::vector<mfl_request> checkpointed(const mfl_request &train);

}  // namespace bench
