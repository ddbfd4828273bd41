#pragma once

// buddy_backend.hpp -- slabs from page frames: buddy allocators over what a memory map has.
//
//      memory map    |        usable        |  hole  |             usable             |
//      regions       | frames | pages       |        | frames | pages                 |
//
// Slabs are naturally aligned blocks of 2^k pages, as caches that find SlabInfos by masking want
// them. A frame costs 24 bytes a page. Where SlabInfos lie beside the frames, as in a kernel's
// `struct page`, a cache asks slab_info_at() and needs no map; that is sizeof(SlabInfo) for each
// info_grain bytes, and nothing where info_grain is 0.
//
// Invariants
//   [K1] pages_number_ and free_pages_number_ are the sums over all regions.
//   [K2] regions_ leads to every region, and no page is in two of them (not checked).

#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>

#include <slab_allocator/backends/buddy_region.hpp>
#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

/// A SlabSource over any number of regions, which are given at run time. With an info_grain, a
/// power of two from 4096, slab_info_at() serves caches of SlabInfoLookup::PageFrames whose slabs
/// have at least that size. Trivially destructible; not synchronised.
template <std::size_t info_grain = 0>
class BuddyBackend {
    struct Region : BuddyRegion {
        Region(std::byte* base, std::size_t pages, PageFrame* frames, SlabInfo* first_info,
               Region* before) noexcept
            : BuddyRegion(base, pages, frames), infos(first_info), next(before) {}
        SlabInfo* infos;  // of the blocks of info_grain bytes that the region touches
        Region* next;
    };

public:
    static constexpr std::size_t page_size = BuddyRegion::page_size;
    static constexpr std::size_t orders_number = BuddyRegion::orders_number;
    static_assert(info_grain == 0 || (is_power_of_two(info_grain) && info_grain >= page_size),
                  "a SlabInfo stands for whole pages: info_grain must be 0 (no SlabInfos) or a "
                  "power of two from 4096");

    /// No memory, so every alloc_slab is refused until adopt().
    constexpr BuddyBackend() noexcept = default;
    BuddyBackend(const BuddyBackend&) = delete;  // the pages have one owner
    BuddyBackend& operator=(const BuddyBackend&) = delete;

    // ---- Regions --------------------------------------------------------------------------------

    /// As many bytes as the frames of so many pages need.
    [[nodiscard]] static constexpr std::size_t storage_size(std::size_t pages) noexcept {
        return storage_fixed + pages * storage_per_page;
    }

    /// Effects: serves the whole pages of a region, but the first ones, in which the frames lie.
    /// Returns: how many it serves; 0, and the region is left alone, where it is too small.
    /// Requires: nobody else uses the region (not checked). Costs: O(pages).
    std::size_t adopt(void* memory, std::size_t bytes) noexcept {
        const Pages all = whole_pages(memory, bytes);
        const std::size_t own =
            divide_up(storage_fixed + all.number * storage_per_page, page_size + storage_per_page);
        if (all.number <= own) return 0;
        return add_region({all.start + own * page_size, all.number - own}, all.start);
    }

    /// The same with the frames elsewhere, in storage_size(pages) bytes. Requires: so large, and
    /// both are there for as long as the backend is used (not checked).
    std::size_t adopt(void* memory, std::size_t bytes, void* storage) noexcept {
        const Pages all = whole_pages(memory, bytes);
        return all.number == 0 ? 0 : add_region(all, storage);
    }

    // ---- Blocks ---------------------------------------------------------------------------------

    /// Returns: 2^order pages at a multiple of their size, or nullptr.
    /// Costs: O(orders + regions), and no page is touched.
    [[nodiscard]] void* alloc_order(std::size_t order) noexcept {
        if (order >= orders_number) return nullptr;
        Region* best = nullptr;
        std::size_t best_order = orders_number;
        for (Region* region = regions_; region != nullptr; region = region->next) {
            const std::size_t from = region->free_order_from(order);
            if (from < best_order) {  // the smallest block is split, wherever it is
                best = region;
                best_order = from;
            }
        }
        if (best == nullptr) return nullptr;
        free_pages_number_ -= Region::pages_of(order);  // [K1]
        return best->take(order, best_order);
    }

    /// Takes back what alloc_order gave. What is no taken block of this order is reported as a
    /// Defect::ForeignPointer, a page that is free as a DoubleFree; nothing changes then.
    void free_order(void* block, std::size_t order) noexcept {
        Region* const region = region_of(address_of(block));
        const std::size_t page = region == nullptr ? 0 : region->page_at(address_of(block));
        const Defect defect = region == nullptr || !is_aligned(block, page_size)
                                  ? Defect::ForeignPointer
                                  : region->defect_of(page, order);
        if (defect != Defect::None) [[unlikely]] {
            return report({.defect = defect, .pointer = block});
        }
        free_pages_number_ += Region::pages_of(order);  // [K1]
        region->give_back(page, order);
    }

