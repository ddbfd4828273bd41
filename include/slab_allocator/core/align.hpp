#pragma once

// align.hpp -- arithmetic on addresses: the only place that turns a pointer into a number, or back.
//
//      align_down(a, 4096)        a        align_up(a, 4096)
//      |--------------------------+-----------------|
//
// Every alignment is a power of two, not checked: the configuration is, at compile time.

#include <cstddef>
#include <cstdint>

static_assert(__cplusplus > 201703L,
              "slab_allocator is a C++20 library: compile with -std=c++20, or a later standard");

namespace slab_allocator {

/// Not std::has_single_bit: that is a call into libgcc where it is not inlined.
[[nodiscard]] constexpr bool is_power_of_two(std::size_t value) noexcept {
    return value != 0 && (value & (value - 1)) == 0;
}

template <typename Number>
[[nodiscard]] constexpr Number align_down(Number value, std::size_t alignment) noexcept {
    return value & ~static_cast<Number>(alignment - 1);
}

template <typename Number>
[[nodiscard]] constexpr Number align_up(Number value, std::size_t alignment) noexcept {
    return align_down(static_cast<Number>(value + alignment - 1), alignment);
}

[[nodiscard]] constexpr std::size_t divide_up(std::size_t value, std::size_t by) noexcept {
    return (value + by - 1) / by;
}

[[nodiscard]] inline std::uintptr_t address_of(const void* pointer) noexcept {
    return reinterpret_cast<std::uintptr_t>(pointer);
}

/// What address_of() turned into a number.
template <typename T>
[[nodiscard]] T* pointer_to(std::uintptr_t address) noexcept {
    return reinterpret_cast<T*>(address);
}

[[nodiscard]] inline bool is_aligned(const void* pointer, std::size_t alignment) noexcept {
    return (address_of(pointer) & (alignment - 1)) == 0;
}

/// An object as memory, and back.
[[nodiscard]] inline std::byte* bytes_of(void* object) noexcept {
    return static_cast<std::byte*>(object);
}
template <typename T>
[[nodiscard]] T* object_in(std::byte* memory) noexcept {
    return static_cast<T*>(static_cast<void*>(memory));
}

/// The start of the aligned block that `pointer` lies in. Pointer arithmetic, so that compilers
/// and sanitizers still know where the result came from.
[[nodiscard]] inline std::byte* block_of(const std::byte* pointer, std::size_t alignment) noexcept {
    return reinterpret_cast<std::byte*>(align_down(address_of(pointer), alignment));
}

/// An address for comparisons only, which leads back to `pointer` with the same key.
[[nodiscard]] inline const void* disguised(const void* pointer, std::uint64_t key) noexcept {
    return reinterpret_cast<const void*>(address_of(pointer) ^ static_cast<std::uintptr_t>(key));
}

}  // namespace slab_allocator
