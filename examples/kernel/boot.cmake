# cmake -D QEMU=<qemu-system-x86_64> -D KERNEL=<file> -D CPUS=<number> -D MODE=<mode>
#       [-D GRUB_MKRESCUE=<grub-mkrescue> -D FIRMWARE=<OVMF.fd> -D WORK=<folder>] -P boot.cmake
#
# Boots a kernel and prints what it says on its serial port. MODE is what must be:
#   passes      all its tests pass
#   image       the same, from an image for CDs and USB sticks that GRUB boots
#   uefi        the same image, on a machine that has UEFI and a memory map full of holes
#   fails       they do not: it panics, or hangs
#   fails_magazines  the same of the test of magazines alone
#   benchmark   it prints its table of instructions, twice the same to the last byte

cmake_minimum_required(VERSION 3.25)

if(NOT QEMU)
    message("qemu-system-x86_64 is not installed: skipped")
    return()
endif()

# Emulated, always: the guest's instructions are counted and its CPUs are independent of the host's.
set(machine -machine q35 -cpu max -m 64 -smp ${CPUS} -nodefaults -display none -monitor none
            -serial stdio -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=4)
set(many_threads -accel tcg,thread=multi)
set(from_qemu -kernel ${KERNEL})
set(counted -accel tcg,thread=single -icount shift=1,sleep=off)

function(boot output seconds)
    execute_process(COMMAND ${QEMU} ${machine} ${ARGN} TIMEOUT ${seconds}
                    OUTPUT_VARIABLE text ERROR_VARIABLE text)
    string(REPLACE "\r" "" text "${text}")
    message("${text}")
    set(${output} "${text}" PARENT_SCOPE)
endfunction()

if(MODE STREQUAL "passes")
    boot(text 300 ${many_threads} ${from_qemu})
    if(NOT text MATCHES "\nall tests passed on ${CPUS} CPUs\n")
        message(FATAL_ERROR "the kernel's tests do not pass")
    endif()
    # Its own table says the same as its test.
    string(CONCAT table "\n  ([0-9]+) blocks took their memory; then no memory\n"
                  "name [^\n]*\nnames +0 [^\n]*\nblocks +([0-9]+) ")
    if(NOT text MATCHES "${table}"
       OR NOT CMAKE_MATCH_1 STREQUAL CMAKE_MATCH_2)
        message(FATAL_ERROR "the table of what the caches hold is not there, or wrong")
    endif()
elseif(MODE MATCHES "^(image|uefi)$")
    if(NOT GRUB_MKRESCUE OR (MODE STREQUAL "uefi" AND NOT FIRMWARE))
        message("grub-mkrescue, or for UEFI OVMF or GRUB's part, is not installed: skipped")
        return()
    endif()
    set(WORK ${WORK}/${MODE})
    set(firmware)
    if(MODE STREQUAL "uefi")
        set(firmware -bios ${FIRMWARE} -m 128)
    endif()
    file(WRITE ${WORK}/files/boot/grub/grub.cfg
         "set timeout=0\nmenuentry kernel {\n    multiboot2 /kernel.elf\n}\n")
    file(COPY_FILE ${KERNEL} ${WORK}/files/kernel.elf)
    execute_process(COMMAND ${GRUB_MKRESCUE} -o ${WORK}/kernel.iso ${WORK}/files
                    RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_VARIABLE text)
    if(NOT status EQUAL 0)  # its parts come in packages of their own
        message("${text}\nsomething that grub-mkrescue wants is not installed: skipped")
        return()
    endif()
    boot(text 300 ${many_threads} ${firmware} -boot d -cdrom ${WORK}/kernel.iso)
    if(NOT text MATCHES "\nbooted by Multiboot 2, CPUs: ${CPUS}\n" OR
       NOT text MATCHES "\nall tests passed on ${CPUS} CPUs\n")
        message(FATAL_ERROR "the kernel's tests do not pass")
    endif()
elseif(MODE MATCHES "^fails")
    if(MODE STREQUAL "fails_magazines")
        boot(text 100 ${many_threads} ${from_qemu} -append "magazines")
        set(reached "\ntest: magazines\n.*  page frames, misuse\n")
    else()
        boot(text 100 ${many_threads} ${from_qemu})
        set(reached "\ntest: misuse\n.*  passed: ")
    endif()
    if(NOT text MATCHES "${reached}")
        message(FATAL_ERROR "the kernel does not come to the tests that matter")
    endif()
    if(text MATCHES "\nall tests passed")
        message(FATAL_ERROR "the kernel's tests do not notice")
    endif()
elseif(MODE STREQUAL "benchmark")
    boot(first 150 ${counted} ${from_qemu} -append benchmark)
    boot(second 150 ${counted} ${from_qemu} -append benchmark)
    if(NOT first MATCHES "\nbenchmark done on ${CPUS} CPUs\n")
        message(FATAL_ERROR "the benchmark does not come to its end")
    endif()
    if(NOT first STREQUAL second)
        message(FATAL_ERROR "the second run differs from the first")
    endif()
else()
    message(FATAL_ERROR "what is MODE=${MODE}?")
endif()
