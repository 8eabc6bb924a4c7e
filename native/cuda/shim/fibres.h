/* The threads of a block as fibres: each has a stack of its own and runs until it waits. */
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace mfl::shim {

struct Index3 {
  unsigned x = 1, y = 1, z = 1;
};

/** Runs `body` once for every thread of every block, one block after the other, the threads in the settings' order. A barrier that some
 * threads never reach ends the program with a message. */
void run_grid(Index3 grid, Index3 block, size_t shared_bytes, const std::function<void()> &body);

/** Waits for every thread of the block. */
void wait_for_block();

/** Leaves `bytes` (at most 64) for the lanes of the warp, waits until all have done so, and returns where lane 0's lie; the
 * others' follow 64 bytes apart. They stay until the next but one exchange. */
const char *exchange(const void *mine, size_t bytes);

/** The block's dynamic shared memory, filled with NaN when the block begins. */
void *dynamic_shared();

extern Index3 grid_size, block_size, block_index, thread_index;

}  // namespace mfl::shim
