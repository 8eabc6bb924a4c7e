/* Device memory: host memory between guard zones. */
#pragma once

#include <cstddef>

namespace mfl::shim {

/** Ends the program with a message when a guard zone was written. */
void check_guards();
/** False when the stretch begins in device memory and ends beyond it; host memory is not known. */
bool in_bounds(const void *memory, size_t bytes);
bool is_pinned(const void *memory);
/** Runs what every stream has queued. */
void drain_all();

}  // namespace mfl::shim
