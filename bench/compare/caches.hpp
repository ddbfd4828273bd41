#pragma once

// caches.hpp -- this library as a subject: any configuration, any backend.

#include <cstddef>
#include <span>
#include <utility>

#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/core/config.hpp>

#include "region.hpp"

namespace bench {

/// The largest power of two that divides Size, as objects of programs have it: 16 at most.
template <std::size_t Size>
struct alignas(Size % 16 == 0  ? 16
               : Size % 8 == 0 ? 8
               : Size % 4 == 0 ? 4
                               : 1) Object {
    std::byte bytes[Size];
};

template <std::size_t Size, typename Backend, slab_allocator::CacheConfig Config>
class CacheSubject {
    using Cache = slab_allocator::Cache<Object<Size>, Backend, Config>;

public:
    static constexpr std::size_t object_size = Size;
    static constexpr std::size_t objects_per_slab = Cache::objects_per_slab();

    explicit CacheSubject(std::size_t) {}

    [[nodiscard]] void* alloc() { return cache_.alloc(); }
    void free(void* object) { cache_.free(static_cast<Object<Size>*>(object)); }

    void alloc_bulk(void** objects, std::size_t number) {
        static_cast<void>(cache_.alloc_bulk({typed(objects), number}));
    }
    void free_bulk(void** objects, std::size_t number) {
        cache_.free_bulk({typed(objects), number});
    }

    /// Gives back what is kept for later, here and below.
    void trim() {
        cache_.shrink_to_fit();
        if constexpr (requires { cache_.backend().trim(); }) cache_.backend().trim();
    }

private:
    // A pointer to any object looks the same; the cache's arrays have the type, the runs' have not.
    [[nodiscard]] static Object<Size>** typed(void** objects) {
        return reinterpret_cast<Object<Size>**>(objects);
    }

    Cache cache_;
};

}  // namespace bench
