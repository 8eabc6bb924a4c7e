/* Doing launches one after the other until one fails. */
#pragma once

#include "launch.h"

namespace mfl::cuda {

template <class Next>
Status then(Status status, Next next) {
  return status == Status::ok ? next() : status;
}

}  // namespace mfl::cuda
