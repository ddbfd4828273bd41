#pragma once

// heap_front.hpp -- what one CPU has at its hand: a short stack of free blocks for each class.
//
//      class 0   | null | . | . | . |     |        alloc pops, free pushes
//                                   ^top  ^limit
//      class 1   | null | . |   |                  all in one piece of memory, so that a CPU's own
//      ...                                         pages are its own
//
// A magazine for each class would be two lines of 128 bytes and two quarters of a page for each of
// 64 classes and each CPU. A heap's classes are used unevenly, so all of them share one block of a
// few pages, and a stack starts short: it doubles when it was empty or full, up to what 16 KiB or
// 64 blocks hold.
//
// Who may touch a front: as a CpuSlot's; the CPU that entered it, between seize() and release(); or
// the one who claimed it, between claim() with everybody's barrier and busy() == false, and
// unclaim().
//
// Invariants
//   [F1] the entry below a stack is null: the pop of nothing finds null
//   [F2] top <= limit <= bottom + capacity of the class, in each stack

#include <concepts>
#include <cstddef>
#include <cstdint>

#include <slab_allocator/heap/size_classes.hpp>
#include <slab_allocator/magazine/atomics.hpp>
#include <slab_allocator/magazine/cpus.hpp>

namespace slab_allocator {

/// A CpuPolicy by whose enter() the caller is alone in a slot until leave(): KernelCpus is one.
template <typename Cpus>
concept PinnedCpuPolicy = requires(Cpus& cpus, typename Cpus::Pin& pin) {
    { Cpus::slots_number } -> std::convertible_to<std::size_t>;
    { cpus.enter() } -> std::same_as<typename Cpus::Pin>;
    { pin.offset } -> std::convertible_to<std::size_t>;
    { cpus.leave(pin) } -> std::same_as<void>;
    { cpus.join() } -> std::same_as<void>;
    { cpus.synchronise() } -> std::same_as<Reach>;
    { cpus.wait() } -> std::same_as<void>;
};

/// How many blocks of a class one CPU keeps at most.
[[nodiscard]] constexpr std::size_t front_capacity(std::size_t number) noexcept {
    constexpr std::size_t bytes = std::size_t{16} * 1024;
    constexpr std::size_t most = 64;
    const std::size_t fitting = bytes / size_classes::size_of_class(number);
    return fitting == 0 ? 1 : fitting < most ? fitting : most;
}

template <std::size_t classes_number, typename Atomics = BuiltinAtomics>
class alignas(128) HeapFront {
public:
    HeapFront() noexcept {
        std::size_t place = 0;
        for (std::size_t number = 0; number < classes_number; ++number) {
            blocks_[place] = nullptr;  // [F1]
            stacks_[number] = {blocks_ + place + 1, blocks_ + place + 1 + first_limit(number)};
            place += 1 + front_capacity(number);
        }
    }
    HeapFront(const HeapFront&) = delete;  // the stacks point into it
    HeapFront& operator=(const HeapFront&) = delete;

    // ---- The hot path: by the CPU that entered it -----------------------------------------------

    /// nullptr: there is none, or the front is claimed.
    [[nodiscard]] void* pop(std::size_t number) noexcept {
        if (!seize()) [[unlikely]]
            return nullptr;
        void* const block = take(number);
        release();
        return block;
    }
    /// false: there is no room, or the front is claimed.
    [[nodiscard]] bool push(std::size_t number, void* block) noexcept {
        if (!seize()) [[unlikely]]
            return false;
        const bool done = put(number, block);
        release();
        return done;
    }

    [[nodiscard]] bool seize() noexcept {
        Atomics::store_relaxed(busy_, true);
        Atomics::compiler_fence();  // the claimer's barrier does the rest
        if (!Atomics::load_acquire(claimed_)) [[likely]]
            return true;
        release();
        return false;
    }
    void release() noexcept { Atomics::store_release(busy_, false); }

    // ---- Requires: seized, or claimed -----------------------------------------------------------

    [[nodiscard]] void* take(std::size_t number) noexcept {
        Stack& stack = stacks_[number];
        void* const block = stack.top[-1];
        if (block != nullptr) [[likely]]  // [F1]
            --stack.top;
        return block;
    }
    [[nodiscard]] bool put(std::size_t number, void* block) noexcept {
        Stack& stack = stacks_[number];
        if (stack.top == stack.limit) [[unlikely]]
            return false;
        *stack.top++ = block;
        return true;
    }

    /// It was empty, or full. Returns: how many it may hold from now on.
    std::size_t grow(std::size_t number) noexcept {
        Stack& stack = stacks_[number];
        void** const bottom = bottom_of(number);
        const auto limit = static_cast<std::size_t>(stack.limit - bottom);
        const std::size_t most = front_capacity(number);
        const std::size_t larger = 2 * limit < most ? 2 * limit : most;
        stack.limit = bottom + larger;
        return larger;
    }

    /// Takes the blocks that lie here longest, at most `most`. Returns: how many.
    std::size_t take_oldest(std::size_t number, void** to, std::size_t most) noexcept {
        Stack& stack = stacks_[number];
        void** const bottom = bottom_of(number);
        const auto size = static_cast<std::size_t>(stack.top - bottom);
        const std::size_t taken = size < most ? size : most;
        for (std::size_t rank = 0; rank < taken; ++rank)
            to[rank] = bottom[rank];
        for (std::size_t rank = taken; rank < size; ++rank)
            bottom[rank - taken] = bottom[rank];
        stack.top -= taken;
        return taken;
    }

    // ---- From outside ---------------------------------------------------------------------------

    /// From now on, and a barrier on all CPUs, nobody enters. Returns: false: another has claimed.
    [[nodiscard]] bool claim() noexcept { return !Atomics::exchange(claimed_, true); }
    [[nodiscard]] bool busy() const noexcept { return Atomics::load_acquire(busy_); }
    void unclaim() noexcept { Atomics::store_release(claimed_, false); }

private:
    struct Stack {
        void** top;
        void** limit;
    };

    [[nodiscard]] static constexpr std::size_t first_limit(std::size_t number) noexcept {
        return front_capacity(number) < 4 ? front_capacity(number) : 4;
    }
    [[nodiscard]] static constexpr std::size_t place_of(std::size_t number) noexcept {
        std::size_t place = 0;
        for (std::size_t before = 0; before < number; ++before)
            place += 1 + front_capacity(before);
        return place;
    }
    struct Places {
        std::uint16_t of[classes_number];
    };
    static constexpr Places places = [] {
        Places result{};
        for (std::size_t number = 0; number < classes_number; ++number)
            result.of[number] = static_cast<std::uint16_t>(place_of(number));
        return result;
    }();
    [[nodiscard]] void** bottom_of(std::size_t number) noexcept {
        return blocks_ + places.of[number] + 1;
    }

    bool busy_ = false;
    bool claimed_ = false;
    Stack stacks_[classes_number];
    void* blocks_[place_of(classes_number)];
};

}  // namespace slab_allocator
