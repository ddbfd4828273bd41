#pragma once

// object_stack.hpp -- a short stack of free objects, which alloc pops and free pushes.
//
//      objects   | null | . | . | . |       |      what stands above the null is taken out of its
//                                   ^top           slab, but nobody's; alloc pops, free pushes
//
// A slab's free map gives and takes whole words cheaply and single bits dearly, so the cache fills
// this stack from words and empties it into words. (A magazine as in Bonwick and Adams 2001, filled
// by expanding bitmaps.) It is a pointer and not a number that is kept: the two calls of a pair
// reach memory through the same register, and processors that rename memory make that free (0.57
// of the time of a pair with a number, Golden Cove).
//
// Is an object in the stack? free asks that to find a double free. The answer must be exact and may
// not chain one operation to the next through memory, so there is a sparse set over it (Briggs and
// Torczon 1993): rank[class of the address] is where an object of that class was pushed last, and
// counts only while it is below top and an object of the class is still there. A class has at most
// one object in the stack; a second one goes to its slab.
//
// Invariants
//   [R1] objects[0] is null, no other below top is: the pop of nothing finds null
//   [R2] top <= limit <= the end of objects, but where limit was just lowered
//   [R3] checked: an object in the stack at i has rank[its class] == i
//   [R4] checked: the objects from top up to popped_end were popped, and nothing came in or went
//        elsewhere since: they are live, and pushing the one at top again is counting up;
//        popped_end <= limit

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/free_map.hpp>

namespace slab_allocator {

class SlabRecord;

/// As many objects as 128 KiB and four slabs hold, but a power of two from 1 to 128.
[[nodiscard]] constexpr std::size_t cached_capacity(std::size_t stride,
                                                    std::size_t objects_per_slab) noexcept {
    std::size_t capacity = 128;
    while (capacity > 1 &&
           (capacity * stride > std::size_t{128} * 1024 || capacity > 4 * objects_per_slab)) {
        capacity /= 2;
    }
    return capacity;
}

/// What free needs to know of objects in the stack; nothing, where misuse is not looked for.
template <std::size_t stride, std::size_t capacity, bool checked>
class MembershipIndex {
public:
    [[nodiscard]] static constexpr bool can_index(std::size_t) noexcept { return true; }
    static constexpr void put(const std::byte*, std::size_t) noexcept {}
    static constexpr void put_word(const std::byte*, std::size_t) noexcept {}
};

template <std::size_t stride, std::size_t capacity>
class MembershipIndex<stride, capacity, true> {
public:
    static constexpr std::size_t classes = 8 * capacity;

    /// 2^shift <= stride, so only slots that are (classes - 1) * 2^shift apart can share a class.
    [[nodiscard]] static constexpr bool can_index(std::size_t slots) noexcept {
        return slots * stride <= classes << shift;
    }

    [[nodiscard]] std::size_t rank_of(const std::byte* object) const noexcept {
        return ranks_[class_of(address_of(object))];
    }
    [[nodiscard]] static bool same_class(const std::byte* a, const std::byte* b) noexcept {
        return class_of(address_of(a) ^ address_of(b)) == 0;
    }
    void put(const std::byte* object, std::size_t rank) noexcept {
        ranks_[class_of(address_of(object))] = static_cast<std::uint8_t>(rank);  // [R3]
    }
    /// put() for the slots of a whole word, the last of which has rank `rank`.
    void put_word(const std::byte* start, std::size_t rank) noexcept {
        constexpr std::size_t slots = FreeMap::bits_per_word;
        constexpr bool neighbours = std::has_single_bit(stride);  // constexpr: no call into libgcc
        const std::size_t first = class_of(address_of(start));
        if (neighbours && first + slots <= classes) {  // neighbours here, too
            constexpr std::uint64_t ones = 0x0101'0101'0101'0101;
            constexpr std::uint64_t down = std::endian::native == std::endian::little
                                               ? 0x0001'0203'0405'0607
                                               : 0x0706'0504'0302'0100;
            std::uint64_t eight = down + ones * (rank + slots - 8);
            for (std::size_t slot = 0; slot < slots; slot += 8, eight -= 8 * ones)
                __builtin_memcpy(ranks_ + first + slot, &eight, 8);
        } else {
            for (std::size_t slot = 0; slot < slots; ++slot)
                put(start + slot * stride, rank + slots - 1 - slot);
        }
    }

private:
    static constexpr int shift = std::bit_width(stride) - 1;

    [[nodiscard]] static std::size_t class_of(std::uintptr_t address) noexcept {
        return (address >> shift) % classes;
    }

    std::uint8_t ranks_[classes] = {};
};

/// `with_infos`: the stack remembers each object's SlabInfo, so that a row with a map is asked once
/// in a free, not again when the object goes back to its slab.
template <std::size_t stride, std::size_t objects_per_slab, bool checked, bool with_infos>
class ObjectStack {
public:
    static constexpr std::size_t capacity = cached_capacity(stride, objects_per_slab);
    static constexpr bool has_infos = with_infos;

    /// Do as many neighbouring slots all have places of their own?
    [[nodiscard]] static constexpr bool can_index(std::size_t slots) noexcept {
        return Ranks::can_index(slots);
    }

    [[nodiscard]] constexpr std::size_t size() const noexcept {
        return static_cast<std::size_t>(top_ - bottom());
    }
    [[nodiscard]] constexpr bool empty() const noexcept { return top_ == bottom(); }
    [[nodiscard]] constexpr bool full() const noexcept { return top_ == limit_; }

    /// From now on, full() at `limit` objects. Requires: limit <= capacity, not checked.
    constexpr void set_limit(std::size_t limit) noexcept {
        limit_ = bottom() + limit;
        if constexpr (checked) {
            if (popped_end_ > limit_) popped_end_ = limit_;  // [R4]
        }
    }

