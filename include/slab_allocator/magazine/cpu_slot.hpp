#pragma once

// cpu_slot.hpp -- one CPU's two magazines: the hot path's whole world.
//
//      loaded     | gone | . | . | . |       |      alloc pops, free pushes
//                        ^start       ^top    ^limit      open: floor == start
//      previous   | . | . |                   empty or full, for the moment when loaded is
//
// Two magazines, so that a CPU at the border of one does not visit the depot in each call: after a
// visit both a whole magazine of allocs and one of frees are served (Bonwick and Adams 2001).
//
//      pop        top = t - 1 ; t > floor?   yes: the object at t - 1 is mine   no: top = t
//      push       t < limit?                 yes: object to t ; top = t + 1     no: go elsewhere
//      claimer    claim ; floor = highest, limit = 0 ; barrier on all CPUs ; [start, top) is mine
//
// A pop that saw the old floor stored its top before the barrier, so the claimer sees it; one that
// stores its top later sees the new floor. That is how the owner of a stack and its thieves agree
// in Cilk-5 (Frigo, Leiserson and Randall 1998), with the fence on the thief's side only: a CPU
// pays for no atomic read-modify-write, for no fence, and for no store but those of any stack.
//
// Invariants
//   [V1] claimed, or nobody's: floor_ is the highest address and limit_ the lowest
//   [V2] else they are start_ and end_, two places of loaded_, or end_ is the lowest
//   [V3] all but the first three are the claimer's. top_ is the CPU's: to a claimer from outside it
//        may look one lower than it is, when a pop is about to fail

#include <cstddef>
#include <cstdint>
#include <span>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/magazine/atomics.hpp>
#include <slab_allocator/magazine/magazine.hpp>

namespace slab_allocator {

/// Who has claimed a slot.
enum class Claim : unsigned char {
    nobodys,
    owners,    ///< its CPU's, for a few instructions and a visit to the depot
    outsiders  ///< of one who empties it
};

/// A policy that remembers where a slot is in the array of slots, in bytes, spares the hot path the
/// multiplication. Alone in its cache lines, and in their neighbours that are prefetched with them.
constexpr std::size_t cpu_slot_size = 128;

template <typename Object, typename Atomics = BuiltinAtomics>
class alignas(cpu_slot_size) CpuSlot {
public:
    using Pointer = Object*;

    constexpr CpuSlot() noexcept = default;
    CpuSlot(const CpuSlot&) = delete;
    CpuSlot& operator=(const CpuSlot&) = delete;

    [[nodiscard]] static CpuSlot& at(CpuSlot* slots, std::size_t offset) noexcept {
        auto* const first = static_cast<std::byte*>(static_cast<void*>(slots));
        return *static_cast<CpuSlot*>(static_cast<void*>(first + offset));
    }

    // ---- The hot path: by the CPU whose slot it is ----------------------------------------------

    /// false: there is none, or the slot is closed.
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

    /// false: there is no room, or the slot is closed.
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

    /// Ends a claim.
    void open() noexcept {
        Atomics::store_release(floor_, start_);  // [V2]
        Atomics::store_release(limit_, end_);
        Atomics::store_release(claim_, number(Claim::nobodys));
    }

    /// Before anybody knows of it: it is nobody's, and closed for ever.
    constexpr void close() noexcept {  // [V1]
        floor_ = highest;
        limit_ = lowest;
    }

    // ---- Requires: claimed, and a barrier on all CPUs since then --------------------------------

    /// The objects that are loaded, but one that a call under way may have or bring.
    [[nodiscard]] std::span<Object*> objects() const noexcept {
        Atomics::touch(&start_);
        const Address top = Atomics::load_acquire(top_);
        if (top <= start_) return {};
        for (Address each = start_; each < top; each += sizeof(Object*))
            touch(place(each));
        return {place(start_), static_cast<std::size_t>(place(top) - place(start_))};
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
        loaded_->number = 0;
        loaded_->put(objects, Magazine<Object>::capacity);  // they move down, or stay
        forget(objects);
    }
    /// What is at rest becomes loaded, with room up to `rounds`.
    void take_up(std::size_t rounds) noexcept {
        if (loaded_ == nullptr) return;
        const Address bottom = address_of(static_cast<const void*>(loaded_->bottom()));
        start_ = bottom;
        end_ = bottom + rounds * sizeof(Object*);
        Atomics::store_relaxed(top_, bottom + loaded_->number * sizeof(Object*));
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
        end_ = lowest;
        if (Magazine<Object>* const magazine = take_previous()) to.push(*magazine);
    }

private:
    // Compared as numbers: the places of a magazine, and what is above and below them all.
    using Address = std::uintptr_t;
    static constexpr Address lowest = 0;
    static constexpr Address highest = ~lowest;
    // Where a slot without a magazine has its top: a pop that is about to fail can be one lower.
    static constexpr Address nowhere = sizeof(Object*);

    [[nodiscard]] static unsigned char number(Claim claim) noexcept {
        return static_cast<unsigned char>(claim);
    }
    static void touch(Object** place) noexcept { Atomics::touch(static_cast<const void*>(place)); }
    [[nodiscard]] static Object** place(Address address) noexcept {
        return pointer_to<Object*>(address);
    }

    Address top_ = nowhere;  // these three first, in this order: assembly reads them (rseq.hpp)
    Address floor_ = nowhere;
    Address limit_ = lowest;
    unsigned char claim_ = 0;  // a Claim
    Address start_ = nowhere;
    Address end_ = lowest;
    Magazine<Object>* loaded_ = nullptr;
    Magazine<Object>* previous_ = nullptr;
};

}  // namespace slab_allocator
