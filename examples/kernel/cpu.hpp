#pragma once

// cpu.hpp -- which CPU is this? Each has its number at the start of what its GS register points to.

#include <cstddef>
#include <cstdint>

#include "machine.hpp"

namespace kernel {

inline constexpr std::size_t most_cpus = 16;

struct alignas(64) Cpu {
    std::uint32_t number = 0;
    std::uint32_t apic_id = 0;
};
inline constinit Cpu cpus[most_cpus];

/// Requires: called once on each CPU, before everything else.
inline void become_cpu(std::size_t number) noexcept {
    cpus[number].number = static_cast<std::uint32_t>(number);
    constexpr std::uint32_t gs_base = 0xc0000101;
    write_msr(gs_base, reinterpret_cast<std::uint64_t>(&cpus[number]));
}

[[nodiscard]] inline std::size_t this_cpu() noexcept {
    std::uint32_t number = 0;
    asm volatile("movl %%gs:0, %0" : "=r"(number));
    return number;
}

}  // namespace kernel
