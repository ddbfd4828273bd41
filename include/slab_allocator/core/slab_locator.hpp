#pragma once

// slab_locator.hpp -- from an address to the SlabInfo of its slab: the only place that branches on
// the backend's row.
//
//      SmallByMask         object --mask--> slab --colour--> SlabInfo
//      SmallByMap          object --mask--> page --map--> SlabInfo
//      LargeByMap          object --mask--> page --map--> SlabInfo
//      LargeByPageFrames   object --mask--> slab --backend's array--> SlabInfo
//
// The map has one entry a page, made when the slab is born. The map and array rows answer for any
// address. The mask row reads the would-be SlabInfo of the address it is given: a wild pointer into
// memory that is not mapped faults there.
//
// Invariants
//   [W1] save() makes all pages of a slab known or none.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/poison.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

/// Of `layout` LargeByMap needs the page size alone: slabs of all sizes are found alike.
template <Layout layout, typename Backend>
class SlabLocator {
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
            return from_backend(
                backend.get_slab_info_ptr(align_down(address_of(object), layout.page_size)));
        }
    }

    /// Does each of the slab's first `pages` pages lead to its SlabInfo?
    [[nodiscard]] static bool knows(Backend& backend, const SlabRecord& slab_info,
                                    [[maybe_unused]] std::size_t pages) noexcept {
        if constexpr (layout.uses_map()) {
            for (std::size_t page = 0; page < pages; ++page) {
                if (find(backend, slab_info.slab + page * layout.page_size) != &slab_info)
                    return false;
            }
            return true;
        } else {
            return find(backend, slab_info.slab) == &slab_info;
        }
    }

    /// Does the map or the array know a page of what is to be a new slab?
    [[nodiscard]] static bool in_use([[maybe_unused]] Backend& backend,
                                     [[maybe_unused]] const std::byte* slab,
                                     [[maybe_unused]] std::size_t pages) noexcept {
        if constexpr (layout.uses_map()) {
            for (std::size_t page = 0; page < pages; ++page) {
                if (find(backend, slab + page * layout.page_size) != nullptr) return true;
            }
        } else if constexpr (layout.row == Row::LargeByPageFrames) {
            const SlabRecord* const frame = find(backend, slab);
            return frame != nullptr && is_aligned(frame, alignof(SlabInfo)) &&
                   frame->owner != nullptr;
        }
        return false;  // by masking nobody knows: a new slab is not read
    }

    /// Returns: false where the backend refuses, or, `checked`, forgets at once: a defect that
    /// `cache` reports [W1].
    template <bool checked>
    [[nodiscard]] static bool save(Backend& backend, SlabRecord& slab_info, std::size_t pages,
                                   [[maybe_unused]] const void* cache) noexcept
        requires(layout.uses_map())
    {
        for (std::size_t page = 0; page < pages; ++page) {
            std::byte* const start = slab_info.slab + page * layout.page_size;
            if (!save_page(backend, address_of(start), slab_info)) {
                forget(backend, slab_info.slab, page);
                return false;
            }
            if constexpr (checked) {
                if (find(backend, start) != &slab_info) [[unlikely]] {
                    report({.defect = Defect::BackendLostSlab,
                            .pointer = start,
                            .cache = cache,
                            .slab = slab_info.slab});
                    forget(backend, slab_info.slab, page + 1);
                    return false;
                }
            }
        }
        return true;
    }

    static void forget(Backend& backend, const std::byte* slab, std::size_t pages) noexcept
        requires(layout.uses_map())
    {
        for (std::size_t page = pages; page-- > 0;)
            backend.delete_slab_info_ptr(address_of(slab) + page * layout.page_size);
    }

    /// Where the SlabInfo of a Small slab lies in it.
    [[nodiscard]] static SlabRecord* record_in(std::byte* slab) noexcept
        requires(layout.small())
    {
        return object_in<SlabRecord>(slab + layout.info_offset_of(address_of(slab)));
    }

    /// What lies in memory that AddressSanitizer knows for nobody's is no SlabInfo: by masking,
    /// anything is found.
    [[nodiscard]] static bool is_poisoned(const SlabRecord* slab_info) noexcept {
        if constexpr (layout.row != Row::SmallByMask) return false;
        return detail::is_hidden(static_cast<const void*>(&slab_info->owner)) ||
               detail::is_hidden(static_cast<const void*>(&slab_info->slab));
    }

private:
    [[nodiscard]] static bool save_page(Backend& backend, std::uintptr_t page,
                                        SlabRecord& slab_info) noexcept {
        SlabInfo* const saved = for_backend(&slab_info);
        if constexpr (std::is_void_v<decltype(backend.save_slab_info_ptr(page, saved))>) {
            backend.save_slab_info_ptr(page, saved);
            return true;
        } else {
            return backend.save_slab_info_ptr(page, saved);
        }
    }
};

}  // namespace slab_allocator
