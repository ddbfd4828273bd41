// heap.cpp -- every HeapConfig that cannot work.

// CASE PAGE_SIZE=5000|128|0
//      "HeapConfig: page_size must be a power of two, at least 256"
// CASE LARGEST_OBJECT=5000|64
//      "HeapConfig: largest_object must be a power of two, at least 128"
// CASE LARGEST_SLAB=5000|2048
//      "HeapConfig: largest_slab must be a power of two, at least page_size and at least"
// CASE LARGEST_OBJECT=8192, LARGEST_SLAB=8192, CHECKS=debug
//      "HeapConfig: at level debug, largest_slab must be at least twice largest_object"

#include <slab_allocator/heap/heap.hpp>

#include "functions.hpp"

#ifndef PAGE_SIZE
#define PAGE_SIZE 4096
#endif
#ifndef LARGEST_OBJECT
#define LARGEST_OBJECT 4096
#endif
#ifndef LARGEST_SLAB
#define LARGEST_SLAB 16384
#endif
#ifndef CHECKS
#define CHECKS hardened
#endif

using namespace slab_allocator;

struct Backend : AllocSlab<right>,
                 FreeSlab<right>,
                 AllocSlabInfo<right>,
                 FreeSlabInfo<right>,
                 SaveSlabInfoPtr<right>,
                 GetSlabInfoPtr<right>,
                 DeleteSlabInfoPtr<right> {};

using Refused = Heap<Backend, HeapConfig{.page_size = PAGE_SIZE,
                                         .largest_object = LARGEST_OBJECT,
                                         .largest_slab = LARGEST_SLAB,
                                         .checks = Checks::CHECKS}>;
void use(Refused& heap) { heap.free(heap.alloc(10)); }
