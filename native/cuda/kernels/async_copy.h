/* Copies from global to shared memory that pass through no register and that nothing waits for until it says so: cp.async, from
 * sm_80. Before that, and in the shim, a load and a store. */
#pragma once

#include "device.h"

namespace mfl::cuda {

#ifndef MFL_CUDA_SHIM
__device__ __forceinline__ uint32_t shared_address(const void *in_shared) { return static_cast<uint32_t>(__cvta_generic_to_shared(in_shared)); }
#endif

/** T at `from` to `to`, which is in shared memory; both aligned to its size. This thread may read it after wait_for_copies, others after a
 * barrier that follows. */
template <class T>
__device__ __forceinline__ void copy_async(T *to, const T *from) {
#if !defined(MFL_CUDA_SHIM) && __CUDA_ARCH__ >= 800
  if constexpr (sizeof(T) == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(to)), "l"(from) : "memory");
    return;
  } else if constexpr (sizeof(T) == 8 || sizeof(T) == 4) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(shared_address(to)), "l"(from), "n"(sizeof(T)) : "memory");
    return;
  }
#endif
  *to = *from;
}

/** The same where `wanted`, without a branch. */
template <class T>
__device__ __forceinline__ void copy_async_if(bool wanted, T *to, const T *from) {
#if !defined(MFL_CUDA_SHIM) && __CUDA_ARCH__ >= 800
  if constexpr (sizeof(T) == 16) {
    asm volatile("{.reg .pred p; setp.ne.b32 p, %2, 0; @p cp.async.cg.shared.global [%0], [%1], 16;}" ::"r"(shared_address(to)), "l"(from),
                 "r"(static_cast<uint32_t>(wanted))
                 : "memory");
    return;
  }
#endif
  if (wanted) copy_async(to, from);
}

/** Waits for all copies that this thread has begun. */
__device__ __forceinline__ void wait_for_copies() {
#if !defined(MFL_CUDA_SHIM) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

}  // namespace mfl::cuda
