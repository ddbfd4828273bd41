#pragma once

// retention.hpp -- what a cache keeps: how many objects it may cache, which slabs are to drain, how
// many free slabs stay.
//
//      few live objects           cached objects are limited, so that the last free empties all
//      four slabs have room       objects of nearly free slabs go to their slabs, not to the cached
//      and half of all is free    ... those of half free slabs, too
//
// Computed from the counts of the lists by update(), which is called wherever these change. Nothing
// else decides about it.
//
// Invariants
//   [C2] more slabs than kept free ones => the cache is full() before the last object of all comes
//        back, so a cache without live objects keeps no more slabs than those.
//   [C5] where four slabs have room, and free looks at the SlabInfo (it checks), objects of slabs
//        that are nearly free go to their slabs, and the cached objects are flushed when a slab
//        comes to that; where half of all slots are free, those of half free slabs do, too.
//        Allocation takes from the fuller ones: the emptier drain, and the cache becomes dense
//        again.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/core/slab_lists.hpp>

namespace slab_allocator {

/// Of a cache that caches up to `capacity` objects and keeps `configured` free slabs.
template <typename Lists, std::size_t capacity, std::size_t configured>
class Retention {
public:
    /// Returns: how many objects may be cached from now on [C2]; none where a tool is to see every
    /// call. Requires: a call after each change of the counts.
    [[nodiscard]] std::size_t update(const Lists& lists, bool every_call_is_seen) noexcept {
        draining_from_ = static_cast<std::uint8_t>(every_call_is_seen ? Lists::lists_number
                                                                      : first_draining(lists));
        if (every_call_is_seen) return 0;
        const std::size_t taken = lists.taken_objects_number();
        const bool last_may_come = taken != 0 && taken <= capacity;
        return last_may_come && has_surplus(lists.slabs_number()) ? taken - 1 : capacity;
    }

    /// Shall the objects of the slab go there at once [C5]?
    [[nodiscard]] bool must_drain(const SlabRecord& slab_info) const noexcept {
        return slab_info.list >= draining_from_;
    }

    /// Would so many slabs, if they were free, be more than are kept?
    [[nodiscard]] bool has_surplus(std::size_t slabs) const noexcept {
        return slabs > kept_free_slabs_;
    }

    /// As many free slabs as there are now are kept, until reset().
    void keep_all(const Lists& lists) noexcept {
        if (has_surplus(lists.free_slabs_number())) kept_free_slabs_ = lists.free_slabs_number();
    }
    void reset() noexcept { kept_free_slabs_ = configured; }

private:
    static constexpr std::size_t enough_slabs = 4;  // with room, for one of them to drain [C5]

    [[nodiscard]] static std::size_t first_draining(const Lists& lists) noexcept {
        const std::size_t slabs = lists.slabs_number();
        if (slabs - lists.full_slabs_number() < enough_slabs) return Lists::lists_number;
        const bool half_free = 2 * lists.taken_objects_number() < slabs * lists.objects_per_slab();
        return half_free ? Lists::half_free : Lists::nearly_free;
    }

    std::uint8_t draining_from_ = Lists::lists_number;  // the first list whose slabs do
    std::size_t kept_free_slabs_ = configured;
};

}  // namespace slab_allocator
