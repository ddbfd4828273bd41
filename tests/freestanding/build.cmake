# cmake -D COMPILER=... -D INCLUDE=... -D WORK=... -D HEADER=... -P build.cmake
# cmake -D COMPILER=... -D INCLUDE=... -D WORK=... -D SOURCE=... [-D MACRO=...] -P build.cmake
#
# Compiles HEADER alone, or SOURCE, as a kernel would, and fails where the object needs a symbol that
# no kernel has, registers anything to run before or after the program, or uses a register that a
# kernel does not save. A SOURCE is then linked with nothing but memory.cpp.

cmake_minimum_required(VERSION 3.25)

set(flags -std=c++20 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -ffreestanding
          -fno-exceptions -fno-rtti -fno-stack-protector -fno-pic -fno-pie -mno-red-zone
          -mcmodel=kernel -I${INCLUDE})
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

if(DEFINED MACRO)
    list(APPEND flags -D${MACRO})
endif()

file(MAKE_DIRECTORY ${WORK})
foreach(optimisation IN ITEMS -O0 -O2)
    set(object ${WORK}/object${optimisation}.o)
    if(DEFINED HEADER)
        file(WRITE ${WORK}/alone.cpp "#include <${HEADER}>\n")
        set(SOURCE_OF_OBJECT ${WORK}/alone.cpp)
    else()
        set(SOURCE_OF_OBJECT ${SOURCE})
    endif()
    run(ignored ${COMPILER} ${flags} ${optimisation} -c ${SOURCE_OF_OBJECT} -o ${object})

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
    run(code objdump --disassemble --no-show-raw-insn ${object})
    if(code MATCHES "[^\n]*%(xmm|ymm|zmm|mm|st)[0-9(]?[^\n]*")
        message(FATAL_ERROR "${optimisation}: a register that a kernel does not save:\n"
                            "${CMAKE_MATCH_0}")
    endif()

    if(DEFINED SOURCE)
        run(ignored ${COMPILER} ${flags} ${optimisation} -nostdlib -static
            -Wl,--no-undefined,--entry=main,-Ttext-segment=0xffffffff80000000,--build-id=none
            ${object} ${CMAKE_CURRENT_LIST_DIR}/memory.cpp -o ${WORK}/image${optimisation})
    endif()
endforeach()
