#pragma once

// geometry.hpp -- where the slots of a slab are.
//
//      slab    | front | object 0 | behind | front | object 1 | behind | ... | SlabInfo | ...
//              '-------- slot 0 ---------' '-------- slot 1 ---------'       '- reserved
//
// A cache knows the numbers when it is compiled (StaticGeometry): the compiler folds them into the
// instructions. A size class of a heap has them as a member (RuntimeGeometry): one piece of code
// serves all classes. Everything that is computed from them is written once, here.
//
// Invariants
//   [E1] slot_of(slab, object) < slots_per_slab  <=>  object_at(slab, that slot) == object

#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

/// A layout that the compiler knows.
template <Layout known>
class StaticLayout {
public:
    static constexpr Layout located = known;
    static constexpr std::size_t known_objects_per_slab = known.objects_per_slab;
    static constexpr bool disguises_owner = true;
    static constexpr bool small = known.small();
    static constexpr bool naturally_aligned = known.slab_alignment >= known.slab_size;
    static constexpr bool reserves_slots = known.info_slots != 0;

    static constexpr Layout layout = known;

    [[nodiscard]] static constexpr std::size_t front() noexcept { return known.front; }
};

/// A layout that is a member. Row and page size are those of `like`, which is Large, so that the
/// SlabInfo reserves no slot; a front is there where `like` has one.
template <Layout like>
class LayoutMember {
public:
    static constexpr Layout located = like;
    static constexpr std::size_t known_objects_per_slab = 0;
    static constexpr bool disguises_owner = false;  // the owner is looked up by its address
    static constexpr bool small = false;
    static constexpr bool naturally_aligned = false;
    static constexpr bool reserves_slots = false;

    constexpr explicit LayoutMember(const Layout& given) noexcept : layout(given) {}

    [[nodiscard]] constexpr std::size_t front() const noexcept {
        return like.front != 0 ? layout.front : 0;
    }

    Layout layout;
};

template <typename Numbers>
class GeometryOf : public Numbers {
public:
    using Numbers::front;
    using Numbers::layout;
    using Numbers::Numbers;

    /// The slab that `object` lies in, given its SlabInfo.
    [[nodiscard]] std::byte* slab_of(const SlabRecord& slab_info,
                                     const std::byte* object) const noexcept {
        if constexpr (Numbers::naturally_aligned) {
            return block_of(object, layout.slab_size);
        } else {
            return slab_info.slab;
        }
    }

    /// The number of the slot whose object starts at `object`; no number below slots_per_slab where
    /// none does, whatever the address [E1].
    [[nodiscard]] std::size_t slot_of(const SlabRecord& slab_info,
                                      const std::byte* object) const noexcept {
        const std::byte* const slab = slab_of(slab_info, object);
        return layout.slot_at(address_of(object) - address_of(slab) - front());
    }

    [[nodiscard]] std::byte* object_at(const SlabRecord& slab_info,
                                       std::size_t slot) const noexcept {
        return slab_info.slab + layout.offset_of(slot) + front();
    }

    /// The first of the info_slots slots that the SlabInfo itself reserves.
    [[nodiscard]] std::size_t first_reserved(const SlabRecord& slab_info) const noexcept {
        if constexpr (!Numbers::reserves_slots) return 0;
        return layout.info_slot_of(address_of(slab_info.slab));
    }

    /// Does the SlabInfo itself lie in that slot?
    [[nodiscard]] bool is_reserved(const SlabRecord& slab_info, std::size_t slot) const noexcept {
        if constexpr (!Numbers::reserves_slots) return false;
        return slot - first_reserved(slab_info) < layout.info_slots;  // wraps for slots before it
    }

    /// The bits of word `word` that the SlabInfo itself reserves.
    [[nodiscard]] std::uint64_t reserved_in(const SlabRecord& slab_info,
                                            std::size_t word) const noexcept {
        if constexpr (!Numbers::reserves_slots) return 0;
        return FreeMap::bits_of(first_reserved(slab_info), layout.info_slots, word);
    }

    /// Does the record of a slab agree with itself and with the layout?
    [[nodiscard]] bool is_sound(const SlabRecord& slab_info) const noexcept {
        return layout.is_sound(slab_info, first_reserved(slab_info));
    }
};

template <Layout known>
using StaticGeometry = GeometryOf<StaticLayout<known>>;

template <Layout like>
using RuntimeGeometry = GeometryOf<LayoutMember<like>>;

}  // namespace slab_allocator
