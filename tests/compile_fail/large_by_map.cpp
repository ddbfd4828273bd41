// large_by_map.cpp -- a backend with a map, for Large slabs: each function missing, or wrong.

// CASE ALLOC_SLAB=missing|wrong_answer|wrong_parameters
//      "the backend needs `void* alloc_slab(" "every configuration" "LargeByMap"
// CASE FREE_SLAB=missing|wrong_answer|wrong_parameters
//      "the backend needs `void free_slab(" "every configuration" "LargeByMap"
// CASE ALLOC_SLAB_INFO=missing|wrong_answer|wrong_parameters
//      "the backend needs `SlabInfo* alloc_slab_info(" "object_size_type Large" "LargeByMap"
// CASE FREE_SLAB_INFO=missing|wrong_answer|wrong_parameters
//      "the backend needs `void free_slab_info(" "object_size_type Large" "LargeByMap"
// CASE SAVE_SLAB_INFO_PTR=missing|wrong_answer|wrong_parameters
//      "the backend needs `bool save_slab_info_ptr(" "object_size_type Large" "LargeByMap"
// CASE GET_SLAB_INFO_PTR=missing|wrong_answer|wrong_parameters
//      "the backend needs `SlabInfo* get_slab_info_ptr(" "object_size_type Large" "LargeByMap"
// CASE DELETE_SLAB_INFO_PTR=missing|wrong_answer|wrong_parameters
//      "the backend needs `void delete_slab_info_ptr(" "object_size_type Large" "LargeByMap"

#include "functions.hpp"

struct Backend : AllocSlab<ALLOC_SLAB>,
                 FreeSlab<FREE_SLAB>,
                 AllocSlabInfo<ALLOC_SLAB_INFO>,
                 FreeSlabInfo<FREE_SLAB_INFO>,
                 SaveSlabInfoPtr<SAVE_SLAB_INFO_PTR>,
                 GetSlabInfoPtr<GET_SLAB_INFO_PTR>,
                 DeleteSlabInfoPtr<DELETE_SLAB_INFO_PTR> {};

inline constexpr CacheConfig config{.slab_size = 8192, .object_size_type = ObjectSizeType::Large};
static_assert(MemoryBackend<Backend, config> ==
              (ALLOC_SLAB == right && FREE_SLAB == right && ALLOC_SLAB_INFO == right &&
               FREE_SLAB_INFO == right && SAVE_SLAB_INFO_PTR == right &&
               GET_SLAB_INFO_PTR == right && DELETE_SLAB_INFO_PTR == right));

using Refused = Cache<Object, Backend, config>;
void use(Refused& cache) { cache.free(cache.alloc()); }
