/* A run as the launches that it is made of, in their order. */
#pragma once

#include <functional>
#include <vector>

#include "plan.h"

namespace mfl::cuda {

struct Launch {
  /** The launcher's name. */
  const char *name;
  /** The block that it belongs to; the number of blocks for the head and what comes before everything. */
  uint32_t block;
  std::function<Status(cudaStream_t)> start;
};

/** The launches of a run whose memory begins at `base`: the pointers in them stay as they are from run to run. */
std::vector<Launch> launches_of(const Plan &plan, char *base);

}  // namespace mfl::cuda
