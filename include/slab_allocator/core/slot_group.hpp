#pragma once

// slot_group.hpp -- which objects go back to their slab together.
//
//      objects   | a | a+1 | a+2 | c | d | ...
//                '---- a group ----'   one word of a map, or 64 neighbours that stand in two
//
// Many objects that are freed at once, or are given back from the cache's hand, come in the order
// in which they were freed: often side by side, up or down. What the SlabInfo of a group costs, it
// costs once for all of it.
//
// Invariants
//   [E2] a group is the first `number` of the objects, all of one slab, all different.

#include <cstddef>
#include <cstdint>
#include <span>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/core/geometry.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

struct SlotGroup {
    std::size_t number;
    std::size_t word;
    std::uint64_t bits;        // of that word
    std::uint64_t bits_after;  // of the next one

    [[nodiscard]] bool all_taken_in(const FreeMap& map) const noexcept {
        return map.all_taken(word, bits) &&
               (bits_after == 0 || map.all_taken(word + 1, bits_after));
    }
    void mark_in(FreeMap& map) const noexcept {
        map.mark(word, bits);
        if (bits_after != 0) map.mark(word + 1, bits_after);
    }
    void unmark_in(FreeMap& map) const noexcept {
        map.unmark(word, bits);
        if (bits_after != 0) map.unmark(word + 1, bits_after);
    }
    [[gnu::always_inline]] void free_in(FreeMap& map) const noexcept {
        map.give_back(word, bits);
        if (bits_after != 0) map.give_back(word + 1, bits_after);
    }
};

namespace detail {

/// Do the first 64 objects stand `step` bytes from one another?
template <std::uintptr_t step, typename Object>
[[nodiscard]] bool are_neighbours(std::span<Object* const> objects) noexcept {
    const std::uintptr_t first = address_of(objects[0]);
    return for_all_of_word(
        [&](std::size_t index) { return address_of(objects[index]) == first + index * step; });
}

}  // namespace detail

/// The group of the first objects. The first one is the start of a slot of a slab whose first
/// object is at `start`. Those after it are `suspect` where nobody checked them: they belong to the
/// group only if they are starts of slots of that slab, and no two are the same [E2].
/// Costs: O(number).
template <Layout layout, bool suspect, typename Object>
[[nodiscard, gnu::always_inline]] inline SlotGroup first_group(
    std::uintptr_t start, std::span<Object* const> objects) noexcept {
    constexpr std::size_t length = FreeMap::bits_per_word;
    const std::size_t slot = layout.slot_at(address_of(objects[0]) - start);
    if (objects.size() >= length) {
        const bool up = detail::are_neighbours<layout.stride>(objects);
        const std::size_t low = up ? slot : slot - (length - 1);  // wraps where there are none
        if (low < layout.slots_per_slab && low + length <= layout.slots_per_slab &&
            (up || detail::are_neighbours<std::uintptr_t{0} - layout.stride>(objects))) {
            const std::size_t shift = low % length;
            return {.number = length,
                    .word = low / length,
                    .bits = ~std::uint64_t{0} << shift,
                    .bits_after = ~(~std::uint64_t{0} << shift)};
        }
    }
    const std::size_t word = slot / length;
    const std::uintptr_t word_start = start + word * length * layout.stride;
    const std::size_t left = layout.slots_per_slab - word * length;
    const std::size_t slots = left < length ? left : length;
    std::uint64_t bits = std::uint64_t{1} << (slot % length);
    std::size_t number = 1;
    for (; number < objects.size(); ++number) {
        const std::size_t offset = address_of(objects[number]) - word_start;
        if (offset >= slots * layout.stride) break;
        const std::size_t next = layout.slot_at(offset);
        if (suspect && (next >= slots || ((bits >> next) & 1U) != 0)) break;
        bits |= std::uint64_t{1} << next;
    }
    return {.number = number, .word = word, .bits = bits, .bits_after = 0};
}

/// The same, of objects of a slab whose SlabInfo is `slab_info`.
template <Layout layout, bool suspect, typename Object>
[[nodiscard]] inline SlotGroup group_of(const SlabRecord& slab_info,
                                        std::span<Object* const> objects) noexcept {
    const auto* const first = static_cast<const std::byte*>(static_cast<const void*>(objects[0]));
    const std::byte* const slab = StaticGeometry<layout>().slab_of(slab_info, first);
    return first_group<layout, suspect>(address_of(slab) + layout.front, objects);
}

}  // namespace slab_allocator
