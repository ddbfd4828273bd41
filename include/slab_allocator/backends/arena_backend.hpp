#pragma once

// arena_backend.hpp -- slabs from memory that is already there: a fixed array, or a given region.
//
//      pages    | . | A   A   A   A | . | . | B | C   C | . |      A, B, C: slabs
//      taken    | 0 | 1   1   1   1 | 0 | 0 | 1 | 1   1 | 0 |      one bit a page
//      first    | 0 | 1   0   0   0 | 0 | 0 | 1 | 1   0 | 0 |      one bit a page
//
// First fit by address: slabs of any size and alignment lie side by side, the region drains from
// its end, and nothing is asked of anybody else. A slab ends where the next one starts or a free
// page lies, so a free_slab of anything but a whole slab is found from two bitmaps, and no slab is
// read or written. Costs: O(pages) bits, 64 at a time, per call.
//
// Everything is zero at the start, so that a static ArenaBackend lies in .bss, whatever its size.
//
// Invariants
//   [A1] first has a bit only where taken has it; a taken page that is not first belongs to the
//        slab of the page before it.
//   [A2] no page below hint_ is free.
//   [A3] pages_in_use_ == |bits of taken|

#include <bit>
#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/core/memory_backend.hpp>

namespace slab_allocator {

namespace detail {

inline constexpr std::size_t region_page_size = 4096;

/// Slabs from the pages of a Region, which says where they and their two bitmaps are.
template <typename Region>
class RegionPages {
public:
    static constexpr std::size_t page_size = region_page_size;

    constexpr RegionPages() noexcept = default;
    RegionPages(const RegionPages&) = delete;  // the slabs have one owner
    RegionPages& operator=(const RegionPages&) = delete;

    [[nodiscard]] void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        const std::size_t pages_number = this->pages_number();
        if (slab_size == 0 || slab_size > pages_number * page_size) return nullptr;
        const std::size_t wanted = divide_up(slab_size, page_size);
        hint_ = next(false, hint_, pages_number);  // [A2]
        std::size_t page = aligned_page(hint_, slab_alignment);
        while (page < pages_number && wanted <= pages_number - page) {
            const std::size_t in_the_way = next(true, page, page + wanted);
            if (in_the_way == page + wanted) return take(page, wanted);
            page = aligned_page(next(false, in_the_way, pages_number), slab_alignment);
        }
        return nullptr;
    }

    /// What is no slab of slab_size bytes is a Defect::ForeignPointer, a free page a DoubleFree.
    void free_slab(void* slab, std::size_t slab_size,
                   [[maybe_unused]] std::size_t slab_alignment) noexcept {
        const std::uintptr_t offset = address_of(slab) - address_of(region_.base());
        const std::size_t page = offset / page_size;
        if (page >= pages_number() || offset % page_size != 0) {
            return report({.defect = Defect::ForeignPointer, .pointer = slab});
        }
        if (!bit(region_.taken(), page)) {
            return report({.defect = Defect::DoubleFree, .pointer = slab, .slab = slab});
        }
        const std::size_t pages = end_of_slab(page) - page;
        if (!bit(region_.first(), page) || divide_up(slab_size, page_size) != pages) {
            return report({.defect = Defect::ForeignPointer, .pointer = slab});
        }
        flip_slab(page, pages);
        pages_in_use_ -= pages;
        if (page < hint_) hint_ = page;  // [A2]
    }

    [[nodiscard]] constexpr std::size_t pages_number() const noexcept {
        return region_.pages_number();
    }
    [[nodiscard]] constexpr std::size_t pages_in_use() const noexcept { return pages_in_use_; }

    /// Does `pointer` lie in the region?
    [[nodiscard]] bool contains(const void* pointer) noexcept {
        return (address_of(pointer) - address_of(region_.base())) / page_size < pages_number();
    }

protected:
    [[nodiscard]] constexpr Region& region() noexcept { return region_; }

private:
    static constexpr std::size_t bits = 64;

    [[nodiscard]] static bool bit(const std::uint64_t* map, std::size_t page) noexcept {
        return ((map[page / bits] >> (page % bits)) & 1U) != 0;
    }
    static void flip(std::uint64_t* map, std::size_t page) noexcept {
        map[page / bits] ^= std::uint64_t{1} << (page % bits);
    }

    /// Takes a slab in both bitmaps, or gives it back [A1].
    void flip_slab(std::size_t page, std::size_t pages) noexcept {
        flip(region_.first(), page);
        for (const std::size_t end = page + pages; page < end; ++page)
            flip(region_.taken(), page);
    }

    /// The first page from `page` on that is taken, or free; `end` where none below it is.
    [[nodiscard]] std::size_t next(bool taken, std::size_t page, std::size_t end) noexcept {
        while (page < end) {
            const std::uint64_t word = region_.taken()[page / bits];
            const std::uint64_t left = (taken ? word : ~word) >> (page % bits);
            if (left != 0) {
                const std::size_t found = page + lowest_bit(left);
                return found < end ? found : end;
            }
            page = (page / bits + 1) * bits;
        }
        return end;
    }

