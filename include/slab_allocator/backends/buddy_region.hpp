#pragma once

// buddy_region.hpp -- which pages of one run of memory are free: a binary buddy allocator.
//
//      pages    | A   A   A   A | B | . | .   . |      A, B: taken blocks of order 2 and 0
//      frames   | 2t  -   -   - | 0t| 0f| 1f  - |      a head knows its block, - is inside of one
//
// A block of order k is 2^k pages at a multiple of its size. It is split into two buddies, whose
// addresses differ in one bit, and two free buddies are one block again at once. (Knowlton 1965.)
//
// What is known of a page lies in its frame, and frames lie apart from the pages: no page, free or
// taken, is ever read or written here. The lists of free blocks go through the frames.
//
// Invariants
//   [B1] every page is in one block; the frame of its first page has its order and use, all others
//        are Inside.
//   [B2] the free blocks of order k stand on free_[k], and free_blocks_number_[k] is their number;
//        nonempty_ has bit k where there are any.
//   [B3] the buddy of a free block is no free block of its order: the free blocks are the largest
//        aligned runs of free pages, whatever was taken and given back before.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/core/intrusive_list.hpp>

namespace slab_allocator {

/// What is known of one page.
struct PageFrame : ListNode {
    enum class Use : std::uint8_t { Inside, Free, Taken };

    Use use = Use::Inside;   // of the block that starts here
    std::uint8_t order = 0;  // of it
};

/// A buddy allocator over one run of pages, which are numbered from its start.
class BuddyRegion {
public:
    static constexpr std::size_t page_size = 4096;
    static constexpr std::size_t orders_number = 32;

    /// All pages are free. Costs: O(pages).
    BuddyRegion(std::byte* base, std::size_t pages_number, PageFrame* frames) noexcept
        : base_(base), pages_number_(pages_number), frames_(frames) {
        for (std::size_t page = 0; page < pages_number; ++page)
            ::new (static_cast<void*>(frames + page)) PageFrame;
        for (std::size_t page = 0; page < pages_number;) {
            const std::size_t order = largest_order(page);
            enter(page, order);
            page += pages_of(order);
        }
    }

    [[nodiscard]] static constexpr std::size_t pages_of(std::size_t order) noexcept {
        return std::size_t{1} << order;
    }
    [[nodiscard]] std::byte* base() const noexcept { return base_; }
    [[nodiscard]] std::size_t pages_number() const noexcept { return pages_number_; }
    [[nodiscard]] std::size_t free_blocks_number(std::size_t order) const noexcept {
        return free_blocks_number_[order];
    }

    /// The page that `address` lies in; no number below pages_number() where it lies in none.
    [[nodiscard]] std::size_t page_at(std::uintptr_t address) const noexcept {
        return (address - address_of(base_)) / page_size;  // wraps below the region
    }

    /// The smallest order from `order` on of which a block is free; orders_number where none is.
    [[nodiscard]] std::size_t free_order_from(std::size_t order) const noexcept {
        const std::uint64_t large_enough = nonempty_ >> order << order;
        return large_enough == 0 ? orders_number : lowest_bit(large_enough);
    }

    /// Takes a block of `order` out of a free one of order `from`. Requires: there is one.
    [[nodiscard]] std::byte* take(std::size_t order, std::size_t from) noexcept {
        PageFrame& head = free_[from].front();
        const auto page = static_cast<std::size_t>(&head - frames_);
        leave(page);
        while (from > order) {
            --from;
            enter(page + pages_of(from), from);
        }
        head.use = PageFrame::Use::Taken;
        head.order = static_cast<std::uint8_t>(order);
        return base_ + page * page_size;
    }

    /// What is wrong with giving back a block of `order` that starts at `page`?
    [[nodiscard]] Defect defect_of(std::size_t page, std::size_t order) const noexcept {
        const PageFrame& frame = frames_[page];
        if (frame.use == PageFrame::Use::Taken && frame.order == order) return Defect::None;
        return is_free(page) ? Defect::DoubleFree : Defect::ForeignPointer;
    }

    /// Requires: defect_of(page, order) == Defect::None.
    void give_back(std::size_t page, std::size_t order) noexcept {
        frames_[page].use = PageFrame::Use::Inside;
        for (std::size_t buddy = buddy_of(page, order); is_free_block(buddy, order);
             buddy = buddy_of(page, order)) {  // [B3]
            leave(buddy);
            if (buddy < page) page = buddy;
            ++order;
        }
        enter(page, order);
    }

private:
    [[nodiscard]] std::size_t first_number() const noexcept {
        return address_of(base_) / page_size;
    }

    /// Of the blocks that can start at `page` and end in the region.
    [[nodiscard]] std::size_t largest_order(std::size_t page) const noexcept {
        const auto aligned = static_cast<std::size_t>(std::countr_zero(first_number() + page));
        const std::size_t fitting = highest_bit(pages_number_ - page);
        const std::size_t order = aligned < fitting ? aligned : fitting;
        return order < orders_number ? order : orders_number - 1;  // not reached: 16 TiB
    }

    [[nodiscard]] std::size_t buddy_of(std::size_t page, std::size_t order) const noexcept {
        return ((first_number() + page) ^ pages_of(order)) - first_number();  // wraps below
    }
    [[nodiscard]] bool is_free_block(std::size_t page, std::size_t order) const noexcept {
        return page < pages_number_ && order < orders_number - 1 &&  // not reached: 16 TiB
               frames_[page].use == PageFrame::Use::Free && frames_[page].order == order;
    }

    /// Does `page` lie in a free block? Where the blocks that it could be in start, from the
    /// smallest on, only its own has a head [B1].
    [[nodiscard]] bool is_free(std::size_t page) const noexcept {
        std::size_t head = page;
        for (std::size_t order = 1; frames_[head].use == PageFrame::Use::Inside; ++order)
            head = align_down(first_number() + page, pages_of(order)) - first_number();
        return frames_[head].use == PageFrame::Use::Free;
    }

    void enter(std::size_t page, std::size_t order) noexcept {  // [B1] [B2]
        frames_[page].use = PageFrame::Use::Free;
        frames_[page].order = static_cast<std::uint8_t>(order);
        free_[order].push_front(frames_[page]);
        nonempty_ |= std::uint64_t{1} << order;
        ++free_blocks_number_[order];
    }
    void leave(std::size_t page) noexcept {
        const std::size_t order = frames_[page].order;
        frames_[page].use = PageFrame::Use::Inside;
        frames_[page].unlink();
        if (free_[order].empty()) nonempty_ &= ~(std::uint64_t{1} << order);
        --free_blocks_number_[order];
    }

    std::byte* base_;
    std::size_t pages_number_;
    PageFrame* frames_;
    std::uint64_t nonempty_ = 0;
    IntrusiveList<PageFrame> free_[orders_number];
    std::size_t free_blocks_number_[orders_number] = {};
};

}  // namespace slab_allocator
