#pragma once

// slab_map.hpp -- the backend's map: from a page to the SlabInfo of the slab that has it.
//
//      page 0 of a slab --.
//      page 1 of a slab --+--> SlabInfo         one entry a page, made when the slab is born
//      page 2 of a slab --'
//
// Caches ask it where masking does not lead to a SlabInfo (slab_locator.hpp), heaps always. The
// answer is good for any address.
//
// Invariants
//   [W1] save() makes all pages of a slab known or none.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

template <typename Backend, std::size_t page_size>
class SlabMap {
public:
    /// The SlabInfo of the slab that has this address; nullptr where there is none.
    [[nodiscard]] static SlabRecord* find(Backend& backend, const void* address) noexcept {
        return from_backend(backend.get_slab_info_ptr(align_down(address_of(address), page_size)));
    }

    /// Does it know one of these pages?
    [[nodiscard]] static bool in_use(Backend& backend, const std::byte* slab,
                                     std::size_t pages) noexcept {
        for (std::size_t page = 0; page < pages; ++page) {
            if (find(backend, slab + page * page_size) != nullptr) return true;
        }
        return false;
    }

    /// Does it lead from each of its slab's first pages to the SlabInfo?
    [[nodiscard]] static bool knows(Backend& backend, const SlabRecord& slab_info,
                                    std::size_t pages) noexcept {
        for (std::size_t page = 0; page < pages; ++page) {
            if (find(backend, slab_info.slab + page * page_size) != &slab_info) return false;
        }
        return true;
    }

    /// Returns: false where the backend refuses, or, `checked`, forgets at once: a defect that
    /// `cache` reports [W1].
    template <bool checked>
    [[nodiscard]] static bool save(Backend& backend, SlabRecord& slab_info, std::size_t pages,
                                   [[maybe_unused]] const void* cache) noexcept {
        for (std::size_t page = 0; page < pages; ++page) {
            std::byte* const start = slab_info.slab + page * page_size;
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

    static void forget(Backend& backend, const std::byte* slab, std::size_t pages) noexcept {
        for (std::size_t page = pages; page-- > 0;)
            backend.delete_slab_info_ptr(address_of(slab) + page * page_size);
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
