#pragma once

// guards.hpp -- what stands around an object and in a free one, at the levels that have it.
//
//      hardened   slot -> | object ............... | canary |          canary: 8 bytes, keyed
//      debug      slot -> | front zone | object .. | back zone | allocated by | freed by |
//
//                   live                              free
//      hardened   canary(address, one secret)       all zeros, canary(address, another secret)
//      debug      both zones 0xfd                   all 0x5a, both zones 0xfb
//
// A free object is made so by its free and looked at before it is handed out again, a live one is
// looked at by its free: a write after free and an overflow are found then, with the first wrong
// byte. An overflow that an attacker plans needs the canary, and that needs the secret. (Zero on
// free, verified, and a canary: hardened_malloc. Red zones, poison, and who allocated and freed:
// SLUB's debugging.)
//
// Slots that were never handed out are made free when they are first taken out of their slab: a new
// slab is not written through.
//
// Invariants
//   [G1] a slot below SlabInfo::untouched, that is no live object, is as a free one must be
//   [G2] a live object has the guards of a live one, and nothing else in the slab has
//   [G3] levels none and misuse: no byte, no instruction
//   [G4] under AddressSanitizer, what stands around an object is hidden, but from here (poison.hpp)

#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/poison.hpp>

namespace slab_allocator {

/// The first wrong byte of an object and its guards, counted from the object's first; and what that
/// means. Defect::None: there is none.
struct Wrong {
    Defect defect = Defect::None;
    std::ptrdiff_t offset = 0;
};

namespace detail {

[[nodiscard]] constexpr std::uint64_t eight_of(std::uint8_t value) noexcept {
    return std::uint64_t{value} * 0x0101'0101'0101'0101U;
}

template <std::size_t size, std::uint8_t value>
[[gnu::always_inline]] inline void fill_bytes(std::byte* to) noexcept {
    __builtin_memset(to, value, size);
}

/// Is each of `size` bytes `value`? Costs: no branch on what they are, and for small ones no loop.
template <std::size_t size, std::uint8_t value>
[[nodiscard, gnu::always_inline]] inline bool all_bytes_are(const std::byte* from) noexcept {
    constexpr std::size_t word = sizeof(std::uint64_t);
    constexpr std::uint64_t eight = eight_of(value);
    const auto other_in = [&](std::size_t offset) {
        std::uint64_t found = 0;
        __builtin_memcpy(&found, from + offset, word);
        return found ^ eight;
    };
    std::uint64_t other = 0;
    std::size_t offset = 0;
    for (; offset + 8 * word <= size; offset += 8 * word) {
        other |= other_in(offset) | other_in(offset + word) | other_in(offset + 2 * word) |
                 other_in(offset + 3 * word) | other_in(offset + 4 * word) |
                 other_in(offset + 5 * word) | other_in(offset + 6 * word) |
                 other_in(offset + 7 * word);
    }
    for (; offset + word <= size; offset += word)
        other |= other_in(offset);
    if constexpr (size % word != 0 && size > word) {
        other |= other_in(size - word);
    } else if constexpr (size % word != 0) {
        std::uint64_t found = eight;
        __builtin_memcpy(&found, from, size);
        other = found ^ eight;
    }
    return other == 0;
}

/// The index of the first byte that is not `value`; `size`: all are.
[[nodiscard]] inline std::size_t first_other_byte(const std::byte* from, std::size_t size,
                                                  std::uint8_t value) noexcept {
    std::size_t index = 0;
    while (index < size && from[index] == std::byte{value})
        ++index;
    return index;
}

/// A permutation of 64 bits in which each bit of the result depends on all. (Steele, Lea and Flood
/// 2014, the finaliser of SplitMix.)
[[nodiscard]] constexpr std::uint64_t mixed(std::uint64_t value) noexcept {
    value = (value ^ (value >> 30)) * 0xbf58'476d'1ce4'e5b9U;
    value = (value ^ (value >> 27)) * 0x94d0'49bb'1331'11ebU;
    return value ^ (value >> 31);
}

}  // namespace detail

/// Secrets of one cache and random numbers that follow from them: SplitMix, no secrets of
/// cryptography. They come from the backend, if that has `std::uint64_t secret()`, else from
/// addresses. Who can read a canary knows all of its kind.
class Secret {
public:
    /// The first call counts. Two caches with the same entropy differ.
    void seed(std::uint64_t entropy, const void* cache) noexcept {
        if (live_ != 0) return;
        live_ = detail::mixed(entropy ^ detail::mixed(address_of(cache))) | 1;
        free_ = detail::mixed(live_);
        state_ = detail::mixed(free_);
    }
    [[nodiscard]] std::uint64_t of_live(std::uintptr_t address) const noexcept {
        return address ^ live_;
    }
    [[nodiscard]] std::uint64_t of_free(std::uintptr_t address) const noexcept {
        return address ^ free_;
    }
    [[nodiscard]] std::uint64_t of_slab_info(std::uintptr_t address) const noexcept {
        return detail::mixed(address ^ state_of_infos());
    }
    [[nodiscard]] std::uint64_t next() noexcept {
        return detail::mixed(state_ += 0x9e37'79b9'7f4a'7c15U);
    }

private:
    [[nodiscard]] std::uint64_t state_of_infos() const noexcept { return live_ + free_; }

    std::uint64_t live_ = 0;
    std::uint64_t free_ = 0;
    std::uint64_t state_ = 0;
};

/// Levels none and misuse [G3].
template <Layout layout, Checks checks>
class Guards {
public:
    static constexpr bool active = false;
    static constexpr bool knows_who = false;

