#pragma once

// interrupts.hpp -- exceptions, which end everything, and the interrupts of the local APIC: a timer
// on each CPU, and one CPU that wakes another, or asks it for a memory barrier.

#include <cstddef>
#include <cstdint>

namespace kernel {

inline constexpr std::uint64_t local_apic_address = 0xfee0'0000;

/// What the entries leave on the stack.
struct InterruptFrame {
    std::uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    std::uint64_t vector, error, rip, cs, flags, rsp, ss;
};

/// On the first CPU, once, and on every CPU.
void build_interrupt_table() noexcept;
void use_interrupts() noexcept;

/// From now on `handler` is called on this CPU every `period` ticks of the bus; not while
/// interrupts are disabled.
using TimerHandler = void (*)() noexcept;
void start_timer(TimerHandler handler, std::uint32_t period) noexcept;
void stop_timer() noexcept;

[[nodiscard]] std::uint32_t this_apic_id() noexcept;
void wake_all_others() noexcept;
/// Every other CPU calls answer_barrier() as soon as its interrupts are on.
void ask_all_others_for_barrier() noexcept;
/// The first instruction of a CPU that is off will be at this address, a page below 1 MiB.
void start_apic(std::uint32_t apic_id, std::uint32_t address) noexcept;

}  // namespace kernel
