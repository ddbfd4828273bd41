# In somebody else's build the library is headers, and nothing is built, tested or installed.

foreach(option IN ITEMS BUILD_TESTS BUILD_EXAMPLES BUILD_BENCH INSTALL WERROR TEST_SINGLE_HEADER)
    if(NOT DEFINED SLAB_ALLOCATOR_${option})
        message(FATAL_ERROR "SLAB_ALLOCATOR_${option} is no option any more")
    endif()
    if(SLAB_ALLOCATOR_${option})
        message(FATAL_ERROR "SLAB_ALLOCATOR_${option} is on in somebody else's build")
    endif()
endforeach()
