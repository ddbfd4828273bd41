#pragma once

// magazine.hpp -- every member of LockedCache and MagazineCache, as a kernel uses them: static,
// with a spin lock and CPUs of its own.

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <slab_allocator/kernel.hpp>

namespace {

using namespace slab_allocator;

class SpinLock {
public:
    void lock() noexcept {
        while (__atomic_exchange_n(&locked_, true, __ATOMIC_ACQUIRE))
            __asm__ volatile("pause");
    }
    void unlock() noexcept { __atomic_store_n(&locked_, false, __ATOMIC_RELEASE); }

private:
    bool locked_ = false;
};

/// One CPU whose interrupts are off while it is pinned.
struct Machine {
    std::uintptr_t pin() noexcept { return pins++; }
    void unpin(std::uintptr_t before) noexcept { pins = before; }
    std::size_t cpu_index() noexcept { return 0; }
    bool barrier_on_all_cpus() noexcept { return pins == 0; }
    void relax() noexcept { __asm__ volatile("pause"); }

    std::uintptr_t pins = 0;
};

struct Task {
    explicit Task(int number) noexcept : id(number) {}
    ~Task() { id = -1; }

    int id;
    unsigned char state[60];
};

constexpr std::size_t region_size = std::size_t{64} * 4096;
using Arena = ArenaBackend<region_size>;
using Pages = BackendRef<Arena>;
using Composed =
    ComposedBackend<Pages, SlabInfoCache<Pages, 4096, true>, FlatMapOf<region_size / 4096>>;

constinit Arena arena;
constinit Composed composed{Pages(arena), Pages(arena), &arena};

template <typename Cache>
bool use(Cache& cache) {
    Task* tasks[100];
    if (!cache.alloc_bulk(std::span<Task*>(tasks))) return false;
    cache.free_bulk(std::span<Task* const>(tasks));
    Task* const task = cache.create(7);
    const bool owned = cache.owns(task);
    cache.destroy(task);
    {
        const auto handle = cache.make_unique(8);
        std::size_t live = 0;
        cache.for_each([&](Task*) { ++live; });
        if (live != 1) return false;
    }
    return owned && cache.reserve(10) >= 10 && cache.validate().defect == Defect::None &&
           cache.statistics().allocated_objects_number == 0 && cache.shrink(1) <= 1 &&
           cache.shrink_to_fit() < 100;
}

template <CacheConfig config, auto& backend = composed>
bool use_both() {
    using Shared = BackendRef<std::remove_reference_t<decltype(backend)>>;
    using Synchronised = LockedBackend<Shared, SpinLock>;
    static constinit LockedCache<Task, Synchronised, SpinLock, config> locked{
        Synchronised(Shared(backend))};
    static constinit MagazineCache<Task, Synchronised, KernelCpus<Machine, 4>, SpinLock, config>
        magazines{Synchronised(Shared(backend))};
    if (!use(locked) || !use(magazines)) return false;
    magazines.tick();
    return magazines.depot_statistics().full_magazines_number == 0 &&
           magazines.cpus().synchronise() != Reach::own;
}

}  // namespace
