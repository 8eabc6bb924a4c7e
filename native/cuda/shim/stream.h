/* Streams as queues of closures: what the launch of a kernel adds to. */
#pragma once

#include <functional>

#include "runtime.h"

namespace mfl::shim {

using Operation = std::function<void()>;

/** Queues, or appends to the graph that the stream is capturing. */
void enqueue(cudaStream_t stream, Operation operation);

/** Remembered for cudaGetLastError. */
cudaError_t fail(cudaError_t error);

}  // namespace mfl::shim
