#pragma once

// heap_statistics.hpp -- what a heap tells of itself.
//
//      allocated   objects in slabs, by the size of their class; runs, by their pages
//      held        slabs and runs, and their SlabInfos

#include <cstddef>

namespace slab_allocator {

struct HeapStatistics {
    std::size_t allocated_objects_number = 0;  ///< in slabs
    std::size_t allocated_bytes = 0;           ///< objects by the size of their class, and runs
    std::size_t runs_number = 0;
    std::size_t run_bytes = 0;
    std::size_t slabs_number = 0;
    std::size_t free_slabs_number = 0;  ///< that shrink_to_fit would give back
    std::size_t bytes_held = 0;
    std::size_t failures_number = 0;  ///< calls that gave nothing because the backend refused

    friend constexpr bool operator==(const HeapStatistics&,
                                     const HeapStatistics&) noexcept = default;
};

}  // namespace slab_allocator
