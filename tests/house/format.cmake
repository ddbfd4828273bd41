# cmake -D TOOL=<clang-format-19> -D ROOT=<root of the project> -P format.cmake

cmake_minimum_required(VERSION 3.25)

if(NOT TOOL)
    message("clang-format-19 is not installed: skipped")
    return()
endif()

file(GLOB_RECURSE sources ${ROOT}/include/*.hpp ${ROOT}/tests/*.[ch]pp ${ROOT}/bench/*.[ch]pp
     ${ROOT}/examples/*.[ch]pp)
execute_process(COMMAND ${TOOL} --dry-run --Werror ${sources} RESULT_VARIABLE status)
if(NOT status EQUAL 0)
    message(FATAL_ERROR "Run: clang-format-19 -i on the files above")
endif()
