// memory.cpp -- from the memory map to page frames.

#include "memory.hpp"

#include <cstddef>
#include <cstdint>

#include "boot_info.hpp"
#include "paging.hpp"
#include "serial.hpp"

namespace kernel {

namespace {

/// An entry for each page from the lowest usable one to the highest.
void start_flat_map(const BootInfo& info) noexcept {
    std::uint64_t start = ~std::uint64_t{0};
    std::uint64_t end = 0;
    for (std::size_t i = 0; i < info.usable_number; ++i) {
        if (info.usable[i].start < start) start = info.usable[i].start;
        if (info.usable[i].end > end) end = info.usable[i].end;
    }
    const std::size_t entries_number = (end - start) / page_size;
    auto* const entries =
        static_cast<SlabInfo**>(Pages::alloc_slab(entries_number * sizeof(SlabInfo*), page_size));
    if (entries == nullptr) panic("no memory for the map of all pages");
    for (std::size_t i = 0; i < entries_number; ++i)
        entries[i] = nullptr;
    flat_map.reset(physical_memory + start, end - start, entries);
}

}  // namespace

void start_memory(const BootInfo& info) noexcept {
    // [start]
    for (std::size_t i = 0; i < info.usable_number; ++i) {
        const MemoryRange& range = info.usable[i];
        page_frames.adopt(at_physical<void>(range.start), range.end - range.start);
    }
    // [/start]
    print("page frames: ", page_frames.pages_number(), ", free blocks by order:");
    for (std::size_t order = 0; order < 16; ++order)
        print(" ", page_frames.free_blocks_number(order));
    print("\n");
    start_flat_map(info);
}

PagesState pages_state() noexcept {
    PagesState state;
    state.free_pages = page_frames.free_pages_number();
    for (std::size_t order = 0; order < PageFrames::orders_number; ++order)
        state.free_blocks[order] = page_frames.free_blocks_number(order);
    return state;
}

}  // namespace kernel
