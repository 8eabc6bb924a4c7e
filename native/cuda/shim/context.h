/* Switching stacks. On x86-64 by hand, a few instructions; elsewhere by ucontext, which makes two system calls. */
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__x86_64__) && !defined(_WIN32)

namespace mfl::shim {

struct Context {
  void *stack;
};

extern "C" void mfl_shim_switch(void **from, void *to);

inline void switch_context(Context &from, Context &to) { mfl_shim_switch(&from.stack, to.stack); }

inline void make_context(Context &context, char *stack, size_t bytes, void (*entry)()) {
  // What mfl_shim_switch pops: six registers, then where to go; at the entry the stack is as after a call.
  auto *top = reinterpret_cast<uintptr_t *>((reinterpret_cast<uintptr_t>(stack) + bytes) & ~uintptr_t{15});
  *--top = 0;
  *--top = reinterpret_cast<uintptr_t>(entry);
  for (int i = 0; i < 6; i++) *--top = 0;
  context.stack = top;
}

}  // namespace mfl::shim

#else

#include <ucontext.h>

namespace mfl::shim {

struct Context {
  ucontext_t context;
};

inline void switch_context(Context &from, Context &to) { swapcontext(&from.context, &to.context); }

inline void make_context(Context &context, char *stack, size_t bytes, void (*entry)()) {
  getcontext(&context.context);
  context.context.uc_stack.ss_sp = stack;
  context.context.uc_stack.ss_size = bytes;
  context.context.uc_link = nullptr;
  makecontext(&context.context, entry, 0);
}

}  // namespace mfl::shim

#endif
