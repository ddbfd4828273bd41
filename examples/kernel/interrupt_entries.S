# interrupt_entries.S -- 256 entries, 16 bytes each, that all lead to on_interrupt(frame).
#
# The frame is what interrupts.hpp calls InterruptFrame. The stack is aligned for C++ and found again
# in %rbp, which the callee saves.

    .text
    .code64
    .global interrupt_entries
    .balign 16
interrupt_entries:
    .set vector, 0
    .rept 256
    .balign 16
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
    .else
    pushq $0                            # where the CPU pushes no error code
    .endif
    pushq $vector
    jmp all_interrupts
    .set vector, vector + 1
    .endr

all_interrupts:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    movq %rsp, %rbp
    andq $-16, %rsp
    call on_interrupt
    movq %rbp, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq

    .section .note.GNU-stack, "", @progbits
