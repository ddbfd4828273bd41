#pragma once

// cpu_stack.hpp -- a stack of objects that is one CPU's alone, until another claims it.
//
//      | gone | . | . | . |       |      alloc pops, free pushes
//             ^floor       ^top   ^limit
//
//      pop        top = t - 1 ; t > floor?   yes: the object at t - 1 is mine   no: top = t
//      push       t < limit?                 yes: object to t ; top = t + 1     no: go elsewhere
//      claimer    claim ; floor = highest, limit = 0 ; barrier on all CPUs ; what is there is mine
//
// A pop that saw the old floor stored its top before the barrier, so the claimer sees it; one that
// stores its top later sees the new floor. That is how the owner of a stack and its thieves agree
// in Cilk-5 (Frigo, Leiserson and Randall 1998), with the fence on the thief's side only: a CPU
// pays for no atomic read-modify-write, for no fence, and for no store but those of any stack.
//
// Where it starts and ends while it is open, whoever opens it says: the slot of a cache
// (cpu_slot.hpp), or the front of a heap (heap_front.hpp).
//
// Invariants
//   [V1] claimed, or nobody's: floor_ is the highest address and limit_ the lowest
//   [V2] else they are two places of the stack's memory, or limit_ is the lowest
//   [V3] top_ is the CPU's: to a claimer from outside it may look one lower than it is, when a pop
//        is about to fail

#include <cstddef>
#include <cstdint>
#include <span>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/magazine/atomics.hpp>

namespace slab_allocator {

/// Who has claimed a stack.
enum class Claim : unsigned char {
    nobodys,
    owners,    ///< its CPU's, for a few instructions and a visit to what lies behind it
    outsiders  ///< of one who empties it
};

template <typename Object, typename Atomics = BuiltinAtomics>
class CpuStack {
public:
    using Pointer = Object*;

    constexpr CpuStack() noexcept = default;
    CpuStack(const CpuStack&) = delete;
    CpuStack& operator=(const CpuStack&) = delete;

    // ---- The hot path: by the CPU whose stack it is ---------------------------------------------

    /// false: there is none, or the stack is closed.
    [[nodiscard]] bool pop(Object*& object) noexcept {
        const Address top = Atomics::load_relaxed(top_);
        Atomics::store_relaxed(top_, top - sizeof(Object*));
        Atomics::compiler_fence();  // the claimer's barrier does the rest
        if (top <= Atomics::load_acquire(floor_)) [[unlikely]] {
            Atomics::store_relaxed(top_, top);
            return false;
        }
        touch(place(top) - 1);
        object = place(top)[-1];
        return true;
    }

    /// false: there is no room, or the stack is closed.
    [[nodiscard]] bool push(Object* object) noexcept {
        const Address top = Atomics::load_relaxed(top_);
        if (top >= Atomics::load_acquire(limit_)) [[unlikely]]
            return false;
        touch(place(top));
        *place(top) = object;
        Atomics::store_release(top_, top + sizeof(Object*));
        return true;
    }

    // ---- Claiming -------------------------------------------------------------------------------

    /// From now on nobody pops or pushes who was not about to. Returns: false: it is claimed.
    [[nodiscard]] bool claim(Claim by) noexcept {
        auto expected = number(Claim::nobodys);
        if (!Atomics::compare_exchange_acquire(claim_, expected, number(by))) return false;
        Atomics::store_relaxed(floor_, highest);  // [V1]
        Atomics::store_relaxed(limit_, lowest);
        return true;
    }
    [[nodiscard]] Claim claimed() const noexcept {
        return static_cast<Claim>(Atomics::load_relaxed(claim_));
    }

    /// Before anybody knows of it: it is nobody's, and closed for ever.
    constexpr void close() noexcept {  // [V1]
        floor_ = highest;
        limit_ = lowest;
    }

protected:
    // Compared as numbers: the places of a stack, and what is above and below them all.
    using Address = std::uintptr_t;
    static constexpr Address lowest = 0;
    static constexpr Address highest = ~lowest;
    // Where a stack without memory has its top: a pop that is about to fail can be one lower.
    static constexpr Address nowhere = sizeof(Object*);

    [[nodiscard]] static Address address(Object** place) noexcept {
        return address_of(static_cast<const void*>(place));
    }
    [[nodiscard]] static Object** place(Address address) noexcept {
        return pointer_to<Object*>(address);
    }

    /// Ends a claim.
    void open(Address start, Address end) noexcept {
        Atomics::store_release(floor_, start);  // [V2]
        Atomics::store_release(limit_, end);
        Atomics::store_release(claim_, number(Claim::nobodys));
    }

    /// From `start` on, but one that a call under way may have or bring. Requires: claimed, and a
    /// barrier on all CPUs since then.
    [[nodiscard]] std::span<Object*> objects_from(Address start) const noexcept {
        const Address top = Atomics::load_acquire(top_);
        if (top <= start) return {};
        for (Address each = start; each < top; each += sizeof(Object*))
            touch(place(each));
        return {place(start), static_cast<std::size_t>(place(top) - place(start))};
    }

    /// Requires: claimed, and no call is under way.
    void set_top(Address top) noexcept { Atomics::store_relaxed(top_, top); }

private:
    [[nodiscard]] static unsigned char number(Claim claim) noexcept {
        return static_cast<unsigned char>(claim);
    }
    static void touch(Object** place) noexcept { Atomics::touch(static_cast<const void*>(place)); }

    Address top_ = nowhere;  // these three first, in this order: assembly reads them (rseq.hpp)
    Address floor_ = nowhere;
    Address limit_ = lowest;
    unsigned char claim_ = 0;  // a Claim
};

}  // namespace slab_allocator
