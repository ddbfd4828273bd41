// barrier.cpp -- asks, and answers.

#include "barrier.hpp"

#include <cstddef>

#include "cpu.hpp"
#include "interrupts.hpp"
#include "machine.hpp"
#include "smp.hpp"

namespace kernel {

namespace {

constinit std::size_t asked = 0;

/// Up to which number a CPU has answered: one interrupt may answer several askers.
struct alignas(64) Answer {
    std::size_t number = 0;
};
constinit Answer answers[most_cpus] = {};

}  // namespace

bool barrier_on_all_cpus() noexcept {
    if (!interrupts_are_enabled()) return false;
    const std::size_t number = __atomic_add_fetch(&asked, 1, __ATOMIC_SEQ_CST);
    if (cpus_number() > 1) ask_all_others_for_barrier();
    for (std::size_t cpu = 0; cpu < cpus_number(); ++cpu) {
        if (cpu == this_cpu()) continue;
        while (__atomic_load_n(&answers[cpu].number, __ATOMIC_ACQUIRE) < number)
            pause();
    }
    return true;
}

void answer_barrier() noexcept {
    const std::size_t number = __atomic_load_n(&asked, __ATOMIC_ACQUIRE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&answers[this_cpu()].number, number, __ATOMIC_RELEASE);
}

}  // namespace kernel