    [[nodiscard]] static const void* identity(const void* cache, const void*) noexcept {
        return cache;
    }
};

template <Layout layout>
class Guards<layout, Checks::hardened> {
public:
    static constexpr bool active = true;
    static constexpr bool knows_who = false;

    [[nodiscard]] Secret& secret() noexcept { return secret_; }

    /// What a SlabInfo of the cache says of its owner: nobody else can know.
    [[nodiscard]] const void* identity(const void* cache, const void* slab_info) const noexcept {
        return disguised(cache, secret_.of_slab_info(address_of(slab_info)));
    }

    void make_free(std::byte* object, const void*) const noexcept {
        const Slot slot(object, true);
        detail::fill_bytes<layout.object_size, 0>(object);
        put_canary(object, free_canary(object));
    }
    void make_live(std::byte* object, const void*) const noexcept {
        const Slot slot(object, false);
        put_canary(object, live_canary(object));
    }

    [[nodiscard]] bool is_free(const std::byte* object) const noexcept {
        const Slot slot(object, true);
        return canary_at(object) == free_canary(object) &&
               detail::all_bytes_are<layout.object_size, 0>(object);
    }
    [[nodiscard]] bool is_live(const std::byte* object) const noexcept {
        return canary_at(object) == live_canary(object);
    }

    [[nodiscard]] Wrong wrong_of_free(const std::byte* object) const noexcept {
        if (is_free(object)) return {};
        const Slot slot(object, true);
        const std::size_t other = detail::first_other_byte(object, layout.object_size, 0);
        if (other != layout.object_size)
            return {.defect = Defect::WriteAfterFree, .offset = static_cast<std::ptrdiff_t>(other)};
        return wrong_canary(object, free_canary(object));
    }
    [[nodiscard]] Wrong wrong_of_live(const std::byte* object) const noexcept {
        if (is_live(object)) return {};
        const Around around(object);
        return wrong_canary(object, live_canary(object));
    }

private:
    using Slot = detail::Revealed<layout.front, layout.object_size, layout.behind>;
    using Around = detail::RevealedAround<layout.front, layout.object_size, layout.behind>;

    [[nodiscard]] std::uint64_t live_canary(const std::byte* object) const noexcept {
        return secret_.of_live(address_of(object));
    }
    [[nodiscard]] std::uint64_t free_canary(const std::byte* object) const noexcept {
        return secret_.of_free(address_of(object));
    }
    /// Of any address that is asked for: AddressSanitizer does not look.
    [[nodiscard, gnu::no_sanitize_address]] static std::uint64_t canary_at(
        const std::byte* object) noexcept {
        std::uint64_t canary = 0;
        __builtin_memcpy(&canary, object + layout.object_size, sizeof canary);
        return canary;
    }
    static void put_canary(std::byte* object, std::uint64_t canary) noexcept {
        __builtin_memcpy(object + layout.object_size, &canary, sizeof canary);
    }
    /// Requires: another one stands there.
    [[nodiscard]] static Wrong wrong_canary(const std::byte* object,
                                            std::uint64_t canary) noexcept {
        std::size_t offset = layout.object_size;
        std::byte expected[sizeof canary];
        __builtin_memcpy(expected, &canary, sizeof canary);
        while (object[offset] == expected[offset - layout.object_size])
            ++offset;
        return {.defect = Defect::Overflow, .offset = static_cast<std::ptrdiff_t>(offset)};
    }

