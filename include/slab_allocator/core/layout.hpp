#pragma once

// layout.hpp -- the numbers that follow from the user's choice, all at compile time.
//
//      Small   | slot 0 | slot 1 | SlabInfo | slot b | slot b+1 | ... | rest |
//              '-- slab          '-- in the place of info_slots slots        '-- slab + slab_size
//
//      Large   | slot 0 | slot 1 | ...                      | rest |      SlabInfo: elsewhere
//
//      slot    | front | object | behind |      front and behind: of the levels that guard objects
//
// Slots are numbered from the start of the slab, whatever the SlabInfo covers: those it covers are
// never free. Where it fits into the rest, it lies there and covers none. Its place is the slab's
// colour, a function of its address, so that the SlabInfos of thousands of slabs do not fall into
// the same cache sets; that costs nothing, because any slots are as good as any others.
//
// Where the user leaves slab_size and Small or Large open, every power of two up to 64 KiB is tried
// with both, and what loses least wins; ties go to the smaller slab, then to Small. (UMA computes
// both placements, too, at run time.) What is lost is what no object can use: rest, the SlabInfo
// wherever it lies, and 16 bytes a page for the map where there is one.
//
// Invariants
//   [Y1] the SlabInfo and every slot that it does not cover lie in the slab and do not overlap
//   [Y2] every slot and every SlabInfo is aligned
//   [Y3] slot_at(offset) < slots_per_slab  <=>  offset is the start of a slot

#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

/// The four rows of the backend table: where a SlabInfo lies, and who knows.
enum class Row : std::uint8_t { SmallByMask, SmallByMap, LargeByMap, LargeByPageFrames };

/// What cannot work in a configuration, in the order in which it is looked for.
enum class ConfigError : std::uint8_t {
    None,
    PageSizeIsNoPowerOfTwo,
    SlabSizeIsNoPowerOfTwo,
    SlabSizeIsLessThanAPage,
    SlabAlignmentIsNoPowerOfTwo,
    SlabAlignmentIsLessThanAPage,
    ObjectAlignmentIsTooLarge,
    PageFramesAreForLarge,
    PageFramesNeedNaturalAlignment,
    NoRoomForAnObject,
    TooManySlotsForLarge,
};

struct Layout {
    static constexpr std::size_t largest_search = std::size_t{64} * 1024;
    static constexpr std::size_t cache_line = 64;
    static constexpr std::size_t max_colours = 256;
    static constexpr std::size_t map_bytes_per_page = 16;

    ConfigError error = ConfigError::None;
    Row row = Row::SmallByMask;
    int rotation = 0;  ///< log2 of the even part of stride
    std::size_t object_size = 0;
    std::size_t front = 0;    ///< bytes of a slot before its object: a multiple of the alignment
    std::size_t behind = 0;   ///< at least as many bytes behind it
    std::size_t stride = 0;   ///< from slot to slot: all three, rounded up to the alignment
    std::size_t inverse = 0;  ///< of the odd part of stride, modulo 2^64: see slot_at
    std::size_t page_size = 0;
    std::size_t slab_size = 0;
    std::size_t slab_alignment = 0;
    std::size_t slots_per_slab = 0;    ///< numbered slots, those under the SlabInfo among them
    std::size_t objects_per_slab = 0;  ///< slots that objects can have
    std::size_t info_slots = 0;        ///< Small: slots that the SlabInfo covers
    std::size_t info_offset = 0;       ///< Small: of the SlabInfo in a slab of the first colour
    std::size_t colours = 1;           ///< a power of two
    std::size_t colour_step = 0;       ///< in bytes, from colour to colour

    [[nodiscard]] constexpr bool small() const noexcept {
        return row == Row::SmallByMask || row == Row::SmallByMap;
    }
    [[nodiscard]] constexpr bool uses_map() const noexcept {
        return row == Row::SmallByMap || row == Row::LargeByMap;
    }
    [[nodiscard]] constexpr std::size_t pages_per_slab() const noexcept {
        return slab_size / page_size;
    }

    /// All that one slab takes: its pages, its SlabInfo, its entries in the map.
    [[nodiscard]] constexpr std::size_t bytes_per_slab() const noexcept {
        return slab_size + (small() ? 0 : sizeof(SlabInfo)) +
               (uses_map() ? pages_per_slab() * map_bytes_per_page : 0);
    }
    [[nodiscard]] constexpr std::size_t bytes_lost_per_slab() const noexcept {
        return bytes_per_slab() - objects_per_slab * object_size;
    }

    /// Small: where the SlabInfo of the slab at `address` lies in it, in bytes.
    [[nodiscard]] constexpr std::uintptr_t info_offset_of(std::uintptr_t address) const noexcept {
        const std::size_t grain = slab_alignment < slab_size ? slab_alignment : slab_size;
        return info_offset + (address / grain) % colours * colour_step;
    }

    /// Small, with info_slots: the first slot that the SlabInfo of the slab at `address` covers.
    [[nodiscard]] constexpr std::size_t info_slot_of(std::uintptr_t address) const noexcept {
        return info_offset_of(address) / stride;
    }

