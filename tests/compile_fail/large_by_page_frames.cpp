// large_by_page_frames.cpp -- a backend with an array of page frames:
// each function missing, or wrong.

// CASE ALLOC_SLAB=missing|wrong_answer|wrong_parameters
//      "the backend needs `void* alloc_slab(" "every configuration" "LargeByPageFrames"
// CASE FREE_SLAB=missing|wrong_answer|wrong_parameters
//      "the backend needs `void free_slab(" "every configuration" "LargeByPageFrames"
// CASE SLAB_INFO_AT=missing|wrong_answer|wrong_parameters
//      "the backend needs `SlabInfo* slab_info_at(" "slab_info_lookup PageFrames"
//      "LargeByPageFrames"

#include "functions.hpp"

struct Backend : AllocSlab<ALLOC_SLAB>, FreeSlab<FREE_SLAB>, SlabInfoAt<SLAB_INFO_AT> {};

inline constexpr CacheConfig config{.slab_size = 8192,
                                    .object_size_type = ObjectSizeType::Large,
                                    .slab_info_lookup = SlabInfoLookup::PageFrames};
static_assert(MemoryBackend<Backend, config> ==
              (ALLOC_SLAB == right && FREE_SLAB == right && SLAB_INFO_AT == right));

using Refused = Cache<Object, Backend, config>;
void use(Refused& cache) { cache.free(cache.alloc()); }
