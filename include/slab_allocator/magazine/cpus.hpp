#pragma once

// cpus.hpp -- which slot is mine, and how it stays mine for the length of a pop: the policies.
//
//      Pin pin = enter();     pin.index < slots_number: nobody else enters this slot until ...
//      leave(pin);            ... the caller left it;  == slots_number: the caller has none
//
// A policy keeps apart those who *enter* a slot. One who comes from outside, to empty it, is kept
// apart by the slot itself (cpu_slot.hpp), with the help of synchronise().

#include <concepts>
#include <cstddef>
#include <utility>

namespace slab_allocator {

/// enter() and leave() stand in each alloc and free. The others are for slow paths, and are called
/// with no slot entered and no lock held.
template <typename Cpus>
concept CpuPolicy = requires(Cpus& cpus, typename Cpus::Pin& pin) {
    /// How many slots there are.
    { Cpus::slots_number } -> std::convertible_to<std::size_t>;
    { cpus.enter() } -> std::same_as<typename Cpus::Pin>;
    { pin.index } -> std::convertible_to<std::size_t>;
    { cpus.leave(pin) } -> std::same_as<void>;
    /// A caller without a slot may get one here.
    { cpus.join() } -> std::same_as<void>;
    /// Returns when every store that this caller made before is seen by every enter() that comes
    /// after it, and every store of an enter() before it by this caller: a memory barrier on all
    /// CPUs that are in a slot. false: that cannot be done, other CPUs' slots are out of reach.
    { cpus.synchronise() } -> std::same_as<bool>;
    /// Somebody is in the slot that this caller waits for.
    { cpus.wait() } -> std::same_as<void>;
};

/// What a kernel knows of its CPUs. pin() makes the caller stay on its CPU, alone: preemption off,
/// and interrupts, too, where their handlers allocate; what it returns goes back to unpin().
/// barrier_on_all_cpus() is an inter-processor interrupt and the wait for its answers; false where
/// there is none. relax() is the pause of a spin loop.
template <typename Machine>
concept CpuMachine = requires(Machine& machine) {
    machine.unpin(machine.pin());
    { machine.cpu_index() } -> std::convertible_to<std::size_t>;
    { machine.barrier_on_all_cpus() } -> std::same_as<bool>;
    { machine.relax() } -> std::same_as<void>;
};

/// The policy for a kernel: one slot per CPU, held by what the machine's pin() does. A CPU whose
/// index is beyond the slots has none.
template <CpuMachine Machine, std::size_t cpus_number>
class KernelCpus {
public:
    static constexpr std::size_t slots_number = cpus_number;

    struct Pin {
        decltype(std::declval<Machine&>().pin()) before;
        std::size_t index;
    };

    constexpr KernelCpus() noexcept = default;
    constexpr explicit KernelCpus(Machine machine) noexcept : machine_(machine) {}

    [[nodiscard]] Pin enter() noexcept {
        auto before = machine_.pin();
        const std::size_t index = machine_.cpu_index();
        return {before, index < slots_number ? index : slots_number};
    }
    void leave(Pin& pin) noexcept { machine_.unpin(pin.before); }
    void join() noexcept {}
    [[nodiscard]] bool synchronise() noexcept { return machine_.barrier_on_all_cpus(); }
    void wait() noexcept { machine_.relax(); }

private:
    [[no_unique_address]] Machine machine_{};
};

}  // namespace slab_allocator
