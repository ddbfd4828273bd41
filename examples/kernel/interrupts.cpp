// interrupts.cpp -- the table of 256 entries, and the local APIC.

#include "interrupts.hpp"

#include <cstddef>
#include <cstdint>

#include "barrier.hpp"
#include "cpu.hpp"
#include "machine.hpp"
#include "paging.hpp"
#include "serial.hpp"

extern "C" {
extern const char interrupt_entries[];
void on_interrupt(kernel::InterruptFrame* frame) noexcept;
}

namespace kernel {

namespace {

constexpr std::uint64_t timer_vector = 0x40;
constexpr std::uint64_t wake_vector = 0x41;
constexpr std::uint64_t barrier_vector = 0x42;
constexpr std::uint64_t spurious_vector = 0xff;

struct Gate {
    std::uint16_t address_low, code_segment, type, address_middle;
    std::uint32_t address_high, reserved;
};
struct [[gnu::packed]] TablePointer {
    std::uint16_t last_byte;
    const Gate* table;
};

constinit Gate table[256] = {};
constinit TimerHandler timer_handlers[most_cpus] = {};

enum class Register : std::uint32_t {
    Id = 0x20,
    EndOfInterrupt = 0xb0,
    Spurious = 0xf0,
    CommandLow = 0x300,
    CommandHigh = 0x310,
    Timer = 0x320,
    TimerStart = 0x380,
    TimerDivisor = 0x3e0,
};

[[nodiscard]] volatile std::uint32_t& local_apic(Register number) noexcept {
    return *at_physical<volatile std::uint32_t>(local_apic_address +
                                                static_cast<std::uint32_t>(number));
}

void send(std::uint32_t apic_id, std::uint32_t command) noexcept {
    local_apic(Register::CommandHigh) = apic_id << 24;
    local_apic(Register::CommandLow) = command;
    while ((local_apic(Register::CommandLow) & 0x1000) != 0)
        pause();
}

void wait_ticks(std::uint64_t number) noexcept {
    for (const std::uint64_t start = ticks(); ticks() - start < number;)
        pause();
}

[[noreturn]] void on_exception(const InterruptFrame& frame) noexcept {
    serial::put("\nEXCEPTION ");
    serial::put(frame.vector);
    serial::put(", error ");
    serial::put(Hex{frame.error});
    serial::put(", at ");
    serial::put(Hex{frame.rip});
    serial::put(", address ");
    serial::put(Hex{fault_address()});
    panic("an exception");
}

}  // namespace

void build_interrupt_table() noexcept {
    constexpr std::size_t entry_size = 16;
    for (std::size_t vector = 0; vector < 256; ++vector) {
        const auto address =
            reinterpret_cast<std::uint64_t>(interrupt_entries + vector * entry_size);
        table[vector] = {.address_low = static_cast<std::uint16_t>(address),
                         .code_segment = 8,
                         .type = 0x8e00,
                         .address_middle = static_cast<std::uint16_t>(address >> 16),
                         .address_high = static_cast<std::uint32_t>(address >> 32),
                         .reserved = 0};
    }
    write_port8(0x21, 0xff);  // the old interrupt controllers stay silent
    write_port8(0xa1, 0xff);
}

void use_interrupts() noexcept {
    const TablePointer pointer{sizeof(table) - 1, table};
    asm volatile("lidt %0" ::"m"(pointer));
    local_apic(Register::Spurious) = 0x100 | spurious_vector;
}

void start_timer(TimerHandler handler, std::uint32_t period) noexcept {
    timer_handlers[this_cpu()] = handler;
    local_apic(Register::TimerDivisor) = 3;  // 16
    local_apic(Register::Timer) = 0x20000 | timer_vector;
    local_apic(Register::TimerStart) = period;
}

void stop_timer() noexcept { local_apic(Register::Timer) = 0x10000; }

std::uint32_t this_apic_id() noexcept { return local_apic(Register::Id) >> 24; }

void wake_all_others() noexcept { send(0, 0xc4000 | wake_vector); }
void ask_all_others_for_barrier() noexcept { send(0, 0xc4000 | barrier_vector); }

void start_apic(std::uint32_t apic_id, std::uint32_t address) noexcept {
    constexpr std::uint64_t millisecond = 4'000'000;  // or more: the rate is not known
    send(apic_id, 0x4500);
    wait_ticks(10 * millisecond);
    for (int again = 0; again < 2; ++again) {  // the second time nothing happens if it has started
        send(apic_id, 0x4600 | address >> 12);
        wait_ticks(millisecond);
    }
}

}  // namespace kernel

void on_interrupt(kernel::InterruptFrame* frame) noexcept {
    using namespace kernel;
    if (frame->vector < 32) on_exception(*frame);
    if (frame->vector == spurious_vector) return;
    if (frame->vector == barrier_vector) answer_barrier();
    if (frame->vector == timer_vector) timer_handlers[this_cpu()]();
    local_apic(Register::EndOfInterrupt) = 0;
}
