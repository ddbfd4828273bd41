#pragma once

// size_classes.hpp -- which sizes a heap has slabs for, and how large their slabs are.
//
//      size    1..16  32  48  64  80  96  112  128 | 144 160 176 192 208 224  256 | 288 ... 32768
//      class     0     1   2   3   4   5   6    7  |  8   9  10  11  12  13   14  | 15  ...  63
//                '-- every 16 bytes                '-- seven for each power of two: eighths, and
//                                                      the last two of them in one
//
// Eighths keep what rounding up costs below an eighth of the block. And they make alignment free:
// of the multiples of a power of two, each is the size of a class or rounds up to one that is a
// multiple of it, too. So a class serves every alignment that its size is a multiple of.
//
// At levels hardened and debug the guards (guards.hpp) take their bytes of the block: a request is
// rounded up with them, classes and alignments are the same.
//
//      hardened   block -> | object .................... | canary |
//      debug               | object .... | zone | allocated by | freed by | zone of the next one |
//
// A debug slab has its first object as far behind its start as the class is aligned, and a zone
// before that.
//
// Invariants
//   [Z1] size <= size_of_class(class_of(size)); what it is above align_up(size, 16) is at most an
//        eighth of it
//   [Z2] size a multiple of a power of two  =>  size_of_class(class_of(size)) is one, too
//   [Z3] the layout of a class is Large, its stride is its size, and its slabs, and the first
//        object of each, are aligned to every power of two that this is a multiple of

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
    /// Slabs have any number of pages, not only a power of two of them: for a backend that does not
    /// round up what it is asked for (FirstFitPages).
    bool slabs_of_any_pages = false;
    /// A class begins with small slabs: a program that has a few blocks of each of many sizes pays
    /// a slab for each. Of a MagazineHeap, some; then come those of the usual size.
    bool small_slabs = false;
    /// The backend has resize_slab(slab, before, after, alignment), which makes a run longer or
    /// shorter where it is, or returns false: realloc asks it before it copies.
    bool backend_resizes = false;
    /// Of each class, how many Free slabs are kept beside the one that is allocated from.
    std::size_t retained_free_slabs = 0;
    /// As CacheConfig's.
    Checks checks = Checks::misuse;
    /// For statics that are never torn down, as CacheConfig's.
    bool never_destroyed = false;
    /// Of a MagazineHeap at level debug: its CPU policy has `const void* caller()`, which says who
    /// allocates and frees, in place of the return address of the call. For a malloc, whose callers
    /// do not call the heap.
    bool cpus_know_caller = false;

    friend constexpr bool operator==(const HeapConfig&, const HeapConfig&) noexcept = default;
};

