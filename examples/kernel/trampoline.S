# trampoline.S -- where the other CPUs start: in 16 bits, below 1 MiB.
#
# start_cpu() in smp.cpp copies this to trampoline_address and sends one CPU there after the other.

    .set trampoline_address, 0x8000

    .section .rodata
    .global trampoline_start, trampoline_end
    .code16
trampoline_start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x900, %eax
    wrmsr
    lgdtl gdt_pointer_low - trampoline_start + trampoline_address
    movl %cr0, %eax
    andl $0x9fffffff, %eax              # a CPU starts with its caches off
    orl $0x80010001, %eax
    movl %eax, %cr0
    ljmpl $8, $1f - trampoline_start + trampoline_address

    .code64
1:  movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movabsq $starting_stack, %rax
    movq (%rax), %rsp
    xorl %ebp, %ebp
    movabsq $cpu_main, %rax
    callq *%rax
2:  cli
    hlt
    jmp 2b

    .balign 4
gdt_pointer_low:
    .short 23
    .long gdt
trampoline_end:

    .section .note.GNU-stack, "", @progbits
