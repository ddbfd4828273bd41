#pragma once

// cpus.hpp -- which slot is mine, and how it stays mine for the length of a pop: the policies.
//
//      pop, push                     alloc and free, while a magazine serves
//      hold ... let_go               slow paths of the slot's own CPU: it has claimed it
//      slot.claim, synchronise       from outside, to empty it
//
//      PinnedCpus     enter ... leave: nobody else enters this slot in between     | kernels,
//                     { pop of the slot's own }                                    | threads
//
// A policy keeps apart those who work in a slot at the same time, because they run on the same CPU
// or are the same thread. One who comes from outside is kept apart by the slot (cpu_slot.hpp).

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <slab_allocator/magazine/cpu_slot.hpp>

namespace slab_allocator {

/// What one may have of a slot that one has claimed from outside.
enum class Reach : unsigned char {
    own,       ///< nothing: only one's own slot is in reach
    objects,   ///< what objects() finds, and the previous magazine
    magazines  ///< the loaded magazine, too: no pop and no push is under way that writes, and none
               ///< that begins now does; PinnedCpus' pop does, before it looks
};

template <typename Slot, typename Pin>
struct HeldSlot {
    Slot* slot;
    Pin pin;
};

/// pop and push stand in each alloc and free. The others are for slow paths.
template <typename Cpus>
concept CpuPolicy = requires(Cpus& cpus, CpuSlot<std::byte>* slots, std::byte*& object) {
    /// How many slots there are. Behind them lies one more, closed: that of callers without one.
    { Cpus::slots_number } -> std::convertible_to<std::size_t>;
    /// Of the caller's slot. false: it could not.
    { cpus.pop(slots, object) } -> std::same_as<bool>;
    { cpus.push(slots, object) } -> std::same_as<bool>;
    /// The caller's slot, claimed, and no pop or push of it under way; nullptr: it has none, or it
    /// is claimed by somebody else. When the claim has ended, let_go.
    { cpus.hold(slots).slot } -> std::convertible_to<CpuSlot<std::byte>*>;
    cpus.let_go(cpus.hold(slots));
    /// A caller without a slot may get one here. Called with no slot held and no lock.
    { cpus.join() } -> std::same_as<void>;
    /// A memory barrier on all CPUs: what this caller stored before is seen by whatever pop or push
    /// comes after it, and what those before it stored, by this caller. Called with no lock.
    { cpus.synchronise() } -> std::same_as<Reach>;
    /// Somebody holds the slot that this caller waits for.
    { cpus.wait() } -> std::same_as<void>;
    /// The process is the child of a fork, and this caller its only thread.
    { cpus.after_fork_in_child() } -> std::same_as<void>;
};

/// The base class of a policy by whose enter() the caller is alone in a slot until leave(), at
/// Pin::offset in the array of slots.
template <typename Derived>
// NOLINTNEXTLINE(bugprone-crtp-constructor-accessibility): policies are aggregates
class PinnedCpus {
public:
    template <typename Slot>
    [[nodiscard]] bool pop(Slot* slots, typename Slot::Pointer& object) noexcept {
        const auto pin = derived().enter();
        const bool done = Slot::at(slots, pin.offset).pop(object);
        derived().leave(pin);
        return done;
    }

    template <typename Slot>
    [[nodiscard]] bool push(Slot* slots, typename Slot::Pointer object) noexcept {
        const auto pin = derived().enter();
        const bool done = Slot::at(slots, pin.offset).push(object);
        derived().leave(pin);
        return done;
    }

    template <typename Slot>
    [[nodiscard]] auto hold(Slot* slots) noexcept {
        const auto pin = derived().enter();
        Slot* slot = nullptr;
        if (pin.offset != Derived::slots_number * cpu_slot_size) {
            slot = &Slot::at(slots, pin.offset);
            if (!slot->claim(Claim::owners)) slot = nullptr;
        }
        return HeldSlot<Slot, std::remove_const_t<decltype(pin)>>{slot, pin};
    }
    template <typename Held>
    void let_go(const Held& held) noexcept {
        derived().leave(held.pin);
    }

    void after_fork_in_child() noexcept {}  // for policies that know of no thread

private:
    [[nodiscard]] Derived& derived() noexcept { return static_cast<Derived&>(*this); }
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
class KernelCpus : public PinnedCpus<KernelCpus<Machine, cpus_number>> {
public:
    static constexpr std::size_t slots_number = cpus_number;

    struct Pin {
        decltype(std::declval<Machine&>().pin()) before;
        std::size_t offset;
    };

    constexpr KernelCpus() noexcept = default;
    constexpr explicit KernelCpus(Machine machine) noexcept : machine_(machine) {}

    [[nodiscard]] Pin enter() noexcept {
        auto before = machine_.pin();
        const std::size_t index = machine_.cpu_index();
        return {before, (index < slots_number ? index : slots_number) * cpu_slot_size};
    }
    void leave(const Pin& pin) noexcept { machine_.unpin(pin.before); }
    void join() noexcept {}
    [[nodiscard]] Reach synchronise() noexcept {
        return machine_.barrier_on_all_cpus() ? Reach::objects : Reach::own;
    }
    void wait() noexcept { machine_.relax(); }

private:
    [[no_unique_address]] Machine machine_{};
};

}  // namespace slab_allocator
