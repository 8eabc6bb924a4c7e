#include "upload.h"

#include <algorithm>
#include <cstring>

namespace mfl::cuda {

namespace {

constexpr uint64_t chunk_bytes = uint64_t{4} << 20;

}  // namespace

Upload::Upload() : stream_(new_stream()), mark_(new_event()) {
  for (Chunk &chunk : chunks_) chunk = {pinned_memory(chunk_bytes), new_event()};
}

void Upload::copy(void *to, const void *from, uint64_t bytes) {
  for (uint64_t done = 0; done < bytes; done += chunk_bytes) {
    Chunk &chunk = chunks_[next_];
    next_ = (next_ + 1) % chunks_.size();
    const uint64_t length = std::min(chunk_bytes, bytes - done);
    check(cudaEventSynchronize(chunk.sent.get()), "waiting for an upload");
    std::memcpy(chunk.memory.get(), static_cast<const char *>(from) + done, length);
    check(cudaMemcpyAsync(static_cast<char *>(to) + done, chunk.memory.get(), length, cudaMemcpyHostToDevice, stream_.get()),
          "uploading a volume");
    check(cudaEventRecord(chunk.sent.get(), stream_.get()), "uploading a volume");
  }
}

void Upload::copy_within(void *to, const void *from, uint64_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_.get()), "copying a volume");
}

void Upload::before(cudaStream_t stream) {
  check(cudaEventRecord(mark_.get(), stream_.get()), "uploading a volume");
  check(cudaStreamWaitEvent(stream, mark_.get(), 0), "waiting for an upload");
}

}  // namespace mfl::cuda
