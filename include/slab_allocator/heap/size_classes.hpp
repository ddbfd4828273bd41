#pragma once

// size_classes.hpp -- which sizes a heap has slabs for, and how large their slabs are.
//
//      size    1..16  32  48  64  80  96  112  128 | 144 160 176 192 208 224  256 | 288 ... 32768
//      class     0     1   2   3   4   5   6    7  |  8   9  10  11  12  13   14  | 15  ...  63
//                '-- every 16 bytes                '-- seven for each power of two: eighths, and
//                                                      the last two of them in one
//
// Eighths keep what rounding up costs below an eighth of the block, and the number of the class is
// a bit scan and a shift, no table. And they make alignment free: of the multiples of a power of
// two, each is the size of a class or rounds up to one that is a multiple of it, too. So a class
// serves every alignment that its size is a multiple of, out of slabs that are naturally aligned.
//
// Invariants
//   [Z1] size <= size_of_class(class_of(size)); what it is above align_up(size, 16) is at most an
//        eighth of it
//   [Z2] size a multiple of a power of two  =>  size_of_class(class_of(size)) is one, too
//   [Z3] the layout of a class is Large and naturally aligned, and its stride is its size

#include <bit>
#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/layout.hpp>

namespace slab_allocator {

/// What the user of a heap chose. Members stand in the order in which designated initialisers must
/// name them. Sizes are in bytes.
struct HeapConfig {
    /// The grain of the SlabInfo map, and of the runs of pages; a power of two from 256.
    std::size_t page_size = 4096;
    /// Larger requests are runs of pages. A power of two from 128.
    std::size_t largest_object = std::size_t{32} * 1024;
    /// A power of two, at least largest_object and page_size: slabs are as large only where less
    /// would waste more than a thirty-second.
    std::size_t largest_slab = std::size_t{256} * 1024;
    /// Of each class, how many Free slabs are kept beside the one that is allocated from.
    std::size_t retained_free_slabs = 0;
    /// none or misuse: what a free is checked for.
    Checks checks = Checks::misuse;
    /// For statics that are never torn down, as CacheConfig's.
    bool never_destroyed = false;

    friend constexpr bool operator==(const HeapConfig&, const HeapConfig&) noexcept = default;
};

namespace size_classes {

/// What every block is aligned to, as malloc's: enough for every type that asks for nothing.
inline constexpr std::size_t grain = 16;
/// Up to here the classes are a grain apart.
inline constexpr std::size_t largest_by_grains = 8 * grain;
inline constexpr std::size_t per_doubling = 7;

/// The class of a request. Requires: size at most that of the last class. Costs: no memory access,
/// and no branch: a program's sizes are not to be foreseen.
[[nodiscard]] constexpr std::size_t class_of(std::size_t size) noexcept {
    const std::size_t last = size - (size == 0 ? 0U : 1U);  // the last byte
    const std::size_t shift =
        static_cast<std::size_t>(std::bit_width(last | largest_by_grains)) - 4;
    const std::size_t eighth = last >> shift;  // from 8 on, but below largest_by_grains
    constexpr std::size_t most = 8 + per_doubling - 1;
    return (shift - 4) * per_doubling + (eighth < most ? eighth : most);
}

/// The largest size of a class.
[[nodiscard]] constexpr std::size_t size_of_class(std::size_t number) noexcept {
    if (number < 8) return (number + 1) * grain;
    const std::size_t eighth = (number - 8) % per_doubling;
    const std::size_t eighths = eighth < per_doubling - 1 ? 9 + eighth : 16;
    return eighths << (4 + (number - 8) / per_doubling);
}

/// What a request with an alignment is rounded up to, before its class is looked for [Z2].
/// Requires: a power of two, and a sum that does not overflow.
[[nodiscard]] constexpr std::size_t aligned_size(std::size_t size, std::size_t alignment) noexcept {
    return alignment <= grain ? size : align_up(size == 0 ? 1 : size, alignment);
}

/// How many objects a slab has at least, where it need not be larger than 64 KiB for that: what a
/// slab's birth costs, it costs for all of them.
inline constexpr std::size_t enough_objects = 64;
inline constexpr std::size_t enough_slab = std::size_t{64} * 1024;

/// The layout of a class: the smallest slab that has enough objects and loses at most a
/// thirty-second, its SlabInfo and its entries in the map counted; else what loses least.
[[nodiscard]] constexpr Layout layout_of_class(std::size_t number,
                                               const HeapConfig& config) noexcept {
    Layout best;
    best.error = ConfigError::NoRoomForAnObject;
    for (std::size_t slab = config.page_size; slab <= config.largest_slab; slab *= 2) {
        const Layout candidate = layout_for(size_of_class(number), grain,
                                            {.slab_size = slab,
                                             .page_size = config.page_size,
                                             .object_size_type = ObjectSizeType::Large,
                                             .checks = config.checks});
        if (candidate.error != ConfigError::None) continue;
        if (detail::loses_less(candidate, best)) best = candidate;
        const bool many = candidate.objects_per_slab >= enough_objects || slab >= enough_slab;
        if (many && 32 * candidate.bytes_lost_per_slab() <= candidate.bytes_per_slab())
            return candidate;
    }
    return best;
}

/// Does not compile where a heap cannot work under Config, and says why.
template <HeapConfig Config>
consteval bool check() {
    static_assert(is_power_of_two(Config.page_size) && Config.page_size >= 256,
                  "HeapConfig: page_size must be a power of two, at least 256");
    static_assert(
        is_power_of_two(Config.largest_object) && Config.largest_object >= largest_by_grains,
        "HeapConfig: largest_object must be a power of two, at least 128");
    static_assert(
        is_power_of_two(Config.largest_slab) && Config.largest_slab >= Config.page_size &&
            Config.largest_slab >= Config.largest_object,
        "HeapConfig: largest_slab must be a power of two, at least page_size and at least "
        "largest_object");
    static_assert(Config.checks == Checks::none || Config.checks == Checks::misuse,
                  "HeapConfig: a heap has the levels none and misuse");
    return true;
}

}  // namespace size_classes

}  // namespace slab_allocator