    Secret secret_;
};

template <Layout layout>
class Guards<layout, Checks::debug> {
public:
    static constexpr bool active = true;
    static constexpr bool knows_who = true;
    static constexpr std::uint8_t zone_of_live = 0xfd;
    static constexpr std::uint8_t zone_of_free = 0xfb;
    static constexpr std::uint8_t fresh = 0xcd;  // allocated, not written
    static constexpr std::uint8_t poison = 0x5a;

    [[nodiscard]] Secret& secret() noexcept { return secret_; }

    [[nodiscard]] static const void* identity(const void* cache, const void*) noexcept {
        return cache;
    }

    static void make_free(std::byte* object, const void* by) noexcept {
        const Slot slot(object, true);
        detail::fill_bytes<layout.object_size, poison>(object);
        make_zones<zone_of_free>(object);
        put(object, freed, by);
    }
    static void make_live(std::byte* object, const void* by) noexcept {
        const Slot slot(object, false);
        detail::fill_bytes<layout.object_size, fresh>(object);
        make_zones<zone_of_live>(object);
        put(object, allocated, by);
    }
    /// A slot that nobody had yet.
    static void forget_who(std::byte* object) noexcept {
        const Around around(object);
        put(object, allocated, nullptr);
    }

    [[nodiscard]] static bool is_free(const std::byte* object) noexcept {
        const Slot slot(object, true);
        return detail::all_bytes_are<layout.object_size, poison>(object) &&
               zones_are<zone_of_free>(object);
    }
    [[nodiscard]] static bool is_live(const std::byte* object) noexcept {
        const Around around(object);
        return zones_are<zone_of_live>(object);
    }

    [[nodiscard]] static Wrong wrong_of_free(const std::byte* object) noexcept {
        const Slot slot(object, true);
        const std::size_t other = detail::first_other_byte(object, layout.object_size, poison);
        if (other != layout.object_size)
            return {.defect = Defect::WriteAfterFree, .offset = static_cast<std::ptrdiff_t>(other)};
        return wrong_zone(object, zone_of_free);
    }
    [[nodiscard]] static Wrong wrong_of_live(const std::byte* object) noexcept {
        const Around around(object);
        return wrong_zone(object, zone_of_live);
    }

    [[nodiscard]] static const void* allocated_by(const std::byte* object) noexcept {
        const Around around(object);
        return who(object, allocated);
    }
    [[nodiscard]] static const void* freed_by(const std::byte* object) noexcept {
        const Around around(object);
        return who(object, freed);
    }

private:
    using Slot = detail::Revealed<layout.front, layout.object_size, layout.behind>;
    using Around = detail::RevealedAround<layout.front, layout.object_size, layout.behind>;

    static constexpr std::size_t marks = 2 * sizeof(void*);
    static constexpr std::size_t back_zone = layout.behind - marks;
    static constexpr std::size_t allocated = layout.object_size + back_zone;
    static constexpr std::size_t freed = allocated + sizeof(void*);

    template <std::uint8_t zone>
    static void make_zones(std::byte* object) noexcept {
        detail::fill_bytes<layout.front, zone>(object - layout.front);
        detail::fill_bytes<back_zone, zone>(object + layout.object_size);
    }
    template <std::uint8_t zone>
    [[nodiscard]] static bool zones_are(const std::byte* object) noexcept {
        return detail::all_bytes_are<layout.front, zone>(object - layout.front) &&
               detail::all_bytes_are<back_zone, zone>(object + layout.object_size);
    }
    /// The one behind first: that is where more go wrong.
    [[nodiscard]] static Wrong wrong_zone(const std::byte* object, std::uint8_t zone) noexcept {
        const std::size_t back =
            detail::first_other_byte(object + layout.object_size, back_zone, zone);
        if (back != back_zone)
            return {.defect = Defect::Overflow,
                    .offset = static_cast<std::ptrdiff_t>(layout.object_size + back)};
        const std::size_t front =
            detail::first_other_byte(object - layout.front, layout.front, zone);
        if (front == layout.front) return {};
        return {.defect = Defect::Overflow,
                .offset =
                    static_cast<std::ptrdiff_t>(front) - static_cast<std::ptrdiff_t>(layout.front)};
    }

    static void put(std::byte* object, std::size_t mark, const void* by) noexcept {
        __builtin_memcpy(object + mark, static_cast<const void*>(&by), sizeof by);
    }
    [[nodiscard]] static const void* who(const std::byte* object, std::size_t mark) noexcept {
        const void* by = nullptr;
        __builtin_memcpy(static_cast<void*>(&by), object + mark, sizeof by);
        return by;
    }

    Secret secret_;
};

}  // namespace slab_allocator