    /// The same by size: the smallest block that has it, and the alignment.
    [[nodiscard]] void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        return slab_size == 0 ? nullptr : alloc_order(order_of(slab_size, slab_alignment));
    }
    void free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) noexcept {
        free_order(slab, order_of(slab_size, slab_alignment));
    }

    /// The SlabInfo for a slab at page_addr; nullptr where no such slab can be. Of one that no
    /// cache has, the owner is null. Costs: O(regions).
    [[nodiscard]] SlabInfo* slab_info_at(std::uintptr_t page_addr) noexcept
        requires(info_grain != 0)
    {
        const Region* const region = region_of(page_addr);
        if (region == nullptr || page_addr % info_grain != 0) return nullptr;
        return region->infos + (page_addr / info_grain - info_number(region->base()));
    }

    // ---- To look at -----------------------------------------------------------------------------

    [[nodiscard]] constexpr std::size_t pages_number() const noexcept { return pages_number_; }
    [[nodiscard]] constexpr std::size_t free_pages_number() const noexcept {
        return free_pages_number_;
    }
    [[nodiscard]] constexpr std::size_t pages_in_use() const noexcept {
        return pages_number_ - free_pages_number_;
    }

    /// Requires: order < orders_number. Costs: O(regions).
    [[nodiscard]] std::size_t free_blocks_number(std::size_t order) const noexcept {
        std::size_t number = 0;
        for (const Region* region = regions_; region != nullptr; region = region->next)
            number += region->free_blocks_number(order);
        return number;
    }

    /// Does `pointer` lie in a page that is served, taken or not?
    [[nodiscard]] bool contains(const void* pointer) const noexcept {
        return region_of(address_of(pointer)) != nullptr;
    }

private:
    struct Pages {
        std::byte* start;
        std::size_t number;
    };

    // A region may touch one block of info_grain bytes more than it has bytes for.
    static constexpr std::size_t storage_fixed =
        sizeof(Region) + alignof(Region) + (info_grain != 0 ? 2 * sizeof(SlabInfo) : 0);
    static constexpr std::size_t storage_per_page =
        sizeof(PageFrame) +
        (info_grain != 0 ? divide_up(sizeof(SlabInfo) * page_size, info_grain) : 0);

    [[nodiscard]] static Pages whole_pages(void* memory, std::size_t bytes) noexcept {
        const std::uintptr_t address = address_of(memory);
        const std::size_t lead = align_up(address, page_size) - address;
        if (bytes < lead) return {nullptr, 0};
        return {static_cast<std::byte*>(memory) + lead, (bytes - lead) / page_size};
    }

    [[nodiscard]] static std::size_t info_number(const std::byte* address) noexcept {
        return address_of(address) / info_grain;
    }
    [[nodiscard]] static std::size_t infos_of([[maybe_unused]] Pages pages) noexcept {
        if constexpr (info_grain == 0) {
            return 0;
        } else {
            const std::byte* const last = pages.start + (pages.number * page_size - 1);
            return info_number(last) - info_number(pages.start) + 1;
        }
    }

    /// storage: | SlabInfos | region | frames |
    std::size_t add_region(Pages pages, void* storage) noexcept {
        const std::uintptr_t address = address_of(storage);
        std::byte* place =
            static_cast<std::byte*>(storage) + (align_up(address, alignof(Region)) - address);
        auto* const infos = static_cast<SlabInfo*>(static_cast<void*>(place));
        const std::size_t infos_number = infos_of(pages);
        for (std::size_t info = 0; info < infos_number; ++info)
            ::new (static_cast<void*>(infos + info)) SlabInfo;
        place += infos_number * sizeof(SlabInfo);
        auto* const frames = static_cast<PageFrame*>(static_cast<void*>(place + sizeof(Region)));
        regions_ = ::new (static_cast<void*>(place))
            Region(pages.start, pages.number, frames, infos, regions_);
        pages_number_ += pages.number;  // [K1]
        free_pages_number_ += pages.number;
        return pages.number;
    }

    [[nodiscard]] Region* region_of(std::uintptr_t address) const noexcept {
        Region* region = regions_;
        while (region != nullptr && region->page_at(address) >= region->pages_number())
            region = region->next;
        return region;
    }

    /// orders_number and more: no block is so large.
    [[nodiscard]] static std::size_t order_of(std::size_t size, std::size_t alignment) noexcept {
        const std::size_t larger = size > alignment ? size : alignment;
        return larger <= page_size
                   ? 0
                   : static_cast<std::size_t>(std::bit_width((larger - 1) / page_size));
    }

    Region* regions_ = nullptr;
    std::size_t pages_number_ = 0;
    std::size_t free_pages_number_ = 0;
};

template <std::size_t info_grain>
inline constexpr bool bears_threads<BuddyBackend<info_grain>> = false;

}  // namespace slab_allocator
