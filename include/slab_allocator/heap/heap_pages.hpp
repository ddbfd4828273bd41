#pragma once

// heap_pages.hpp -- how a heap's memory gets its SlabInfo, and how an address leads to it.
//
//      any address --page--> map --> SlabInfo --owner--> ClassSlabs, or PageRuns
//
// SlabStore, for every size that a heap asks for: memory from the backend, a SlabInfo outside of
// it, and the map between them. All blocks are looked up alike, and the answer is good for any
// address.

#include <cstddef>
#include <utility>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/core/slab_locator.hpp>
#include <slab_allocator/core/slab_store.hpp>

namespace slab_allocator {

using PagesWanted = SlabRequest;

template <typename Backend, std::size_t page_size, bool checked>
class HeapPages {
    static constexpr Layout layout{.row = Row::LargeByMap, .page_size = page_size};
    using Store = SlabStore<layout, Backend, checked>;

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
    /// its answer was, and everything is as before.
    [[nodiscard]] SlabInfo* take(const PagesWanted& wanted) noexcept {
        return Store::create(backend_, wanted, heap_);
    }

    /// Requires: what take() gave for the same `wanted`, at rest.
    void give(SlabInfo& slab_info, const PagesWanted& wanted) noexcept {
        Store::destroy(backend_, slab_info, wanted);
    }

    /// Does the map lead from each of these pages to the SlabInfo?
    [[nodiscard]] bool knows(const SlabRecord& slab_info, std::size_t known_pages) noexcept {
        return SlabLocator<layout, Backend>::knows(backend_, slab_info, known_pages);
    }

private:
    [[no_unique_address]] Backend backend_;
    const void* heap_;
};

}  // namespace slab_allocator
