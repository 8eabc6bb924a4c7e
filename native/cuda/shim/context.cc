#include "context.h"

#if defined(__x86_64__) && !defined(_WIN32)

// The callee-saved registers of the System V ABI; MXCSR and the x87 control word are the same for all.
asm(R"(
.text
.globl mfl_shim_switch
.type mfl_shim_switch, @function
mfl_shim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size mfl_shim_switch, .-mfl_shim_switch
.section .note.GNU-stack,"",@progbits
.text
)");

#endif