namespace size_classes {

/// What every block is aligned to, as malloc's: enough for every type that asks for nothing.
inline constexpr std::size_t grain = 16;
/// Up to here the classes are a grain apart.
inline constexpr std::size_t largest_by_grains = 8 * grain;
inline constexpr std::size_t per_doubling = 7;

/// The class of a request. Requires: size at most that of the last class.
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

/// What of each block no caller can use.
template <HeapConfig Config>
inline constexpr std::size_t guards_size = slab_allocator::detail::front_of(Config.checks, grain) +
                                           slab_allocator::detail::behind_of(Config.checks);

/// The largest request that has a class.
template <HeapConfig Config>
inline constexpr std::size_t largest_request = Config.largest_object - guards_size<Config>;

/// class_of, with the guards, for each number of grains: an add, a shift and a load, where the bit
/// scan is four times as much. No branch either: a program's sizes are not to be foreseen.
template <HeapConfig Config>
class ClassTable {
public:
    /// Requires: size <= largest_request<Config>.
    [[nodiscard]] static constexpr std::size_t class_of(std::size_t size) noexcept {
        return numbers.of[(size + (guards_size<Config> + grain - 1)) / grain];
    }

private:
    struct Numbers {
        std::uint8_t of[Config.largest_object / grain + 1];
    };
    static constexpr Numbers numbers = [] {
        Numbers result{};
        constexpr std::size_t least = guards_size<Config> + 1;  // a request of 0 bytes is one of 1
        for (std::size_t grains = 0; grains <= Config.largest_object / grain; ++grains) {
            const std::size_t size = grains * grain < least ? least : grains * grain;
            result.of[grains] = static_cast<std::uint8_t>(size_classes::class_of(size));
        }
        return result;
    }();
};

/// The same for a request to a heap: of what size the request without an alignment is that has such
/// a block.
template <HeapConfig Config>
[[nodiscard]] constexpr std::size_t aligned_request(std::size_t size,
                                                    std::size_t alignment) noexcept {
    return aligned_size(size + guards_size<Config>, alignment) - guards_size<Config>;
}

/// Is such a request one for a class, or for whole pages?
template <HeapConfig Config>
[[nodiscard]] constexpr bool is_for_class(std::size_t size, std::size_t alignment) noexcept {
    // largest_object is a power of two: to be rounded up to the alignment leads to it at most.
    return size <= largest_request<Config> && alignment <= Config.largest_object;
}

/// How many objects a slab has at least, where it need not be larger than enough_slab for that, and
/// else two: what a slab's birth costs, it costs for all of them. No more, because what a class has
/// and does not use, no other can: a program with a few blocks of each size pays a slab for each.
inline constexpr std::size_t enough_objects = 8;
inline constexpr std::size_t enough_slab = std::size_t{16} * 1024;

namespace detail {

/// The same in a slab of so many bytes. What a SlabInfo cannot manage of it is left over.
[[nodiscard]] constexpr Layout cut(Layout layout, std::size_t slab_size) noexcept {
    layout.error = ConfigError::None;
    const std::size_t alignment = layout.stride & (~layout.stride + 1);  // [Z3]
    std::size_t room = slab_size;
    if (layout.front != 0) {
        layout.front = alignment;
        room = slab_size + grain < alignment ? 0 : slab_size - (alignment - grain);
    }
    const std::size_t fitting = room / layout.stride;
    layout.slab_size = slab_size;
    layout.slots_per_slab = fitting < SlabInfo::max_slots ? fitting : SlabInfo::max_slots;
    layout.objects_per_slab = layout.slots_per_slab;
    layout.slab_alignment = alignment < layout.page_size ? layout.page_size : alignment;
    return layout;
}

}  // namespace detail

/// The layout of a class: the smallest slab that has enough objects and loses at most a
/// thirty-second, its SlabInfo and its entries in the map counted; else what loses least. Small:
/// the smallest that loses at most a quarter. Guards count as what is used.
[[nodiscard]] constexpr Layout layout_of_blocks(std::size_t number, const HeapConfig& config,
                                                bool small) noexcept {
    const std::size_t size = size_of_class(number);
    const std::size_t one_object = std::bit_ceil(size);
    const std::size_t first = one_object < config.page_size ? config.page_size : one_object;
    Layout layout = layout_for(size, grain,
                               {.slab_size = first,
                                .page_size = config.page_size,
                                .object_size_type = ObjectSizeType::Large});
    layout.front = slab_allocator::detail::front_of(config.checks, grain);
    if (layout.error != ConfigError::None && layout.error != ConfigError::TooManySlotsForLarge)
        return layout;
    Layout best = detail::cut(layout, first);
    for (std::size_t slab = config.page_size; slab <= config.largest_slab;
         slab += config.slabs_of_any_pages ? config.page_size : slab) {
        const Layout candidate = detail::cut(layout, slab);
        if (candidate.objects_per_slab == 0) continue;
        if (slab_allocator::detail::loses_less(candidate, best)) best = candidate;
        const std::size_t enough = small ? 1 : slab < enough_slab ? enough_objects : 2;
        const std::size_t share = small ? 4 : 32;
        const bool many = candidate.objects_per_slab >= enough || slab == config.largest_slab;
        if (many && share * candidate.bytes_lost_per_slab() <= candidate.bytes_per_slab())
            return candidate;
    }
    return best;
}

/// The layout of a class. At level debug its first object is layout.front behind a slab's start. A
/// class that guards leave no room serves nobody.
[[nodiscard]] constexpr Layout layout_of_class(std::size_t number, const HeapConfig& config,
                                               bool small) noexcept {
    Layout layout = layout_of_blocks(number, config, small);
    layout.behind = slab_allocator::detail::behind_of(config.checks);
    const std::size_t guards =
        slab_allocator::detail::front_of(config.checks, grain) + layout.behind;
    layout.object_size = layout.object_size < guards ? 0 : layout.object_size - guards;
    return layout;
}

[[nodiscard]] constexpr Layout layout_of_class(std::size_t number,
                                               const HeapConfig& config) noexcept {
    return layout_of_class(number, config, config.small_slabs);
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
    static_assert(
        Config.checks != Checks::debug || Config.largest_slab >= 2 * Config.largest_object,
        "HeapConfig: at level debug, largest_slab must be at least twice largest_object: "
        "a zone stands before the first object of a slab");
    return true;
}

}  // namespace size_classes

}  // namespace slab_allocator
