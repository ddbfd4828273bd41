#pragma once

// hash_map.hpp -- which SlabInfo a page belongs to, in a hash table: for pages from anywhere.
//
//      home(a) == home(b) == 2, home(c) == 3, so c had to move on:
//
//        0   1   2   3   4   5   6   7        an entry is {page_addr, SlabInfo*}, and empty if it
//      |   |   | a | b | c |   |   |   |      has no SlabInfo; after the last one comes the first
//
// get costs one multiplication and, since the table is at most half full, mostly one comparison.
// save and delete cost O(1), and O(saved pages) when the table doubles or halves. A table is a
// power of two of entries, at least page_size bytes, taken from Pages aligned to page_size. While
// Pages refuses a larger one, the old one takes pages until only one entry is empty. A map without
// pages holds no memory.
//
// Every call, get too, needs the caller's lock: nobody else may use the map at that time. Pages
// must not call the map. An address is the one of a page's first byte, a multiple of page_size.
//
// Invariants
//   [H1] at least one entry is empty, so that every search ends.
//   [H2] no entry from the home of a page to the one that it is in is empty: a search may end at an
//        empty one. A delete moves pages back to keep this, and leaves no trace.
//   [H3] |entries that are not empty| == pages_number_, and no page is in two of them.
//   [H4] pages_number_ == 0  <=>  entries_ == no_entries_, and capacity() == 1

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

/// A SlabInfoMap. never_destroyed is for statics of a kernel: the destructor is trivial, and a
/// table that is not empty by then is not given back.
template <SlabSource Pages, std::size_t page_size = 4096, bool never_destroyed = false>
class HashMap {
    struct Entry {
        std::uintptr_t page_addr = 0;
        SlabInfo* slab_info = nullptr;
    };

    static_assert(is_power_of_two(page_size), "page_size must be a power of two");
    static_assert(page_size >= 2 * sizeof(Entry),
                  "page_size must be at least two entries of the table");

public:
    constexpr HashMap() noexcept
        requires std::default_initializable<Pages>
    = default;
    constexpr explicit HashMap(Pages pages) noexcept : pages_(static_cast<Pages&&>(pages)) {}
    HashMap(const HashMap&) = delete;  // entries_ may point into this map
    HashMap& operator=(const HashMap&) = delete;

    ~HashMap()
        requires never_destroyed
    = default;
    ~HashMap() { give_back(entries_, capacity()); }

    [[nodiscard]] constexpr Pages& pages() noexcept { return pages_; }

    /// Effects: page_addr belongs to slab_info, whatever it belonged to before (nullptr: nothing).
    /// Returns: false if the table is full and Pages refuses a larger one; nothing changed then.
    [[nodiscard]] bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) noexcept {
        if (slab_info == nullptr) {
            delete_slab_info_ptr(page_addr);
            return true;
        }
        std::size_t index = find(page_addr);
        if (empty(index)) {
            if (2 * (pages_number_ + 1) > capacity() && move_to(larger())) index = find(page_addr);
            if (pages_number_ + 1 >= capacity()) return false;  // [H1]
            ++pages_number_;
        }
        entries_[index] = Entry{page_addr, slab_info};
        return true;
    }

    [[nodiscard]] SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) const noexcept {
        return entries_[find(page_addr)].slab_info;
    }

    /// Effects: none if the page was not saved.
    void delete_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        const std::size_t index = find(page_addr);
        if (empty(index)) return;
        entries_[close_up(index)] = Entry{};
        --pages_number_;
        if (pages_number_ == 0) {
            leave_table();
        } else if (8 * pages_number_ < capacity() && capacity() > first_capacity) {
            static_cast<void>(move_to(capacity() / 2));  // refused: stays where it is
        }
    }