    /// Takes the object that came last. Returns: nullptr where there is none.
    [[nodiscard]] std::byte* pop() noexcept {
        std::byte* const object = top_[-1];
        if (object != nullptr) [[likely]]  // [R1]
            --top_;
        return object;
    }

    /// Of the object that pop() gave, no address stays: who looks for leaks would find it.
    void wipe_popped() noexcept { *top_ = nullptr; }

    /// Requires: !full(), and checked: !collides(object). Not checked.
    void push(std::byte* object, SlabRecord* slab_info) noexcept {
        std::byte** const place = top_;  // what is stored there does not move it
        put(object, place, slab_info);
        top_ = place + 1;
        forget_popped();
    }

    /// Undoes the last pop() that was not undone, if `object` is what it gave and nothing else
    /// came in since [R4]. Returns: whether.
    [[nodiscard]] bool push_again(const std::byte* object) noexcept
        requires checked
    {
        if (top_ >= popped_end_ || *top_ != object) return false;
        ++top_;
        return true;
    }

    /// Is the place of the object's class taken, by itself or by another?
    [[nodiscard]] bool collides([[maybe_unused]] const std::byte* object) const noexcept {
        if constexpr (checked) {
            const std::byte* const* const place = bottom() + ranks_.rank_of(object);
            if (!ranks_.same_class(*place, object)) [[likely]]
                return false;
            return place < top_;  // hard to foresee: the last thing to ask
        } else {
            return false;
        }
    }

    /// Costs: one comparison where checked, one an object else.
    [[nodiscard]] bool contains(const std::byte* object) const noexcept {
        if constexpr (checked) {
            const std::byte* const* const place = bottom() + ranks_.rank_of(object);
            return *place == object && place < top_;
        } else {
            for (std::size_t rank = 0; rank < size(); ++rank) {
                if (all()[rank] == object) return true;
            }
            return false;
        }
    }

    /// An object that pop() gave went elsewhere than here.
    void forget_popped() noexcept {
        if constexpr (checked) popped_end_ = top_;
    }

    /// The lowest `most` of the slots `bits` of a word, whose places are not taken. Slots of one
    /// word have places of their own.
    [[nodiscard]] std::uint64_t indexable([[maybe_unused]] std::byte* start, std::uint64_t bits,
                                          std::size_t most) const noexcept {
        std::uint64_t result = 0;
        for (; bits != 0 && most > 0; bits &= bits - 1) {
            if constexpr (checked) {
                if (collides(start + lowest_bit(bits) * stride)) continue;
            }
            result |= bits & (~bits + 1);
            --most;
        }
        return result;
    }

    /// Pushes the slots `bits` of a word that starts at `start`, so that the lowest comes out
    /// first. Requires: room and places for all of them, not checked.
    void push_slots(std::byte* start, std::uint64_t bits, SlabRecord* slab_info) noexcept {
        if constexpr (capacity >= FreeMap::bits_per_word) {
            if (bits == ~std::uint64_t{0}) return push_word(start, slab_info);
        }
        top_ += bits_number(bits);
        std::byte** place = top_;
        for (; bits != 0; bits &= bits - 1)
            put(start + lowest_bit(bits) * stride, --place, slab_info);
        forget_popped();
    }

    /// From the bottom to the top.
    [[nodiscard]] std::span<std::byte* const> all() const noexcept { return {bottom(), top_}; }

    /// The SlabInfo of the object `rank` places from the bottom.
    [[nodiscard]] SlabRecord* info_at(std::size_t rank) const noexcept
        requires with_infos
    {
        return infos_[rank];
    }

    /// Forgets all objects but the lowest `size`. They stay where they were until the next push.
    void drop_to(std::size_t size) noexcept {
        top_ = bottom() + size;
        forget_popped();
    }

private:
    using Ranks = MembershipIndex<stride, capacity, checked>;

    [[nodiscard]] constexpr std::byte** bottom() noexcept { return objects_ + 1; }
    [[nodiscard]] constexpr std::byte* const* bottom() const noexcept { return objects_ + 1; }

    void put(std::byte* object, std::byte** place,
             [[maybe_unused]] SlabRecord* slab_info) noexcept {
        ranks_.put(object, static_cast<std::size_t>(place - bottom()));
        if constexpr (with_infos) infos_[place - bottom()] = slab_info;
        *place = object;
    }

    /// All slots of a word, as of a slab that nobody has churned: known numbers, for the compiler
    /// to make wide stores of.
    void push_word(std::byte* start, SlabRecord* slab_info) noexcept {
        constexpr std::size_t slots = FreeMap::bits_per_word;
        ranks_.put_word(start, size());
        for_all_of_word([&](std::size_t slot) {
            top_[slot] = start + (slots - 1 - slot) * stride;
            return true;
        });
        if constexpr (with_infos) {
            for (std::size_t slot = 0; slot < slots; ++slot)
                infos_[size() + slot] = slab_info;
        }
        top_ += slots;
        forget_popped();
    }

    struct NoPopped {};
    struct NoInfos {};

    [[nodiscard]] constexpr auto first_popped_end() noexcept {
        if constexpr (checked) {
            return bottom();
        } else {
            return NoPopped{};
        }
    }

    std::byte** top_ = objects_ + 1;
    std::byte** limit_ = objects_ + 1 + capacity;
    [[no_unique_address]] std::conditional_t<checked, std::byte**, NoPopped> popped_end_ =
        first_popped_end();
    [[no_unique_address]] Ranks ranks_;
    std::byte* objects_[1 + capacity] = {};
    [[no_unique_address]] std::conditional_t<with_infos, SlabRecord* [capacity], NoInfos> infos_ =
        {};
};

}  // namespace slab_allocator
