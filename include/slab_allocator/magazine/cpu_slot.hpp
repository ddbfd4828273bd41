#pragma once

// cpu_slot.hpp -- one CPU's two magazines: the hot path's whole world.
//
//      loaded     | null | . | . | . |    |     alloc pops, free pushes
//                                     ^top ^limit
//      previous   | null | ...                  empty or full, for the moment when loaded is
//      nothing    | null |                      loaded before the first magazine and after the last
//                        ^top ^limit
//
// Two magazines, so that a CPU at the border of one does not visit the depot in each call: after a
// visit both a whole magazine of allocs and one of frees are served (Bonwick and Adams 2001).
// `nothing` is always both empty and full, so that the hot path need not ask whether there is a
// magazine (as the bootstrap sheaf of Linux).
//
// Who may touch a slot: the CPU that entered it, between seize() and release(); or the one who
// claimed it, between claim() with everybody's barrier and busy() == false, and unclaim().
//
//      CPU        busy = 1 ; claimed?  no: touch ; busy = 0           yes: busy = 0 ; go elsewhere
//      claimer    claimed = 1 ; barrier on all CPUs ; wait for busy == 0 ; touch ; claimed = 0
//
// That is Dekker's exclusion with the barrier on one side only: the CPU pays two plain stores and a
// load of its own line, no atomic read-modify-write and no fence.
//
// Invariants
//   [V1] top_ and limit_ point into loaded_, or into nothing_ where that is null
//   [V2] nobody touches what lies below busy_ but by the rule above

#include <cstddef>

#include <slab_allocator/magazine/atomics.hpp>
#include <slab_allocator/magazine/magazine.hpp>

namespace slab_allocator {

/// Alone in its cache lines, and in their neighbours that are prefetched with them.
template <typename Object, typename Atomics = BuiltinAtomics>
class alignas(128) CpuSlot {
public:
    constexpr CpuSlot() noexcept = default;
    CpuSlot(const CpuSlot&) = delete;  // top_ may point into it
    CpuSlot& operator=(const CpuSlot&) = delete;

    // ---- The hot path: by the CPU that entered the slot -----------------------------------------

    /// nullptr: there is none, or the slot is claimed.
    [[nodiscard]] Object* pop() noexcept {
        if (!seize()) [[unlikely]]
            return nullptr;
        Object* const object = take();
        release();
        return object;
    }

    /// false: there is no room, or the slot is claimed.
    [[nodiscard]] bool push(Object* object) noexcept {
        if (!seize()) [[unlikely]]
            return false;
        const bool done = put(object);
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

    [[nodiscard]] Object* take() noexcept {
        Atomics::touch(this);
        Object* const object = top_[-1];
        if (object != nullptr) [[likely]]  // [M1]
            --top_;
        return object;
    }
    [[nodiscard]] bool put(Object* object) noexcept {
        Atomics::touch(this);
        if (top_ == limit_) [[unlikely]]
            return false;
        *top_++ = object;
        return true;
    }

    [[nodiscard]] bool has_magazine() const noexcept { return loaded_ != nullptr; }
    [[nodiscard]] Magazine<Object>* previous() const noexcept { return previous_; }
    [[nodiscard]] bool previous_has_objects() const noexcept {
        return previous_ != nullptr && previous_->number != 0;
    }
    [[nodiscard]] bool previous_has_room(std::size_t rounds) const noexcept {
        return previous_ != nullptr && previous_->number < rounds;
    }

    /// previous becomes loaded, and loaded previous.
    void exchange(std::size_t rounds) noexcept { rotate(previous_, rounds); }

    /// `magazine` becomes loaded, with room up to `rounds`, and loaded previous. What was previous
    /// is the caller's.
    void rotate(Magazine<Object>* magazine, std::size_t rounds) noexcept {
        previous_ = put_down();
        load(magazine, rounds);
    }

    [[nodiscard]] Magazine<Object>* take_previous() noexcept {
        Atomics::touch(this);
        Magazine<Object>* const magazine = previous_;
        previous_ = nullptr;
        return magazine;
    }

    /// Both magazines, full or empty. The slot has none then.
    void take_all(MagazineStack<Object, Atomics>& to) noexcept {
        if (Magazine<Object>* const magazine = put_down()) to.push(*magazine);
        if (Magazine<Object>* const magazine = take_previous()) to.push(*magazine);
    }

    // ---- From outside ---------------------------------------------------------------------------

    /// From now on, and a barrier on all CPUs, nobody enters. Returns: false: another has claimed.
    [[nodiscard]] bool claim() noexcept { return !Atomics::exchange(claimed_, true); }
    /// Requires: claimed, and a barrier on all CPUs since then.
    [[nodiscard]] bool busy() const noexcept { return Atomics::load_acquire(busy_); }
    void unclaim() noexcept { Atomics::store_release(claimed_, false); }

    /// Claims it for ever, before anybody else knows of it.
    constexpr void close() noexcept { claimed_ = true; }

private:
    /// The loaded magazine, at rest; nullptr: there was none.
    [[nodiscard]] Magazine<Object>* put_down() noexcept {
        Magazine<Object>* const magazine = loaded_;
        if (magazine != nullptr) {
            magazine->number = static_cast<std::size_t>(top_ - magazine->bottom());  // [M2]
        }
        load(nullptr, 0);
        return magazine;
    }

    void load(Magazine<Object>* magazine, std::size_t rounds) noexcept {
        Atomics::touch(this);
        loaded_ = magazine;
        if (magazine == nullptr) {
            top_ = limit_ = nothing_ + 1;  // [V1]
            return;
        }
        top_ = magazine->bottom() + magazine->number;
        limit_ = magazine->bottom() + (magazine->number > rounds ? magazine->number : rounds);
    }

    bool busy_ = false;
    bool claimed_ = false;
    Object** top_ = nothing_ + 1;
    Object** limit_ = nothing_ + 1;
    Magazine<Object>* loaded_ = nullptr;
    Magazine<Object>* previous_ = nullptr;
    Object* nothing_[1] = {};
};

}  // namespace slab_allocator
