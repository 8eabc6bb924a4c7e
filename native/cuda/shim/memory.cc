#include "memory.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>

#include "stream.h"

namespace mfl::shim {

namespace {

// As cudaMalloc aligns; also the size of a guard zone.
constexpr size_t alignment = 256;
// Four of them are a float that is not a number, two a bf16.
constexpr int fill = 0xff;
constexpr unsigned char guard = 0xa5;

std::mutex lock;
std::map<const char *, size_t> device, pinned;
size_t used = 0;
int current_device = 0;

struct Found {
  const char *start;
  size_t bytes;
};
bool find(const std::map<const char *, size_t> &among, const void *memory, Found *found) {
  auto next = among.upper_bound(static_cast<const char *>(memory));
  if (next == among.begin()) return false;
  --next;
  *found = {next->first, next->second};
  return static_cast<const char *>(memory) < next->first + next->second;
}

void check(const char *start, size_t bytes) {
  for (size_t i = 0; i < alignment; i++) {
    for (const char *at : {start - alignment + i, start + bytes + i}) {
      if (static_cast<unsigned char>(*at) == guard) continue;
      std::fprintf(stderr, "a kernel wrote outside of its buffer of %zu bytes, at offset %td\n", bytes, at - start);
      std::abort();
    }
  }
}

void *allocate(size_t bytes) {
  char *block = static_cast<char *>(::operator new(bytes + 2 * alignment, std::align_val_t{alignment}, std::nothrow));
  if (!block) return nullptr;
  std::memset(block, guard, bytes + 2 * alignment);
  std::memset(block + alignment, fill, bytes);
  return block + alignment;
}

}  // namespace

Settings &settings() {
  static Settings settings;
  return settings;
}

void check_guards() {
  std::lock_guard hold(lock);
  for (const auto &[start, bytes] : device) check(start, bytes);
}

bool in_bounds(const void *memory, size_t bytes) {
  std::lock_guard hold(lock);
  Found found;
  return !find(device, memory, &found) || static_cast<const char *>(memory) + bytes <= found.start + found.bytes;
}

bool is_pinned(const void *memory) {
  std::lock_guard hold(lock);
  Found found;
  return find(pinned, memory, &found) || find(device, memory, &found);
}

}  // namespace mfl::shim

using namespace mfl::shim;

cudaError_t cudaMalloc(void **memory, size_t bytes) {
  std::lock_guard hold(lock);
  *memory = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (bytes > settings().memory_bytes - used) return fail(cudaErrorMemoryAllocation);
  *memory = allocate(bytes);
  if (!*memory) return fail(cudaErrorMemoryAllocation);
  device[static_cast<char *>(*memory)] = bytes;
  used += bytes;
  return cudaSuccess;
}

cudaError_t cudaFree(void *memory) {
  if (!memory) return cudaSuccess;
  drain_all();
  std::lock_guard hold(lock);
  auto found = device.find(static_cast<char *>(memory));
  if (found == device.end()) return fail(cudaErrorInvalidValue);
  check(found->first, found->second);
  used -= found->second;
  ::operator delete(static_cast<char *>(memory) - alignment, std::align_val_t{alignment});
  device.erase(found);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void **memory, size_t bytes) {
  *memory = std::malloc(bytes ? bytes : 1);
  if (!*memory) return fail(cudaErrorMemoryAllocation);
  std::lock_guard hold(lock);
  pinned[static_cast<char *>(*memory)] = bytes;
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned) { return cudaMallocHost(memory, bytes); }
cudaError_t cudaFreeHost(void *memory) {
  if (!memory) return cudaSuccess;
  drain_all();
  std::lock_guard hold(lock);
  if (pinned.erase(static_cast<char *>(memory)) == 0) return fail(cudaErrorInvalidValue);
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
  std::lock_guard hold(lock);
  *total = settings().memory_bytes;
  *free = *total - used;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count) {
  *count = settings().devices;
  return *count > 0 ? cudaSuccess : fail(cudaErrorNoDevice);
}
cudaError_t cudaSetDevice(int index) {
  if (index < 0 || index >= settings().devices) return fail(cudaErrorInvalidDevice);
  current_device = index;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int *index) {
  *index = current_device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int index) {
  if (index < 0 || index >= settings().devices) return fail(cudaErrorInvalidDevice);
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "launch shim");
  properties->totalGlobalMem = settings().memory_bytes;
  properties->sharedMemPerBlockOptin = settings().shared_bytes;
  properties->major = settings().capability / 10;
  properties->minor = settings().capability % 10;
  properties->multiProcessorCount = 1;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int index) {
  cudaDeviceProp properties;
  if (cudaError_t error = cudaGetDeviceProperties(&properties, index)) return error;
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = properties.multiProcessorCount; break;
    case cudaDevAttrComputeCapabilityMajor: *value = properties.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = properties.minor; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(properties.sharedMemPerBlockOptin); break;
    default: return fail(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version) { return cudaDriverGetVersion(version); }

const char *cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorNotReady: return "cudaErrorNotReady";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
  }
  return "unknown error";
}
const char *cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
