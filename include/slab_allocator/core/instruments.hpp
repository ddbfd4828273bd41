#pragma once

// instruments.hpp -- the tools that watch memory are told whose it is: AddressSanitizer
// (poison.hpp) and memcheck (memcheck.hpp). Without them, none of this is an instruction of a hot
// path.
//
//      slab_created       all but a SlabInfo in the slab: nobody's
//      annotate_alloc     an object is the caller's ...       annotate_free     ... and nobody's
//      slab_destroyed     all of it is the backend's; what is live in it is no block any more
//
// Where objects have guards, these annotate each object themselves for AddressSanitizer.

#include <cstddef>
#include <span>

#include <slab_allocator/core/memcheck.hpp>
#include <slab_allocator/core/poison.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

template <bool guarded>
class Instruments : public detail::Memcheck {
public:
    /// AddressSanitizer sees the links of a SlabInfo in the slab as nobody's, too: a write beyond
    /// the slot before it is reported there. What guards are made of, memcheck is not told.
    template <typename Geometry>
    void slab_created(const Geometry& geometry, const SlabRecord& slab_info) noexcept {
        const std::byte* const slab = slab_info.slab;
        const std::byte* const end = slab + geometry.layout.slab_size;
        constexpr std::size_t links = Geometry::small ? sizeof(ListNode) : 0;
        const std::byte* record = end;
        if constexpr (Geometry::small)
            record = static_cast<const std::byte*>(static_cast<const void*>(&slab_info));
        const std::byte* const behind =
            Geometry::small ? record + small_slab_info_size(geometry.layout.slots_per_slab) : end;
        detail::hide(slab, static_cast<std::size_t>(record - slab) + links);
        detail::hide(behind, static_cast<std::size_t>(end - behind));
        if (hide(slab, guarded ? slab : record) && !guarded && Geometry::small) hide(behind, end);
    }

    template <typename Geometry>
    void slab_destroyed(const Geometry& geometry, const SlabRecord& slab_info) const noexcept {
        if (watches()) [[unlikely]]
            free_blocks(geometry, slab_info);
        detail::reveal(slab_info.slab, geometry.layout.slab_size);
    }

    /// memcheck is told by the slow paths, which every call takes where it is there.
    static void annotate_alloc(const void* object, std::size_t size) noexcept {
        if constexpr (!guarded) detail::reveal(object, size);
    }
    static void annotate_free(const void* object, std::size_t size) noexcept {
        if constexpr (!guarded) detail::hide(object, size);
    }

    /// Both tools; nullptr is passed over.
    template <typename Object>
    void annotate_alloc(std::span<Object* const> objects, std::size_t size) const noexcept {
        if (!detail::hides && !watches()) [[likely]]
            return;
        for (Object* const object : objects) {
            annotate_alloc(object, size);
            allocated(object, size, false);
        }
    }
    template <typename Object>
    void annotate_free(std::span<Object* const> objects, std::size_t size) const noexcept {
        if (!detail::hides && !watches()) [[likely]]
            return;
        for (Object* const object : objects) {
            if (object == nullptr) continue;
            annotate_free(object, size);
            freed(object);
        }
    }

private:
    template <typename Geometry>
    [[gnu::noinline, gnu::cold]] static void free_blocks(const Geometry& geometry,
                                                         const SlabRecord& slab_info) noexcept {
        for (std::size_t slot = 0; slot < slab_info.untouched; ++slot) {
            if (!slab_info.map.is_free(slot)) freed(geometry.object_at(slab_info, slot));
        }
        make_defined(slab_info.slab, geometry.layout.slab_size);
    }
};

}  // namespace slab_allocator
