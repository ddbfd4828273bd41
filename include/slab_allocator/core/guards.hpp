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
#include <slab_allocator/core/secret.hpp>

namespace slab_allocator {

/// The first wrong byte of an object and its guards, counted from the object's first; and what that
/// means. Defect::None: there is none.
struct Violation {
    Defect defect = Defect::None;
    std::ptrdiff_t offset = 0;
};

namespace detail {

[[nodiscard]] constexpr std::uint64_t eight_of(std::uint8_t value) noexcept {
    return std::uint64_t{value} * 0x0101'0101'0101'0101U;
}

/// Is each of `size` bytes `value`? Costs: no branch on what they are, and no loop for a small size
/// that the compiler knows.
template <std::uint8_t value>
[[nodiscard, gnu::always_inline]] inline bool all_bytes_are(const std::byte* from,
                                                            std::size_t size) noexcept {
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
    if (size % word != 0 && size > word) {
        other |= other_in(size - word);
    } else if (size % word != 0) {
        std::uint64_t found = eight;
        __builtin_memcpy(&found, from, size % word);  // which is size
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

}  // namespace detail

/// How large an object is and what stands around it, where all of that is known to the compiler ...
template <Layout layout>
class KnownShape {
public:
    static constexpr std::size_t front = layout.front;
    static constexpr std::size_t behind = layout.behind;
    [[nodiscard]] static constexpr std::size_t object_size() noexcept { return layout.object_size; }
};

/// ... and where the size is a member: of a heap's size class.
template <Checks checks, std::size_t alignment>
class ShapeOfClass {
public:
    static constexpr std::size_t front = detail::front_of(checks, alignment);
    static constexpr std::size_t behind = detail::behind_of(checks);
    constexpr explicit ShapeOfClass(std::size_t object_size) noexcept : object_size_(object_size) {}
    [[nodiscard]] constexpr std::size_t object_size() const noexcept { return object_size_; }

private:
    std::size_t object_size_;
};

/// Has a level guards?
[[nodiscard]] consteval bool guards_objects(Checks checks) noexcept {
    return checks == Checks::hardened || checks == Checks::debug;
}

/// Who allocates and frees, as level debug writes it down: a tag of the user's, or else a return
/// address. The other levels do not.
template <Checks checks>
class Tag {
public:
    [[nodiscard]] static constexpr const void* or_else(const void* address) noexcept {
        return address;
    }
};
template <>
class Tag<Checks::debug> {
public:
    constexpr void set(const void* tag) noexcept { tag_ = tag; }
    [[nodiscard]] constexpr const void* or_else(const void* address) const noexcept {
        return tag_ != nullptr ? tag_ : address;
    }

private:
    const void* tag_ = nullptr;
};

/// Levels none and misuse [G3].
template <typename Shape, Checks checks>
class Guards {
public:
    static constexpr bool active = false;

    constexpr Guards() noexcept = default;
    constexpr explicit Guards(const Shape&) noexcept {}

    static constexpr void add_provenance(DefectReport&, const std::byte*) noexcept {}
};

/// What the levels with guards share: the secret, the shape, and what is revealed to look at it.
template <typename Shape>
class KeyedGuards : protected Shape {
public:
    constexpr KeyedGuards() noexcept = default;
    constexpr explicit KeyedGuards(const Shape& shape) noexcept : Shape(shape) {}

    static constexpr bool active = true;

    [[nodiscard]] Secret& secret() noexcept { return secret_; }

    /// What a SlabInfo of the cache says of its owner: nobody else can know.
    [[nodiscard]] const void* identity(const void* cache, const void* slab_info) const noexcept {
        return disguised(cache, secret_.of_slab_info(address_of(slab_info)));
    }

protected:
    using Shape::object_size;
    using Slot = detail::Revealed;
    using Guarded = detail::RevealedAround;

    [[nodiscard]] constexpr detail::Around around() const noexcept {
        return {Shape::front, object_size(), Shape::behind};
    }

    Secret secret_;
};

template <typename Shape>
class Guards<Shape, Checks::hardened> : public KeyedGuards<Shape> {
    using Keyed = KeyedGuards<Shape>;
    using Keyed::around;
    using Keyed::object_size;
    using Keyed::secret_;
    using typename Keyed::Guarded;
    using typename Keyed::Slot;

public:
    using Keyed::Keyed;

    void make_free(std::byte* object, const void*) const noexcept {
        const Slot slot(object, around(), true);
        __builtin_memset(object, 0, object_size());
        put_canary(object, free_canary(object));
    }
    /// A slot that nobody had yet.
    void make_fresh(std::byte* object) const noexcept { make_free(object, nullptr); }
    void make_live(std::byte* object, const void*) const noexcept {
        const Slot slot(object, around(), false);
        put_canary(object, live_canary(object));
    }

    [[nodiscard]] bool is_free(const std::byte* object) const noexcept {
        const Slot slot(object, around(), true);
        return canary_at(object) == free_canary(object) &&
               detail::all_bytes_are<0>(object, object_size());
    }
    [[nodiscard]] bool is_live(const std::byte* object) const noexcept {
        return canary_at(object) == live_canary(object);
    }

    /// Has it the guards of a free one, whatever was written to it?
    [[nodiscard]] bool looks_free(const std::byte* object) const noexcept {
        return canary_at(object) == free_canary(object);
    }

    [[nodiscard]] Violation violation_of_free(const std::byte* object) const noexcept {
        if (is_free(object)) return {};
        const Slot slot(object, around(), true);
        const std::size_t other = detail::first_other_byte(object, object_size(), 0);
        if (other != object_size())
            return {.defect = Defect::WriteAfterFree, .offset = static_cast<std::ptrdiff_t>(other)};
        return violation_of_canary(object, free_canary(object));
    }
    [[nodiscard]] Violation violation_of_live(const std::byte* object) const noexcept {
        if (is_live(object)) return {};
        const Guarded revealed(object, around());
        return violation_of_canary(object, live_canary(object));
    }

    static constexpr void add_provenance(DefectReport&, const std::byte*) noexcept {}

private:
    [[nodiscard]] std::uint64_t live_canary(const std::byte* object) const noexcept {
        return secret_.of_live(address_of(object));
    }
    [[nodiscard]] std::uint64_t free_canary(const std::byte* object) const noexcept {
        return secret_.of_free(address_of(object));
    }
    /// Of any address that is asked for: AddressSanitizer does not look.
    [[nodiscard, gnu::no_sanitize_address]] std::uint64_t canary_at(
        const std::byte* object) const noexcept {
        std::uint64_t canary = 0;
        __builtin_memcpy(&canary, object + object_size(), sizeof canary);
        return canary;
    }
    void put_canary(std::byte* object, std::uint64_t canary) const noexcept {
        __builtin_memcpy(object + object_size(), &canary, sizeof canary);
    }
    /// Requires: another one stands there.
    [[nodiscard]] Violation violation_of_canary(const std::byte* object,
                                                std::uint64_t canary) const noexcept {
        std::size_t offset = object_size();
        std::byte expected[sizeof canary];
        __builtin_memcpy(expected, &canary, sizeof canary);
        while (object[offset] == expected[offset - object_size()])
            ++offset;
        return {.defect = Defect::Overflow, .offset = static_cast<std::ptrdiff_t>(offset)};
    }
};

template <typename Shape>
class Guards<Shape, Checks::debug> : public KeyedGuards<Shape> {
    using Keyed = KeyedGuards<Shape>;
    using Keyed::around;
    using Keyed::object_size;
    using typename Keyed::Guarded;
    using typename Keyed::Slot;

public:
    using Keyed::Keyed;

    static constexpr std::uint8_t zone_of_live = 0xfd;
    static constexpr std::uint8_t zone_of_free = 0xfb;
    static constexpr std::uint8_t fresh = 0xcd;  // allocated, not written
    static constexpr std::uint8_t poison = 0x5a;

    void make_free(std::byte* object, const void* by) const noexcept {
        const Slot slot(object, around(), true);
        __builtin_memset(object, poison, object_size());
        make_zones<zone_of_free>(object);
        put(object, freed, by);
    }
    /// A slot that nobody had yet.
    void make_fresh(std::byte* object) const noexcept {
        make_free(object, nullptr);
        const Guarded revealed(object, around());
        put(object, allocated, nullptr);
    }
    void make_live(std::byte* object, const void* by) const noexcept {
        const Slot slot(object, around(), false);
        __builtin_memset(object, fresh, object_size());
        make_zones<zone_of_live>(object);
        put(object, allocated, by);
    }

    [[nodiscard]] bool is_free(const std::byte* object) const noexcept {
        const Slot slot(object, around(), true);
        return detail::all_bytes_are<poison>(object, object_size()) &&
               zones_are<zone_of_free>(object);
    }
    [[nodiscard]] bool is_live(const std::byte* object) const noexcept {
        const Guarded revealed(object, around());
        return zones_are<zone_of_live>(object);
    }

    /// As above.
    [[nodiscard]] bool looks_free(const std::byte* object) const noexcept {
        const Guarded revealed(object, around());
        return zones_are<zone_of_free>(object);
    }

    [[nodiscard]] Violation violation_of_free(const std::byte* object) const noexcept {
        const Slot slot(object, around(), true);
        const std::size_t other = detail::first_other_byte(object, object_size(), poison);
        if (other != object_size())
            return {.defect = Defect::WriteAfterFree, .offset = static_cast<std::ptrdiff_t>(other)};
        return violation_of_zone(object, zone_of_free);
    }
    [[nodiscard]] Violation violation_of_live(const std::byte* object) const noexcept {
        const Guarded revealed(object, around());
        return violation_of_zone(object, zone_of_live);
    }

    /// Of an object of the cache, whatever became of it.
    void add_provenance(DefectReport& report, const std::byte* object) const noexcept {
        const Guarded revealed(object, around());
        if (!marks_are_sound(object)) return;
        report.allocated_by = who(object, allocated);
        report.freed_by = who(object, freed);
    }

private:
    static constexpr std::size_t marks = 2 * sizeof(void*);
    static constexpr std::size_t back_zone = Shape::behind - marks;
    static constexpr std::size_t allocated = back_zone;  // behind the object
    static constexpr std::size_t freed = allocated + sizeof(void*);

    template <std::uint8_t zone>
    void make_zones(std::byte* object) const noexcept {
        __builtin_memset(object - Shape::front, zone, Shape::front);
        __builtin_memset(object + object_size(), zone, back_zone);
    }
    template <std::uint8_t zone>
    [[nodiscard]] bool zones_are(const std::byte* object) const noexcept {
        return detail::all_bytes_are<zone>(object - Shape::front, Shape::front) &&
               detail::all_bytes_are<zone>(object + object_size(), back_zone);
    }
    /// The one behind first: that is where more go wrong.
    [[nodiscard]] Violation violation_of_zone(const std::byte* object,
                                              std::uint8_t zone) const noexcept {
        const std::size_t back = detail::first_other_byte(object + object_size(), back_zone, zone);
        if (back != back_zone)
            return {.defect = Defect::Overflow,
                    .offset = static_cast<std::ptrdiff_t>(object_size() + back)};
        const std::size_t before =
            detail::first_other_byte(object - Shape::front, Shape::front, zone);
        if (before == Shape::front) return {};
        return {.defect = Defect::Overflow,
                .offset = static_cast<std::ptrdiff_t>(before) -
                          static_cast<std::ptrdiff_t>(Shape::front)};
    }

    /// Not where an overrun went through the zone before them.
    [[nodiscard]] bool marks_are_sound(const std::byte* object) const noexcept {
        const std::byte last = object[object_size() + back_zone - 1];
        return last == std::byte{zone_of_live} || last == std::byte{zone_of_free};
    }

    void put(std::byte* object, std::size_t mark, const void* by) const noexcept {
        __builtin_memcpy(object + object_size() + mark, static_cast<const void*>(&by), sizeof by);
    }
    [[nodiscard]] const void* who(const std::byte* object, std::size_t mark) const noexcept {
        const void* by = nullptr;
        __builtin_memcpy(static_cast<void*>(&by), object + object_size() + mark, sizeof by);
        return by;
    }
};

}  // namespace slab_allocator
