#pragma once

// quarantine.hpp -- what guarded levels have in place of the object stack: free objects
// come back late, and in an order that nobody knows.
//
//      objects   |  gone  | ready: in random order | returned: as they came |          |
//                          ^next                    ^ready_end               ^end      2 * capacity
//
// alloc takes from the front of the ready ones, free puts behind the returned ones. When no ready
// one is left, shuffle() makes all that is there ready; where that is little, the cache takes words
// of slabs along. So an object comes back when all that were ready before it are gone, and then at
// any place among those that came with it. What goes back to its slab goes in the order in which it
// came, so that neighbours still go by words. (Quarantine and random order as in hardened_malloc.)
//
// Is an object in here? Its guards say so (guards.hpp): nothing is kept for that.
//
// Invariants
//   [X3] objects <= next <= ready_end <= end <= objects + 2 * capacity; size() <= capacity
//   [X4] full() may say so too early: alloc makes room that only set_limit() sees. A caller that
//        finds it full asks set_limit(), and full() again.

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/core/object_stack.hpp>

namespace slab_allocator {

class SlabRecord;

/// `with_infos`: it remembers each object's SlabInfo, as ObjectStack does.
template <std::size_t stride, std::size_t objects_per_slab, bool with_infos>
class Quarantine {
public:
    static constexpr std::size_t capacity = cached_capacity(stride, objects_per_slab);
    static constexpr bool has_infos = with_infos;

    [[nodiscard]] static constexpr bool can_index(std::size_t) noexcept { return true; }

    [[nodiscard]] constexpr std::size_t size() const noexcept {
        return static_cast<std::size_t>(end_ - next_);
    }
    [[nodiscard]] constexpr bool empty() const noexcept { return end_ == next_; }
    [[nodiscard]] constexpr bool full() const noexcept { return end_ >= limit_; }  // [X4]
    [[nodiscard]] constexpr bool none_ready() const noexcept { return next_ == ready_end_; }

    /// From now on, full() at `limit` objects. Requires: limit <= capacity, not checked.
    constexpr void set_limit(std::size_t limit) noexcept {
        make_room(1);
        std::byte** const last = objects_ + places;
        limit_ = limit < static_cast<std::size_t>(last - next_) ? next_ + limit : last;
    }

    /// Takes a ready object. Requires: !none_ready(), not checked.
    [[nodiscard]] std::byte* pop() noexcept { return *next_++; }

    /// Of objects that pop() gave, no address stays: who looks for leaks would find it. Costs:
    /// O(capacity).
    void wipe_popped() noexcept {
        for (std::byte** place = objects_; place != objects_ + places; ++place) {
            if (place < next_ || place >= end_) *place = nullptr;
        }
    }

    /// Requires: !full(), not checked.
    void push(std::byte* object, SlabRecord* slab_info) noexcept { put(end_++, object, slab_info); }

    /// Brings all into random order, and makes them ready. Requires: set_limit() after it.
    void shuffle(std::uint64_t random) noexcept {
        const std::size_t number = size();
        for (std::size_t rank = 0; rank < number; ++rank) {  // Fisher and Yates, inside out
            random = random * 6364136223846793005U + 1442695040888963407U;
            const auto other = static_cast<std::size_t>(((random >> 32) * (rank + 1)) >> 32);
            std::byte* const object = next_[rank];
            SlabRecord* const slab_info = info_at(rank);
            put(objects_ + rank, objects_[other], info_of(objects_ + other));
            put(objects_ + other, object, slab_info);
        }
        next_ = objects_;
        ready_end_ = end_ = objects_ + number;
    }

    /// Makes room for `more` behind the end. Requires: size() + more <= 2 * capacity; set_limit()
    /// after it. Costs: O(1), on average of as many pushes as `capacity`.
    constexpr void make_room(std::size_t more) noexcept {
        if (static_cast<std::size_t>(objects_ + places - end_) >= more) return;
        const std::size_t number = size();
        const auto ready = static_cast<std::size_t>(ready_end_ - next_);
        __builtin_memmove(static_cast<void*>(objects_), static_cast<const void*>(next_),
                          number * sizeof(std::byte*));
        if constexpr (with_infos) {
            for (std::size_t rank = 0; rank < number; ++rank)
                infos_[rank] = info_at(rank);
        }
        next_ = objects_;
        ready_end_ = objects_ + ready;
        end_ = objects_ + number;
    }

    /// Costs: O(size()).
    [[nodiscard]] bool contains(const std::byte* object) const noexcept {
        // NOLINTNEXTLINE(readability-use-anyofallof): kernels have no <algorithm>
        for (const std::byte* const other : all()) {
            if (other == object) return true;
        }
        return false;
    }

    static constexpr void forget_popped() noexcept {}
    [[nodiscard]] static constexpr bool collides(const std::byte*) noexcept { return false; }

    /// The lowest `most` of `bits`.
    [[nodiscard]] static std::uint64_t indexable(const std::byte*, std::uint64_t bits,
                                                 std::size_t most) noexcept {
        std::uint64_t result = 0;
        for (; bits != 0 && most > 0; bits &= bits - 1, --most)
            result |= bits & (~bits + 1);
        return result;
    }

    /// Puts the slots `bits` of a word that starts at `start` behind all others. Requires: room for
    /// them, not checked.
    void push_slots(std::byte* start, std::uint64_t bits, SlabRecord* slab_info) noexcept {
        for (; bits != 0; bits &= bits - 1)
            push(start + lowest_bit(bits) * stride, slab_info);
    }

    /// From the next one to the last one.
    [[nodiscard]] std::span<std::byte* const> all() const noexcept { return {next_, end_}; }

    /// The SlabInfo of the object `rank` places from the next one; nullptr: not remembered.
    [[nodiscard]] SlabRecord* info_at(std::size_t rank) const noexcept {
        return info_of(next_ + rank);
    }

    /// Forgets all objects but the first `size`. They stay where they were until the next push.
    void drop_to(std::size_t size) noexcept {
        end_ = next_ + size;
        if (ready_end_ > end_) ready_end_ = end_;
    }

private:
    static constexpr std::size_t places = 2 * capacity;

    struct NoInfos {};

    void put(std::byte** place, std::byte* object,
             [[maybe_unused]] SlabRecord* slab_info) noexcept {
        *place = object;
        if constexpr (with_infos) infos_[place - objects_] = slab_info;
    }
    [[nodiscard]] SlabRecord* info_of([[maybe_unused]] std::byte* const* place) const noexcept {
        if constexpr (with_infos) return infos_[place - objects_];
        return nullptr;
    }

    std::byte** next_ = objects_;
    std::byte** ready_end_ = objects_;
    std::byte** end_ = objects_;
    std::byte** limit_ = objects_ + capacity;
    std::byte* objects_[places] = {};
    [[no_unique_address]] std::conditional_t<with_infos, SlabRecord* [places], NoInfos> infos_ = {};
};

}  // namespace slab_allocator
