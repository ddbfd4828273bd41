#include "fiber.hpp"

__asm__(R"(
    .text
    .globl interleavings_switch
    .type interleavings_switch, @function
interleavings_switch:
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
    .size interleavings_switch, . - interleavings_switch
    .section .note.GNU-stack, "", @progbits
    .text
)");
