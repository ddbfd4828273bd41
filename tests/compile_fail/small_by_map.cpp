// small_by_map.cpp -- a backend with a map, for Small slabs that are only page-aligned:
// each function missing, or wrong.

// CASE ALLOC_SLAB=missing|wrong_answer|wrong_parameters
//      "the backend needs `void* alloc_slab(" "every configuration"
//      "SmallByMap"
// CASE FREE_SLAB=missing|wrong_answer|wrong_parameters
//      "the backend needs `void free_slab(" "every configuration"
//      "SmallByMap"
// CASE SAVE_SLAB_INFO_PTR=missing|wrong_answer|wrong_parameters
//      "the backend needs `bool save_slab_info_ptr(" "slab_alignment below slab_size"
//      "SmallByMap"
// CASE GET_SLAB_INFO_PTR=missing|wrong_answer|wrong_parameters
//      "the backend needs `SlabInfo* get_slab_info_ptr(" "slab_alignment below slab_size"
//      "SmallByMap"
// CASE DELETE_SLAB_INFO_PTR=missing|wrong_answer|wrong_parameters
//      "the backend needs `void delete_slab_info_ptr(" "slab_alignment below slab_size"
//      "SmallByMap"

#include "functions.hpp"

struct Backend : AllocSlab<ALLOC_SLAB>,
                 FreeSlab<FREE_SLAB>,
                 SaveSlabInfoPtr<SAVE_SLAB_INFO_PTR>,
                 GetSlabInfoPtr<GET_SLAB_INFO_PTR>,
                 DeleteSlabInfoPtr<DELETE_SLAB_INFO_PTR> {};

inline constexpr CacheConfig config{
    .slab_size = 8192, .slab_alignment = 4096, .object_size_type = ObjectSizeType::Small};
static_assert(MemoryBackend<Backend, config> ==
              (ALLOC_SLAB == right && FREE_SLAB == right && SAVE_SLAB_INFO_PTR == right &&
               GET_SLAB_INFO_PTR == right && DELETE_SLAB_INFO_PTR == right));

using Refused = Cache<Object, Backend, config>;
void use(Refused& cache) { cache.free(cache.alloc()); }
