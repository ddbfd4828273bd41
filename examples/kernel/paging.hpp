#pragma once

// paging.hpp -- where physical memory is seen.
//
//      0xffff800000000000   all memory that is in the map, at its physical address: data, no code
//      0xffffffff80000000   the kernel's image, page by page as its sections want it

#include <cstddef>
#include <cstdint>

namespace kernel {

struct BootInfo;

inline constexpr std::uint64_t physical_memory = 0xffff'8000'0000'0000;
inline constexpr std::uint64_t kernel_image = 0xffff'ffff'8000'0000;

template <typename T>
[[nodiscard]] T* at_physical(std::uint64_t address) noexcept {
    return reinterpret_cast<T*>(physical_memory + address);
}

[[nodiscard]] inline std::uint64_t physical_of_kernel(const void* pointer) noexcept {
    return reinterpret_cast<std::uint64_t>(pointer) - kernel_image;
}

/// Page tables for everything above, and nothing else. Takes their pages from `info`.
void build_page_tables(BootInfo& info) noexcept;

/// Effects: this CPU uses them. Requires: they are built.
void use_kernel_page_tables() noexcept;

}  // namespace kernel
