#pragma once

// config.hpp -- what the user chose.
//
//      Cache<Node, Backend, CacheConfig{.slab_size = 8192, .object_size_type =
//      ObjectSizeType::Large}>
//
// A structural type: it is part of the cache's type, so differently configured caches cannot be
// mixed. What follows from these numbers, and which of them cannot work, is layout's to say.

#include <cstddef>
#include <cstdint>

namespace slab_allocator {

/// Where the SlabInfo of a slab lies.
enum class ObjectSizeType : std::uint8_t {
    Auto,   ///< whichever of the two loses less memory
    Small,  ///< in the slab, in the place of a few objects or behind them
    Large,  ///< outside of the slab, so that a power of two of objects fits
};

/// What is looked for in each call. A level that is off costs no byte and no instruction.
enum class Checks : std::uint8_t {
    none,      ///< nothing: for measuring, and for callers that are proven
    misuse,    ///< every invalid free, every misaligned answer of the backend, leaks
    hardened,  ///< and writes after free and overflows; slots in random order, reused late
    debug,     ///< and zones on both sides, who allocated and who freed, the list of leaks
};

/// Who answers "which SlabInfo?" where the object's own address does not.
enum class SlabInfoLookup : std::uint8_t {
    Auto,        ///< the address by itself where it can, else the backend's map
    PageFrames,  ///< the backend's own array of page frames: slab_info_at(). Large only.
};

/// Members stand in the order in which designated initialisers must name them. Sizes are in bytes.
struct CacheConfig {
    /// A power of two, a multiple of page_size; 0 = the size up to 64 KiB that wastes least.
    std::size_t slab_size = 0;
    /// The grain of the SlabInfo map; a power of two.
    std::size_t page_size = 4096;
    /// What the backend promises for a slab's address: a power of two from page_size;
    /// 0 = slab_size, as a buddy allocator gives it.
    std::size_t slab_alignment = 0;
    ObjectSizeType object_size_type = ObjectSizeType::Auto;
    /// How many Free slabs are kept before the next is given back.
    std::size_t retained_free_slabs = 1;
    Checks checks = Checks::misuse;
    SlabInfoLookup slab_info_lookup = SlabInfoLookup::Auto;
    /// For statics that are never torn down: the cache's destructor is trivial, so that no
    /// destructor call is registered anywhere (a kernel has nobody to register it with).
    bool never_destroyed = false;

    friend constexpr bool operator==(const CacheConfig&, const CacheConfig&) noexcept = default;
};

}  // namespace slab_allocator
