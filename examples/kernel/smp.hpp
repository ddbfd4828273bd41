#pragma once

// smp.hpp -- all CPUs of the machine.

#include <cstddef>

namespace kernel {

struct BootInfo;

/// Finds the other CPUs in the firmware's tables and starts them. Returns: how many there are.
std::size_t start_all_cpus(const BootInfo& info) noexcept;

[[nodiscard]] std::size_t cpus_number() noexcept;

/// Runs `work` on the first `number` CPUs at once, with interrupts on, and comes back when all are
/// done; all others sleep. On the first CPU, which runs it, too.
using Work = void (*)() noexcept;
void run_on_cpus(std::size_t number, Work work) noexcept;

}  // namespace kernel
