#pragma once

// memory.hpp -- the library in this kernel: page frames, and a cache for each way to a SlabInfo.
//
//      SharedCache --its lock--> Cache --Pages, its lock--> BuddyBackend --> memory map
//
// Every cache has a lock of its own, and takes the one of the page frames last. All of it is static
// and lies in .bss: there is nothing to run before kernel_main(), and nothing to destroy.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/kernel.hpp>

#include "lock.hpp"

namespace kernel {

struct BootInfo;

using slab_allocator::BackendRef;
using slab_allocator::Cache;
using slab_allocator::CacheConfig;
using slab_allocator::Defect;
using slab_allocator::ObjectSizeType;
using slab_allocator::SlabInfo;

// ---- Page frames --------------------------------------------------------------------------------

inline constexpr std::size_t page_size = 4096;

// [pages]
/// SlabInfos lie beside the frames, one a page: 128 bytes of 4096, for the one row that wants them.
using PageFrames = slab_allocator::BuddyBackend<page_size>;
inline constinit PageFrames page_frames;
inline constinit SpinLock page_frames_lock;

/// The backend of every cache. It is empty: there is one set of page frames.
struct Pages {
    [[nodiscard]] static void* alloc_slab(std::size_t size, std::size_t alignment) noexcept {
        const MemoryGuard guard(page_frames_lock);
        return page_frames.alloc_slab(size, alignment);
    }
    static void free_slab(void* slab, std::size_t size, std::size_t alignment) noexcept {
        const MemoryGuard guard(page_frames_lock);
        page_frames.free_slab(slab, size, alignment);
    }
    /// Without the lock: where SlabInfos are does not change after boot.
    [[nodiscard]] static SlabInfo* slab_info_at(std::uintptr_t page_addr) noexcept {
        return page_frames.slab_info_at(page_addr);
    }
};
// [/pages]

/// Gives all memory that the boot loader left to the page frames.
void start_memory(const BootInfo& info) noexcept;

/// What the page frames look like from outside.
struct PagesState {
    std::size_t free_pages = 0;
    std::size_t free_blocks[PageFrames::orders_number] = {};
    friend bool operator==(const PagesState&, const PagesState&) noexcept = default;
};
[[nodiscard]] PagesState pages_state() noexcept;

// ---- Caches -------------------------------------------------------------------------------------

/// Gives back what the parts of a backend do not need: slabs of SlabInfos, tables of the map.
template <typename Backend>
void shrink_parts_of(Backend& backend) noexcept {
    if constexpr (requires { backend.get(); }) shrink_parts_of(backend.get());
    if constexpr (requires { backend.infos(); }) shrink_parts_of(backend.infos());
    if constexpr (requires { backend.cache(); }) backend.cache().shrink_to_fit();
    if constexpr (requires { backend.map().shrink(); }) backend.map().shrink();
}

/// A cache for all CPUs and their interrupt handlers.
template <typename T, typename Backend, CacheConfig config>
class SharedCache {
public:
    using value_type = T;
    using Unlocked = Cache<T, Backend, config>;

    constexpr SharedCache() noexcept = default;

    [[nodiscard]] T* alloc() noexcept {
        const MemoryGuard guard(lock_);
        return cache_.alloc();
    }
    void free(T* object) noexcept {
        const MemoryGuard guard(lock_);
        cache_.free(object);
    }

    /// f(cache), under the lock.
    template <typename F>
    decltype(auto) alone(F&& f) noexcept {
        const MemoryGuard guard(lock_);
        return f(cache_);
    }

    /// Gives everything back that no object needs: slabs, SlabInfos, parts of the map.
    void shrink() noexcept {
        const MemoryGuard guard(lock_);
        cache_.shrink_to_fit();
        shrink_parts_of(cache_.backend());
    }

    /// For what needs no lock.
    [[nodiscard]] Backend& backend() noexcept { return cache_.backend(); }

