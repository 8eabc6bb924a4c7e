/* What goes wrong within the backend, and what the C ABI says of it. */
#pragma once

#include <meshfl.h>

#include <exception>
#include <new>
#include <string>

#include "../kernels/launch.h"

namespace mfl::cuda {

/** Thrown inside the backend, never across the ABI. */
class Failure : public std::exception {
 public:
  Failure(mfl_status status, std::string message, bool fatal = false)
      : status(status), fatal(fatal), message_(std::move(message)) {}
  const char *what() const noexcept override { return message_.c_str(); }

  const mfl_status status;
  /** Whether the device's context is destroyed with it. */
  const bool fatal;

 private:
  const std::string message_;
};

/** Throws what an error of CUDA means; `doing` says when it came, such as "copying the image". */
void check(cudaError_t error, const char *doing);
/** The same for a launcher's status; the error is CUDA's last one. */
void check(Status status, const char *launching);

/** Whether every later call in this process fails too, because the kernels have destroyed the device's context. */
bool is_fatal(cudaError_t error);

/** For example "cudaErrorMemoryAllocation (2): out of memory". */
std::string describe(cudaError_t error);

/** This thread's message, until its next failure. */
void remember(const char *message) noexcept;
const char *last_error() noexcept;

/** Turns whatever `work` throws into a status and a message. */
template <class Work>
mfl_status guarded(Work work) noexcept {
  try {
    work();
    return MFL_OK;
  } catch (const Failure &failure) {
    remember(failure.what());
    return failure.status;
  } catch (const std::bad_alloc &) {
    remember("the system has no more memory");
    return MFL_OUT_OF_MEMORY;
  } catch (const std::exception &error) {
    remember(error.what());
    return MFL_INTERNAL;
  } catch (...) {
    remember("an unknown exception");
    return MFL_INTERNAL;
  }
}

}  // namespace mfl::cuda
