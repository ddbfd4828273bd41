#pragma once

// locked_heap.hpp -- a Heap and a lock: for several threads, one call at a time.
//
//      thread --> | lock | Heap ............... | unlock |
//                          '--alloc_slab--> unlock | backend | lock
//
// As LockedCache: every member takes the lock for as long as it runs; the backend is called with it
// released, but for its look-up, so it may sleep and call this heap, and several threads may be in
// it at once. The defect handler runs under the lock and must not call this heap.

#include <concepts>
#include <cstddef>
#include <utility>

#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/heap/heap.hpp>
#include <slab_allocator/heap/heap_statistics.hpp>
#include <slab_allocator/heap/size_classes.hpp>
#include <slab_allocator/magazine/lock.hpp>
#include <slab_allocator/magazine/unlocking_backend.hpp>

namespace slab_allocator {

template <typename Backend, BasicLockable Lock, HeapConfig Config = HeapConfig{}>
class LockedHeap {
public:
    using backend_type = Backend;
    using lock_type = Lock;
    using heap_type = Heap<UnlockingBackend<Backend, Lock>, Config>;

    constexpr LockedHeap() noexcept
        requires std::default_initializable<Backend>
    = default;
    constexpr explicit LockedHeap(Backend backend) noexcept
        requires std::move_constructible<Backend>
        : heap_(UnlockingBackend<Backend, Lock>(std::move(backend))) {}

    LockedHeap(const LockedHeap&) = delete;
    LockedHeap& operator=(const LockedHeap&) = delete;

    /// As Heap's. Requires: no other thread is in a call, or will be. The lock is not taken.
    constexpr ~LockedHeap()
        requires(!Config.never_destroyed)
    {
        heap_.backend().no_longer_shared();
    }
    constexpr ~LockedHeap()
        requires(Config.never_destroyed)
    = default;

    // ---- As Heap's, with the same costs and a lock ----------------------------------------------

    [[nodiscard]] void* alloc(std::size_t size) noexcept {
        const LockGuard<Lock> guard(lock());
        return heap_.alloc(size);
    }
    [[nodiscard]] void* alloc(std::size_t size, std::size_t alignment) noexcept {
        const LockGuard<Lock> guard(lock());
        return heap_.alloc(size, alignment);
    }
    void free(void* block) noexcept {
        const LockGuard<Lock> guard(lock());
        heap_.free(block);
    }
    void free(void* block, std::size_t size) noexcept {
        const LockGuard<Lock> guard(lock());
        heap_.free(block, size);
    }
    void free(void* block, std::size_t size, std::size_t alignment) noexcept {
        const LockGuard<Lock> guard(lock());
        heap_.free(block, size, alignment);
    }
    /// The lock is held while the contents are copied.
    [[nodiscard]] void* realloc(void* block, std::size_t size) noexcept {
        const LockGuard<Lock> guard(lock());
        return heap_.realloc(block, size);
    }
    [[nodiscard]] std::size_t usable_size(const void* block) noexcept {
        const LockGuard<Lock> guard(lock());
        return heap_.usable_size(block);
    }
    [[nodiscard]] bool owns(const void* block) noexcept {
        const LockGuard<Lock> guard(lock());
        return heap_.owns(block);
    }
    [[nodiscard]] HeapStatistics statistics() noexcept {
        const LockGuard<Lock> guard(lock());
        return heap_.statistics();
    }
    [[nodiscard]] DefectReport validate() noexcept {
        const LockGuard<Lock> guard(lock());
        return heap_.validate();
    }
    std::size_t shrink_to_fit() noexcept {
        const LockGuard<Lock> guard(lock());
        return heap_.shrink_to_fit();
    }

    [[nodiscard]] constexpr Backend& backend() noexcept { return heap_.backend().get(); }
    /// What it locks, for callers that hold the lock.
    [[nodiscard]] constexpr heap_type& heap() noexcept { return heap_; }
    [[nodiscard]] constexpr Lock& lock() noexcept { return heap_.backend().lock(); }

private:
    heap_type heap_;
};

}  // namespace slab_allocator
