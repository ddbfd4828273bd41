#pragma once

// backend.hpp -- where the memory of a whole program comes from.
//
//      up to 16 MiB  FirstFitPages: cut from mappings of 32 MiB
//      above         a mapping of its own
//      SlabInfos     a cache of them          map   read without a lock
//
// All of it is constant-initialised and never destroyed: malloc is called before the first
// constructor and after the last destructor.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/backends/first_fit_pages.hpp>
#include <slab_allocator/backends/mmap_backend.hpp>
#include <slab_allocator/backends/slab_info_cache.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/magazine/lock.hpp>

#include "lock.hpp"
#include "page_map.hpp"

namespace malloc_example {

using slab_allocator::BackendRef;
using slab_allocator::LockGuard;
using slab_allocator::SlabInfo;

class ProgramMemory {
    using Runs = slab_allocator::FirstFitPages<slab_allocator::MmapPages>;

public:
    constexpr explicit ProgramMemory(PageMap& map) noexcept : map_(map) {}

    /// Is more memory in use than ever, by a step since the last time that this was true?
    [[nodiscard]] bool has_grown() noexcept {
        const LockGuard<Lock> guard(lock_);
        if (runs_.peak_bytes() < next_step_) return false;
        next_step_ = runs_.peak_bytes() + runs_.peak_bytes() / 32 + least_step;
        return true;
    }

    [[nodiscard]] void* alloc_slab(std::size_t size, std::size_t alignment) noexcept {
        if (Runs::is_for_source(size, alignment)) return mappings_.alloc_slab(size, alignment);
        const LockGuard<Lock> guard(lock_);
        return runs_.alloc_slab(size, alignment);
    }
    void free_slab(void* slab, std::size_t size, std::size_t alignment) noexcept {
        if (Runs::is_for_source(size, alignment)) return mappings_.free_slab(slab, size, alignment);
        const LockGuard<Lock> guard(lock_);
        runs_.free_slab(slab, size, alignment);
    }

    [[nodiscard]] bool resize_slab(void* slab, std::size_t before, std::size_t after,
                                   std::size_t alignment) noexcept {
        const LockGuard<Lock> guard(lock_);
        return runs_.resize_slab(slab, before, after, alignment);
    }

    [[nodiscard]] SlabInfo* alloc_slab_info() noexcept {
        const LockGuard<Lock> guard(lock_);
        return infos_.alloc_slab_info();
    }
    void free_slab_info(SlabInfo* slab_info) noexcept {
        const LockGuard<Lock> guard(lock_);
        infos_.free_slab_info(slab_info);
    }

    [[nodiscard]] bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) noexcept {
        const LockGuard<Lock> guard(lock_);
        return map_.save_slab_info_ptr(page_addr, slab_info);
    }
    void delete_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        const LockGuard<Lock> guard(lock_);
        map_.delete_slab_info_ptr(page_addr);
    }
    /// Without the lock: readers of the tree need none.
    [[nodiscard]] SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) const noexcept {
        return map_.get_slab_info_ptr(page_addr);
    }

    /// Gives back what is kept for later. Returns: how many bytes.
    std::size_t trim() noexcept {
        const LockGuard<Lock> guard(lock_);
        infos_.cache().shrink_to_fit();
        return runs_.trim();
    }

    [[nodiscard]] Lock& lock() noexcept { return lock_; }

    /// Is a run zero that came just now?
    [[nodiscard]] bool is_zero(const void* run, std::size_t size) noexcept {
        const LockGuard<Lock> guard(lock_);
        return runs_.is_fresh(run, size);
    }

private:
    static constexpr std::size_t least_step = std::size_t{64} * 1024;

    PageMap& map_;  // a megabyte of zeros, which would not be in .bss here
    Lock lock_;
    std::size_t next_step_ = 0;
    slab_allocator::MmapPages mappings_;
    Runs runs_;
    slab_allocator::SlabInfoCache<BackendRef<Runs>, 4096, true> infos_{BackendRef<Runs>(runs_)};
};

}  // namespace malloc_example
