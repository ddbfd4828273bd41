#pragma once

// slab_locator.hpp -- from an address to the SlabInfo of its slab: the only place that branches on
// the backend's row.
//
//      SmallByMask         object --mask--> slab --colour--> SlabInfo
//      SmallByMap          object --mask--> page --map--> SlabInfo
//      LargeByMap          object --mask--> page --map--> SlabInfo
//      LargeByPageFrames   object --mask--> slab --backend's array--> SlabInfo
//
// The map and array rows answer for any address. The mask row reads the would-be SlabInfo of the
// address it is given: a wild pointer into memory that is not mapped faults there.

#include <cstddef>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/poison.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/core/slab_map.hpp>

namespace slab_allocator {

/// Of `layout` LargeByMap needs the page size alone: slabs of all sizes are found alike.
template <Layout layout, typename Backend>
class SlabLocator {
    using Map = SlabMap<Backend, layout.page_size>;

public:
    /// The SlabInfo of the slab that `object` lies in, or would lie in. Rows with a map or an
    /// array: nullptr where there is none.
    [[nodiscard]] static SlabRecord* find(Backend& backend, const std::byte* object) noexcept {
        if constexpr (layout.row == Row::SmallByMask) {
            return record_in(block_of(object, layout.slab_size));
        } else if constexpr (layout.row == Row::LargeByPageFrames) {
            return from_backend(
                backend.slab_info_at(align_down(address_of(object), layout.slab_size)));
        } else {
            return Map::find(backend, object);
        }
    }

    /// Does each of the slab's first pages lead to its SlabInfo?
    [[nodiscard]] static bool knows(Backend& backend, const SlabRecord& slab_info,
                                    std::size_t pages) noexcept {
        if constexpr (layout.uses_map()) return Map::knows(backend, slab_info, pages);
        return find(backend, slab_info.slab) == &slab_info;
    }

    /// Does the map or the array know a page of what is to be a new slab?
    [[nodiscard]] static bool in_use([[maybe_unused]] Backend& backend,
                                     [[maybe_unused]] const std::byte* slab,
                                     [[maybe_unused]] std::size_t pages) noexcept {
        if constexpr (layout.uses_map()) {
            return Map::in_use(backend, slab, pages);
        } else if constexpr (layout.row == Row::LargeByPageFrames) {
            const SlabRecord* const frame = find(backend, slab);
            return frame != nullptr && is_aligned(frame, alignof(SlabInfo)) &&
                   frame->owner != nullptr;
        } else {
            return false;  // nobody knows: a new slab is not read
        }
    }

    /// Where the SlabInfo of a Small slab lies in it.
    [[nodiscard]] static SlabRecord* record_in(std::byte* slab) noexcept
        requires(layout.small())
    {
        return static_cast<SlabRecord*>(
            static_cast<void*>(slab + layout.info_offset_of(address_of(slab))));
    }

    /// What lies in memory that AddressSanitizer knows for nobody's is no SlabInfo: by masking,
    /// anything is found.
    [[nodiscard]] static bool is_poisoned(const SlabRecord* slab_info) noexcept {
        if constexpr (layout.row != Row::SmallByMask) return false;
        return detail::is_hidden(static_cast<const void*>(&slab_info->owner)) ||
               detail::is_hidden(static_cast<const void*>(&slab_info->slab));
    }
};

}  // namespace slab_allocator
