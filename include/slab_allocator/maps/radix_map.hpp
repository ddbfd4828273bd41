#pragma once

// radix_map.hpp -- which SlabInfo a page belongs to, in a tree: readers need no lock.
//
//      page_addr:     | sign and 12 bits |  12 bits  |  12 bits  | offset in the page |
//                              |               |           |
//      root_ --> node level 2: [*] --> level 1: [*] --> level 0: [SlabInfo*]
//                              null: no page is saved in this part of the addresses
//
// get and delete cost O(1), one load for each level; save may take one new node for each. With the
// defaults that is 128 KiB for the first page, then 32 KiB for each 16 MiB that pages are in. Nodes
// come from Pages: a power of two of at least page_size bytes, aligned to page_size.
//
// get waits for nobody: a node is complete before it is published, and stays until the map dies or
// shrink() is called. save and delete need the caller's lock. Pages must not call the map.
//
// An address is in the lower or in the upper half, as processors with sign-extended addresses have
// them: from bit address_bits on all bits are 0 or all are 1. For another one save answers false
// and get nullptr. Where a pointer has no more than address_bits bits, every address is good.
//
// Invariants
//   [R1] an entry of level 0 is a SlabInfo or null, one of level n a node of level n - 1 or null.
//   [R2] what a reader can reach was written before it could, and is not freed.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

/// A SlabInfoMap. never_destroyed is for statics of a kernel: the destructor is trivial, and nodes
/// that are there by then are not given back.
template <SlabSource Pages, std::size_t page_size = 4096, std::size_t address_bits = 48,
          bool never_destroyed = false>
class RadixMap {
public:
    constexpr RadixMap() noexcept
        requires std::default_initializable<Pages>
    = default;
    constexpr explicit RadixMap(Pages pages) noexcept : pages_(static_cast<Pages&&>(pages)) {}
    RadixMap(const RadixMap&) = delete;  // the nodes have one owner
    RadixMap& operator=(const RadixMap&) = delete;

    ~RadixMap()
        requires never_destroyed
    = default;
    ~RadixMap() { give_back<levels>(root_, Keep::Nothing); }

    [[nodiscard]] constexpr Pages& pages() noexcept { return pages_; }

    /// Effects: page_addr belongs to slab_info, whatever it belonged to before (nullptr: nothing).
    /// Returns: false if Pages refuses a node; nothing has changed then.
    [[nodiscard]] bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) noexcept {
        const std::uintptr_t index = index_of(page_addr);
        if (!in_range(index)) return false;
        const Place place = find(index);
        void* below = slab_info;
        if (place.level != 0 && slab_info != nullptr) {
            below = path_to(slab_info, index, place.level);
            if (below == nullptr) return false;
        }
        store(*place.entry, below);
        return true;
    }

    /// Needs no lock.
    [[nodiscard]] SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) const noexcept {
        const std::uintptr_t index = index_of(page_addr);
        if (!in_range(index)) return nullptr;
        return static_cast<SlabInfo*>(descend<levels>(root_, index));
    }

    /// Effects: none if the page was not saved. No node is freed: a reader may be in it.
    void delete_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        static_cast<void>(save_slab_info_ptr(page_addr, nullptr));
    }

    /// Gives back the nodes that no saved page needs.  Returns: how many.
    /// Requires: nobody uses the map meanwhile, not even for a get (not checked).
    /// Costs: O(entries of all nodes).
    std::size_t shrink() noexcept { return give_back<levels>(root_, Keep::SavedPages); }

