#pragma once

// placement.hpp -- where the SlabInfo of a slab is: the only place that branches on the backend's
// row.
//
//      SmallByMask         object --mask--> slab --colour--> SlabInfo
//      SmallByMap          object --mask--> page --map--> SlabInfo
//      LargeByMap          object --mask--> page --map--> SlabInfo
//      LargeByPageFrames   object --mask--> slab --backend's array--> SlabInfo
//
// Invariants
//   [P1] enter() makes a SlabInfo known whole or not at all: what the backend refuses undoes the
//   rest
//        in reverse order.
//   [P2] leave() makes it unknown before its memory can be anybody else's: identity, map, memory.
//
// The map and array rows answer for any address. The mask row reads the would-be SlabInfo of the
// address it is given: a wild pointer into memory that is not mapped faults there.

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/memcheck.hpp>
#include <slab_allocator/core/poison.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/core/slab_map.hpp>

namespace slab_allocator {

template <Layout layout, typename Backend, bool checked>
class Placement {
public:
    /// The SlabInfo of the slab that `object` lies in, or would lie in. Rows with a map or an
    /// array: nullptr where there is none.
    [[nodiscard]] static SlabRecord* find(Backend& backend, const std::byte* object) noexcept {
        if constexpr (layout.row == Row::SmallByMask) {
            return in_slab(block_of(object, layout.slab_size));
        } else if constexpr (layout.row == Row::LargeByPageFrames) {
            return from_backend(
                backend.slab_info_at(align_down(address_of(object), layout.slab_size)));
        } else {
            return Map::find(backend, object);
        }
    }

    /// The slab that `object` lies in, given its SlabInfo.
    [[nodiscard]] static std::byte* slab_of(const SlabRecord& slab_info,
                                            const std::byte* object) noexcept {
        if constexpr (layout.slab_alignment >= layout.slab_size) {
            return block_of(object, layout.slab_size);
        } else {
            return slab_info.slab;
        }
    }

    /// The number of the slot that starts at `object`; no number below slots_per_slab where none
    /// does, whatever the address.
    [[nodiscard]] static std::size_t slot_of(const SlabRecord& slab_info,
                                             const std::byte* object) noexcept {
        const std::byte* const slab = slab_of(slab_info, object);
        return layout.slot_at(address_of(object) - address_of(slab) - layout.front);
    }

    /// The first of the info_slots slots that the SlabInfo itself covers.
    [[nodiscard]] static std::size_t info_slot(const SlabRecord& slab_info) noexcept {
        if constexpr (layout.info_slots == 0) return 0;
        return layout.info_slot_of(address_of(slab_info.slab));
    }

    /// Does the SlabInfo itself lie in that slot?
    [[nodiscard]] static bool is_covered(const SlabRecord& slab_info, std::size_t slot) noexcept {
        return slot - info_slot(slab_info) < layout.info_slots;  // wraps for slots before it
    }

    /// The bits of word `word` that the SlabInfo itself covers.
    [[nodiscard]] static std::uint64_t covered(const SlabRecord& slab_info,
                                               std::size_t word) noexcept {
        if constexpr (layout.info_slots == 0) return 0;
        return FreeMap::bits_of(info_slot(slab_info), layout.info_slots, word);
    }

    /// Does the map or the array know a page of what is to be a new slab?
    [[nodiscard]] static bool in_use([[maybe_unused]] Backend& backend,
                                     [[maybe_unused]] const std::byte* slab) noexcept {
        if constexpr (layout.uses_map()) {
            return Map::in_use(backend, slab, layout.pages_per_slab());
        } else if constexpr (layout.row == Row::LargeByPageFrames) {
            const SlabRecord* const frame = find(backend, slab);
            return frame != nullptr && is_aligned(frame, alignof(SlabInfo)) &&
                   frame->owner != nullptr;
        } else {
            return false;  // nobody knows: a new slab is not read
        }
    }

    /// Does each page of the slab lead to its SlabInfo?
    [[nodiscard]] static bool knows(Backend& backend, const SlabRecord& slab_info) noexcept {
        if constexpr (layout.uses_map())
            return Map::knows(backend, slab_info, layout.pages_per_slab());
        return find(backend, slab_info.slab) == &slab_info;
    }

