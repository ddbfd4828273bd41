#pragma once

// heap_front.hpp -- what one CPU has cached: a short stack of free blocks for each class.
//
//      class 0   | . | . | . |     |         alloc pops, free pushes
//                ^bottom     ^top  ^limit
//      class 1   | . | . |   |               all in one piece of memory, so that a CPU's own pages
//      ...                                   are its own
//
// A magazine for each class would be two lines of 128 bytes and two quarters of a page for each of
// 64 classes and each CPU. A heap's classes are used unevenly, so all of them share one block of a
// few pages, and a stack starts short: it doubles when it was empty or full, up to its capacity,
// which is less for large blocks (front_capacity).
//
// Each is a CpuStack: its CPU pops and pushes, and who is to do more claims it (cpu_stack.hpp).
//
// Invariants
//   [F1] open, a stack is from bottom + gone_ to bottom + rounds_
//   [F2] gone_ <= rounds_ <= capacity of the class

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include <slab_allocator/heap/size_classes.hpp>
#include <slab_allocator/magazine/atomics.hpp>
#include <slab_allocator/magazine/cpu_stack.hpp>
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

/// How many blocks of a class one CPU keeps at most: of large ones few, because each may be all
/// that keeps its slab.
[[nodiscard]] constexpr std::size_t front_capacity(std::size_t number) noexcept {
    constexpr std::size_t kibibyte = 1024;
    constexpr std::size_t most = 500;
    const std::size_t size = size_classes::size_of_class(number);
    const std::size_t bytes = (size <= 128 ? 32 : size <= 512 ? 8 : 4) * kibibyte;
    const std::size_t fitting = bytes / size;
    return fitting == 0 ? 1 : fitting < most ? fitting : most;
}

/// The blocks of one class. `memory` is where they lie, the same in each call.
template <typename Atomics>
class FrontStack : public CpuStack<std::byte, Atomics> {
    using Stack = CpuStack<std::byte, Atomics>;

public:
    using Memory = std::span<std::byte*>;

    /// Empty, and open. Before anybody knows of it, or claimed and no call is under way.
    void open_first(Memory memory, std::size_t rounds) noexcept {
        rounds_ = static_cast<std::uint16_t>(rounds);
        gone_ = 0;
        Stack::set_top(Stack::address(memory.data()));
        open(memory);
    }

    /// Ends a claim.
    void open(Memory memory) noexcept {
        Stack::open(Stack::address(memory.data() + gone_), Stack::address(memory.data() + rounds_));
    }

    // ---- Requires: claimed, and a barrier on all CPUs since then --------------------------------

    /// The blocks that lie here, the one that does so longest first, but one that a call under way
    /// may have or bring.
    [[nodiscard]] Memory blocks(Memory memory) const noexcept {
        return Stack::objects_from(Stack::address(memory.data() + gone_));
    }
    /// The first ones of blocks() are somewhere else now.
    void forget(std::size_t number) noexcept { gone_ = static_cast<std::uint16_t>(gone_ + number); }

    // ---- Requires: claimed, and no call is under way --------------------------------------------

    /// It was empty, or full. Returns: how many it may hold from now on.
    std::size_t grow(Memory memory) noexcept {
        const std::size_t larger = std::size_t{2} * rounds_;
        rounds_ = static_cast<std::uint16_t>(larger < memory.size() ? larger : memory.size());
        return rounds_;
    }

    /// Takes the blocks that lie here longest, as many as fit. Returns: how many.
    std::size_t take_oldest(Memory memory, Memory to) noexcept {
        const Memory all = blocks(memory);
        const std::size_t taken = all.size() < to.size() ? all.size() : to.size();
        for (std::size_t rank = 0; rank < taken; ++rank)
            to[rank] = all[rank];
        move_down(memory, all.subspan(taken));
        return taken;
    }

    /// The same; a stack that is empty then starts short again. While blocks are left it stays as
    /// long as it is [F2]: put() counts the room behind them.
    std::size_t take_to_empty(Memory memory, Memory to, std::size_t rounds) noexcept {
        const std::size_t taken = take_oldest(memory, to);
        if (blocks(memory).empty()) rounds_ = static_cast<std::uint16_t>(rounds);
        return taken;
    }

    /// As many blocks as there is room for, the last ones. Returns: how many.
    std::size_t put(Memory memory, Memory blocks) noexcept {
        const Memory before = this->blocks(memory);
        move_down(memory, before);
        const std::size_t room = rounds_ - before.size();
        const std::size_t put = room < blocks.size() ? room : blocks.size();
        for (std::size_t rank = 0; rank < put; ++rank)
            memory[before.size() + rank] = blocks[blocks.size() - put + rank];
        Stack::set_top(Stack::address(memory.data() + before.size() + put));
        return put;
    }

private:
    void move_down(Memory memory, Memory blocks) noexcept {
        if (!blocks.empty() && blocks.data() != memory.data()) {
            __builtin_memmove(static_cast<void*>(memory.data()),
                              static_cast<const void*>(blocks.data()), blocks.size_bytes());
        }
        gone_ = 0;
        Stack::set_top(Stack::address(memory.data() + blocks.size()));
    }

    std::uint16_t rounds_ = 0;
    std::uint16_t gone_ = 0;
};

template <std::size_t classes_number, typename Atomics = BuiltinAtomics>
class alignas(128) HeapFront {
public:
    using Stack = FrontStack<Atomics>;

    HeapFront() noexcept {
        for (std::size_t number = 0; number < classes_number; ++number)
            stacks_[number].open_first(memory_of(number), first_rounds(number));
    }
    HeapFront(const HeapFront&) = delete;  // the stacks point into it
    HeapFront& operator=(const HeapFront&) = delete;

    [[nodiscard]] Stack& operator[](std::size_t number) noexcept { return stacks_[number]; }

    /// Where the blocks of a class lie.
    [[nodiscard]] std::span<std::byte*> memory_of(std::size_t number) noexcept {
        return {blocks_ + places.of[number], front_capacity(number)};
    }

    /// How many blocks of a class it holds at first.
    [[nodiscard]] static constexpr std::size_t first_rounds(std::size_t number) noexcept {
        return front_capacity(number) < 2 ? front_capacity(number) : 2;
    }

private:
    struct Places {
        std::uint16_t of[classes_number + 1];
    };
    static constexpr Places places = [] {
        Places result{};
        for (std::size_t number = 0; number < classes_number; ++number)
            result.of[number + 1] =
                static_cast<std::uint16_t>(result.of[number] + front_capacity(number));
        return result;
    }();

    Stack stacks_[classes_number];
    std::byte* blocks_[places.of[classes_number]];
};

}  // namespace slab_allocator
