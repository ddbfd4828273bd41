// main.cpp -- an x86_64 kernel that allocates: what it does, from the first line to the last.

#include <cstdint>

#include "boot_info.hpp"
#include "cpu.hpp"
#include "interrupts.hpp"
#include "machine.hpp"
#include "memory.hpp"
#include "paging.hpp"
#include "serial.hpp"
#include "smp.hpp"
#include "tests.hpp"

namespace kernel {

namespace {
constinit BootInfo boot_info;
}

extern "C" [[noreturn]] void kernel_main(std::uint32_t magic, std::uint32_t address) noexcept {
    become_cpu(0);
    serial::start();
    read_boot_info(boot_info, magic, address);
    build_page_tables(boot_info);
    build_interrupt_table();
    use_interrupts();
    start_memory(boot_info);
    print("booted by ", boot_info.loader, ", CPUs: ", start_all_cpus(boot_info), "\n");
    enable_interrupts();

    if (boot_info.asks_for("benchmark")) {
        run_benchmark(boot_info.asks_for("cycles"));
    } else {
        run_tests(boot_info.asks_for("magazines"));
    }
    leave(true);
}

}  // namespace kernel
