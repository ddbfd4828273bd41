#pragma once

// locked_cache.hpp -- a Cache and a lock: for several threads, one call at a time.
//
//      thread --.                                      .--> cache.backend().lock()
//      thread --+--> | lock | Cache ............ | unlock |
//      thread --'             '--alloc_slab--> unlock | backend | lock
//
// Who holds what
//   - Every member but the sizes and backend() takes the lock for as long as it runs, and holds no
//     other lock of the library.
//   - The backend is called with the lock released, but for its look-ups, get_slab_info_ptr and
//     slab_info_at. So it may sleep, take locks, and call this cache; and several threads may be in
//     it at the same time, the look-ups beside a save or a delete of other pages. A backend that
//     cannot bear that is put into a LockedBackend.
//   - The defect handler and the function given to for_each run under the lock, and must not call
//     this cache. Constructors and destructors of T run without it.
//
// While one call waits for the backend, others go on. So two threads that find the cache empty may
// each take a slab; what is more than retained_free_slabs of them goes back in a later free.
//
// Invariants
//   [O1] cache_ is touched with the lock held, or by its constructor or destructor alone

#include <concepts>
#include <cstddef>
#include <span>
#include <utility>

#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/core/cache_statistics.hpp>
#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/object_calls.hpp>
#include <slab_allocator/core/slab_view.hpp>
#include <slab_allocator/magazine/lock.hpp>
#include <slab_allocator/magazine/unlocking_backend.hpp>

namespace slab_allocator {

template <typename T, typename Backend, BasicLockable Lock, CacheConfig Config = CacheConfig{}>
class LockedCache
    : public ObjectCalls<LockedCache<T, Backend, Lock, Config>, T, Config.checks != Checks::none> {
public:
    using value_type = T;
    using backend_type = Backend;
    using lock_type = Lock;
    /// What it locks: a cache whose backend is Backend, called without the lock.
    using cache_type = Cache<T, UnlockingBackend<Backend, Lock>, Config>;

    /// Effects: none outside of the cache.
    constexpr LockedCache() noexcept
        requires std::default_initializable<Backend>
    = default;
    constexpr explicit LockedCache(Backend backend) noexcept
        requires std::move_constructible<Backend>
        : cache_(UnlockingBackend<Backend, Lock>(std::move(backend))) {}

    LockedCache(const LockedCache&) = delete;  // its slabs know its address: pass it by reference
    LockedCache& operator=(const LockedCache&) = delete;

    /// As Cache's. Requires: no other thread is in a call, or will be. The lock is not taken.
    constexpr ~LockedCache()
        requires(!Config.never_destroyed)
    {
        cache_.backend().no_longer_shared();
    }
    constexpr ~LockedCache()
        requires(Config.never_destroyed)
    = default;

    // ---- As Cache's, with the same costs and a lock ---------------------------------------------

    [[nodiscard]] T* alloc() noexcept {
        const LockGuard<Lock> guard(lock());
        return cache_.alloc();
    }

    void free(T* object) noexcept {
        const LockGuard<Lock> guard(lock());
        cache_.free(object);
    }

    /// All objects in one go: nobody else gets in between, but where the backend is asked.
    [[nodiscard]] bool alloc_bulk(std::span<T*> objects) noexcept {
        const LockGuard<Lock> guard(lock());
        return cache_.alloc_bulk(objects);
    }

    void free_bulk(std::span<T* const> objects) noexcept {
        const LockGuard<Lock> guard(lock());
        cache_.free_bulk(objects);
    }

    /// Returns: how many objects can be allocated without asking the backend, at this moment.
    std::size_t reserve(std::size_t objects_number) noexcept {
        const LockGuard<Lock> guard(lock());
        return cache_.reserve(objects_number);
    }

    std::size_t shrink_to_fit() noexcept {
        const LockGuard<Lock> guard(lock());
        return cache_.shrink_to_fit();
    }

    std::size_t shrink(std::size_t most) noexcept {
        const LockGuard<Lock> guard(lock());
        return cache_.shrink(most);
    }

    /// Calls f(T*) for every live object, under the lock: `f` must not call the cache, not even to
    /// free the visited one.
    template <typename F>
        requires std::invocable<F&, T*>
    void for_each(F&& f) {
        const LockGuard<Lock> guard(lock());
        cache_.for_each(f);
    }

    /// Calls f(const SlabView&) for every slab, under the lock: `f` must not call the cache.
    template <typename F>
        requires std::invocable<F&, const SlabView&>
    void for_each_slab(F&& f) {
        const LockGuard<Lock> guard(lock());
        cache_.for_each_slab(f);
    }

    [[nodiscard]] bool owns(const T* pointer) noexcept {
        const LockGuard<Lock> guard(lock());
        return cache_.owns(pointer);
    }

    /// Exact where no other thread is in a call.
    [[nodiscard]] CacheStatistics statistics() noexcept {
        const LockGuard<Lock> guard(lock());
        return cache_.statistics();
    }

    [[nodiscard]] DefectReport validate() noexcept {
        const LockGuard<Lock> guard(lock());
        return cache_.validate();
    }

    [[nodiscard]] static constexpr std::size_t object_size() noexcept {
        return cache_type::object_size();
    }
    [[nodiscard]] static constexpr std::size_t slab_size() noexcept {
        return cache_type::slab_size();
    }
    [[nodiscard]] static constexpr std::size_t page_size() noexcept {
        return cache_type::page_size();
    }
    [[nodiscard]] static constexpr ObjectSizeType object_size_type() noexcept {
        return cache_type::object_size_type();
    }
    [[nodiscard]] static constexpr std::size_t objects_per_slab() noexcept {
        return cache_type::objects_per_slab();
    }

    [[nodiscard]] constexpr Backend& backend() noexcept { return cache_.backend().get(); }
    [[nodiscard]] constexpr const Backend& backend() const noexcept {
        return cache_.backend().get();
    }

    /// What it locks, for members that need no lock, and for callers that hold it.
    [[nodiscard]] constexpr cache_type& cache() noexcept { return cache_; }
    [[nodiscard]] constexpr Lock& lock() noexcept { return cache_.backend().lock(); }

private:
    cache_type cache_;  // first, so that it and what a DefectReport names have one address
};

}  // namespace slab_allocator