    [[nodiscard]] constexpr std::size_t offset_of(std::size_t slot) const noexcept {
        return slot * stride;
    }

    /// Does the record of a slab agree with itself and with this? info_slot as info_slot_of says.
    [[nodiscard]] bool is_sound(const SlabRecord& slab_info,
                                std::size_t info_slot = 0) const noexcept {
        return slab_info.map.consistent(slots_per_slab, info_slot, info_slots,
                                        slab_info.free_number) &&
               slab_info.untouched <= slots_per_slab &&
               slab_info.untouched >= slab_info.map.end_of_taken(slots_per_slab) &&
               is_aligned(slab_info.slab, slab_alignment);
    }

    /// The slot whose object starts `offset` bytes behind that of slot 0; no number below
    /// slots_per_slab where none does [Y3]. With stride = 2^k m, m odd, multiplying by the inverse
    /// of m modulo 2^64 takes the multiples of m, and only those, to their quotients, and rotating
    /// by k sends what is no multiple of 2^k beyond the range: stride check, range check and
    /// division in one multiply, no divide. (Warren, Hacker's Delight, 10-17.)
    [[nodiscard]] constexpr std::size_t slot_at(std::size_t offset) const noexcept {
        return std::rotr(offset * inverse, rotation);
    }
};

namespace detail {

/// What the odd part of `value` must be multiplied with to give 1, modulo 2^64.
constexpr std::size_t inverse_of_odd_part(std::size_t value) noexcept {
    const std::size_t odd = value >> std::countr_zero(value);
    std::size_t inverse = odd;  // right in 3 bits; each step doubles them
    for (std::size_t bits = 3; bits < 8 * sizeof(std::size_t); bits *= 2) {
        inverse *= 2 - odd * inverse;
    }
    return inverse;
}

/// `stride`, and what slot_at() needs of it.
constexpr void set_stride(Layout& layout, std::size_t stride) noexcept {
    layout.stride = stride;
    layout.inverse = inverse_of_odd_part(stride);
    layout.rotation = std::countr_zero(stride);
}

/// What stands before an object: nothing, or a zone as wide as 16 bytes or the alignment.
constexpr std::size_t front_of(Checks checks, std::size_t alignment) noexcept {
    if (checks != Checks::debug) return 0;
    return alignment > 16 ? alignment : 16;
}

/// What stands behind it: nothing; a canary; a zone and two addresses (guards.hpp).
constexpr std::size_t behind_of(Checks checks) noexcept {
    if (checks == Checks::hardened) return sizeof(std::uint64_t);
    return checks == Checks::debug ? 16 + 2 * sizeof(void*) : 0;
}

/// The least common multiple of a number and a power of two.
constexpr std::size_t common_multiple(std::size_t value, std::size_t power) noexcept {
    const std::size_t shared = value & (~value + 1);  // the power of two in value
    return shared >= power ? value : value / shared * power;
}

/// Fills in where the SlabInfo of a Small slab lies; zero objects where none fits.
constexpr void lay_out_small(Layout& layout) noexcept {
    if (layout.slots_per_slab > FreeMap::max_slots) layout.slots_per_slab = FreeMap::max_slots;
    const std::size_t info = small_slab_info_size(layout.slots_per_slab);
    const std::size_t end_of_slots =
        align_up(layout.slots_per_slab * layout.stride, alignof(SlabInfo));
    std::size_t room = layout.slab_size;
    if (end_of_slots + info <= layout.slab_size) {  // in the rest
        layout.info_offset = align_up(end_of_slots, Layout::cache_line);
        if (layout.info_offset + info > layout.slab_size) layout.info_offset = end_of_slots;
        layout.colour_step = Layout::cache_line;
    } else {
        layout.info_slots = divide_up(info, layout.stride);
        // Colours start at slots that are cache lines, too, and lie apart by whole SlabInfos.
        std::size_t grain = common_multiple(layout.stride, Layout::cache_line);
        if (grain + info > layout.slab_size)
            grain = common_multiple(layout.stride, alignof(SlabInfo));
        layout.colour_step = divide_up(std::bit_ceil(info), grain) * grain;
        room = layout.slots_per_slab * layout.stride;
    }
    // A SlabInfo that covers slots needs all of them, and one slot is to be left.
    const std::size_t covered = layout.info_slots > 0 ? layout.info_slots * layout.stride : info;
    if (layout.info_slots >= layout.slots_per_slab) return;
    layout.objects_per_slab = layout.slots_per_slab - layout.info_slots;
    const std::size_t fitting = (room - covered - layout.info_offset) / layout.colour_step + 1;
    layout.colours = std::bit_floor(fitting < Layout::max_colours ? fitting : Layout::max_colours);
}

/// One candidate: all numbers given but Small or Large, which is `type`.
constexpr Layout lay_out(Layout layout, const CacheConfig& config, ObjectSizeType type,
                         std::size_t alignment) noexcept {
    layout.slab_alignment = config.slab_alignment == 0 ? layout.slab_size : config.slab_alignment;
    const bool natural = layout.slab_alignment >= layout.slab_size;
    if (type == ObjectSizeType::Small) {
        layout.row = natural ? Row::SmallByMask : Row::SmallByMap;
    } else {
        layout.row = config.slab_info_lookup == SlabInfoLookup::PageFrames ? Row::LargeByPageFrames
                                                                           : Row::LargeByMap;
    }
    layout.slots_per_slab = layout.slab_size / layout.stride;
    if (alignment > layout.slab_alignment) {
        layout.error = ConfigError::ObjectAlignmentIsTooLarge;
    } else if (type == ObjectSizeType::Small) {
        lay_out_small(layout);
    } else if (layout.row == Row::LargeByPageFrames && !natural) {
        layout.error = ConfigError::PageFramesNeedNaturalAlignment;
    } else {
        layout.objects_per_slab = layout.slots_per_slab;
        if (layout.objects_per_slab > SlabInfo::max_slots) {
            layout.error = ConfigError::TooManySlotsForLarge;
        }
    }
    if (layout.error == ConfigError::None && layout.objects_per_slab == 0) {
        layout.error = ConfigError::NoRoomForAnObject;
    }
    return layout;
}

/// Does `a` lose less of its memory than `b`? Compared as fractions, without rounding.
constexpr bool loses_less(const Layout& a, const Layout& b) noexcept {
    if (b.error != ConfigError::None) return a.error == ConfigError::None;
    return a.error == ConfigError::None &&
           std::uint64_t{a.bytes_lost_per_slab()} * b.bytes_per_slab() <
               std::uint64_t{b.bytes_lost_per_slab()} * a.bytes_per_slab();
}

constexpr ConfigError first_error(const CacheConfig& config) noexcept {
    if (!is_power_of_two(config.page_size)) return ConfigError::PageSizeIsNoPowerOfTwo;
    if (config.slab_size != 0) {
        if (!is_power_of_two(config.slab_size)) return ConfigError::SlabSizeIsNoPowerOfTwo;
        if (config.slab_size < config.page_size) return ConfigError::SlabSizeIsLessThanAPage;
    }
    if (config.slab_alignment != 0) {
        if (!is_power_of_two(config.slab_alignment)) {
            return ConfigError::SlabAlignmentIsNoPowerOfTwo;
        }
        if (config.slab_alignment < config.page_size) {
            return ConfigError::SlabAlignmentIsLessThanAPage;
        }
    }
    if (config.slab_info_lookup == SlabInfoLookup::PageFrames &&
        config.object_size_type == ObjectSizeType::Small) {
        return ConfigError::PageFramesAreForLarge;
    }
    return ConfigError::None;
}

}  // namespace detail

