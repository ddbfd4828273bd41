#pragma once

// slab_store.hpp -- the birth and the death of a slab: its memory, its SlabInfo, its map entries.
//
//      create     alloc_slab --> alloc_slab_info --> save_slab_info_ptr for each page
//      destroy    identity --> delete_slab_info_ptr for each page --> free_slab_info --> free_slab
//
// For the slabs of a cache, of a size class, and for a heap's runs of pages. Where the SlabInfo
// lies in the slab, or in the backend's array of page frames, nobody is asked for it.
//
// What a backend can get wrong is found here, before anything of it is used: a misaligned slab, a
// slab or a SlabInfo where another lies, a misaligned SlabInfo, a map that forgets at once.
//
// Invariants
//   [X1] create() makes a slab known whole or not at all: what the backend refuses, or gets wrong,
//        undoes the rest in reverse order.
//   [X2] destroy() makes it unknown before it can be anybody else's: identity, map, SlabInfo,
//        memory.

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/poison.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/core/slab_locator.hpp>

namespace slab_allocator {

/// How much memory, where it may start, and how many of its pages the map shall know.
struct SlabRequest {
    std::size_t bytes;
    std::size_t alignment;
    std::size_t known_pages;
};

/// May a SlabInfo lie where the backend says, beside a slab of `size` bytes? Else reports why not.
[[nodiscard]] inline bool is_place_for_slab_info(const void* place, const std::byte* slab,
                                                 std::size_t size, const void* cache) noexcept {
    const std::uintptr_t start = address_of(slab);
    const bool aligned = is_aligned(place, alignof(SlabInfo));
    const bool overlaps =
        address_of(place) < start + size && address_of(place) + sizeof(SlabInfo) > start;
    if (aligned && !overlaps) [[likely]]
        return true;
    report({.defect = aligned ? Defect::MemoryInUse : Defect::MisalignedSlabInfo,
            .pointer = place,
            .cache = cache,
            .slab = slab});
    return false;
}

/// `layout`: as SlabLocator's. `cache`, in all members: who reports.
template <Layout layout, typename Backend, bool checked>
class SlabStore {
    using Locator = SlabLocator<layout, Backend>;

public:
    using Made = std::conditional_t<layout.small(), SlabRecord, SlabInfo>;

    /// A slab with a SlabInfo that knows its address and no more. nullptr: the backend refused, or
    /// its answer was, and everything is as before [X1].
    [[nodiscard]] static Made* create(Backend& backend, const SlabRequest& request,
                                      const void* cache) noexcept {
        auto* const slab =
            static_cast<std::byte*>(backend.alloc_slab(request.bytes, request.alignment));
        if (slab == nullptr) return nullptr;
        if constexpr (checked) {
            if (!is_aligned(slab, request.alignment)) [[unlikely]] {
                raise(Defect::MisalignedSlab, slab, cache);
                backend.free_slab(slab, request.bytes, request.alignment);
                return nullptr;
            }
            if (Locator::in_use(backend, slab, request.known_pages)) [[unlikely]] {
                raise(Defect::MemoryInUse, slab, cache);
                return nullptr;  // not given back: another slab lies there
            }
        }
        detail::reveal(slab, request.bytes);  // a backend may have hidden it
        Made* const slab_info = add_record(backend, slab, request, cache);
        if (slab_info == nullptr) backend.free_slab(slab, request.bytes, request.alignment);
        return slab_info;
    }

    /// Requires: what create() gave for the same request, on no list [X2].
    static void destroy(Backend& backend, Made& slab_info, const SlabRequest& request) noexcept {
        std::byte* const slab = slab_info.slab;
        slab_info.owner = nullptr;
        if constexpr (layout.uses_map()) Locator::forget(backend, slab, request.known_pages);
        free_record(backend, &slab_info);
        backend.free_slab(slab, request.bytes, request.alignment);
    }

private:
    [[nodiscard]] static Made* add_record(Backend& backend, std::byte* slab,
                                          const SlabRequest& request, const void* cache) noexcept {
        Made* const place = place_for_record(backend, slab);
        if (place == nullptr) return nullptr;
        if constexpr (checked && !layout.small()) {
            if (!is_place_for_slab_info(place, slab, request.bytes, cache)) [[unlikely]] {
                free_record(backend, place);
                return nullptr;
            }
        }
        Made* const slab_info = ::new (static_cast<void*>(place)) Made;
        slab_info->slab = slab;
        if constexpr (layout.uses_map()) {
            if (!Locator::template save<checked>(backend, *slab_info, request.known_pages, cache)) {
                free_record(backend, slab_info);
                return nullptr;
            }
        }
        return slab_info;
    }

    [[nodiscard]] static Made* place_for_record(Backend& backend, std::byte* slab) noexcept {
        if constexpr (layout.small()) {
            return Locator::record_in(slab);
        } else if constexpr (layout.row == Row::LargeByPageFrames) {
            return backend.slab_info_at(address_of(slab));
        } else {
            return backend.alloc_slab_info();
        }
    }

    static void free_record([[maybe_unused]] Backend& backend,
                            [[maybe_unused]] Made* slab_info) noexcept {
        if constexpr (layout.row == Row::LargeByMap) backend.free_slab_info(slab_info);
    }

    [[gnu::noinline, gnu::cold]] static void raise(Defect defect, const std::byte* slab,
                                                   const void* cache) noexcept {
        report({.defect = defect, .pointer = slab, .cache = cache, .slab = slab});
    }
};

}  // namespace slab_allocator
