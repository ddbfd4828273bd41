#pragma once

// slab_view.hpp -- one slab of a cache, to look at: what for_each_slab() shows.
//
//      slot 0   1   2   3   4   5   6 ...
//      Taken Free Covered Taken Free Untouched Untouched
//
// Valid during the call that shows it, and like everything that looks: it changes nothing.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

/// What a slot of a slab is.
enum class SlotState : std::uint8_t {
    Taken,      ///< an object's, or in the hands of a layer in front of the cache
    Free,       ///< was an object's
    Untouched,  ///< free, and never taken out of the slab
    Covered,    ///< under the SlabInfo: no object's, ever
};

class SlabView {
public:
    SlabView(const SlabRecord& slab_info, const Layout& layout) noexcept
        : slab_info_(&slab_info), layout_(&layout) {}

    [[nodiscard]] const std::byte* slab() const noexcept { return slab_info_->slab; }
    [[nodiscard]] std::size_t slab_size() const noexcept { return layout_->slab_size; }
    [[nodiscard]] const SlabRecord& slab_info() const noexcept { return *slab_info_; }

    /// Slots, those under the SlabInfo among them, and how many of them objects can have.
    [[nodiscard]] std::size_t slots_number() const noexcept { return layout_->slots_per_slab; }
    [[nodiscard]] std::size_t objects_number() const noexcept { return layout_->objects_per_slab; }
    [[nodiscard]] std::size_t free_objects_number() const noexcept {
        return slab_info_->free_number;
    }
    [[nodiscard]] std::size_t allocated_objects_number() const noexcept {
        return objects_number() - free_objects_number();
    }

    /// Does `pointer` lead into the slab?
    [[nodiscard]] bool contains(const void* pointer) const noexcept {
        return address_of(pointer) - address_of(slab()) < slab_size();  // wraps for those before it
    }

    /// Requires: slot < slots_number(), not checked.
    [[nodiscard]] SlotState state_of(std::size_t slot) const noexcept {
        if (layout_->info_slots > 0) {
            const std::size_t first = layout_->info_slot_of(address_of(slab()));
            if (slot - first < layout_->info_slots) return SlotState::Covered;  // wraps, too
        }
        if (!slab_info_->map.is_free(slot)) return SlotState::Taken;
        return slot < slab_info_->untouched ? SlotState::Free : SlotState::Untouched;
    }

private:
    const SlabRecord* slab_info_;
    const Layout* layout_;
};

}  // namespace slab_allocator
