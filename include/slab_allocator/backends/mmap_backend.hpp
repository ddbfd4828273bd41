#pragma once

// mmap_backend.hpp -- slabs straight from the operating system, with huge pages and prefault.
// Hosted, POSIX.
//
//      mmap     |<- size + alignment - page ------------->|
//      trimmed  |.........|<- size, aligned ->|...........|      . is unmapped again
//
// It is a source of slabs and nothing else. A cache that needs a map and SlabInfos composes them:
//
//      MmapBackend pages{{.huge_pages = true}};
//      ComposedBackend<BackendRef<MmapBackend>, SlabInfoCache<BackendRef<MmapBackend>>,
//                      HashMap<BackendRef<MmapBackend>>> backend{pages, pages, pages};
//
// A run of the default run_size is one huge page of x86_64.

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <slab_allocator/backends/process_secret.hpp>
#include <slab_allocator/backends/slab_runs.hpp>
#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/memory_backend.hpp>

namespace slab_allocator {

/// What an MmapBackend asks of the system.
struct MmapOptions {
    /// Runs are aligned to huge pages and advised to be ones (madvise, where the system has that).
    bool huge_pages = false;
    /// Runs are made resident when they are taken, so that no first touch of a slab faults.
    bool prefault = false;
    /// A power of two from 4096 to 2 MiB: how much is asked of the system at once.
    std::size_t run_size = std::size_t{2} * 1024 * 1024;
};

/// A SlabSource: each slab is one mapping.
class MmapPages {
public:
    static constexpr std::size_t huge_page_size = std::size_t{2} * 1024 * 1024;

    constexpr MmapPages() noexcept = default;
    constexpr explicit MmapPages(MmapOptions options) noexcept : options_(options) {}

    [[nodiscard]] void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        const bool huge = options_.huge_pages && slab_size >= huge_page_size;
        if (huge && slab_alignment < huge_page_size) slab_alignment = huge_page_size;
        const std::size_t bytes = mapped_size(slab_size);
        std::byte* const memory = bytes < slab_size ? nullptr : map_aligned(bytes, slab_alignment);
        if (memory == nullptr) return nullptr;
#ifdef MADV_HUGEPAGE
        if (huge) ::madvise(memory, bytes, MADV_HUGEPAGE);  // advice: a refusal changes nothing
#endif
        if (options_.prefault && !make_resident(memory, bytes)) {
            ::munmap(memory, bytes);
            return nullptr;
        }
        return memory;
    }

    /// A system that has as many mappings as it allows may refuse to cut one in two: then the pages
    /// stay mapped, and nobody has them.
    void free_slab(void* slab, std::size_t slab_size, std::size_t) noexcept {
        if (::munmap(slab, mapped_size(slab_size)) != 0) discard(slab, mapped_size(slab_size));
    }

    /// The pages stay mapped, and are zero and not resident until they are touched again. Returns:
    /// false where the system refuses, as for locked pages: they are as they were. Requires: whole
    /// pages of the system, of one mapping.
    static bool discard(void* start, std::size_t bytes) noexcept {
#ifdef MADV_DONTNEED
        return ::madvise(start, bytes, MADV_DONTNEED) == 0;
#else
        __builtin_memset(start, 0, bytes);
        return true;
#endif
    }

    /// Are huge pages wanted there? Advice: a system without them does nothing. Requires: whole
    /// huge pages.
    static void advise_huge_pages([[maybe_unused]] void* start, [[maybe_unused]] std::size_t bytes,
                                  [[maybe_unused]] bool wanted) noexcept {
#ifdef MADV_HUGEPAGE
        ::madvise(start, bytes, wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#endif
    }

    [[nodiscard]] constexpr const MmapOptions& options() const noexcept { return options_; }

private:
    [[nodiscard]] static std::size_t system_page_size() noexcept {
        return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    }
    [[nodiscard]] static std::size_t mapped_size(std::size_t slab_size) noexcept {
        return align_up(slab_size, system_page_size());
    }

    [[nodiscard]] static std::byte* map(std::size_t bytes) noexcept {
        void* const memory =
            ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return memory == MAP_FAILED ? nullptr : static_cast<std::byte*>(memory);
    }

    [[nodiscard]] static std::byte* map_aligned(std::size_t bytes, std::size_t alignment) noexcept {
        const std::size_t page = system_page_size();
        if (alignment <= page) return map(bytes);
        const std::size_t surplus = alignment - page;
        if (bytes > ~std::size_t{0} - surplus) return nullptr;
        std::byte* const reserved = map(bytes + surplus);
        if (reserved == nullptr) return nullptr;
        const std::size_t lead = align_up(address_of(reserved), alignment) - address_of(reserved);
        if (lead != 0) ::munmap(reserved, lead);
        if (lead != surplus) ::munmap(reserved + lead + bytes, surplus - lead);
        return reserved + lead;
    }

    /// Not MAP_POPULATE: that would fill what is trimmed, and before huge pages are asked for.
    [[nodiscard]] static bool make_resident(std::byte* memory, std::size_t bytes) noexcept {
#ifdef MADV_POPULATE_WRITE
        if (::madvise(memory, bytes, MADV_POPULATE_WRITE) == 0) return true;
        if (errno != EINVAL && errno != ENOSYS && errno != EPERM) return false;  // else: not known
#endif
        for (std::size_t offset = 0; offset < bytes; offset += system_page_size()) {
            *static_cast<volatile std::byte*>(memory + offset) = std::byte{0};
        }
        return true;
    }

    MmapOptions options_;
};

/// Slabs of any size and alignment. Not synchronised. Caches that share one hold it by BackendRef.
class MmapBackend : public SlabRuns<MmapPages> {
public:
    constexpr MmapBackend() noexcept = default;
    constexpr explicit MmapBackend(MmapOptions options) noexcept
        : SlabRuns(MmapPages(options), options.run_size) {}

    /// For the guards of levels hardened and debug.
    [[nodiscard]] static std::uint64_t secret() noexcept { return process_secret(); }
};

template <>
inline constexpr bool bears_threads<MmapBackend> = false;

}  // namespace slab_allocator
