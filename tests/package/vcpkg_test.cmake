# cmake -D ROOT=... -D WORK=... -D GENERATOR=... -D COMPILER=... -D VERSION=... -P vcpkg_test.cmake
#
# The port for vcpkg, without vcpkg: its manifest is read, its portfile runs with stand-ins for the
# functions of vcpkg that it calls, what that leaves is held to the rules that vcpkg checks after a
# build, and the consumer is built on it. That vcpkg itself takes it is not tested here (it did when
# tried by hand: docs/install.md).

cmake_minimum_required(VERSION 3.25)

set(here ${WORK}/vcpkg)
set(port_dir ${ROOT}/packaging/vcpkg/ports/slab-allocator)
set(consumer_dir ${CMAKE_CURRENT_LIST_DIR}/vcpkg)
include(${CMAKE_CURRENT_LIST_DIR}/steps.cmake)

function(must_be what expected)
    if(NOT "${${what}}" STREQUAL "${expected}")
        message(FATAL_ERROR "${what} is ${${what}}, not ${expected}")
    endif()
endfunction()

# ---- The manifests -------------------------------------------------------------------------------

file(READ ${port_dir}/vcpkg.json manifest)
foreach(field IN ITEMS name version license description)
    string(JSON ${field} GET "${manifest}" ${field})
endforeach()
must_be(name slab-allocator)
must_be(version ${VERSION})
must_be(license MIT)
file(STRINGS ${ROOT}/LICENSE first_line LIMIT_COUNT 1)
must_be(first_line "MIT License")
get_filename_component(port ${port_dir} NAME)
must_be(port ${name}) # the folder has the name of the port

# Members stand in the order that `vcpkg format-manifest` gives them.
string(REGEX MATCHALL "\n  \"[a-z]+\":" members "${manifest}")
string(REGEX REPLACE "[^a-z;]" "" members "${members}")
must_be(members "name;version;description;license;supports;dependencies")
string(JSON supports GET "${manifest}" supports)
must_be(supports "!windows") # nobody has tried

string(JSON dependencies_number LENGTH "${manifest}" dependencies)
set(dependencies)
math(EXPR last "${dependencies_number} - 1")
foreach(index RANGE ${last})
    string(JSON dependency GET "${manifest}" dependencies ${index} name)
    string(JSON host GET "${manifest}" dependencies ${index} host)
    must_be(host ON) # what builds the port, not what is linked to it
    list(APPEND dependencies ${dependency})
endforeach()

file(READ ${consumer_dir}/vcpkg.json consumer)
string(JSON needed GET "${consumer}" dependencies 0)
must_be(needed ${name})
file(READ ${consumer_dir}/vcpkg-configuration.json configuration)
string(JSON ports GET "${configuration}" overlay-ports 0)
get_filename_component(ports ${ports} ABSOLUTE BASE_DIR ${consumer_dir})
must_be(ports ${ROOT}/packaging/vcpkg/ports)

# ---- The portfile, with stand-ins ----------------------------------------------------------------

set(called)

# A function comes from another port, which must be among the dependencies, or from vcpkg itself.
macro(stand_in options one_value many_values)
    cmake_parse_arguments(arg "${options}" "${one_value}" "${many_values}" ${ARGN})
    if(DEFINED arg_UNPARSED_ARGUMENTS OR DEFINED arg_KEYWORDS_MISSING_VALUES)
        message(FATAL_ERROR "${CMAKE_CURRENT_FUNCTION} was called with ${ARGN}")
    endif()
    list(APPEND called ${CMAKE_CURRENT_FUNCTION})
    set(called ${called} PARENT_SCOPE)
endmacro()

