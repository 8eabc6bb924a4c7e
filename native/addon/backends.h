// The backends that this addon was built with.
#pragma once

#include <meshfl.h>

#include <string>

namespace meshfl {

/// A backend's table; `devices` is the same one where the backend has devices of its own.
struct Backend {
  const mfl_backend *common = nullptr;
  const mfl_device_backend *devices = nullptr;

  explicit operator bool() const { return common != nullptr; }
  const mfl_backend *operator->() const { return common; }
};

/// The backend of that name, or none.
inline Backend find_backend(const std::string &name) {
  const auto has = [&](const mfl_backend &backend) {
    return backend.abi_version == MFL_ABI_VERSION && backend.request_bytes == sizeof(mfl_request) && name == backend.name;
  };
#ifdef MESHFL_WITH_CPU
  if (has(*mfl_cpu_v1())) return {mfl_cpu_v1(), nullptr};
#endif
#ifdef MESHFL_WITH_CUDA
  if (has(mfl_cuda_v1()->common)) return {&mfl_cuda_v1()->common, mfl_cuda_v1()};
#endif
  return {};
}

}  // namespace meshfl
