#pragma once

// cache_kind.hpp -- for how many threads a pool is, and by which means.
//
//      OneThread             Cache           Heap             one thread, or one lock around all
//      UnderLock<Lock>       LockedCache     LockedHeap       several, one at a time in each
//      PerCpu<Cpus, Lock>    MagazineCache   LockedHeap       several, with magazines of their own
//
// Where there are locks, the backend must bear several threads: a LockedBackend does.

#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/core/config.hpp>
#include <slab_allocator/heap/heap.hpp>
#include <slab_allocator/heap/locked_heap.hpp>
#include <slab_allocator/heap/size_classes.hpp>
#include <slab_allocator/magazine/cpus.hpp>
#include <slab_allocator/magazine/lock.hpp>
#include <slab_allocator/magazine/locked_cache.hpp>
#include <slab_allocator/magazine/magazine_cache.hpp>

namespace slab_allocator {

namespace detail {

/// What a heap can do of what was chosen for caches.
[[nodiscard]] constexpr HeapConfig heap_config_of(const CacheConfig& config) noexcept {
    return {.page_size = config.page_size,
            .checks = config.checks == Checks::none ? Checks::none : Checks::misuse,
            .never_destroyed = config.never_destroyed};
}

}  // namespace detail

/// A Pool for one thread, or for several that have one lock around all they do with it.
struct OneThread {
    template <typename T, typename Backend, CacheConfig Config>
    using Cache = slab_allocator::Cache<T, Backend, Config>;
    template <typename Backend, CacheConfig Config>
    using Heap = slab_allocator::Heap<Backend, detail::heap_config_of(Config)>;
};

/// A Pool for several threads, with a Lock in each cache and one in the heap.
template <BasicLockable Lock>
struct UnderLock {
    template <typename T, typename Backend, CacheConfig Config>
    using Cache = LockedCache<T, Backend, Lock, Config>;
    template <typename Backend, CacheConfig Config>
    using Heap = LockedHeap<Backend, Lock, detail::heap_config_of(Config)>;
};

/// A Pool for several threads or CPUs, whose nodes come from magazines of their own.
template <CpuPolicy Cpus, BasicLockable Lock>
struct PerCpu {
    template <typename T, typename Backend, CacheConfig Config>
    using Cache = MagazineCache<T, Backend, Cpus, Lock, Config>;
    template <typename Backend, CacheConfig Config>
    using Heap = LockedHeap<Backend, Lock, detail::heap_config_of(Config)>;
};

}  // namespace slab_allocator
