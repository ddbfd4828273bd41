#pragma once

// poke.hpp -- for tests that misbehave on purpose, or look at all of memory: AddressSanitizer does
// not look here. There, byte by byte and volatile, so that nothing becomes a call of memcpy.

#include <cstddef>
#include <cstring>

#include <slab_allocator/core/poison.hpp>

namespace support {

[[nodiscard, gnu::noinline, gnu::no_sanitize_address]] inline std::byte peek(const void* at) {
    return *static_cast<const volatile std::byte*>(at);
}
[[gnu::noinline, gnu::no_sanitize_address]] inline void poke(void* at, std::byte value) {
    *static_cast<volatile std::byte*>(at) = value;
}

[[gnu::noinline, gnu::no_sanitize_address]] inline void fill_raw(void* to, std::byte value,
                                                                 std::size_t size) {
    if constexpr (slab_allocator::detail::hides) {
        auto* const bytes = static_cast<volatile std::byte*>(to);
        for (std::size_t index = 0; index < size; ++index)
            bytes[index] = value;
    } else {
        std::memset(to, static_cast<int>(value), size);
    }
}
[[gnu::noinline, gnu::no_sanitize_address]] inline void copy_raw(void* to, const void* from,
                                                                 std::size_t size) {
    if constexpr (slab_allocator::detail::hides) {
        auto* const bytes = static_cast<volatile std::byte*>(to);
        const auto* const others = static_cast<const volatile std::byte*>(from);
        for (std::size_t index = 0; index < size; ++index)
            bytes[index] = others[index];
    } else {
        std::memcpy(to, from, size);
    }
}

}  // namespace support
