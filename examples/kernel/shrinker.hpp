#pragma once

// shrinker.hpp -- who can do with less memory, and is asked to where there is too little.
//
//      alloc_slab: no page --> relieve(NoMemory) --> each shrinker gives slabs back --> once more
//      timer ---------------> relieve(Idle) ------> each shrinker's tick()
//
// A shrinker is asked with no lock held. For NoMemory it is asked with interrupts on, so that it
// may take locks that others hold for long, and reach the magazines of all CPUs; a handler that
// finds no memory gets none. While a CPU asks its shrinkers, what they allocate on it is not a
// reason to ask again.

#include <cstddef>

#include "memory.hpp"

namespace kernel {

// [shrinker]
enum class Pressure { Idle, NoMemory };

/// Stays where it is, and on the list, for ever.
struct Shrinker {
    /// Returns: how much it gave back, in whatever unit; 0: it has no more.
    std::size_t (*give_back)(Pressure pressure) noexcept;
    Shrinker* next = nullptr;
};

void add_shrinker(Shrinker& shrinker) noexcept;

/// Asks all. Returns: the sum; 0, too, where this context cannot ask.
std::size_t relieve(Pressure pressure) noexcept;

/// Pages that are not refused before nobody has any to spare. For caches that hold no lock when
/// they call their backend, since a shrinker may be of that very cache: LockedCache, MagazineCache.
struct ReclaimedPages : Pages {
    [[nodiscard]] static void* alloc_slab(std::size_t size, std::size_t alignment) noexcept {
        for (;;) {
            void* const slab = Pages::alloc_slab(size, alignment);
            if (slab != nullptr || relieve(Pressure::NoMemory) == 0) return slab;
        }
    }
};
// [/shrinker]

}  // namespace kernel
