#pragma once

// page_map.hpp -- which SlabInfo a page belongs to, in two steps: the map of a program.
//
//      page_addr:   | 17 bits |      18 bits      | offset in the page |
//                       |              |
//      root_ [128 Ki] --'--> leaf [256 Ki] --> SlabInfo*       a leaf for each GiB
//
// A RadixMap in which memory need not be saved, because the system gives it when it is touched, and
// zero: the root is in .bss, and of both what no page needs is not there. So two loads do, where a
// tree that writes its nodes has three levels of small ones. Readers need no lock; save and delete
// need the caller's. A leaf stays.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/backends/mmap_backend.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace malloc_example {

using slab_allocator::SlabInfo;

class PageMap {
public:
    [[nodiscard]] bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) noexcept {
        const std::uintptr_t index = page_addr / page_size;
        if (index / leaf_entries >= root_entries) return false;
        SlabInfo**& leaf = root_[index / leaf_entries];
        if (leaf == nullptr) {
            void* const fresh =
                slab_allocator::MmapPages().alloc_slab(leaf_entries * sizeof(SlabInfo*), page_size);
            if (fresh == nullptr) return false;
            __atomic_store_n(&leaf, static_cast<SlabInfo**>(fresh), __ATOMIC_RELEASE);
        }
        __atomic_store_n(&leaf[index % leaf_entries], slab_info, __ATOMIC_RELEASE);
        return true;
    }

    /// Of an address that no page has it may be that of the page with the same lower bits. A heap
    /// sees that nothing of it begins there: it is too far from the slab.
    [[nodiscard]] SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) const noexcept {
        const std::uintptr_t index = page_addr / page_size;
        SlabInfo** const leaf =
            __atomic_load_n(&root_[index / leaf_entries % root_entries], __ATOMIC_ACQUIRE);
        if (leaf == nullptr) [[unlikely]]
            return nullptr;
        return __atomic_load_n(&leaf[index % leaf_entries], __ATOMIC_ACQUIRE);
    }

    /// Requires: the page was saved.
    void delete_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        static_cast<void>(save_slab_info_ptr(page_addr, nullptr));
    }

private:
    static constexpr std::size_t page_size = 4096;
    static constexpr std::size_t root_entries = std::size_t{1} << 17;  // addresses of 47 bits
    static constexpr std::size_t leaf_entries = std::size_t{1} << 18;

    SlabInfo** root_[root_entries] = {};
};

}  // namespace malloc_example
