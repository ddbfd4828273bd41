#pragma once

// aligned_alloc_backend.hpp -- a whole backend over std::aligned_alloc: serves every configuration
// but PageFrames. Hosted.
//
//      std::aligned_alloc --2 MiB--> SlabRuns --slabs--> caches
//                     |                 '------4 KiB---> SlabInfoCache --SlabInfos--> Large caches
//                     '--tables------> HashMap: page --> SlabInfo
//
// Slabs come in runs because malloc pads each aligned block: slabs of one page, taken one by one,
// cost twice their bytes. Everything is given back: a run when its last slab is (one is kept until
// trim()), the rest when the backend dies. What malloc keeps for itself is not resident any more:
// its free lists may pin a few runs for ever, and it raises its own threshold for giving back.

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include <slab_allocator/backends/process_secret.hpp>
#include <slab_allocator/backends/slab_info_cache.hpp>
#include <slab_allocator/backends/slab_runs.hpp>
#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/maps/hash_map.hpp>

namespace slab_allocator {

/// A SlabSource: each slab is one block of std::aligned_alloc.
class AlignedAllocPages {
public:
    /// From this size on, what is freed is given back to the system where there is a way.
    static constexpr std::size_t smallest_released = std::size_t{128} * 1024;

    [[nodiscard]] void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        // The size must be a multiple of the alignment, or some libraries refuse it.
        const std::size_t bytes = align_up(slab_size, slab_alignment);
        return bytes < slab_size ? nullptr : std::aligned_alloc(slab_alignment, bytes);
    }
    void free_slab(void* slab, [[maybe_unused]] std::size_t slab_size, std::size_t) noexcept {
#if defined(__linux__)
        // Before the free: afterwards the pages are somebody else's. A refusal changes nothing.
        if (slab_size >= smallest_released) ::madvise(slab, slab_size, MADV_DONTNEED);
#endif
        std::free(slab);
    }
};

/// Needs nothing, so it is the backend of every example. Not synchronised. Caches that share one
/// hold it by BackendRef.
class AlignedAllocBackend {
public:
    constexpr AlignedAllocBackend() noexcept {}
    AlignedAllocBackend(const AlignedAllocBackend&) = delete;  // its parts know its address
    AlignedAllocBackend& operator=(const AlignedAllocBackend&) = delete;

    [[nodiscard]] void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        return runs_.alloc_slab(slab_size, slab_alignment);
    }
    void free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) noexcept {
        runs_.free_slab(slab, slab_size, slab_alignment);
    }

    [[nodiscard]] SlabInfo* alloc_slab_info() noexcept { return infos_.alloc_slab_info(); }
    void free_slab_info(SlabInfo* slab_info) noexcept { infos_.free_slab_info(slab_info); }

    [[nodiscard]] bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) noexcept {
        return map_.save_slab_info_ptr(page_addr, slab_info);
    }
    [[nodiscard]] SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        return map_.get_slab_info_ptr(page_addr);
    }
    void delete_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        map_.delete_slab_info_ptr(page_addr);
    }

    /// For the guards of levels hardened and debug.
    [[nodiscard]] static std::uint64_t secret() noexcept { return process_secret(); }

    /// Gives back what is kept for later. Returns: how many bytes of runs.
    std::size_t trim() noexcept {
        infos_.cache().shrink_to_fit();
        return runs_.trim();
    }

    /// The bytes of all runs, taken slabs or not.
    [[nodiscard]] constexpr std::size_t bytes_held() const noexcept { return runs_.bytes_held(); }

private:
    using Runs = SlabRuns<AlignedAllocPages>;

    Runs runs_;
    SlabInfoCache<BackendRef<Runs>> infos_{BackendRef<Runs>(runs_)};
    HashMap<AlignedAllocPages> map_;
};

template <>
inline constexpr bool bears_threads<AlignedAllocBackend> = false;

}  // namespace slab_allocator