function(vcpkg_cmake_configure)
    stand_in("" SOURCE_PATH OPTIONS ${ARGN})
    must_be(arg_SOURCE_PATH ${ROOT})
    must_be(VCPKG_BUILD_TYPE release) # else there is a debug tree, too
    run(${CMAKE_COMMAND} -S ${arg_SOURCE_PATH} -B ${here}/buildtrees ${with} ${arg_OPTIONS}
        -D CMAKE_BUILD_TYPE=Release -D BUILD_SHARED_LIBS=OFF -D CMAKE_INSTALL_LIBDIR=lib
        -D CMAKE_INSTALL_BINDIR=bin -D CMAKE_INSTALL_PREFIX=${CURRENT_PACKAGES_DIR})
endfunction()

function(vcpkg_cmake_install)
    stand_in("" "" "" ${ARGN})
    run(${CMAKE_COMMAND} --build ${here}/buildtrees --target install)
endfunction()

function(vcpkg_cmake_config_fixup)
    stand_in("" PACKAGE_NAME "" ${ARGN})
    set(config ${CURRENT_PACKAGES_DIR}/share/${arg_PACKAGE_NAME}/${arg_PACKAGE_NAME}-config.cmake)
    if(NOT EXISTS ${config})
        message(FATAL_ERROR "there is no ${config}")
    endif()
endfunction()

function(vcpkg_fixup_pkgconfig)
    stand_in("" "" "" ${ARGN})
endfunction()

function(vcpkg_install_copyright)
    stand_in("" "" FILE_LIST ${ARGN})
    must_be(arg_FILE_LIST ${ROOT}/LICENSE)
    configure_file(${arg_FILE_LIST} ${CURRENT_PACKAGES_DIR}/share/${PORT}/copyright COPYONLY)
endfunction()

file(REMOVE_RECURSE ${here})
set(PORT ${name})
set(CURRENT_PORT_DIR ${port_dir})
set(CURRENT_PACKAGES_DIR ${here}/packages)
include(${port_dir}/portfile.cmake)

set(calls "${called}")
must_be(calls "vcpkg_cmake_configure;vcpkg_cmake_install;vcpkg_cmake_config_fixup;\
vcpkg_fixup_pkgconfig;vcpkg_install_copyright")
must_be(dependencies "vcpkg-cmake;vcpkg-cmake-config") # where the first three come from

# ---- What vcpkg checks after a build -------------------------------------------------------------

file(GLOB_RECURSE headers RELATIVE ${ROOT} ${ROOT}/include/*.hpp)
must_hold(
    ${CURRENT_PACKAGES_DIR}
    ${headers}
    share/pkgconfig/slab_allocator.pc
    share/slab-allocator/copyright
    share/slab-allocator/usage
    share/slab_allocator/slab_allocator-config.cmake
    share/slab_allocator/slab_allocator-config-version.cmake
    share/slab_allocator/slab_allocator-targets.cmake
    share/slab_allocator/gdb/slab_allocator_gdb.py)
must_not_name(${CURRENT_PACKAGES_DIR} ${ROOT} ${here})
file(GLOB_RECURSE folders LIST_DIRECTORIES true ${CURRENT_PACKAGES_DIR}/*)
foreach(folder IN LISTS folders)
    file(GLOB held ${folder}/*)
    if(IS_DIRECTORY ${folder} AND NOT held)
        message(FATAL_ERROR "${folder} is empty")
    endif()
endforeach()

# ---- The consumer, which does what `usage` says --------------------------------------------------

file(READ ${port_dir}/usage usage)
file(READ ${consumer_dir}/CMakeLists.txt project)
foreach(line IN ITEMS "find_package(slab_allocator CONFIG REQUIRED)"
                      "PRIVATE slab_allocator::slab_allocator)")
    foreach(text IN ITEMS usage project)
        string(FIND "${${text}}" "${line}" at)
        if(at EQUAL -1)
            message(FATAL_ERROR "${text} does not say: ${line}")
        endif()
    endforeach()
endforeach()
must_work(vcpkg -D CMAKE_PREFIX_PATH=${CURRENT_PACKAGES_DIR})
