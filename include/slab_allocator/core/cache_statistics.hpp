#pragma once

// cache_statistics.hpp -- what a cache tells of itself.
//
//      slabs       slabs_number() == free_slabs_number + partial_slabs_number + full_slabs_number
//      slots       free_objects_number + allocated_objects_number == objects_per_slab * slabs
//      bytes       bytes_held == the slabs, and the SlabInfos outside of them
//                  bytes_lost: the part of it that no object can ever use

#include <cstddef>

namespace slab_allocator {

struct CacheStatistics {
    std::size_t free_slabs_number = 0;     ///< slabs without an allocated object
    std::size_t partial_slabs_number = 0;  ///< slabs with both
    std::size_t full_slabs_number = 0;     ///< slabs without a free slot
    std::size_t free_objects_number = 0;
    std::size_t allocated_objects_number = 0;

    std::size_t peak_slabs_number = 0;
    /// At least the largest number of objects that were allocated at one time, and above it by less
    /// than what the cache keeps cached (64 objects, 64 KiB): it is taken where slabs are
    /// turned to, not in each alloc.
    std::size_t peak_allocated_objects_number = 0;
    std::size_t failures_number = 0;  ///< calls that gave nothing because the backend refused

    std::size_t bytes_held = 0;
    std::size_t bytes_lost = 0;

    [[nodiscard]] constexpr std::size_t slabs_number() const noexcept {
        return free_slabs_number + partial_slabs_number + full_slabs_number;
    }

    /// Of several caches together: every number is the sum of theirs, peaks too.
    constexpr CacheStatistics& operator+=(const CacheStatistics& other) noexcept {
        free_slabs_number += other.free_slabs_number;
        partial_slabs_number += other.partial_slabs_number;
        full_slabs_number += other.full_slabs_number;
        free_objects_number += other.free_objects_number;
        allocated_objects_number += other.allocated_objects_number;
        peak_slabs_number += other.peak_slabs_number;
        peak_allocated_objects_number += other.peak_allocated_objects_number;
        failures_number += other.failures_number;
        bytes_held += other.bytes_held;
        bytes_lost += other.bytes_lost;
        return *this;
    }

    friend constexpr bool operator==(const CacheStatistics&,
                                     const CacheStatistics&) noexcept = default;
};

}  // namespace slab_allocator
