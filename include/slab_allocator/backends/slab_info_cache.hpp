#pragma once

// slab_info_cache.hpp -- SlabInfos for Large caches, served by a small cache of SlabInfos.
//
//      Cache<T, ComposedBackend<Pages, SlabInfoCache<Pages>, HashMap<Pages>>, Large>
//                                       '-- Cache<SlabInfo, Pages>, Small, one page: needs no map
//
// The recursion ends by construction: the cache of SlabInfos is Small and one page, so it finds its
// own records by masking and asks nothing but pages.

#include <concepts>
#include <cstddef>
#include <utility>

#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

/// Serves alloc_slab_info() and free_slab_info(). Not synchronised: whoever holds the lock of the
/// caches that use it. Two SlabInfoCaches may share their Pages through BackendRef.
template <SlabSource Pages, std::size_t page_size = 4096, bool never_destroyed = false>
class SlabInfoCache {
public:
    constexpr SlabInfoCache() noexcept
        requires std::default_initializable<Pages>
    = default;
    constexpr explicit SlabInfoCache(Pages pages) noexcept : cache_(std::move(pages)) {}

    [[nodiscard]] SlabInfo* alloc_slab_info() noexcept { return cache_.alloc(); }
    void free_slab_info(SlabInfo* slab_info) noexcept { cache_.free(slab_info); }

    [[nodiscard]] constexpr Pages& pages() noexcept { return cache_.backend(); }
    [[nodiscard]] constexpr auto& cache() noexcept { return cache_; }

private:
    Cache<SlabInfo, Pages,
          CacheConfig{.slab_size = page_size,
                      .page_size = page_size,
                      .object_size_type = ObjectSizeType::Small,
                      .never_destroyed = never_destroyed}>
        cache_;
};

template <SlabSource Pages, std::size_t page_size, bool never_destroyed>
inline constexpr bool bears_threads<SlabInfoCache<Pages, page_size, never_destroyed>> = false;

}  // namespace slab_allocator
