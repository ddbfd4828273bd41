# steps.cmake -- what the tests of the package are made of. `here` is the folder that one works in;
# GENERATOR, COMPILER and VERSION are what the library is built with, and its version.

set(with -G ${GENERATOR} -D CMAKE_CXX_COMPILER=${COMPILER})

# Sets `output` to what the command prints.
function(run)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output
                    ERROR_VARIABLE output)
    if(NOT status EQUAL 0)
        string(JOIN " " command ${ARGN})
        message(FATAL_ERROR "${command}\n${output}")
    endif()
    set(output "${output}" PARENT_SCOPE)
endfunction()

# Fails unless the command fails, and says why.
function(must_be_refused reason)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output
                    ERROR_VARIABLE output)
    string(REGEX REPLACE "[ \n]+" " " output "${output}")
    if(status EQUAL 0 OR NOT output MATCHES "${reason}")
        string(JOIN " " command ${ARGN})
        message(FATAL_ERROR "${command}\nmust fail with: ${reason}\nbut: ${status}, ${output}")
    endif()
endfunction()

# Fails unless the command prints that line and nothing else.
function(must_say line)
    run(${ARGN})
    if(NOT output STREQUAL "${line}\n")
        string(JOIN " " command ${ARGN})
        message(FATAL_ERROR "${command}\nsays ${output}not  ${line}")
    endif()
endfunction()

# Fails unless the files in the folder are those, in any order.
function(must_hold folder)
    file(GLOB_RECURSE files LIST_DIRECTORIES false RELATIVE ${folder} ${folder}/*)
    set(expected ${ARGN})
    list(SORT files)
    list(SORT expected)
    if(NOT files STREQUAL expected)
        message(FATAL_ERROR "${folder}\nholds    ${files}\nnot just ${expected}")
    endif()
endfunction()

# Fails where a file in the folder has one of the texts in it.
function(must_not_name folder)
    file(GLOB_RECURSE files ${folder}/*)
    foreach(file IN LISTS files)
        file(READ ${file} text)
        foreach(name IN LISTS ARGN)
            string(FIND "${text}" ${name} at)
            if(NOT at EQUAL -1)
                message(FATAL_ERROR "${file}\nnames ${name}")
            endif()
        endforeach()
    endforeach()
endfunction()

# Configures, builds, installs and runs the program of the project, which says what version it has.
# Sets `configuring` to what its configuration prints.
function(must_work project)
    run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/${project} -B ${here}/build ${with} ${ARGN})
    set(configuring "${output}")
    run(${CMAKE_COMMAND} --build ${here}/build)
    run(${CMAKE_COMMAND} --install ${here}/build --prefix ${here}/installed)
    must_hold(${here}/installed bin/program) # and nothing of the library
    must_say("${VERSION}" ${here}/installed/bin/program)
    set(configuring "${configuring}" PARENT_SCOPE)
endfunction()

# Installs the library from its sources, by way of a build folder, into a folder.
# Further arguments are for its configuration.
function(must_install source build installed)
    run(${CMAKE_COMMAND} -S ${source} -B ${build} ${with} -D SLAB_ALLOCATOR_BUILD_TESTS=OFF -D
        SLAB_ALLOCATOR_BUILD_EXAMPLES=OFF -D CMAKE_INSTALL_PREFIX=${installed} ${ARGN})
    run(${CMAKE_COMMAND} --install ${build})
endfunction()

# What asks for a version of the library in the folder.
set(too_new_dir ${CMAKE_CURRENT_LIST_DIR}/too_new)
function(must_accept_version requested installed)
    run(${CMAKE_COMMAND} -S ${too_new_dir} -B ${here}/${requested} -G ${GENERATOR} -D
        CMAKE_PREFIX_PATH=${installed} -D SLAB_ALLOCATOR_REQUESTED=${requested})
endfunction()

# Fails unless the request is refused, because of the version that is there.
function(must_refuse_version requested installed there)
    must_be_refused(
        "compatible with requested version \"${requested}\".*not accepted.*version: ${there}"
        ${CMAKE_COMMAND} -S ${too_new_dir} -B ${here}/${requested} -G ${GENERATOR} -D
        CMAKE_PREFIX_PATH=${installed} -D SLAB_ALLOCATOR_REQUESTED=${requested})
endfunction()
