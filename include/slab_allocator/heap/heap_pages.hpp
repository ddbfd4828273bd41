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
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/slab_info.hpp>

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
                say(Defect::MisalignedSlab, memory, memory);
                backend_.free_slab(memory, wanted.bytes, wanted.alignment);
                return nullptr;
            }
            if (in_use(memory, wanted.known_pages)) [[unlikely]] {
                say(Defect::MemoryInUse, memory, memory);
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
        forget(memory, wanted.known_pages);
        backend_.free_slab_info(&slab_info);
        backend_.free_slab(memory, wanted.bytes, wanted.alignment);
    }

    /// Does the map lead from each of these pages to the SlabInfo?
    [[nodiscard]] bool knows(const SlabInfo& slab_info, std::size_t known_pages) noexcept {
        for (std::size_t page = 0; page < known_pages; ++page) {
            if (find(backend_, slab_info.slab + page * page_size) != &slab_info) return false;
        }
        return true;
    }

private:
    [[nodiscard]] bool in_use(const std::byte* memory, std::size_t pages) noexcept {
        for (std::size_t page = 0; page < pages; ++page) {
            if (find(backend_, memory + page * page_size) != nullptr) return true;
        }
        return false;
    }

    [[nodiscard]] SlabInfo* enter(std::byte* memory, const PagesWanted& wanted) noexcept {
        SlabInfo* const place = backend_.alloc_slab_info();
        if (place == nullptr) return nullptr;
        if constexpr (checked) {
            const bool aligned = is_aligned(place, alignof(SlabInfo));
            const bool apart = address_of(place) + sizeof(SlabInfo) <= address_of(memory) ||
                               address_of(place) >= address_of(memory) + wanted.bytes;
            if (!aligned || !apart) [[unlikely]] {
                say(aligned ? Defect::MemoryInUse : Defect::MisalignedSlabInfo, place, memory);
                backend_.free_slab_info(place);
                return nullptr;
            }
        }
        SlabInfo* const slab_info = ::new (static_cast<void*>(place)) SlabInfo;
        slab_info->slab = memory;
        if (!save(*slab_info, wanted.known_pages)) {
            backend_.free_slab_info(slab_info);
            return nullptr;
        }
        return slab_info;
    }

    [[nodiscard]] bool save(SlabInfo& slab_info, std::size_t pages) noexcept {
        for (std::size_t page = 0; page < pages; ++page) {
            std::byte* const start = slab_info.slab + page * page_size;
            if (!save_page(address_of(start), slab_info)) {
                forget(slab_info.slab, page);
                return false;
            }
            if constexpr (checked) {
                if (find(backend_, start) != &slab_info) [[unlikely]] {
                    say(Defect::BackendLostSlab, start, slab_info.slab);
                    forget(slab_info.slab, page + 1);
                    return false;
                }
            }
        }
        return true;
    }

    [[nodiscard]] bool save_page(std::uintptr_t page, SlabInfo& slab_info) noexcept {
        if constexpr (std::is_void_v<decltype(backend_.save_slab_info_ptr(page, &slab_info))>) {
            backend_.save_slab_info_ptr(page, &slab_info);
            return true;
        } else {
            return backend_.save_slab_info_ptr(page, &slab_info);
        }
    }

    void forget(std::byte* memory, std::size_t pages) noexcept {
        for (std::size_t page = pages; page-- > 0;)
            backend_.delete_slab_info_ptr(address_of(memory) + page * page_size);
    }

    void say(Defect defect, const void* pointer, const std::byte* memory) const noexcept {
        report({.defect = defect, .pointer = pointer, .cache = heap_, .slab = memory});
    }

    [[no_unique_address]] Backend backend_;
    const void* heap_;
};

}  // namespace slab_allocator
