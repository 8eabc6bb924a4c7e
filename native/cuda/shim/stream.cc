#include "stream.h"

#include <chrono>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "memory.h"

namespace mfl::shim {

using Clock = std::chrono::steady_clock;

struct Event {
  uint64_t recorded = 0, reached = 0;
  Stream *stream = nullptr;
  Clock::time_point when;
};

struct Stream {
  std::deque<Operation> queue;
  Graph *capturing = nullptr;
};

struct Graph {
  std::vector<Operation> operations;
};

namespace {

// One lock for everything: the shim is for checking, and kernels use static memory.
std::recursive_mutex lock;
std::set<Stream *> streams;
Stream *default_stream() {
  static Stream *stream = *streams.insert(new Stream).first;
  return stream;
}
Stream *named(cudaStream_t stream) { return stream ? stream : default_stream(); }

thread_local cudaError_t last_error = cudaSuccess;

bool step(Stream *stream) {
  if (stream->queue.empty()) return false;
  Operation operation = std::move(stream->queue.front());
  stream->queue.pop_front();
  operation();
  return true;
}

void drain(Stream *stream) {
  while (step(stream)) {
  }
  check_guards();
}

void reach(Event *event, uint64_t recording) {
  while (event->reached < recording && event->stream && step(event->stream)) {
  }
}

}  // namespace

cudaError_t fail(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

void enqueue(cudaStream_t given, Operation operation) {
  std::lock_guard hold(lock);
  Stream *stream = named(given);
  if (stream->capturing) {
    stream->capturing->operations.push_back(std::move(operation));
  } else {
    stream->queue.push_back(std::move(operation));
  }
}

void drain_all() {
  std::lock_guard hold(lock);
  for (Stream *stream : streams) drain(stream);
}

}  // namespace mfl::shim

using namespace mfl::shim;

cudaError_t cudaGetLastError() {
  cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() { return last_error; }

cudaError_t cudaDeviceSynchronize() {
  drain_all();
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream) { return cudaStreamCreateWithFlags(stream, 0); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) {
  std::lock_guard hold(lock);
  *stream = *streams.insert(new Stream).first;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  std::lock_guard hold(lock);
  if (!stream || streams.count(stream) == 0) return fail(cudaErrorInvalidValue);
  drain(stream);
  streams.erase(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  std::lock_guard hold(lock);
  if (named(stream)->capturing) return fail(cudaErrorStreamCaptureUnsupported);
  drain(named(stream));
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  std::lock_guard hold(lock);
  return step(named(stream)) && !named(stream)->queue.empty() ? cudaErrorNotReady : cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  std::lock_guard hold(lock);
  enqueue(stream, [event, recording = event->recorded] { reach(event, recording); });
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event) {
  *event = new Event;
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) { return cudaEventCreate(event); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  std::lock_guard hold(lock);
  drain_all();
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  std::lock_guard hold(lock);
  event->stream = named(stream);
  enqueue(stream, [event, recording = ++event->recorded] {
    event->reached = recording;
    event->when = Clock::now();
  });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  std::lock_guard hold(lock);
  reach(event, event->recorded);
  check_guards();
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  std::lock_guard hold(lock);
  if (event->reached < event->recorded && event->stream) step(event->stream);
  return event->reached < event->recorded ? cudaErrorNotReady : cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end) {
  std::lock_guard hold(lock);
  if (start->reached < start->recorded || end->reached < end->recorded) return fail(cudaErrorNotReady);
  *milliseconds = std::chrono::duration<float, std::milli>(end->when - start->when).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  std::lock_guard hold(lock);
  if (!stream || stream->capturing) return fail(cudaErrorStreamCaptureUnsupported);
  stream->capturing = new Graph;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
  std::lock_guard hold(lock);
  if (!stream || !stream->capturing) return fail(cudaErrorInvalidValue);
  *graph = stream->capturing;
  stream->capturing = nullptr;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long) {
  *executable = new Graph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  std::lock_guard hold(lock);
  for (const Operation &operation : executable->operations) enqueue(stream, operation);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  std::lock_guard hold(lock);
  if (!in_bounds(to, bytes) || !in_bounds(from, bytes)) return fail(cudaErrorInvalidValue);
  if (kind == cudaMemcpyHostToDevice && !is_pinned(from) && !named(stream)->capturing) {
    auto bytes_then = std::make_shared<std::vector<char>>(static_cast<const char *>(from), static_cast<const char *>(from) + bytes);
    enqueue(stream, [to, bytes_then] { std::memcpy(to, bytes_then->data(), bytes_then->size()); });
  } else {
    enqueue(stream, [to, from, bytes] { std::memcpy(to, from, bytes); });
  }
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
  if (!in_bounds(to, bytes)) return fail(cudaErrorInvalidValue);
  enqueue(stream, [to, value, bytes] { std::memset(to, value, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
  cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  return error == cudaSuccess ? cudaStreamSynchronize(nullptr) : error;
}
cudaError_t cudaMemset(void *to, int value, size_t bytes) {
  cudaError_t error = cudaMemsetAsync(to, value, bytes, nullptr);
  return error == cudaSuccess ? cudaStreamSynchronize(nullptr) : error;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data) {
  enqueue(stream, [function, data] { function(data); });
  return cudaSuccess;
}
