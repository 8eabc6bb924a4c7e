#include "error.h"

#include <cstring>

namespace mfl::cuda {

namespace {

constexpr size_t most_bytes = 1024;
/** An array, so that there is nothing to free when a thread ends. */
thread_local char last[most_bytes];

}  // namespace

std::string describe(cudaError_t error) {
  return std::string(cudaGetErrorName(error)) + " (" + std::to_string(static_cast<int>(error)) +
         "): " + cudaGetErrorString(error);
}

bool is_fatal(cudaError_t error) {
  // By number: not every runtime that this compiles against names them all. An uncorrectable ECC error; illegal address, launch
  // timeout, assertion, errors of the stack, the instruction, the alignment, the address space, the program counter; launch failure.
  for (const int fatal : {214, 700, 702, 710, 714, 715, 716, 717, 718, 719}) {
    if (static_cast<int>(error) == fatal) return true;
  }
  return false;
}

void check(cudaError_t error, const char *doing) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // an error that is not fatal is this call's alone
  const std::string message = std::string(doing) + ": " + describe(error);
  throw Failure(error == cudaErrorMemoryAllocation ? MFL_OUT_OF_MEMORY : MFL_INTERNAL, message, is_fatal(error));
}

void check(Status status, const char *launching) {
  if (status == Status::ok) return;
  if (status == Status::launch_failed) {
    const cudaError_t error = cudaGetLastError();
    if (error != cudaSuccess) check(error, launching);
  }
  const char *why = status == Status::launch_failed ? ": could not be started" : ": its shapes are refused";
  throw Failure(MFL_INTERNAL, std::string(launching) + why);
}

void remember(const char *message) noexcept {
  std::strncpy(last, message, most_bytes - 1);
  last[most_bytes - 1] = 0;
}

const char *last_error() noexcept { return last; }

}  // namespace mfl::cuda
