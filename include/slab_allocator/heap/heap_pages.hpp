#pragma once

// heap_pages.hpp -- how a heap's memory gets its SlabInfo, and how an address leads to it.
//
//      any address --page--> map --> SlabInfo --owner--> ClassSlabs, or PageRuns
//
// What Placement is for one layout, for every size that a heap asks for: memory from the backend, a
// SlabInfo outside of it, and the map between them. All blocks are looked up alike, and the answer
// is good for any address.
//
// Invariants
//   [P1] take() makes memory known whole or not at all: what the backend refuses undoes the rest
//        in reverse order.
//   [P2] give() makes it unknown before it can be anybody else's: identity, map, SlabInfo, memory.

#include <cstddef>
#include <new>
#include <utility>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/core/slab_map.hpp>

namespace slab_allocator {

/// How much, where it may start, and how many of its pages the map shall know.
struct PagesWanted {
    std::size_t bytes;
    std::size_t alignment;
    std::size_t known_pages;
};

template <typename Backend, std::size_t page_size, bool checked>
class HeapPages {
public:
    constexpr HeapPages(Backend backend, const void* heap) noexcept
        : backend_(std::move(backend)), heap_(heap) {}

    [[nodiscard]] constexpr Backend& backend() noexcept { return backend_; }
    [[nodiscard]] constexpr const void* heap() const noexcept { return heap_; }

    /// The SlabInfo of the memory that has this page; nullptr where there is none.
    [[nodiscard]] static SlabInfo* find(auto& backend, const void* pointer) noexcept {
        return backend.get_slab_info_ptr(align_down(address_of(pointer), page_size));
    }

    /// Memory with a SlabInfo that knows its address and no more. nullptr: the backend refused, or
    /// its answer was, and everything is as before [P1].
    [[nodiscard]] SlabInfo* take(const PagesWanted& wanted) noexcept {
        auto* const memory =
            static_cast<std::byte*>(backend_.alloc_slab(wanted.bytes, wanted.alignment));
        if (memory == nullptr) return nullptr;
        if constexpr (checked) {
            if (!is_aligned(memory, wanted.alignment)) [[unlikely]] {
                say(Defect::MisalignedSlab, memory);
                backend_.free_slab(memory, wanted.bytes, wanted.alignment);
                return nullptr;
            }
            if (Map::in_use(backend_, memory, wanted.known_pages)) [[unlikely]] {
                say(Defect::MemoryInUse, memory);
                return nullptr;  // not given back: somebody else's memory lies there
            }
        }
        SlabInfo* const slab_info = enter(memory, wanted);
        if (slab_info == nullptr) backend_.free_slab(memory, wanted.bytes, wanted.alignment);
        return slab_info;
    }

    /// Requires: what take() gave for the same `wanted`, at rest. [P2]
    void give(SlabInfo& slab_info, const PagesWanted& wanted) noexcept {
        std::byte* const memory = slab_info.slab;
        slab_info.owner = nullptr;
        Map::forget(backend_, memory, wanted.known_pages);
        backend_.free_slab_info(&slab_info);
        backend_.free_slab(memory, wanted.bytes, wanted.alignment);
    }

    /// Does the map lead from each of these pages to the SlabInfo?
    [[nodiscard]] bool knows(const SlabRecord& slab_info, std::size_t known_pages) noexcept {
        return Map::knows(backend_, slab_info, known_pages);
    }

private:
    using Map = SlabMap<Backend, page_size, checked>;

    [[nodiscard]] SlabInfo* enter(std::byte* memory, const PagesWanted& wanted) noexcept {
        SlabInfo* const place = backend_.alloc_slab_info();
        if (place == nullptr) return nullptr;
        if constexpr (checked) {
            if (!is_place_for_slab_info(place, memory, wanted.bytes, heap_)) [[unlikely]] {
                backend_.free_slab_info(place);
                return nullptr;
            }
        }
        SlabInfo* const slab_info = ::new (static_cast<void*>(place)) SlabInfo;
        slab_info->slab = memory;
        if (!Map::save(backend_, *slab_info, wanted.known_pages, heap_)) {
            backend_.free_slab_info(slab_info);
            return nullptr;
        }
        return slab_info;
    }

    void say(Defect defect, const std::byte* memory) const noexcept {
        report({.defect = defect, .pointer = memory, .cache = heap_, .slab = memory});
    }

    [[no_unique_address]] Backend backend_;
    const void* heap_;
};

}  // namespace slab_allocator
