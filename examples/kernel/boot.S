# boot.S -- from the boot loader's 32 bits to kernel_main() in 64, in the upper half.
#
#   PVH (qemu -kernel)      boot_from_pvh           %ebx: hvm_start_info
#   Multiboot 2 (GRUB)      boot_from_multiboot2    %ebx: boot information, %eax: its magic
#
# The page tables made here show the first GiB of memory three times: where it is, for the code that
# switches paging on; from the start of the upper half on, for data; and at -2 GiB, for the kernel.
# Other CPUs start with them, too. paging.cpp makes better ones.

    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 8, 18                      # length of the name, of the value; entry point for PVH
    .asciz "Xen"
    .balign 4
    .quad boot_from_pvh

    .section .boot.header, "a", @progbits
    .balign 8
multiboot2_header:
    .long 0xe85250d6, 0, multiboot2_end - multiboot2_header
    .long 0x100000000 - 0xe85250d6 - (multiboot2_end - multiboot2_header)
    .short 0, 0                         # no wishes
    .long 8
multiboot2_end:

    .section .boot.text, "ax", @progbits
    .code32
    .global boot_from_pvh, boot_from_multiboot2
boot_from_pvh:
    xorl %eax, %eax
boot_from_multiboot2:
    cli
    cld
    movl %eax, boot_magic
    movl %ebx, boot_info

    # Present and writable: 3; a large page besides: 0x83.
    movl $boot_pdpt_low + 3, boot_pml4
    movl $boot_pdpt_low + 3, boot_pml4 + 256 * 8
    movl $boot_pdpt_high + 3, boot_pml4 + 511 * 8
    movl $boot_pd + 3, boot_pdpt_low
    movl $boot_pd + 3, boot_pdpt_high + 510 * 8
    movl $0x83, %eax
    movl $boot_pd, %edi
1:  movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $0x200000, %eax
    addl $8, %edi
    cmpl $boot_pd + 4096, %edi
    jb 1b

    movl %cr4, %eax
    orl $0x20, %eax                     # physical address extension
    movl %eax, %cr4
    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx              # EFER
    rdmsr
    orl $0x900, %eax                    # long mode, no-execute bits
    wrmsr
    movl %cr0, %eax
    orl $0x80010001, %eax               # paging, read-only is meant for the kernel, too
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $1f

    .code64
1:  movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %eax, %eax
    movw %ax, %fs
    movw %ax, %gs
    movl boot_magic, %edi
    movl boot_info, %esi
    movabsq $boot_stack_top, %rsp
    xorl %ebp, %ebp
    movabsq $kernel_main, %rax
    callq *%rax
2:  cli
    hlt
    jmp 2b

    .section .boot.data, "aw", @progbits
    .balign 8
    .global gdt, gdt_pointer, boot_pml4
gdt:
    .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff     # code: 8, data: 16
gdt_pointer:
    .short 23
    .quad gdt
boot_magic:
    .long 0
boot_info:
    .long 0

    .section .boot.bss, "aw", @nobits
    .balign 4096
boot_pml4:
    .skip 4096
boot_pdpt_low:
    .skip 4096
boot_pdpt_high:
    .skip 4096
boot_pd:
    .skip 4096

    .bss
    .balign 16
    .skip 32768
boot_stack_top:

    .section .note.GNU-stack, "", @progbits