private:
    static constexpr int address_width = 8 * int{sizeof(std::uintptr_t)};
    static constexpr int page_bits = std::countr_zero(page_size);
    static constexpr std::size_t first_capacity = page_size / sizeof(Entry);

    // The golden ratio, shifted so that the page offset of an address needs not be shifted out.
    // Odd, so that no two pages have the same product.
    static constexpr std::uintptr_t multiplier =
        static_cast<std::uintptr_t>(0x9E3779B97F4A7C15 >> (64 - address_width) >> page_bits) | 1;

    [[nodiscard]] constexpr std::size_t capacity() const noexcept { return mask_ + 1; }
    [[nodiscard]] bool empty(std::size_t index) const noexcept {
        return entries_[index].slab_info == nullptr;
    }
    [[nodiscard]] std::size_t home(std::uintptr_t page_addr) const noexcept {
        return static_cast<std::size_t>((page_addr * multiplier) >> shift_);
    }
    [[nodiscard]] std::size_t after(std::size_t index) const noexcept {
        return (index + 1) & mask_;
    }
    [[nodiscard]] std::size_t larger() const noexcept {
        return capacity() == 1 ? first_capacity : 2 * capacity();
    }

    /// Returns: the entry that page_addr is in, or else the empty one in which it would be.
    [[nodiscard]] std::size_t find(std::uintptr_t page_addr) const noexcept {
        std::size_t index = home(page_addr);
        while (entries_[index].page_addr != page_addr && !empty(index)) {
            index = after(index);
        }
        return index;
    }

    /// Moves pages back over the one at `hole`, so that [H2] holds without it.
    /// Returns: the entry that is to become empty instead.
    [[nodiscard]] std::size_t close_up(std::size_t hole) noexcept {
        for (std::size_t index = after(hole); !empty(index); index = after(index)) {
            // Distances modulo the width of size_t are in the same order as modulo the capacity.
            if (index - home(entries_[index].page_addr) < index - hole) continue;  // home is after
            entries_[hole] = entries_[index];
            hole = index;
        }
        return hole;
    }

    void enter_table(Entry* entries, std::size_t entries_number) noexcept {
        entries_ = entries;
        mask_ = entries_number - 1;
        shift_ = address_width - (entries_number == 1 ? 1 : std::countr_zero(entries_number));
    }

    /// Returns: false if Pages refuses; nothing has changed then.
    [[nodiscard, gnu::noinline]] bool move_to(std::size_t new_capacity) noexcept {
        void* const memory = pages_.alloc_slab(bytes(new_capacity), page_size);
        if (memory == nullptr) return false;
        Entry* const new_entries = static_cast<Entry*>(memory);
        for (std::size_t index = 0; index < new_capacity; ++index) {
            ::new (new_entries + index) Entry{};
        }

        Entry* const old_entries = entries_;
        const std::size_t old_capacity = capacity();
        enter_table(new_entries, new_capacity);
        for (std::size_t index = 0; index < old_capacity; ++index) {
            const Entry& old = old_entries[index];
            if (old.slab_info != nullptr) entries_[find(old.page_addr)] = old;
        }
        give_back(old_entries, old_capacity);
        return true;
    }

    void leave_table() noexcept {
        Entry* const old_entries = entries_;
        const std::size_t old_capacity = capacity();
        enter_table(no_entries_, 1);
        give_back(old_entries, old_capacity);
    }

    void give_back(Entry* entries, std::size_t entries_number) noexcept {
        if (entries_number == 1) return;  // no_entries_
        pages_.free_slab(entries, bytes(entries_number), page_size);
    }

    [[nodiscard]] static constexpr std::size_t bytes(std::size_t entries_number) noexcept {
        return entries_number * sizeof(Entry);
    }

    Entry* entries_ = no_entries_;
    std::size_t mask_ = 0;
    int shift_ = address_width - 1;
    std::size_t pages_number_ = 0;
    // The table while there is no other. It counts as one entry, so it is full and never written.
    // There are two because a home has at least one bit.
    Entry no_entries_[2]{};
    [[no_unique_address]] Pages pages_{};
};

template <SlabSource Pages, std::size_t page_size, bool never_destroyed>
inline constexpr bool bears_threads<HashMap<Pages, page_size, never_destroyed>> = false;

}  // namespace slab_allocator