    /// The first page from `page` on whose real address is aligned; beyond all where none is.
    [[nodiscard]] std::size_t aligned_page(std::size_t page, std::size_t alignment) noexcept {
        if (alignment < page_size) alignment = page_size;
        const std::uintptr_t base = address_of(region_.base());
        return (align_up(base + page * page_size, alignment) - base) / page_size;
    }

    [[nodiscard]] std::size_t end_of_slab(std::size_t page) noexcept {
        do {
            ++page;
        } while (page < pages_number() && bit(region_.taken(), page) &&
                 !bit(region_.first(), page));
        return page;
    }

    [[nodiscard]] void* take(std::size_t page, std::size_t pages) noexcept {
        flip_slab(page, pages);
        pages_in_use_ += pages;
        return region_.base() + page * page_size;
    }

    Region region_;
    std::size_t hint_ = 0;
    std::size_t pages_in_use_ = 0;
};

/// An array and its bitmaps. The array is no active member: it is storage, and is not initialised.
template <std::size_t bytes, std::size_t alignment>
class FixedRegion {
public:
    constexpr FixedRegion() noexcept = default;
    [[nodiscard]] std::byte* base() noexcept {
        return static_cast<std::byte*>(static_cast<void*>(&memory_));
    }
    [[nodiscard]] static constexpr std::size_t pages_number() noexcept {
        return bytes / region_page_size;
    }
    [[nodiscard]] std::uint64_t* taken() noexcept { return taken_; }
    [[nodiscard]] std::uint64_t* first() noexcept { return first_; }

private:
    union alignas(alignment) Memory {
        std::byte nothing{};
        std::byte array[bytes];
    };
    Memory memory_;
    std::uint64_t taken_[divide_up(pages_number(), 64)]{};
    std::uint64_t first_[divide_up(pages_number(), 64)]{};
};

/// A region that is known at run time; the bitmaps lie before its first page that is given away.
class GivenRegion {
public:
    constexpr GivenRegion() noexcept = default;
    [[nodiscard]] std::byte* base() const noexcept { return base_; }
    [[nodiscard]] constexpr std::size_t pages_number() const noexcept { return pages_number_; }
    [[nodiscard]] std::uint64_t* taken() const noexcept { return taken_; }
    [[nodiscard]] std::uint64_t* first() const noexcept {
        return taken_ + divide_up(pages_number_, 64);
    }

    /// Requires: start and bytes are multiples of a page.
    void reset(std::byte* start, std::size_t bytes) noexcept {
        const std::size_t pages = bytes / region_page_size;
        const std::size_t words = 2 * divide_up(pages, 64);
        const std::size_t bitmap_pages = divide_up(words * sizeof(std::uint64_t), region_page_size);
        taken_ = static_cast<std::uint64_t*>(static_cast<void*>(start));
        for (std::size_t word = 0; word < words; ++word)
            taken_[word] = 0;
        base_ = start + bitmap_pages * region_page_size;
        pages_number_ = pages - bitmap_pages;
    }

private:
    std::byte* base_ = nullptr;
    std::size_t pages_number_ = 0;
    std::uint64_t* taken_ = nullptr;
};

}  // namespace detail

/// The largest alignment that a program's loader can be trusted with, or less for a small array.
[[nodiscard]] constexpr std::size_t arena_alignment(std::size_t bytes) noexcept {
    return bytes < 65536 ? std::bit_floor(bytes) : 65536;
}

/// A fixed array that serves slabs: provably no heap. Larger alignments than `alignment` are
/// served, too, from where the array happens to have them. Trivially destructible and all zero.
template <std::size_t bytes, std::size_t alignment = arena_alignment(bytes)>
class ArenaBackend : public detail::RegionPages<detail::FixedRegion<bytes, alignment>> {
    static_assert(bytes > 0 && bytes % 4096 == 0,
                  "an ArenaBackend consists of pages: bytes must be a multiple of 4096");
    static_assert(is_power_of_two(alignment) && alignment >= 4096,
                  "an ArenaBackend consists of pages: alignment must be a power of two from 4096");
};

/// The same over memory that is known at run time only, as in a kernel that reads its memory map.
/// It keeps one page of each 64 MiB, or less, for itself. The memory is its caller's to give back.
class ArenaBackendOver : public detail::RegionPages<detail::GivenRegion> {
public:
    /// No memory, so every alloc_slab is refused until adopt().
    constexpr ArenaBackendOver() noexcept = default;
    ArenaBackendOver(void* memory, std::size_t bytes) noexcept { adopt(memory, bytes); }

    /// Effects: serves the whole pages of the region. Requires: first call, nobody else uses the
    /// region (not checked).
    void adopt(void* memory, std::size_t bytes) noexcept {
        const std::uintptr_t address = address_of(memory);
        const std::size_t lead = align_up(address, page_size) - address;
        if (bytes < lead) return;
        region().reset(static_cast<std::byte*>(memory) + lead, align_down(bytes - lead, page_size));
    }
};

template <std::size_t bytes, std::size_t alignment>
inline constexpr bool bears_threads<ArenaBackend<bytes, alignment>> = false;
template <>
inline constexpr bool bears_threads<ArenaBackendOver> = false;

}  // namespace slab_allocator
