// config.cpp -- every configuration that cannot work, with the numbers that the first error names.

// CASE PAGE_SIZE=5000
//      "page_size must be a power of two" "5000" "8192"
// CASE PAGE_SIZE=0
//      "page_size must be a power of two" "page_size" "1"
// CASE SLAB_SIZE=12000
//      "slab_size must be a power of two and a multiple of page_size" "12000" "16384"
// CASE SLAB_SIZE=2048
//      "slab_size must be at least page_size" "2048" "4096"
// CASE SLAB_SIZE=8192, PAGE_SIZE=16384
//      "slab_size must be at least page_size" "8192" "16384"
// CASE SLAB_ALIGNMENT=6000
//      "slab_alignment must be a power of two, or 0" "6000" "8192"
// CASE SLAB_ALIGNMENT=64
//      "slab_alignment must be at least page_size" "64" "4096"
// CASE SLAB_SIZE=8192, OBJECT_ALIGNMENT=16384
//      "the object's alignment is larger than the slab's" "16384" "8192"
// CASE SLAB_SIZE=8192, SLAB_ALIGNMENT=4096, OBJECT_ALIGNMENT=8192
//      "the object's alignment is larger than the slab's" "8192" "4096"
// CASE TYPE=Small, LOOKUP=PageFrames
//      "slab_info_lookup PageFrames is for object_size_type Large"
// CASE SLAB_SIZE=8192, SLAB_ALIGNMENT=4096, LOOKUP=PageFrames
//      "slab_alignment must be at least slab_size, or 0" "4096" "8192"
// CASE SLAB_SIZE=8192, TYPE=Small, OBJECT_SIZE=8192
//      "no room for an object" "8192" "16384"
// CASE SLAB_SIZE=8192, TYPE=Large, OBJECT_SIZE=8193
//      "no room for an object" "8192" "16384"
// CASE SLAB_SIZE=8192, OBJECT_SIZE=100000
//      "no room for an object" "8192" "131072"
// CASE SLAB_SIZE=8192, TYPE=Large, OBJECT_SIZE=8
//      "too many slots for object_size_type Large" "1024" "640"

#include "functions.hpp"

#ifndef OBJECT_SIZE
#define OBJECT_SIZE 64
#endif
#ifndef OBJECT_ALIGNMENT
#define OBJECT_ALIGNMENT 1
#endif
#ifndef SLAB_SIZE
#define SLAB_SIZE 0
#endif
#ifndef PAGE_SIZE
#define PAGE_SIZE 4096
#endif
#ifndef SLAB_ALIGNMENT
#define SLAB_ALIGNMENT 0
#endif
#ifndef TYPE
#define TYPE Auto
#endif
#ifndef LOOKUP
#define LOOKUP Auto
#endif

struct Backend : AllocSlab<right>,
                 FreeSlab<right>,
                 AllocSlabInfo<right>,
                 FreeSlabInfo<right>,
                 SaveSlabInfoPtr<right>,
                 GetSlabInfoPtr<right>,
                 DeleteSlabInfoPtr<right>,
                 SlabInfoAt<right> {};

struct alignas(OBJECT_ALIGNMENT) Configured {
    unsigned char bytes[OBJECT_SIZE];
};

using Refused = Cache<Configured, Backend,
                      CacheConfig{.slab_size = SLAB_SIZE,
                                  .page_size = PAGE_SIZE,
                                  .slab_alignment = SLAB_ALIGNMENT,
                                  .object_size_type = ObjectSizeType::TYPE,
                                  .slab_info_lookup = SlabInfoLookup::LOOKUP}>;
void use(Refused& cache) { cache.free(cache.alloc()); }
