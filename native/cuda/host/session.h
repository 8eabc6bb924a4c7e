/* One model on one grid on one device: plan, fill in, run, read out. */
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "graph.h"
#include "resident.h"
#include "upload.h"

namespace mfl::cuda {

class Session {
 public:
  /** Throws MFL_INVALID_ARGUMENT or MFL_UNSUPPORTED when there is no such device. */
  explicit Session(uint32_t device);
  ~Session();

  uint64_t plan(const mfl_request &request) const;
  void prepare(const mfl_request &request);
  /** key 0: the device does not keep the values. */
  void write(uint32_t region, uint64_t key, const void *from, uint64_t bytes);
  void run();
  void read(uint32_t region, void *to, uint64_t bytes);
  void cancel() { cancelled_ = true; }

 private:
  /** What was prepared once, for as long as the memory stays where it is. */
  struct Run {
    Plan plan;
    std::vector<Launch> launches;
    std::optional<Graph> graph;
  };

  /** Does work on the session's device; nothing else may be under way. An error that destroys the device's context ends the session. */
  template <class Work>
  void hold(Work work);
  void grow(const Plan &plan);
  std::string plan_that_fits(const mfl_request &request) const;
  const Run &prepared(uint32_t region, uint64_t bytes) const;
  Exchange exchange(const Plan &plan) const;
  void launch(Run &run);

  const uint32_t index_;
  Device device_{};
  std::mutex mutex_;
  std::atomic<bool> cancelled_{false};
  /** Why no call can succeed any more; empty while they can. */
  std::string lost_;

  OwnStream stream_;
  OwnEvent done_;
  std::optional<Upload> upload_;
  Resident resident_;
  DeviceMemory memory_;
  uint64_t memory_bytes_ = 0;
  PinnedMemory pinned_;
  uint64_t pinned_bytes_ = 0;
  /** By the bytes of the request. */
  std::map<std::string, Run> runs_;
  Run *current_ = nullptr;
};

}  // namespace mfl::cuda
