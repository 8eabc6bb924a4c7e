/* Volumes that stay on the device from one epoch to the next. */
#pragma once

#include <map>
#include <utility>

#include "resources.h"

namespace mfl::cuda {

/** Keeps what fits and never makes room: an epoch visits every volume once, so a cache that drops the oldest would always miss. */
class Resident {
 public:
  /** The values that a region's key stands for; null when they are not here. */
  char *find(uint32_t region, uint64_t key, uint64_t bytes) const;
  /** Memory for them, to be filled; null when the device must not be filled further. */
  char *add(uint32_t region, uint64_t key, uint64_t bytes);
  void remove(uint32_t region, uint64_t key) { held_.erase({region, key}); }
  void clear() { held_.clear(); }
  bool empty() const { return held_.empty(); }

 private:
  struct Volume {
    DeviceMemory memory;
    uint64_t bytes;
  };
  std::map<std::pair<uint32_t, uint64_t>, Volume> held_;
};

}  // namespace mfl::cuda