    [[nodiscard]] slab_allocator::CacheStatistics statistics() noexcept {
        const MemoryGuard guard(lock_);
        return cache_.statistics();
    }
    [[nodiscard]] slab_allocator::DefectReport validate() noexcept {
        const MemoryGuard guard(lock_);
        return cache_.validate();
    }

private:
    SpinLock lock_;
    Unlocked cache_;
};

// ---- The ways to a SlabInfo ---------------------------------------------------------------------

struct ByMask {
    static constexpr const char* name = "mask";
    using Backend = Pages;
    static constexpr CacheConfig config{
        .slab_size = page_size, .object_size_type = ObjectSizeType::Small, .never_destroyed = true};
};

/// In the slab, but found through a map: as for slabs that are not aligned to their size.
struct BySmallMap {
    static constexpr const char* name = "map, small";
    using Infos = slab_allocator::SlabInfoCache<Pages, page_size, true>;
    using Backend =
        slab_allocator::ComposedBackend<Pages, Infos,
                                        slab_allocator::HashMap<Pages, page_size, true>>;
    static constexpr CacheConfig config{.slab_size = 2 * page_size,
                                        .slab_alignment = page_size,
                                        .object_size_type = ObjectSizeType::Small,
                                        .never_destroyed = true};
};

template <typename Map>
struct ByMap {
    using Infos = slab_allocator::SlabInfoCache<Pages, page_size, true>;
    using Backend = slab_allocator::ComposedBackend<Pages, Infos, Map>;
    static constexpr CacheConfig config{.slab_size = 2 * page_size,
                                        .object_size_type = ObjectSizeType::Large,
                                        .never_destroyed = true};
};
struct ByHashMap : ByMap<slab_allocator::HashMap<Pages, page_size, true>> {
    static constexpr const char* name = "hash map";
};
struct ByRadixMap : ByMap<slab_allocator::RadixMap<Pages, page_size, 48, true>> {
    static constexpr const char* name = "radix map";
};

/// One array for all of memory, which every cache looks at: a page is in one slab.
inline constinit slab_allocator::FlatMap<page_size> flat_map;
struct FlatMapOfAll {
    [[nodiscard]] static bool save_slab_info_ptr(std::uintptr_t page, SlabInfo* info) noexcept {
        return flat_map.save_slab_info_ptr(page, info);
    }
    [[nodiscard]] static SlabInfo* get_slab_info_ptr(std::uintptr_t page) noexcept {
        return flat_map.get_slab_info_ptr(page);
    }
    static void delete_slab_info_ptr(std::uintptr_t page) noexcept {
        flat_map.delete_slab_info_ptr(page);
    }
};
struct ByFlatMap : ByMap<FlatMapOfAll> {
    static constexpr const char* name = "flat map";
};

// [row]
struct ByPageFrames {
    static constexpr const char* name = "page frames";
    using Backend = Pages;
    static constexpr CacheConfig config{
        .slab_size = 2 * page_size,
        .object_size_type = ObjectSizeType::Large,
        .slab_info_lookup = slab_allocator::SlabInfoLookup::PageFrames,
        .never_destroyed = true};
};
// [/row]

/// A row at another level of checks.
template <typename Row, slab_allocator::Checks level>
struct AtLevel : Row {
    static constexpr CacheConfig config = [] {
        CacheConfig changed = Row::config;
        changed.checks = level;
        return changed;
    }();
};

/// Calls f.operator()<Row>() for each of them; for two where a kernel that lacks something must
/// fail, which is as telling, and compiles in half the time.
template <typename F>
void for_each_row(F&& f) noexcept {
    f.template operator()<ByMask>();
    if constexpr (without == Without::Nothing) {
        f.template operator()<BySmallMap>();
        f.template operator()<ByHashMap>();
        f.template operator()<ByRadixMap>();
        f.template operator()<ByFlatMap>();
    }
    f.template operator()<ByPageFrames>();
}
inline constexpr std::size_t rows_number = 6;

// ---- Objects ------------------------------------------------------------------------------------

/// Something of a size, which can be told from every other.
template <std::size_t size>
struct Object {
    std::uint64_t words[size / sizeof(std::uint64_t)];

    void stamp(std::uint64_t number) noexcept {
        for (std::uint64_t& word : words)
            word = number ^ reinterpret_cast<std::uint64_t>(&word);
    }
    [[nodiscard]] bool has(std::uint64_t number) const noexcept {
        for (const std::uint64_t& word : words) {
            if (word != (number ^ reinterpret_cast<std::uint64_t>(&word))) return false;
        }
        return true;
    }
};

template <typename Row, std::size_t size>
inline constinit SharedCache<Object<size>, typename Row::Backend, Row::config> cache_of;

}  // namespace kernel
