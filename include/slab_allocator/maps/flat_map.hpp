#pragma once

// flat_map.hpp -- which SlabInfo a page belongs to, in one array: for slabs from one known region.
//
//      region       base      base + page_size                   base + region_size
//                   |  page 0  |  page 1  |  page 2  |    ...    |
//                        |          |          |
//      slab_infos   [   0    ][   1    ][   2    ]   ...          one SlabInfo* for each page
//
// Every call costs O(1): a subtraction, a shift, a comparison and one access. The array is the
// user's: region_size / page_size pointers, all null when it is handed over, 8 bytes for each page
// of the region whether it is used or not. Nothing is ever allocated, so a save fails for nothing
// but an address outside of the region, for which a get answers nullptr and a delete does nothing.
//
// No call needs a lock, except that two for the same page must not both write. A get that runs
// beside a save of its page answers what was there before or after.
//
// Invariants
//   [F1] slab_infos_[i] is what was saved for the page at base + i * page_size, or null.
//   [F2] an address below base wraps around to an index beyond any region: one comparison does.

#include <bit>
#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

/// A SlabInfoMap. It looks at an array and does not own it: a copy is the same map once more.
template <std::size_t page_size = 4096>
class FlatMap {
    static_assert(is_power_of_two(page_size), "page_size must be a power of two");

public:
    /// A map of no region. A kernel that learns its memory map at boot goes on with reset().
    constexpr FlatMap() noexcept = default;

    /// The region by its address or by a pointer to it, at compile time too; region_size in bytes.
    /// Requires: slab_infos has region_size / page_size pointers, all null (not checked).
    constexpr FlatMap(std::uintptr_t base, std::size_t region_size, SlabInfo** slab_infos) noexcept
        : base_{.address = base}, pages_number_(region_size / page_size), slab_infos_(slab_infos) {}
    template <typename Memory>
    constexpr FlatMap(Memory* base, std::size_t region_size, SlabInfo** slab_infos) noexcept
        : base_{.pointer = base}, pages_number_(region_size / page_size), slab_infos_(slab_infos) {}

    /// Effects: as newly constructed.  Requires: nobody uses the map meanwhile (not checked).
    constexpr void reset(std::uintptr_t base, std::size_t region_size,
                         SlabInfo** slab_infos) noexcept {
        *this = FlatMap(base, region_size, slab_infos);
    }
    template <typename Memory>
    constexpr void reset(Memory* base, std::size_t region_size, SlabInfo** slab_infos) noexcept {
        *this = FlatMap(base, region_size, slab_infos);
    }

    /// Returns: false if the page is not in the region.
    [[nodiscard]] bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) noexcept {
        const std::size_t index = index_of(page_addr);
        if (index >= pages_number_) return false;
        __atomic_store_n(&slab_infos_[index], slab_info, __ATOMIC_RELEASE);
        return true;
    }

    [[nodiscard]] SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) const noexcept {
        const std::size_t index = index_of(page_addr);
        if (index >= pages_number_) return nullptr;
        return __atomic_load_n(&slab_infos_[index], __ATOMIC_ACQUIRE);
    }

    void delete_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        static_cast<void>(save_slab_info_ptr(page_addr, nullptr));
    }

private:
    // A constant expression cannot turn a pointer into a number: that waits until the first call.
    union Base {
        std::uintptr_t address;
        const void* pointer;
    };

    [[nodiscard]] std::size_t index_of(std::uintptr_t page_addr) const noexcept {
        const std::uintptr_t offset = page_addr - std::bit_cast<std::uintptr_t>(base_);  // [F2]
        return static_cast<std::size_t>(offset / page_size);
    }

    Base base_{.address = 0};
    std::size_t pages_number_ = 0;
    SlabInfo** slab_infos_ = nullptr;
};

/// A FlatMap with the array in it, for a region of pages_number pages.
template <std::size_t pages_number, std::size_t page_size = 4096>
class FlatMapOf : public FlatMap<page_size> {
public:
    constexpr explicit FlatMapOf(std::uintptr_t base) noexcept
        : FlatMap<page_size>(base, pages_number * page_size, slab_infos_) {}
    template <typename Memory>
    constexpr explicit FlatMapOf(Memory* base) noexcept
        : FlatMap<page_size>(base, pages_number * page_size, slab_infos_) {}
    FlatMapOf(const FlatMapOf&) = delete;  // the map knows the array by its address
    FlatMapOf& operator=(const FlatMapOf&) = delete;

private:
    SlabInfo* slab_infos_[pages_number]{};
};

}  // namespace slab_allocator
