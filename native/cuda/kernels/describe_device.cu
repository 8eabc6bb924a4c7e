#include "launch.h"

namespace mfl::cuda {

Status describe_device(int index, Device *device) {
  int major = 0, minor = 0, shared_bytes = 0;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index) != cudaSuccess ||
      cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, index) != cudaSuccess) {
    return Status::invalid_argument;
  }
  *device = {10 * major + minor, static_cast<size_t>(shared_bytes)};
  return Status::ok;
}

}  // namespace mfl::cuda
