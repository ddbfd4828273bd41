# cmake -D ROOT=... -D WORK=... -D GENERATOR=... -D COMPILER=... -P package_test.cmake
#
# Installs the library, moves the install tree, and builds and runs a program that finds it there;
# then one that has the library as a folder among its own sources.

cmake_minimum_required(VERSION 3.25)

function(run)
    execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY OUTPUT_VARIABLE output
                    ERROR_VARIABLE output)
endfunction()

set(common -G ${GENERATOR} -D CMAKE_CXX_COMPILER=${COMPILER})
set(program ${CMAKE_CURRENT_LIST_DIR})

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} -S ${ROOT} -B ${WORK}/library ${common} -D SLAB_ALLOCATOR_BUILD_TESTS=OFF -D
    SLAB_ALLOCATOR_BUILD_EXAMPLES=OFF)
run(${CMAKE_COMMAND} --install ${WORK}/library --prefix ${WORK}/staged)
file(RENAME ${WORK}/staged ${WORK}/installed)

run(${CMAKE_COMMAND} -S ${program} -B ${WORK}/found ${common} -D
    CMAKE_PREFIX_PATH=${WORK}/installed)
run(${CMAKE_COMMAND} --build ${WORK}/found)
run(${WORK}/found/program)

run(${CMAKE_COMMAND} -S ${program} -B ${WORK}/added ${common} -D SLAB_ALLOCATOR_SOURCE=${ROOT})
run(${CMAKE_COMMAND} --build ${WORK}/added)
run(${WORK}/added/program)
