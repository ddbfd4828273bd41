# cmake -D COMPILERS=... -D SOURCES=... -D INCLUDE=... -P report.cmake
#
# Prints every case, and of each compiler the line of the first error.

cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/cases.cmake)

set(number 0)
foreach(source IN LISTS SOURCES)
    get_filename_component(name ${source} NAME_WE)
    read_cases(${source} cases)
    foreach(case IN LISTS cases)
        math(EXPR number "${number} + 1")
        execute_process(COMMAND ${CMAKE_COMMAND} -E echo "${number}. ${name}: ${case}")
        foreach(compiler IN LISTS COMPILERS)
            get_filename_component(compiler_name ${compiler} NAME)
            compile_case(${compiler} ${source} "${case}" status output)
            string(REGEX MATCH "[^\n]* error: [^\n]*" line "${output}")
            string(REPLACE "${INCLUDE}/" "" line "${line}")
            execute_process(COMMAND ${CMAKE_COMMAND} -E echo "   ${compiler_name}: ${line}")
        endforeach()
    endforeach()
endforeach()
