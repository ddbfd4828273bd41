#pragma once

// out_of_memory.hpp -- how a standard allocator says that there is no memory. Hosted.
//
// Everywhere else in this library that is a null pointer. Containers ask for an exception; where
// there are none (-fno-exceptions), the program ends, as it does with the standard's own allocator.

#include <cstddef>
#include <exception>
#include <limits>
#include <new>

namespace slab_allocator::detail {

[[noreturn, gnu::noinline, gnu::cold]] inline void out_of_memory() {
#if defined(__cpp_exceptions)
    throw std::bad_alloc();
#else
    std::terminate();
#endif
}

[[noreturn, gnu::noinline, gnu::cold]] inline void bad_array_length() {
#if defined(__cpp_exceptions)
    throw std::bad_array_new_length();
#else
    std::terminate();
#endif
}

/// Returns: what it is given, which is not null.
[[nodiscard]] inline void* or_out_of_memory(void* memory) {
    if (memory == nullptr) [[unlikely]]
        out_of_memory();
    return memory;
}

/// The bytes of `number` objects of `size` bytes; too many for any array throw.
[[nodiscard]] inline std::size_t array_bytes(std::size_t number, std::size_t size) {
    if (number > std::numeric_limits<std::ptrdiff_t>::max() / size) [[unlikely]]
        bad_array_length();
    return number * size;
}

}  // namespace slab_allocator::detail
