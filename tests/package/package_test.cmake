# cmake -D DOOR=... -D ROOT=... -D WORK=... -D GENERATOR=... -D COMPILER=... -D VERSION=...
#       -D PKG_CONFIG=... -P package_test.cmake
#
# DOOR install puts the library into an install tree and moves that. Every other DOOR is a way to the
# library, or to be refused: projects in the folder of its name are configured, built and run.

cmake_minimum_required(VERSION 3.25)

set(installed ${WORK}/installed)
set(here ${WORK}/${DOOR})
include(${CMAKE_CURRENT_LIST_DIR}/steps.cmake)

file(GLOB_RECURSE headers RELATIVE ${ROOT}/include ${ROOT}/include/*.hpp)
file(REMOVE_RECURSE ${here})
file(MAKE_DIRECTORY ${here})

if(DOOR STREQUAL "install")
    file(REMOVE_RECURSE ${installed})
    must_install(${ROOT} ${here}/build ${here}/staged)
    file(RENAME ${here}/staged ${installed})

    list(TRANSFORM headers PREPEND include/)
    must_hold(
        ${installed}
        ${headers}
        share/pkgconfig/slab_allocator.pc
        share/slab_allocator/slab_allocator-config.cmake
        share/slab_allocator/slab_allocator-config-version.cmake
        share/slab_allocator/slab_allocator-targets.cmake
        share/slab_allocator/gdb/slab_allocator_gdb.py)
    must_not_name(${installed} ${ROOT} ${here})

    # What a CMake below 3.23 reads of the package, which passes over sets of header files.
    file(READ ${installed}/share/slab_allocator/slab_allocator-targets.cmake targets)
    string(FIND "${targets}" [[INTERFACE_INCLUDE_DIRECTORIES "${_IMPORT_PREFIX}/include"]] at)
    if(at EQUAL -1)
        message(FATAL_ERROR "the targets name no folder of headers:\n${targets}")
    endif()

elseif(DOOR STREQUAL "elsewhere")
    # Folders that are given as absolute ones, outside of the prefix.
    must_install(${ROOT} ${here}/library ${here}/prefix -D CMAKE_INSTALL_INCLUDEDIR=${here}/headers
                 -D CMAKE_INSTALL_DATADIR=${here}/data)
    must_work(find_package -D slab_allocator_DIR=${here}/data/slab_allocator)
    if(PKG_CONFIG)
        set(ENV{PKG_CONFIG_PATH} ${here}/data/pkgconfig)
        run(${PKG_CONFIG} --variable=includedir slab_allocator)
        string(STRIP "${output}" includedir)
        must_hold(${includedir} ${headers})
    endif()

elseif(DOOR STREQUAL "find_package")
    must_work(find_package -D CMAKE_PREFIX_PATH=${installed})
    string(FIND "${configuring}" "found slab_allocator ${VERSION} in ${installed}/share" at)
    if(at EQUAL -1)
        message(FATAL_ERROR "not the package of ${VERSION} in ${installed}:\n${configuring}")
    endif()

elseif(DOOR STREQUAL "too_new")
    # The next patch, the next minor and the next major version.
    string(REPLACE "." ";" numbers ${VERSION})
    list(POP_FRONT numbers major minor patch)
    math(EXPR next_major "${major} + 1")
    math(EXPR next_minor "${minor} + 1")
    math(EXPR next_patch "${patch} + 1")
    foreach(requested IN ITEMS ${major}.${minor}.${next_patch} ${major}.${next_minor} ${next_major})
        must_refuse_version(${requested} ${installed} ${VERSION})
    endforeach()
    must_accept_version(${VERSION} ${installed})

elseif(DOOR STREQUAL "versions")
    # version.hpp is where the version stands: another one there is another one everywhere.
    file(COPY ${ROOT}/CMakeLists.txt ${ROOT}/cmake ${ROOT}/include ${ROOT}/tools
         DESTINATION ${here}/source)
    set(version_hpp ${here}/source/include/slab_allocator/version.hpp)
    file(READ ${version_hpp} text)
    foreach(part IN ITEMS MAJOR=12 MINOR=3 PATCH=40)
        string(REPLACE "=" ";" part ${part})
        list(POP_FRONT part name number)
        string(REGEX REPLACE "(_${name}) [0-9]+" "\\1 ${number}" text "${text}")
    endforeach()
    file(WRITE ${version_hpp} "${text}")
    must_install(${here}/source ${here}/build ${here}/installed)
    foreach(requested IN ITEMS 12.3.41 12.4 13 11.9 1)
        must_refuse_version(${requested} ${here}/installed 12.3.40)
    endforeach()
    foreach(requested IN ITEMS 12.3.40 12.3 12.2.50 12)
        must_accept_version(${requested} ${here}/installed)
    endforeach()
    file(STRINGS ${here}/installed/share/pkgconfig/slab_allocator.pc line REGEX "^Version:")
    if(NOT line STREQUAL "Version: 12.3.40")
        message(FATAL_ERROR "slab_allocator.pc says ${line}")
    endif()

elseif(DOOR STREQUAL "add_subdirectory" OR DOOR STREQUAL "fetch_content")
    must_work(${DOOR} -D SLAB_ALLOCATOR_SOURCE=${ROOT})

elseif(DOOR STREQUAL "pkg_config")
    if(NOT PKG_CONFIG)
        message("pkg-config is not installed: skipped")
        return()
    endif()
    set(ENV{PKG_CONFIG_PATH} ${installed}/share/pkgconfig)
    run(${PKG_CONFIG} --cflags slab_allocator)
    separate_arguments(flags UNIX_COMMAND "${output}")
    run(${COMPILER} -std=c++20 ${flags} ${CMAKE_CURRENT_LIST_DIR}/program.cpp -o ${here}/program)
    must_say(${VERSION} ${here}/program)
    must_say(${VERSION} ${PKG_CONFIG} --modversion slab_allocator)
    run(${PKG_CONFIG} --exists "slab_allocator >= ${VERSION}")
    must_be_refused("(has version '|version of slab_allocator is )${VERSION}" ${PKG_CONFIG}
                    --print-errors --exists "slab_allocator > ${VERSION}")

else()
    message(FATAL_ERROR "no such door: ${DOOR}")
endif()
