#pragma once

// rseq_cpus.hpp -- the policy of a program with many threads: a slot for each CPU. Hosted.
//
//      threads      A  B  C  D  E ...        however many: what one leaves, the next on its CPU has
//      CPUs           0       1
//      slots        | 0 |   | 1 |
//
// pop and push are restartable sequences (rseq.hpp). A slow path claims the slot as one from
// outside does, and then looks again where it runs: it has been on that CPU since the slot was
// closed, so nobody else's sequence of that CPU is under way: the kernel took the CPU from it.
//
// Where there are no such sequences, the slots are those of threads, as ThreadCpus has them.
//
// Invariants
//   [R1] in one process, slots are either those of CPUs or those of threads

#include <sched.h>

#include <cstddef>

#include <slab_allocator/magazine/cpus.hpp>
#include <slab_allocator/magazine/rseq.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>

namespace slab_allocator {

/// A CPU whose number is `most_cpus` or more has no slot, nor has a thread that the C library knows
/// nothing of. Not for signal handlers, as ThreadCpus.
template <std::size_t most_cpus = 64, typename SequencesOfMachine = Sequences>
class RseqCpus {
    using Threads =
        ThreadCpus<most_cpus>;  // no member: g++ 12 forgets what lies beside an empty one

public:
    static constexpr std::size_t slots_number = most_cpus;

    /// Are the slots those of CPUs?
    [[nodiscard]] static bool per_cpu() noexcept { return SequencesOfMachine::registered(); }

    template <typename Slot>
    [[nodiscard]] bool pop(Slot* slots, typename Slot::Pointer& object) noexcept {
        if (SequencesOfMachine::template pop<slots_number>(slots, object)) [[likely]]
            return true;
        return !per_cpu() && Threads().pop(slots, object);  // [R1]
    }
    template <typename Slot>
    [[nodiscard]] bool push(Slot* slots, typename Slot::Pointer object) noexcept {
        if (SequencesOfMachine::template push<slots_number>(slots, object)) [[likely]]
            return true;
        return !per_cpu() && Threads().push(slots, object);
    }

    template <typename Slot>
    [[nodiscard]] auto hold(Slot* slots) noexcept {
        using Held = decltype(Threads().hold(slots));
        if (!per_cpu()) return Threads().hold(slots);
        for (;;) {
            const std::size_t cpu = SequencesOfMachine::cpu();
            if (cpu >= slots_number) return Held{};
            Slot& slot = slots[cpu];
            if (!slot.claim(Claim::owners)) return Held{};
            if (SequencesOfMachine::cpu() == cpu) return Held{.slot = &slot, .pin = {}};
            slot.open();
        }
    }
    template <typename Held>
    void let_go(const Held&) noexcept {}

    void join() noexcept {
        if (!per_cpu()) Threads().join();
    }
    [[nodiscard]] Reach synchronise() noexcept {
        if (!per_cpu()) return Threads().synchronise();
        return SequencesOfMachine::restart_all() ? Reach::magazines : Reach::own;
    }
    void wait() noexcept { Threads().wait(); }
    void after_fork_in_child() noexcept {
        if (!per_cpu()) Threads().after_fork_in_child();
    }
};

}  // namespace slab_allocator
