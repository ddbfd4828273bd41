#pragma once

// guards.hpp -- what stands around an object and in a free one, at the levels that have it.
//
//      hardened   slot -> | object ............... | canary |          canary: 8 bytes, keyed
//      debug      slot -> | front zone | object .. | back zone | allocated by | freed by |
//
//                   live                              free
//      hardened   canary(address, secret)           all zeros, canary inverted
//      debug      both zones 0xfd                   all 0x5a, both zones 0xfd
//
// A free object is made so by its free and looked at before it is handed out again, a live one is
// looked at by its free: a write after free and an overflow are found then, with the first wrong
// byte. An overflow that an attacker plans needs the canary, and that needs the secret. (Zero on
// free, verified, and a canary keyed by the address: hardened_malloc. Red zones, poison, and who
// allocated and freed: SLUB's debugging.)
//
// Slots that were never handed out are made free when they are first taken out of their slab: a new
// slab is not written through.
//
// Invariants
//   [G1] a slot below SlabInfo::untouched, that is no live object, is as a free one must be
//   [G2] a live object has the guards of a live one
//   [G3] levels none and misuse: no byte, no instruction

#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/layout.hpp>

namespace slab_allocator {

/// The first wrong byte of an object and its guards, counted from the object's first; and what that
/// means. Defect::None: there is none.
struct Wrong {
    Defect defect = Defect::None;
    std::ptrdiff_t offset = 0;
};

namespace detail {

inline void fill_bytes(std::byte* to, std::size_t size, std::uint8_t value) noexcept {
    __builtin_memset(to, value, size);
}

/// The index of the first byte that is not `value`; `size`: all are.
[[nodiscard]] inline std::size_t first_other_byte(const std::byte* from, std::size_t size,
                                                  std::uint8_t value) noexcept {
    const std::uint64_t eight = std::uint64_t{value} * 0x0101'0101'0101'0101U;
    std::size_t index = 0;
    for (; index + sizeof eight <= size; index += sizeof eight) {
        std::uint64_t found = 0;
        __builtin_memcpy(&found, from + index, sizeof found);
        if (found != eight) break;
    }
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

/// A secret and random numbers that follow from it: SplitMix, no secret of cryptography. It comes
/// from the backend, if that has `std::uint64_t secret()`, else from addresses.
class Secret {
public:
    /// The first call counts.
    void seed(std::uint64_t entropy) noexcept {
        if (secret_ != 0) return;
        secret_ = detail::mixed(entropy) | 1;
        state_ = detail::mixed(secret_);
    }
    [[nodiscard]] std::uint64_t of(std::uintptr_t address) const noexcept {
        return detail::mixed(address ^ secret_);
    }
    [[nodiscard]] std::uint64_t next() noexcept {
        return detail::mixed(state_ += 0x9e37'79b9'7f4a'7c15U);
    }
    /// A number below `bound`, which is less than 2^32.
    [[nodiscard]] std::size_t below(std::size_t bound) noexcept {
        return static_cast<std::size_t>(((next() >> 32) * bound) >> 32);
    }

private:
    std::uint64_t secret_ = 0;
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
        return disguised(cache, secret_.of(address_of(slab_info)));
    }

    void make_free(std::byte* object, const void*) const noexcept {
        detail::fill_bytes(object, layout.object_size, 0);
        put_canary(object, ~canary_of(object));
    }
    void make_live(std::byte* object, const void*) const noexcept {
        put_canary(object, canary_of(object));
    }

    [[nodiscard]] Wrong wrong_of_free(const std::byte* object) const noexcept {
        const std::size_t other = detail::first_other_byte(object, layout.object_size, 0);
        if (other != layout.object_size) [[unlikely]]
            return {.defect = Defect::WriteAfterFree, .offset = static_cast<std::ptrdiff_t>(other)};
        return wrong_canary(object, ~canary_of(object));
    }
    [[nodiscard]] Wrong wrong_of_live(const std::byte* object) const noexcept {
        return wrong_canary(object, canary_of(object));
    }

private:
    [[nodiscard]] std::uint64_t canary_of(const std::byte* object) const noexcept {
        return secret_.of(address_of(object));
    }
    static void put_canary(std::byte* object, std::uint64_t canary) noexcept {
        __builtin_memcpy(object + layout.object_size, &canary, sizeof canary);
    }
    [[nodiscard]] static Wrong wrong_canary(const std::byte* object,
                                            std::uint64_t canary) noexcept {
        std::uint64_t found = 0;
        __builtin_memcpy(&found, object + layout.object_size, sizeof found);
        if (found == canary) [[likely]]
            return {};
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
    static constexpr std::uint8_t zone = 0xfd;
    static constexpr std::uint8_t fresh = 0xcd;  // allocated, not written
    static constexpr std::uint8_t poison = 0x5a;

    [[nodiscard]] Secret& secret() noexcept { return secret_; }

    [[nodiscard]] static const void* identity(const void* cache, const void*) noexcept {
        return cache;
    }

    void make_free(std::byte* object, const void* by) const noexcept {
        detail::fill_bytes(object - layout.front, layout.front, zone);
        detail::fill_bytes(object, layout.object_size, poison);
        detail::fill_bytes(object + layout.object_size, back_zone, zone);
        put(object, freed, by);
    }
    void make_live(std::byte* object, const void* by) const noexcept {
        detail::fill_bytes(object, layout.object_size, fresh);
        put(object, allocated, by);
    }
    /// A slot that nobody had yet.
    void forget_who(std::byte* object) const noexcept { put(object, allocated, nullptr); }

    [[nodiscard]] Wrong wrong_of_free(const std::byte* object) const noexcept {
        const std::size_t other = detail::first_other_byte(object, layout.object_size, poison);
        if (other != layout.object_size) [[unlikely]]
            return {.defect = Defect::WriteAfterFree, .offset = static_cast<std::ptrdiff_t>(other)};
        return wrong_of_live(object);
    }
    [[nodiscard]] Wrong wrong_of_live(const std::byte* object) const noexcept {
        const std::size_t back =
            detail::first_other_byte(object + layout.object_size, back_zone, zone);
        if (back != back_zone) [[unlikely]]
            return {.defect = Defect::Overflow,
                    .offset = static_cast<std::ptrdiff_t>(layout.object_size + back)};
        const std::size_t front =
            detail::first_other_byte(object - layout.front, layout.front, zone);
        if (front != layout.front) [[unlikely]] {
            return {.defect = Defect::Overflow,
                    .offset = static_cast<std::ptrdiff_t>(front) -
                              static_cast<std::ptrdiff_t>(layout.front)};
        }
        return {};
    }

    [[nodiscard]] static const void* allocated_by(const std::byte* object) noexcept {
        return who(object, allocated);
    }
    [[nodiscard]] static const void* freed_by(const std::byte* object) noexcept {
        return who(object, freed);
    }

private:
    static constexpr std::size_t marks = 2 * sizeof(void*);
    static constexpr std::size_t back_zone = layout.behind - marks;
    static constexpr std::size_t allocated = layout.object_size + back_zone;
    static constexpr std::size_t freed = allocated + sizeof(void*);

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
