#pragma once

// cpu_slot.hpp -- one CPU's two magazines: the hot path's whole world.
//
//      loaded     | gone | . | . | . |       |      a CpuStack: alloc pops, free pushes
//                        ^start       ^top    ^limit      open: floor == start
//      previous   | . | . |                   empty or full, for the moment when loaded is
//
// Two magazines, so that a CPU at the border of one does not visit the depot in each call: after a
// visit both a whole magazine of allocs and one of frees are served (Bonwick and Adams 2001).
//
// Invariants
//   [V4] open, the stack is from start_ to end_: two places of loaded_, or end_ is the lowest
//   [V5] what is here and not in the stack is the claimer's

#include <cstddef>
#include <span>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/magazine/atomics.hpp>
#include <slab_allocator/magazine/cpu_stack.hpp>
#include <slab_allocator/magazine/magazine.hpp>

namespace slab_allocator {

/// A policy that remembers where a slot is in the array of slots, in bytes, spares the hot path the
/// multiplication. Alone in its cache lines, and in their neighbours that are prefetched with them.
constexpr std::size_t cpu_slot_size = 128;

template <typename Object, typename Atomics = BuiltinAtomics>
class alignas(cpu_slot_size) CpuSlot : public CpuStack<Object, Atomics> {
    using Stack = CpuStack<Object, Atomics>;

public:
    constexpr CpuSlot() noexcept = default;

    [[nodiscard]] static CpuSlot& at(CpuSlot* slots, std::size_t offset) noexcept {
        auto* const first = static_cast<std::byte*>(static_cast<void*>(slots));
        return *static_cast<CpuSlot*>(static_cast<void*>(first + offset));
    }

    /// Ends a claim.
    void open() noexcept { Stack::open(start_, end_); }  // [V4]

    /// In the child of a fork, by the only thread: as a new slot. What it had is lost.
    void start_over() noexcept {
        start_ = Stack::nowhere;
        end_ = Stack::lowest;
        loaded_ = nullptr;
        previous_ = nullptr;
        Stack::set_top(start_);
        open();
    }

    // ---- Requires: claimed, and a barrier on all CPUs since then --------------------------------

    /// The objects that are loaded, but one that a call under way may have or bring.
    [[nodiscard]] std::span<Object*> objects() const noexcept {
        Atomics::touch(&start_);
        return Stack::objects_from(start_);
    }
    /// What objects() returned is somewhere else now.
    void forget(std::span<Object*> objects) noexcept { start_ += objects.size_bytes(); }

    [[nodiscard]] Magazine<Object>* take_previous() noexcept {
        Atomics::touch(&start_);
        Magazine<Object>* const magazine = previous_;
        previous_ = nullptr;
        return magazine;
    }

    // ---- Requires: claimed, and no call is under way --------------------------------------------

    /// The loaded magazine comes to rest [M2].
    void put_down() noexcept {
        if (loaded_ == nullptr) return;
        const std::span<Object*> objects = this->objects();
        loaded_->keep(objects);
        forget(objects);
    }
    /// What is at rest becomes loaded, with room up to `rounds`.
    void take_up(std::size_t rounds) noexcept {
        if (loaded_ == nullptr) return;
        Object** const bottom = loaded_->bottom();
        start_ = Stack::address(bottom);
        end_ = Stack::address(bottom + rounds);
        Stack::set_top(Stack::address(bottom + loaded_->number));
    }

    // ---- Requires: and put down -----------------------------------------------------------------

    [[nodiscard]] Magazine<Object>* loaded() const noexcept { return loaded_; }
    [[nodiscard]] Magazine<Object>* previous() const noexcept { return previous_; }

    /// previous becomes loaded, and loaded previous.
    void exchange() noexcept { rotate(previous_); }
    /// `magazine` becomes loaded, and loaded previous. What was previous is the caller's.
    void rotate(Magazine<Object>* magazine) noexcept {
        previous_ = loaded_;
        loaded_ = magazine;
    }

    /// Both magazines, full or empty. The slot has none then.
    void take_all(MagazineStack<Object, Atomics>& to) noexcept {
        if (loaded_ != nullptr) to.push(*loaded_);
        loaded_ = nullptr;
        end_ = Stack::lowest;
        if (Magazine<Object>* const magazine = take_previous()) to.push(*magazine);
    }

private:
    using Address = typename Stack::Address;

    Address start_ = Stack::nowhere;
    Address end_ = Stack::lowest;
    Magazine<Object>* loaded_ = nullptr;
    Magazine<Object>* previous_ = nullptr;
};

}  // namespace slab_allocator