private:
    static constexpr std::size_t address_width = 8 * sizeof(std::uintptr_t);
    static constexpr std::size_t page_bits = std::countr_zero(page_size);
    static constexpr std::size_t used_bits =
        address_bits < address_width ? address_bits + 1 : address_width;  // with the sign

    static_assert(is_power_of_two(page_size), "page_size must be a power of two");
    static_assert(page_size >= 16, "page_size must be at least 16");
    static_assert(used_bits >= page_bits + 2, "address_bits must be more than a page has");

    // Nodes of 32 KiB make three levels out of 48 bits. One page for a node, as page tables have
    // it, makes four.
    static constexpr std::size_t most_level_bits = 12;
    static constexpr std::size_t index_bits = used_bits - page_bits;
    static constexpr std::size_t levels = divide_up(index_bits - 1, most_level_bits);
    static constexpr std::size_t level_bits = divide_up(index_bits - 1, levels);
    static constexpr std::size_t root_bits = index_bits - level_bits * (levels - 1);

    struct Entry {
        void* below = nullptr;  // [R1]
    };
    enum class Keep : bool { Nothing, SavedPages };

    /// The entry for a page in the lowest node there is on the way to it. Level 0: the one for its
    /// SlabInfo. Above: null, and the nodes of all lower levels are missing.
    struct Place {
        Entry* entry;
        std::size_t level;
    };

    /// The number of the page, counted from the lowest address of the upper half.
    [[nodiscard]] static std::uintptr_t index_of(std::uintptr_t page_addr) noexcept {
        return (page_addr + (std::uintptr_t{1} << (used_bits - 1))) >> page_bits;
    }
    [[nodiscard]] static bool in_range(std::uintptr_t index) noexcept {
        return (index >> index_bits) == 0;
    }
    [[nodiscard]] static constexpr std::size_t bits_of(std::size_t level) noexcept {
        return level == levels - 1 ? root_bits : level_bits;
    }
    [[nodiscard]] static constexpr std::size_t entries_number(std::size_t level) noexcept {
        return std::size_t{1} << bits_of(level);
    }
    [[nodiscard]] static constexpr std::size_t node_size(std::size_t level) noexcept {
        return align_up(sizeof(Entry) * entries_number(level), page_size);
    }
    [[nodiscard]] static std::size_t position(std::uintptr_t index, std::size_t level) noexcept {
        return (index >> (level * level_bits)) & (entries_number(level) - 1);
    }
    [[nodiscard]] static void* load(const Entry& entry) noexcept {
        return __atomic_load_n(&entry.below, __ATOMIC_ACQUIRE);  // [R2]
    }
    static void store(Entry& entry, void* below) noexcept {
        __atomic_store_n(&entry.below, below, __ATOMIC_RELEASE);  // [R2]
    }

    /// The hot path, a step for each level.
    template <std::size_t level>
    [[nodiscard]] static void* descend(const Entry& entry, std::uintptr_t index) noexcept {
        void* const below = load(entry);
        if constexpr (level == 0) {
            return below;
        } else {
            if (below == nullptr) return nullptr;
            const Entry* const node = static_cast<const Entry*>(below);
            return descend<level - 1>(node[position(index, level - 1)], index);
        }
    }

    /// For a writer: it holds the lock, so nobody else writes what is read here.
    [[nodiscard]] Place find(std::uintptr_t index) noexcept {
        Place place{&root_, levels};
        while (place.level != 0 && place.entry->below != nullptr) {
            --place.level;
            place.entry = static_cast<Entry*>(place.entry->below) + position(index, place.level);
        }
        return place;
    }

    /// Builds the missing nodes of the levels below `level` from the leaf up, so that one store
    /// publishes them all.  Returns: the uppermost, or null with everything undone.
    [[nodiscard, gnu::noinline]] void* path_to(SlabInfo* slab_info, std::uintptr_t index,
                                               std::size_t level) noexcept {
        void* top = slab_info;
        for (std::size_t built = 0; built < level; ++built) {
            Entry* const node = alloc_node(built);
            if (node == nullptr) {
                undo_path(top, index, built);
                return nullptr;
            }
            node[position(index, built)].below = top;
            top = node;
        }
        return top;
    }

    void undo_path(void* top, std::uintptr_t index, std::size_t level) noexcept {
        while (level-- > 0) {
            Entry* const node = static_cast<Entry*>(top);
            top = node[position(index, level)].below;
            pages_.free_slab(node, node_size(level), page_size);
        }
    }

    [[nodiscard]] Entry* alloc_node(std::size_t level) noexcept {
        void* const memory = pages_.alloc_slab(node_size(level), page_size);
        if (memory == nullptr) return nullptr;
        Entry* const node = static_cast<Entry*>(memory);
        for (std::size_t i = 0; i < entries_number(level); ++i) {
            ::new (node + i) Entry{};
        }
        return node;
    }

    /// Gives back the node below `entry`, and all below that; or only those without a saved page.
    /// Returns: how many.
    template <std::size_t level>
    std::size_t give_back(Entry& entry, Keep keep) noexcept {
        if constexpr (level == 0) {
            return 0;  // below is a SlabInfo
        } else {
            if (entry.below == nullptr) return 0;
            Entry* const node = static_cast<Entry*>(entry.below);
            std::size_t nodes_number = 0;
            bool needed = false;
            for (std::size_t i = 0; i < entries_number(level - 1); ++i) {
                nodes_number += give_back<level - 1>(node[i], keep);
                needed |= node[i].below != nullptr;
            }
            if (needed && keep == Keep::SavedPages) return nodes_number;
            pages_.free_slab(node, node_size(level - 1), page_size);
            entry.below = nullptr;
            return nodes_number + 1;
        }
    }

    Entry root_;
    [[no_unique_address]] Pages pages_{};
};

}  // namespace slab_allocator
