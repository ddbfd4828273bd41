# cmake -D TOOL=<clang-tidy-19> -D ROOT=<root of the project> -P tidy.cmake
#
# The sources below instantiate the whole library, so that the checks see more than its templates.

cmake_minimum_required(VERSION 3.25)

if(NOT TOOL)
    message("clang-tidy-19 is not installed: skipped")
    return()
endif()

file(GLOB sources ${ROOT}/tests/freestanding/*.cpp ${ROOT}/tests/house/tidy/*.cpp)
execute_process(
    COMMAND ${TOOL} --quiet --warnings-as-errors=* --header-filter=include/slab_allocator/.*
            ${sources} -- -std=c++20 -I${ROOT}/include
    RESULT_VARIABLE status
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output)
if(NOT status EQUAL 0)
    message("${output}")
    message(FATAL_ERROR "clang-tidy found something.")
endif()
