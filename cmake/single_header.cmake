# Another folder in place of include/: every header of it includes one of single_include/, a kernel's
# the kernel's, and nothing else. What is built with it has the single header for a library.

set(forwarding_headers)
foreach(header IN LISTS headers)
    cmake_path(RELATIVE_PATH header BASE_DIRECTORY ${SLAB_ALLOCATOR_INCLUDE_DIR})
    set(forwarding_header ${PROJECT_BINARY_DIR}/single_header/${header})
    file(CONFIGURE OUTPUT ${forwarding_header} @ONLY CONTENT
"#pragma once

#if __STDC_HOSTED__
#include \"@PROJECT_SOURCE_DIR@/single_include/slab_allocator.hpp\"
#else
#include \"@PROJECT_SOURCE_DIR@/single_include/slab_allocator_kernel.hpp\"
#endif
")
    list(APPEND forwarding_headers ${forwarding_header})
endforeach()
set(headers ${forwarding_headers})
set(SLAB_ALLOCATOR_INCLUDE_DIR ${PROJECT_BINARY_DIR}/single_header)
