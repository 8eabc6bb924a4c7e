// The backends that this addon was built with.
#pragma once

#include <meshfl.h>

#include <string>

namespace meshfl {

/// The backend of that name, or null.
inline const mfl_backend *find_backend(const std::string &name) {
  for (const mfl_backend *backend : {mfl_cpu_v1()}) {
    if (backend->abi_version == MFL_ABI_VERSION && backend->request_bytes == sizeof(mfl_request) && name == backend->name) {
      return backend;
    }
  }
  return nullptr;
}

}  // namespace meshfl
