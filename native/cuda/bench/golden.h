/* The cases of fixtures/golden: what PyTorch computed. */
#pragma once

#include <string>
#include <vector>

#include "problem.h"

namespace bench {

struct ScoredLoss {
  std::vector<double> loss;
  double value;
};

struct Golden {
  std::string name;
  Problem problem;
  /** Evaluation mode, (N, K, D, H, W); in float64 where there is that. */
  std::vector<double> logits;
  std::vector<ScoredLoss> losses;
  /** Training mode; not for instance normalisation. */
  bool trains = false;
  double loss = 0;
  std::vector<float> gradients, batch_statistics;
};

/** @param folder fixtures/golden. Throws std::runtime_error. */
std::vector<Golden> read_golden(const std::string &folder);

}  // namespace bench
