#pragma once

// poke.hpp -- for tests that misbehave on purpose, or look at all of memory: AddressSanitizer does
// not look here. There, word by word and volatile, so that nothing becomes a call of memcpy.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <slab_allocator/core/poison.hpp>

namespace support {

[[nodiscard, gnu::noinline, gnu::no_sanitize_address]] inline std::byte peek(const void* at) {
    return *static_cast<const volatile std::byte*>(at);
}
[[gnu::noinline, gnu::no_sanitize_address]] inline void poke(void* at, std::byte value) {
    *static_cast<volatile std::byte*>(at) = value;
}

/// Eight bytes anywhere, of whatever lies there.
using RawWord [[gnu::may_alias, gnu::aligned(1)]] = std::uint64_t;

[[gnu::noinline, gnu::no_sanitize_address]] inline void fill_raw(void* to, std::byte value,
                                                                 std::size_t size) {
    if constexpr (slab_allocator::detail::hides) {
        const std::uint64_t word = 0x0101'0101'0101'0101U * std::to_integer<std::uint64_t>(value);
        auto* bytes = static_cast<volatile std::byte*>(to);
        for (; size >= sizeof(word); size -= sizeof(word), bytes += sizeof(word))
            *static_cast<volatile RawWord*>(static_cast<volatile void*>(bytes)) = word;
        for (std::size_t index = 0; index < size; ++index)
            bytes[index] = value;
    } else {
        std::memset(to, static_cast<int>(value), size);
    }
}
[[gnu::noinline, gnu::no_sanitize_address]] inline void copy_raw(void* to, const void* from,
                                                                 std::size_t size) {
    if constexpr (slab_allocator::detail::hides) {
        auto* bytes = static_cast<volatile std::byte*>(to);
        auto* others = static_cast<const volatile std::byte*>(from);
        constexpr std::size_t word = sizeof(RawWord);
        for (; size >= word; size -= word, bytes += word, others += word) {
            *static_cast<volatile RawWord*>(static_cast<volatile void*>(bytes)) =
                *static_cast<const volatile RawWord*>(static_cast<const volatile void*>(others));
        }
        for (std::size_t index = 0; index < size; ++index)
            bytes[index] = others[index];
    } else {
        std::memcpy(to, from, size);
    }
}

}  // namespace support