/// The layout of objects of `size` bytes, aligned to `alignment`, under `config`; where that cannot
/// work, `error` says why. Costs: nothing at run time.
[[nodiscard]] constexpr Layout layout_for(std::size_t size, std::size_t alignment,
                                          const CacheConfig& config) noexcept {
    Layout given;
    given.object_size = size;
    given.front = detail::front_of(config.checks, alignment);
    given.behind = detail::behind_of(config.checks);
    detail::set_stride(given, align_up(given.front + size + given.behind, alignment));
    given.page_size = config.page_size;
    given.error = detail::first_error(config);
    if (given.error != ConfigError::None) return given;

    std::size_t smallest = config.slab_size;
    std::size_t largest = config.slab_size;
    if (config.slab_size == 0) {
        const std::size_t one_object = std::bit_ceil(given.stride);
        smallest = config.page_size;
        largest = one_object > Layout::largest_search ? one_object : Layout::largest_search;
        if (largest < smallest) largest = smallest;
    }
    Layout best;
    bool first = true;
    for (std::size_t slab_size = smallest; slab_size <= largest; slab_size *= 2) {
        for (const ObjectSizeType type : {ObjectSizeType::Small, ObjectSizeType::Large}) {
            if (config.object_size_type != ObjectSizeType::Auto &&
                config.object_size_type != type) {
                continue;
            }
            if (type == ObjectSizeType::Small &&
                config.slab_info_lookup == SlabInfoLookup::PageFrames) {
                continue;
            }
            given.slab_size = slab_size;
            const Layout candidate = detail::lay_out(given, config, type, alignment);
            if (first || detail::loses_less(candidate, best)) best = candidate;
            first = false;
        }
    }
    return best;
}

namespace detail {

/// sizeof(T) and alignof(T), or, where the compiler has none, the reason in words.
struct Measure {
    std::size_t size;
    std::size_t alignment;
};
template <typename T>
consteval Measure measure_of() {
    constexpr bool complete = requires { sizeof(T); };
    static_assert(
        complete,
        "T must be complete here, because its size decides what a slab looks like: define "
        "it above");
    if constexpr (complete) {
        return {.size = sizeof(T), .alignment = alignof(T)};
    } else {
        return {.size = 1, .alignment = 1};
    }
}

}  // namespace detail

template <typename T, CacheConfig Config>
inline constexpr Layout layout_of =
    layout_for(detail::measure_of<T>().size, detail::measure_of<T>().alignment, Config);

}  // namespace slab_allocator
