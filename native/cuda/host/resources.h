/* What CUDA lends, given back when its holder goes. Errors of giving back are nobody's: the device may be lost by then. */
#pragma once

#include <cstdint>
#include <utility>

#include "error.h"

namespace mfl::cuda {

/** A handle with the function that frees it. */
template <class T, cudaError_t (*free)(T)>
class Owned {
 public:
  Owned() = default;
  explicit Owned(T handle) : handle_(handle) {}
  Owned(Owned &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Owned &operator=(Owned &&other) noexcept {
    reset(std::exchange(other.handle_, nullptr));
    return *this;
  }
  ~Owned() { reset(); }

  void reset(T handle = nullptr) {
    if (handle_) free(handle_);
    handle_ = handle;
  }
  T get() const { return handle_; }
  explicit operator bool() const { return handle_ != nullptr; }

 private:
  T handle_ = nullptr;
};

inline cudaError_t free_device(char *memory) { return cudaFree(memory); }
inline cudaError_t free_pinned(char *memory) { return cudaFreeHost(memory); }

using DeviceMemory = Owned<char *, free_device>;
using PinnedMemory = Owned<char *, free_pinned>;
using OwnStream = Owned<cudaStream_t, cudaStreamDestroy>;
using OwnEvent = Owned<cudaEvent_t, cudaEventDestroy>;
using OwnGraph = Owned<cudaGraph_t, cudaGraphDestroy>;
using OwnExecutable = Owned<cudaGraphExec_t, cudaGraphExecDestroy>;

/** Nothing when the device has not so much. */
inline DeviceMemory try_device_memory(uint64_t bytes) {
  char *memory = nullptr;
  const cudaError_t error = cudaMalloc(reinterpret_cast<void **>(&memory), bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return {};
  }
  check(error, "allocating device memory");
  return DeviceMemory(memory);
}

inline PinnedMemory pinned_memory(uint64_t bytes) {
  char *memory = nullptr;
  check(cudaMallocHost(reinterpret_cast<void **>(&memory), bytes), "allocating pinned memory");
  return PinnedMemory(memory);
}

inline OwnStream new_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
  return OwnStream(stream);
}

/** Its synchronisation sleeps, so that a run takes no core from those who load the next volume. */
inline OwnEvent new_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync), "creating an event");
  return OwnEvent(event);
}

}  // namespace mfl::cuda
