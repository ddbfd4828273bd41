# cmake -D COMPILER=... -D WARNINGS=... -D OPTIMISATIONS=... -D INCLUDE=... -D WORK=...
#       (-D HEADER=... | -D SOURCE=... [-D MACRO=...]) -P build.cmake
#
# Compiles HEADER alone, or SOURCE, as a kernel would, without a C library's headers, and fails where
# the object needs a symbol that no kernel has, registers anything to run before or after the
# program, uses a register that a kernel does not save, or refers to anything in a way that does not
# reach the upper 2 GiB. A SOURCE is then linked with nothing but memory.cpp.

cmake_minimum_required(VERSION 3.25)

set(flags -std=c++20 ${WARNINGS} -ffreestanding -fno-exceptions -fno-rtti -fno-stack-protector
          -fno-pic -fno-pie -mno-red-zone -mcmodel=kernel -I${INCLUDE})
if(COMPILER MATCHES "clang")
    # With -mgeneral-regs-only clang has no long double, and its <limits> does not compile.
    list(APPEND flags -mno-sse -mno-mmx -msoft-float)
else()
    list(APPEND flags -mgeneral-regs-only)
endif()

function(run output)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE text
                    ERROR_VARIABLE text)
    if(NOT status EQUAL 0)
        list(JOIN ARGN " " command)
        message("${command}\n${text}")
        message(FATAL_ERROR "failed")
    endif()
    set(${output} "${text}" PARENT_SCOPE)
endfunction()

# What a compiler brings along and the C++ library, and nothing of the operating system's: a toolchain
# for kernels has no C library. libstdc++ asks <features.h> for the version of glibc: there is none.
execute_process(COMMAND ${COMPILER} -E -v -xc++ /dev/null OUTPUT_QUIET ERROR_VARIABLE search)
string(REGEX MATCHALL "\n /[^\n ]*(/c[+][+]/|/lib/gcc/[^\n ]*/include|/lib/clang/)[^\n ]*" folders
                      "${search}")
string(STRIP "${folders}" folders)
if(folders STREQUAL "")
    message(FATAL_ERROR "${COMPILER} does not say where its headers are:\n${search}")
endif()
file(MAKE_DIRECTORY ${WORK}/bare)
file(WRITE ${WORK}/bare/features.h "#define __GLIBC_PREREQ(major, minor) 0\n")
list(APPEND flags -nostdinc -isystem ${WORK}/bare)
foreach(folder IN LISTS folders)
    string(STRIP "${folder}" folder)
    list(APPEND flags -isystem ${folder})
endforeach()

if(DEFINED MACRO)
    list(APPEND flags -D${MACRO})
endif()

# A header alone has nothing that is worth optimising: what it defines is inline, or a template.
file(MAKE_DIRECTORY ${WORK})
set(optimisations ${OPTIMISATIONS})
set(compiled ${SOURCE})
if(DEFINED HEADER)
    set(optimisations -O0)
    set(compiled ${WORK}/alone.cpp)
    file(WRITE ${compiled} "#include <${HEADER}>\n")
endif()

foreach(optimisation IN LISTS optimisations)
    set(object ${WORK}/object${optimisation}.o)
    run(ignored ${COMPILER} ${flags} ${optimisation} -c ${compiled} -o ${object})

    # A compiler may call these four in any case; every kernel has them.
    run(undefined nm --undefined-only --format=just-symbols ${object})
    string(REGEX REPLACE "(^|\n)(memcpy|memmove|memset|memcmp)(\n|$)" "\\1" undefined
                         "${undefined}")
    string(REGEX REPLACE "(^|\n)(memcpy|memmove|memset|memcmp)(\n|$)" "\\1" undefined
                         "${undefined}")
    string(STRIP "${undefined}" undefined)
    if(NOT undefined STREQUAL "")
        message(FATAL_ERROR "${optimisation}: undefined symbols: ${undefined}")
    endif()

    run(symbols nm ${object})
    if(symbols MATCHES "_ZGV|_GLOBAL__sub_I|__cxx_global_var_init")
        message(FATAL_ERROR "${optimisation}: a guard variable or a static constructor:\n${symbols}")
    endif()
    run(sections readelf --sections --wide ${object})
    if(sections MATCHES "[.](init_array|fini_array|ctors|dtors|tdata|tbss|gcc_except_table)")
        message(FATAL_ERROR "${optimisation}: a section ${CMAKE_MATCH_0}:\n${sections}")
    endif()
    # By register; and by name, since all of x87's begin with f, and some name no register. By grep: a
    # disassembly is megabytes, of which an expression of CMake's reads half a megabyte a second.
    execute_process(
        COMMAND objdump --disassemble --no-show-raw-insn ${object}
        COMMAND grep -E "%(xmm|ymm|zmm|mm|st|k)[0-9(]|%st$|:\t(f[a-z0-9]+|emms|[a-z]*mxcsr)( |$)"
        OUTPUT_VARIABLE code
        RESULTS_VARIABLE statuses)
    if(NOT statuses STREQUAL "0;1") # objdump has printed, and grep found nothing
        message(FATAL_ERROR "${optimisation}: a register that a kernel does not save:\n${code}")
    endif()

    # The code model kernel: addresses are 64 bits, or 32 that are extended by their sign. R_X86_64_32
    # is extended by zeros, and what a table of offsets or a thread's block needs, no kernel has. (Clang
    # 16 asks such a table for configurations; by the two relocations that a linker makes plain
    # addresses of, which the image shows below.)
    run(relocations readelf --relocs --wide ${object})
    string(REGEX REPLACE "R_X86_64_(64|32S|PC32|PLT32|GOTPCRELX|REX_GOTPCRELX) " "" relocations "${relocations}")
    if(relocations MATCHES "[^\n]*R_X86_64_[^\n]*")
        message(FATAL_ERROR "${optimisation}: a relocation that does not fit into a kernel:\n"
                            "${CMAKE_MATCH_0}")
    endif()

    if(DEFINED SOURCE)
        run(ignored ${COMPILER} ${flags} ${optimisation} -nostdlib -static
            -Wl,--no-undefined,--entry=main,-Ttext-segment=0xffffffff80000000,--build-id=none
            ${object} ${CMAKE_CURRENT_LIST_DIR}/memory.cpp -o ${WORK}/image${optimisation})
        run(sections readelf --sections --wide ${WORK}/image${optimisation})
        if(sections MATCHES "[.](got|plt|rela|dynamic|init_array|ctors|tdata|tbss)[ .][^\n]*")
            message(FATAL_ERROR "${optimisation}: the image has a section ${CMAKE_MATCH_0}")
        endif()
    endif()
endforeach()
