#pragma once

// program.hpp -- the one heap of a program, which malloc.cpp and operators.cpp serve from.
//
//      malloc, operator new --> heap, a MagazineHeap --> TheMemory --> program.memory
//
// Nothing here needs to be constructed, and nothing is destroyed.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/heap/magazine_heap.hpp>

#include "backend.hpp"
#include "lock.hpp"
#include "page_map.hpp"
#include "thread_slots.hpp"

#ifndef SLAB_MALLOC_CHECKS
#define SLAB_MALLOC_CHECKS misuse
#endif

#define EXPORTED __attribute__((visibility("default")))
#define IN_ONE_PIECE __attribute__((flatten))  // no call where a front serves

namespace malloc_example {

using slab_allocator::Checks;

inline constexpr Checks checks = Checks::SLAB_MALLOC_CHECKS;

// Above 16 KiB a block has pages of its own: a class of which few are live keeps a slab for each.
inline constexpr slab_allocator::HeapConfig config{.largest_object = std::size_t{16} * 1024,
                                                   .slabs_of_any_pages = true,
                                                   .small_slabs = true,
                                                   .backend_resizes = true,
                                                   .checks = checks,
                                                   .never_destroyed = true,
                                                   .cpus_know_caller = checks == Checks::debug};

/// At level debug a block knows who asked for it: to be called first by each function that a
/// program calls.
[[gnu::always_inline]] inline void note_caller() noexcept {
    if constexpr (checks == Checks::debug) ThreadSlots::set_caller(__builtin_return_address(0));
}

[[gnu::visibility("hidden")]] extern PageMap map;

// A union: its destructor runs at the end, and destroys nothing.
union Memory {
    constexpr Memory() noexcept : memory(map) {}
    ~Memory() {}
    ProgramMemory memory;
};
[[gnu::visibility("hidden")]] extern Memory program;

/// Where everything is, the compiler knows: a look-up begins in the map, and not with a pointer.
struct TheMemory {
    [[nodiscard]] static void* alloc_slab(std::size_t size, std::size_t alignment) noexcept {
        void* const slab = program.memory.alloc_slab(size, alignment);
        if (program.memory.has_grown()) shrink();
        return slab;
    }
    static void shrink() noexcept;
    static void free_slab(void* slab, std::size_t size, std::size_t alignment) noexcept {
        program.memory.free_slab(slab, size, alignment);
    }
    [[nodiscard]] static bool resize_slab(void* slab, std::size_t before, std::size_t after,
                                          std::size_t alignment) noexcept {
        return program.memory.resize_slab(slab, before, after, alignment);
    }
    [[nodiscard]] static SlabInfo* alloc_slab_info() noexcept {
        return program.memory.alloc_slab_info();
    }
    static void free_slab_info(SlabInfo* slab_info) noexcept {
        program.memory.free_slab_info(slab_info);
    }
    [[nodiscard]] static bool save_slab_info_ptr(std::uintptr_t page, SlabInfo* info) noexcept {
        return program.memory.save_slab_info_ptr(page, info);
    }
    static void delete_slab_info_ptr(std::uintptr_t page) noexcept {
        program.memory.delete_slab_info_ptr(page);
    }
    /// Without a lock: readers of the tree need none.
    [[nodiscard]] static SlabInfo* get_slab_info_ptr(std::uintptr_t page) noexcept {
        return map.get_slab_info_ptr(page);
    }
};

using Heap = slab_allocator::MagazineHeap<TheMemory, ThreadSlots, Lock, config>;
[[gnu::visibility("hidden")]] extern Heap heap;

inline void TheMemory::shrink() noexcept { heap.shrink(); }

}  // namespace malloc_example
