/* What a request asks for, in the terms of the launchers. */
#pragma once

#include <meshfl.h>

#include <vector>

#include "../kernels/launch.h"

namespace mfl::cuda {

/** Throws MFL_INVALID_ARGUMENT, or MFL_UNSUPPORTED for what only another backend can do. */
void check_request(const mfl_request &request);

bool is_train(const mfl_request &request);
/** Whether the run is scored against the truth. */
bool is_scored(const mfl_request &request);
bool has_batch_norm(const mfl_request &request);
/** Whether a block's statistics come from the batch itself. */
bool measures(const mfl_request &request);

Grid grid_of(const mfl_request &request);
Precision precision_of(const mfl_request &request);
uint64_t voxels_of(const mfl_request &request);
Convolution convolution_of(const mfl_request &request, uint32_t block);
Head head_of(const mfl_request &request);

/** Where a block's parameters begin among the floats of all, in PyTorch's order; for the number of blocks, the head's. */
uint64_t parameters_of(const mfl_request &request, uint32_t block);
uint64_t parameter_count(const mfl_request &request);
uint64_t statistic_count(const mfl_request &request);

/** The blocks whose outputs training keeps until the way back, a bit each; the last one always is. */
uint64_t kept_of(const mfl_request &request);
/** The same training step with fewer outputs kept, one request for every way to do so. */
std::vector<mfl_request> with_fewer_kept(const mfl_request &request);

}  // namespace mfl::cuda
