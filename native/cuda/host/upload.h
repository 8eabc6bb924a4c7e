/* Copies to the device through pinned memory, on a stream of its own. */
#pragma once

#include <array>

#include "resources.h"

namespace mfl::cuda {

class Upload {
 public:
  Upload();

  /** Returns when `from` has been read; the last chunk may still be on its way. */
  void copy(void *to, const void *from, uint64_t bytes);
  /** From the device's memory to the device's memory, after the copies so far. */
  void copy_within(void *to, const void *from, uint64_t bytes);
  /** What is put on the stream from now on waits for the copies so far. */
  void before(cudaStream_t stream);

 private:
  struct Chunk {
    PinnedMemory memory;
    OwnEvent sent;
  };
  OwnStream stream_;
  OwnEvent mark_;
  /** Filled in turn: the host copies into one while the other is sent. */
  std::array<Chunk, 2> chunks_;
  size_t next_ = 0;
};

}  // namespace mfl::cuda