    /// Places the SlabInfo of a new slab, all slots free and nobody's, and tells the map. nullptr:
    /// the backend refused, or its answer was, and knows nothing of it any more [P1].
    [[nodiscard]] static SlabRecord* enter(Backend& backend, std::byte* slab,
                                           const void* cache) noexcept {
        SlabRecord* const place = take_place(backend, slab);
        if (place == nullptr) return nullptr;
        if constexpr (checked && !layout.small()) {
            if (!is_place_for_slab_info(place, slab, layout.slab_size, cache)) [[unlikely]] {
                give_place(backend, place);
                return nullptr;
            }
        }
        SlabRecord* const slab_info = ::new (static_cast<void*>(place)) Made;
        slab_info->slab = slab;
        slab_info->free_number = static_cast<std::uint16_t>(layout.objects_per_slab);
        slab_info->map.fill(layout.slots_per_slab, info_slot(*slab_info), layout.info_slots);
        if constexpr (layout.uses_map()) {
            if (!Map::save(backend, *slab_info, layout.pages_per_slab(), cache)) {
                give_place(backend, slab_info);
                return nullptr;
            }
        }
        return slab_info;
    }

    /// Nobody has an object of the slab yet. AddressSanitizer is told, and sees the links of the
    /// SlabInfo as one of those: who overruns the slot before it meets them. memcheck is told, too,
    /// where `all_of_it`, else only asked whether it is there.
    template <bool all_of_it>
    static void hide_slots(const SlabRecord& slab_info, detail::Memcheck& memcheck) noexcept {
        const std::byte* const slab = slab_info.slab;
        const std::byte* const end = slab + layout.slab_size;
        if constexpr (layout.small()) {
            const std::byte* const info = slab + layout.info_offset_of(address_of(slab));
            const std::byte* const behind = info + info_size;
            detail::hide(slab, static_cast<std::size_t>(info - slab) + sizeof(ListNode));
            detail::hide(behind, static_cast<std::size_t>(end - behind));
            if (memcheck.hide(slab, all_of_it ? info : slab) && all_of_it)
                memcheck.hide(behind, end);
        } else {
            detail::hide(slab, layout.slab_size);
            memcheck.hide(slab, all_of_it ? end : slab);
        }
    }
    static void reveal_slots(const std::byte* slab) noexcept {
        detail::reveal(slab, layout.slab_size);
    }

    /// What lies in hidden memory is no SlabInfo: by masking, anything is found.
    [[nodiscard]] static bool is_hidden(const SlabRecord* slab_info) noexcept {
        if constexpr (layout.row != Row::SmallByMask) return false;
        return detail::is_hidden(static_cast<const void*>(&slab_info->owner)) ||
               detail::is_hidden(static_cast<const void*>(&slab_info->slab));
    }

    /// Makes a SlabInfo unknown and gives its memory back, but not the slab [P2].
    static void leave(Backend& backend, SlabRecord& slab_info) noexcept {
        slab_info.owner = nullptr;
        if constexpr (layout.uses_map()) {
            Map::forget(backend, slab_info.slab, layout.pages_per_slab());
        }
        give_place(backend, &slab_info);
    }

private:
    using Map = SlabMap<Backend, layout.page_size, checked>;
    using Made = std::conditional_t<layout.small(), SlabRecord, SlabInfo>;
    static constexpr std::size_t info_size = small_slab_info_size(layout.slots_per_slab);

    [[nodiscard]] static SlabRecord* in_slab(std::byte* slab) noexcept {
        return reinterpret_cast<SlabRecord*>(slab + layout.info_offset_of(address_of(slab)));
    }

    [[nodiscard]] static SlabRecord* take_place(Backend& backend,
                                                [[maybe_unused]] std::byte* slab) noexcept {
        if constexpr (layout.small()) {
            return in_slab(slab);
        } else if constexpr (layout.row == Row::LargeByPageFrames) {
            return from_backend(backend.slab_info_at(address_of(slab)));
        } else {
            return from_backend(backend.alloc_slab_info());
        }
    }

    static void give_place([[maybe_unused]] Backend& backend,
                           [[maybe_unused]] SlabRecord* slab_info) noexcept {
        if constexpr (layout.row == Row::LargeByMap) {
            backend.free_slab_info(for_backend(slab_info));
        }
    }
};

}  // namespace slab_allocator
