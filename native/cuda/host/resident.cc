#include "resident.h"

#include <algorithm>

namespace mfl::cuda {

namespace {

/** What is left of a device to those who come later, such as another process. */
constexpr uint64_t least_left = uint64_t{1} << 30;

}  // namespace

char *Resident::find(uint32_t region, uint64_t key, uint64_t bytes) const {
  const auto found = held_.find({region, key});
  return found != held_.end() && found->second.bytes == bytes ? found->second.memory.get() : nullptr;
}

char *Resident::add(uint32_t region, uint64_t key, uint64_t bytes) {
  remove(region, key);  // of another size
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "asking for free memory");
  if (free < bytes + std::min<uint64_t>(least_left, total / 8)) return nullptr;
  DeviceMemory memory = try_device_memory(bytes);
  if (!memory) return nullptr;
  char *const to = memory.get();
  held_[{region, key}] = {std::move(memory), bytes};
  return to;
}

}  // namespace mfl::cuda
