# cmake -D COMPILER=... -D SOURCE=... -D CASE=... -D INCLUDE=... -P run.cmake
#
# Fails unless SOURCE compiles without the macros of CASE, does not compile with them, and the first
# error is the one that stands beside the case.

cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/cases.cmake)

if(CASE STREQUAL "")
    compile_case(${COMPILER} ${SOURCE} "" status output)
    if(NOT status EQUAL 0)
        message("${output}")
        message(FATAL_ERROR "The control must compile.")
    endif()
    return()
endif()

read_reasons(${SOURCE} "${CASE}" reasons)
if(NOT reasons)
    message(FATAL_ERROR "${SOURCE} does not say why ${CASE} must not compile.")
endif()
compile_case(${COMPILER} ${SOURCE} "${CASE}" status output)
if(status EQUAL 0)
    message(FATAL_ERROR "${CASE} must not compile, but does.")
endif()
foreach(reason IN LISTS reasons)
    string(FIND "${output}" "${reason}" found)
    if(found EQUAL -1)
        message("${output}")
        message(FATAL_ERROR "The first error does not say: ${reason}")
    endif()
endforeach()
