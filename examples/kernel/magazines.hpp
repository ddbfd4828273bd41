#pragma once

// magazines.hpp -- a cache with magazines for each CPU: alloc and free without a lock.
//
//      CpuCache --depot, its lock--> LockedCache, its lock --no lock--> backend --its own--> Pages
//
// While a CPU works at its magazines its interrupts are off, because handlers allocate, too; and
// nothing else keeps a CPU here from going on with something else. A kernel that preempts switches
// that off instead, where no handler allocates.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/kernel.hpp>

#include "barrier.hpp"
#include "cpu.hpp"
#include "lock.hpp"
#include "machine.hpp"
#include "memory.hpp"
#include "smp.hpp"

namespace kernel {

using Lock = BasicInterruptSafeLock<without != Without::MagazineLock>;

// [machine]
/// What KernelCpus asks of this kernel.
template <Without missing>
struct BasicMachine {
    /// From here to unpin() the caller is alone on its CPU. Returns: what unpin() needs.
    [[nodiscard]] static std::uint64_t pin() noexcept {
        return missing == Without::Pin ? 0 : save_interrupts();
    }
    static void unpin(std::uint64_t before) noexcept {
        if (missing != Without::Pin) restore_interrupts(before);
    }
    [[nodiscard]] static std::size_t cpu_index() noexcept {
        return missing == Without::CpuIndex ? 0 : this_cpu();
    }
    [[nodiscard]] static bool barrier_on_all_cpus() noexcept {
        return missing != Without::Barrier && kernel::barrier_on_all_cpus();
    }
    static void relax() noexcept { pause(); }
};
using Machine = BasicMachine<without>;
// [/machine]

namespace detail {
template <typename Backend>
struct ForAllCpus {
    using type = slab_allocator::LockedBackend<Backend, Lock>;
};
template <>
struct ForAllCpus<Pages> {
    using type = Pages;
};
template <>
struct ForAllCpus<ByFlatMap::Backend> {
    using Infos = slab_allocator::LockedBackend<ByFlatMap::Infos, Lock>;
    using type = slab_allocator::ComposedBackend<Pages, Infos, FlatMapOfAll>;
};
}  // namespace detail

/// A backend that all CPUs may call at once. Pages has a lock of its own; maps and SlabInfos get
/// one, but for the array of all pages: no two slabs share an entry.
template <typename Backend>
using ForAllCpus = typename detail::ForAllCpus<Backend>::type;

template <typename T, typename Backend, CacheConfig config>
class CpuCache : public slab_allocator::MagazineCache<
                     T, Backend, slab_allocator::KernelCpus<Machine, most_cpus>, Lock, config> {
public:
    /// As SharedCache's. Requires: no other CPU is in a call. Each CPU in turn, since a magazine
    /// that another has loaded stays with it, empty.
    void shrink() noexcept {
        static constinit CpuCache* cache = nullptr;
        static constinit std::size_t turn = 0;
        cache = this;
        turn = 0;
        run_on_cpus(cpus_number(), []() noexcept {
            while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != this_cpu())
                pause();
            cache->shrink_to_fit();
            __atomic_fetch_add(&turn, 1, __ATOMIC_RELEASE);
        });
        shrink_parts_of(this->backend());
    }
};

template <typename Row, std::size_t size>
inline constinit CpuCache<Object<size>, ForAllCpus<typename Row::Backend>, Row::config>
    magazines_of;

}  // namespace kernel
