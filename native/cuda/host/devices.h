/* The GPUs of this machine. */
#pragma once

#include <cstdint>
#include <string>

#include "error.h"

namespace mfl::cuda {

/** How many there are. Throws MFL_UNSUPPORTED with the reason, and what would mend it, when none can be used. */
int device_count();

/** Describes one, as it is now. Throws MFL_INVALID_ARGUMENT beyond the last. */
mfl_device device_info(uint32_t index);

/** The names of the instruction sets of all devices, in their order; null beyond the last. */
const char *instruction_set(uint32_t index);

/** Makes a device the calling thread's. Throws when a kernel has destroyed its context in this process. */
void use_device(uint32_t index);

/** Remembers that no session of this process can use a device any more. */
void lose_device(uint32_t index, const std::string &why);

/** Whether code for these architectures, as CMake names them ("80 90-real"), runs on a device of such a capability. */
bool serves(const std::string &architectures, int capability);

/** What an error of the first call to CUDA means for a person, and in a second line what would mend it. */
std::string why_no_device(cudaError_t error, int driver_version, int runtime_version);

}  // namespace mfl::cuda
