// smp.cpp -- reads who is there (ACPI: the table MADT), starts them, gives them work.

#include "smp.hpp"

#include <cstddef>
#include <cstdint>

#include "boot_info.hpp"
#include "cpu.hpp"
#include "interrupts.hpp"
#include "machine.hpp"
#include "paging.hpp"
#include "serial.hpp"

extern "C" {
extern const char trampoline_start[];
extern const char trampoline_end[];
constinit char* starting_stack = nullptr;
[[noreturn]] void cpu_main() noexcept;
}

namespace kernel {

namespace {

constexpr std::uint32_t trampoline_address = 0x8000;
constexpr std::size_t stack_size = 32768;

alignas(16) constinit char stacks[most_cpus][stack_size] = {};
constinit std::size_t number_of_cpus = 1;  // the last of them is being started
constinit std::size_t arrived = 1;

// A call of run_on_cpus(): its number, and in the low byte how many CPUs take part. One word, so
// that a CPU that wakes late cannot mix one call with the next.
constinit std::size_t call = 0;
constinit Work current_work = nullptr;
constinit std::size_t done = 0;

struct [[gnu::packed]] AcpiTable {
    char signature[4];
    std::uint32_t length;
    char others[28];
};

[[nodiscard]] bool is(const char* signature, const char* expected) noexcept {
    for (; *expected != '\0'; ++expected, ++signature) {
        if (*expected != *signature) return false;
    }
    return true;
}

/// Where the loader did not say: the firmware's memory below 1 MiB.
[[nodiscard]] AcpiRoot find_root(const BootInfo& info) noexcept {
    if (is(info.acpi_root.signature, "RSD PTR ")) return info.acpi_root;
    for (std::uint64_t address = 0xe0000; address < 0x100000; address += 16) {
        const auto& root = *at_physical<AcpiRoot>(address);
        if (is(root.signature, "RSD PTR ")) return root;
    }
    return {};
}

[[nodiscard]] std::uint64_t find_madt(const AcpiRoot& root) noexcept {
    const bool wide = root.revision >= 2 && root.table64 != 0;
    const std::uint64_t list = wide ? root.table64 : root.table32;
    if (list == 0) return 0;
    const std::uint32_t length = at_physical<AcpiTable>(list)->length;
    const std::size_t step = wide ? 8 : 4;
    for (std::uint64_t at = sizeof(AcpiTable); at + step <= length; at += step) {
        const char* const entry = at_physical<const char>(list + at);
        std::uint64_t table = 0;
        __builtin_memcpy(&table, entry, step);
        if (is(at_physical<AcpiTable>(table)->signature, "APIC")) return table;
    }
    return 0;
}

void start_cpu(std::uint32_t apic_id) noexcept {
    if (number_of_cpus == most_cpus) return;
    const std::size_t number = number_of_cpus++;
    cpus[number].apic_id = apic_id;
    starting_stack = stacks[number] + stack_size;
    start_apic(apic_id, trampoline_address);
    while (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < number_of_cpus)
        pause();
}

void start_cpus_of(std::uint64_t madt) noexcept {
    constexpr std::uint64_t entries = sizeof(AcpiTable) + 8;
    const std::uint32_t length = at_physical<AcpiTable>(madt)->length;
    const std::uint32_t self = this_apic_id();
    for (std::uint64_t at = entries; at < length;) {
        const auto* const entry = at_physical<const std::uint8_t>(madt + at);
        const bool is_cpu = entry[0] == 0;  // a local APIC: ..., its id, 4 bytes of flags
        if (is_cpu && (entry[4] & 1) != 0 && entry[3] != self) start_cpu(entry[3]);
        at += entry[1];
    }
}

[[noreturn]] void take_part() noexcept {
    for (std::size_t last_call = 0;;) {
        disable_interrupts();
        const std::size_t now = __atomic_load_n(&call, __ATOMIC_ACQUIRE);
        if (now == last_call) {
            enable_interrupts_and_wait();
            continue;
        }
        last_call = now;
        if (this_cpu() < now % 256) {
            enable_interrupts();
            current_work();
            disable_interrupts();
            __atomic_fetch_add(&done, 1, __ATOMIC_RELEASE);
        }
    }
}

}  // namespace

std::size_t start_all_cpus(const BootInfo& info) noexcept {
    cpus[0].apic_id = this_apic_id();
    __builtin_memcpy(at_physical<char>(trampoline_address), trampoline_start,
                     static_cast<std::size_t>(trampoline_end - trampoline_start));
    const std::uint64_t madt = find_madt(find_root(info));
    if (madt != 0) start_cpus_of(madt);
    return number_of_cpus;
}

std::size_t cpus_number() noexcept { return number_of_cpus; }

void run_on_cpus(std::size_t number, Work work) noexcept {
    current_work = work;
    __atomic_store_n(&done, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&call, (call / 256 + 1) * 256 + number, __ATOMIC_RELEASE);
    if (number > 1) wake_all_others();
    work();
    while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) < number)
        pause();
}

}  // namespace kernel

void cpu_main() noexcept {
    using namespace kernel;
    use_kernel_page_tables();
    const std::size_t number = number_of_cpus - 1;
    become_cpu(number);
    use_interrupts();
    __atomic_fetch_add(&arrived, 1, __ATOMIC_RELEASE);
    take_part();
}
