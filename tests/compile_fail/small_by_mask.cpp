// small_by_mask.cpp -- a backend whose SlabInfo is found by masking:
// each function missing, or wrong.

// CASE ALLOC_SLAB=missing|wrong_answer|wrong_parameters
//      "the backend needs `void* alloc_slab(" "every configuration" "SmallByMask"
// CASE FREE_SLAB=missing|wrong_answer|wrong_parameters
//      "the backend needs `void free_slab(" "every configuration" "SmallByMask"

#include "functions.hpp"

struct Backend : AllocSlab<ALLOC_SLAB>, FreeSlab<FREE_SLAB> {};

inline constexpr CacheConfig config{.slab_size = 8192, .object_size_type = ObjectSizeType::Small};
static_assert(MemoryBackend<Backend, config> == (ALLOC_SLAB == right && FREE_SLAB == right));

using Refused = Cache<Object, Backend, config>;
void use(Refused& cache) { cache.free(cache.alloc()); }
