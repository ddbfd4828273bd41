#pragma once

// machine.hpp -- the instructions that C++ has no words for.

#include <cstdint>

namespace kernel {

inline void write_port8(std::uint16_t port, std::uint8_t value) noexcept {
    asm volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
inline void write_port32(std::uint16_t port, std::uint32_t value) noexcept {
    asm volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}
[[nodiscard]] inline std::uint8_t read_port8(std::uint16_t port) noexcept {
    std::uint8_t value = 0;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

inline void write_msr(std::uint32_t msr, std::uint64_t value) noexcept {
    asm volatile("wrmsr" ::"c"(msr), "a"(static_cast<std::uint32_t>(value)),
                 "d"(static_cast<std::uint32_t>(value >> 32)));
}

[[nodiscard]] inline std::uint64_t ticks() noexcept {
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
    return std::uint64_t{high} << 32 | low;
}

[[nodiscard]] inline std::uint64_t fault_address() noexcept {
    std::uint64_t address = 0;
    asm volatile("movq %%cr2, %0" : "=r"(address));
    return address;
}
inline void use_page_tables(std::uint64_t physical) noexcept {
    asm volatile("movq %0, %%cr3" ::"r"(physical) : "memory");
}

inline void pause() noexcept { asm volatile("pause"); }

/// Interrupts off. Returns: what restore_interrupts() needs.
[[nodiscard]] inline std::uint64_t save_interrupts() noexcept {
    std::uint64_t flags = 0;
    asm volatile("pushfq; popq %0; cli" : "=r"(flags)::"memory");
    return flags;
}
inline void restore_interrupts(std::uint64_t flags) noexcept {
    asm volatile("pushq %0; popfq" ::"r"(flags) : "memory", "cc");
}
[[nodiscard]] inline bool interrupts_are_enabled() noexcept {
    std::uint64_t flags = 0;
    asm volatile("pushfq; popq %0" : "=r"(flags)::"memory");
    return (flags & 0x200) != 0;
}
inline void disable_interrupts() noexcept { asm volatile("cli" ::: "memory"); }
inline void enable_interrupts() noexcept { asm volatile("sti" ::: "memory"); }

/// Sleeps until the next interrupt, without missing one that comes right now.
inline void enable_interrupts_and_wait() noexcept { asm volatile("sti; hlt" ::: "memory"); }

[[noreturn]] inline void halt() noexcept {
    for (;;)
        asm volatile("cli; hlt");
}

/// Leaves QEMU by its device isa-debug-exit; a machine without it halts.
[[noreturn]] inline void leave(bool success) noexcept {
    write_port32(0xf4, success ? 0x10 : 0x11);  // QEMU's own status: 2 * value + 1
    halt();
}

}  // namespace kernel
