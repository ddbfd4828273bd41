#pragma once

// config_check.hpp -- a sentence for every configuration that cannot work.
//
// A static_assert can print no number, but a compiler names the arguments of the template that it
// stands in: "... slab_size_is_a_power_of_two() [with slab_size = 5000; nearest = 8192]". So each
// rule is a template of the numbers that it is about, and of what they would have to be.

#include <bit>
#include <cstddef>
#include <type_traits>

#include <slab_allocator/core/layout.hpp>

namespace slab_allocator {

namespace detail {

template <std::size_t page_size, std::size_t would_have_to_be>
consteval bool page_size_is_a_power_of_two() {
    static_assert(page_size == would_have_to_be, "page_size must be a power of two");
    return page_size == would_have_to_be;
}

template <std::size_t slab_size, std::size_t would_have_to_be>
consteval bool slab_size_is_a_power_of_two() {
    static_assert(slab_size == would_have_to_be,
                  "slab_size must be a power of two and a multiple of page_size, or 0 to have it "
                  "chosen");
    return slab_size == would_have_to_be;
}

template <std::size_t slab_size, std::size_t would_have_to_be_at_least>
consteval bool slab_size_is_at_least_a_page() {
    static_assert(slab_size >= would_have_to_be_at_least,
                  "slab_size must be at least page_size: a slab consists of pages");
    return slab_size >= would_have_to_be_at_least;
}

template <std::size_t slab_alignment, std::size_t would_have_to_be>
consteval bool slab_alignment_is_a_power_of_two() {
    static_assert(slab_alignment == would_have_to_be,
                  "slab_alignment must be a power of two, or 0 for slab_size");
    return slab_alignment == would_have_to_be;
}

template <std::size_t slab_alignment, std::size_t would_have_to_be_at_least>
consteval bool slab_alignment_is_at_least_a_page() {
    static_assert(slab_alignment >= would_have_to_be_at_least,
                  "slab_alignment must be at least page_size: a slab consists of pages");
    return slab_alignment >= would_have_to_be_at_least;
}

template <std::size_t object_alignment, std::size_t can_be_at_most>
consteval bool object_alignment_fits() {
    static_assert(
        object_alignment <= can_be_at_most,
        "the object's alignment is larger than the slab's: objects can be aligned at most "
        "as their slab is; raise slab_alignment (or slab_size, where that is 0)");
    return object_alignment <= can_be_at_most;
}

template <bool ok>
consteval bool page_frames_are_for_large() {
    static_assert(ok,
                  "slab_info_lookup PageFrames is for object_size_type Large: the SlabInfo of a "
                  "Small slab lies in the slab, not in the backend's array");
    return ok;
}

template <std::size_t slab_alignment, std::size_t would_have_to_be_at_least>
consteval bool page_frames_have_natural_alignment() {
    static_assert(slab_alignment >= would_have_to_be_at_least,
                  "slab_info_lookup PageFrames asks for a slab's first page, which is found by "
                  "masking: slab_alignment must be at least slab_size, or 0");
    return slab_alignment >= would_have_to_be_at_least;
}

template <std::size_t slab_size, std::size_t would_have_to_be_at_least>
consteval bool slab_has_room_for_an_object() {
    static_assert(slab_size >= would_have_to_be_at_least,
                  "no room for an object: slab_size must hold one object and, where it is Small, "
                  "its SlabInfo, too");
    return slab_size >= would_have_to_be_at_least;
}

template <std::size_t slots, std::size_t can_be_at_most>
consteval bool slab_info_can_hold_the_slots() {
    static_assert(slots <= can_be_at_most,
                  "too many slots for object_size_type Large: a SlabInfo outside of its slab "
                  "manages at most 640; lower slab_size or take Small");
    return slots <= can_be_at_most;
}

}  // namespace detail

/// Does not compile where a cache of `T` cannot work under `Config`, and says which number is wrong
/// and what it would have to be.
template <typename T, CacheConfig Config>
consteval bool check_config() {
    static_assert(std::is_object_v<T> && !std::is_const_v<T> && !std::is_volatile_v<T>,
                  "a cache serves objects: T must be an object type without const or volatile");
    constexpr Layout layout = layout_of<T, Config>;
    constexpr ConfigError error = layout.error;
    constexpr std::size_t alignment =
        Config.slab_alignment == 0 ? layout.slab_size : Config.slab_alignment;
    if constexpr (error == ConfigError::PageSizeIsNoPowerOfTwo) {
        return detail::page_size_is_a_power_of_two<Config.page_size,
                                                   std::bit_ceil(Config.page_size)>();
    } else if constexpr (error == ConfigError::SlabSizeIsNoPowerOfTwo) {
        return detail::slab_size_is_a_power_of_two<Config.slab_size,
                                                   std::bit_ceil(Config.slab_size)>();
    } else if constexpr (error == ConfigError::SlabSizeIsLessThanAPage) {
        return detail::slab_size_is_at_least_a_page<Config.slab_size, Config.page_size>();
    } else if constexpr (error == ConfigError::SlabAlignmentIsNoPowerOfTwo) {
        return detail::slab_alignment_is_a_power_of_two<Config.slab_alignment,
                                                        std::bit_ceil(Config.slab_alignment)>();
    } else if constexpr (error == ConfigError::SlabAlignmentIsLessThanAPage) {
        return detail::slab_alignment_is_at_least_a_page<Config.slab_alignment, Config.page_size>();
    } else if constexpr (error == ConfigError::ObjectAlignmentIsTooLarge) {
        return detail::object_alignment_fits<detail::measure_of<T>().alignment, alignment>();
    } else if constexpr (error == ConfigError::PageFramesAreForLarge) {
        return detail::page_frames_are_for_large<Config.object_size_type !=
                                                 ObjectSizeType::Small>();
    } else if constexpr (error == ConfigError::PageFramesNeedNaturalAlignment) {
        return detail::page_frames_have_natural_alignment<Config.slab_alignment,
                                                          layout.slab_size>();
    } else if constexpr (error == ConfigError::NoRoomForAnObject) {
        constexpr std::size_t info = layout.small() ? small_slab_info_size(1) : 0;
        constexpr std::size_t object = info + layout.stride;
        return detail::slab_has_room_for_an_object<layout.slab_size, std::bit_ceil(object)>();
    } else if constexpr (error == ConfigError::TooManySlotsForLarge) {
        return detail::slab_info_can_hold_the_slots<layout.objects_per_slab, SlabInfo::max_slots>();
    } else {
        return true;
    }
}

}  // namespace slab_allocator
