# cmake -D ROOT=... -D WORK=... -D COMPILER=<clang++> -P module_test.cmake
#
# The module is compiled, and a program that imports it is built and run. It exports every type that
# README.md speaks of, and what it keeps to itself cannot be named.

cmake_minimum_required(VERSION 3.25)

set(here ${WORK}/module)
include(${CMAKE_CURRENT_LIST_DIR}/steps.cmake)

if(NOT COMPILER)
    message("clang++-19 is not installed: skipped")
    return()
endif()

file(REMOVE_RECURSE ${here})
file(MAKE_DIRECTORY ${here})
set(module ${here}/slab_allocator.pcm)
set(flags -std=c++20 -O1 ${WARNINGS})
set(program ${CMAKE_CURRENT_LIST_DIR}/module/program.cpp)
run(${COMPILER} ${flags} -I${ROOT}/include --precompile ${ROOT}/modules/slab_allocator.cppm
    -o ${module})
run(${COMPILER} ${flags} -c ${module} -o ${here}/module.o)
run(${COMPILER} ${flags} -fmodule-file=slab_allocator=${module} ${program} ${here}/module.o
    -o ${here}/program)
must_say(DoubleFree ${here}/program)
must_be_refused("ListNode" ${COMPILER} ${flags} -fmodule-file=slab_allocator=${module} -D INSIDE
                -fsyntax-only ${program})

file(READ ${ROOT}/single_include/slab_allocator.hpp library)
file(READ ${ROOT}/modules/slab_allocator.cppm exported)
set(readme)
file(GLOB pages ${ROOT}/README.md ${ROOT}/docs/*.md)
foreach(page IN LISTS pages)
    file(READ ${page} text)
    string(APPEND readme "${text}")
endforeach()
string(REGEX MATCHALL "`[A-Z][A-Za-z]+[<`]" names "${readme}")
list(TRANSFORM names REPLACE "[`<]" "")
list(REMOVE_DUPLICATES names)
set(looked_for 0)
foreach(name IN LISTS names)
    if(NOT library MATCHES "\n(class|struct|enum class|concept|using) ${name}[ ;]")
        continue()
    endif()
    math(EXPR looked_for "${looked_for} + 1")
    if(NOT exported MATCHES "using slab_allocator::${name};")
        message(FATAL_ERROR "README.md or docs/ speak of ${name}, which the module does not export")
    endif()
endforeach()
if(looked_for LESS 10)
    message(FATAL_ERROR "README.md and docs/ speak of few types: ${names}")
endif()
