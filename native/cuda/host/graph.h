/* A run as one CUDA graph, or launch by launch. */
#pragma once

#include <atomic>
#include <vector>

#include "resources.h"
#include "step.h"

namespace mfl::cuda {

/** Copies that begin and end a run, between pinned memory and the device. */
struct Exchange {
  char *pinned_inputs, *inputs;
  uint64_t input_bytes;
  char *pinned_results, *results;
  uint64_t result_bytes;
};

/** Puts the copy in, the launches and the copy out on a stream as one graph. */
class Graph {
 public:
  Graph(const std::vector<Launch> &launches, const Exchange &exchange, cudaStream_t stream);
  void launch(cudaStream_t stream) const;

 private:
  OwnExecutable executable_;
};

/** The same, launch by launch: for runs that last so long that they should be cancelled in between, and for tools that look at kernels
 * one by one. Waits for launches so that at most a few are under way. False when it was cancelled. */
bool launch_each(const std::vector<Launch> &launches, const Exchange &exchange, cudaStream_t stream, const std::atomic<bool> &cancelled);

}  // namespace mfl::cuda
