#pragma once

// version.hpp -- the version, for the preprocessor. The build reads it from here.

#define SLAB_ALLOCATOR_VERSION_MAJOR 0
#define SLAB_ALLOCATOR_VERSION_MINOR 1
#define SLAB_ALLOCATOR_VERSION_PATCH 0
