#pragma once

// recent_objects.hpp -- a short stack of free objects at the cache's hand: the hot path's whole
// world.
//
//      objects   | . | . | . |       |      objects[0 .. size) are taken out of their slabs, but
//                              ^size        belong to nobody; alloc pops, free pushes
//
// A slab's free map gives and takes whole words cheaply and single bits dearly, so the cache fills
// this stack from words and empties it into words, half of it at a time. (A magazine as in Bonwick
// and Adams 2001, filled by expanding bitmaps.)
//
// Is an object in the stack? free asks that to find a double free. The answer must be exact and may
// not chain one operation to the next through memory, so there is a sparse set over it (Briggs and
// Torczon 1993): rank[class of the address] is where an object of that class was pushed last, and
// counts only while it is below size and an object of the class is still there. A class has at most
// one object in the stack; a second one goes to its slab.
//
// Invariants
//   [R1] size <= limit <= capacity, but where limit was just lowered
//   [R2] checked: an object in the stack at i has rank[its class] == i
//   [R3] checked: last is null, or was popped last, has not been pushed since, and objects[size]
//   and
//        its rank are as before that pop: pushing it again is counting up

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/free_map.hpp>

namespace slab_allocator {

class SlabInfo;

/// As many objects as 64 KiB hold, but a power of two from 1 to 64.
[[nodiscard]] constexpr std::size_t recent_capacity(std::size_t stride) noexcept {
    const std::size_t fitting = std::size_t{64} * 1024 / stride;
    return fitting > 64 ? 64 : fitting < 1 ? 1 : std::bit_floor(fitting);
}

/// What free needs to know of objects in the stack; nothing, where misuse is not looked for.
template <std::size_t stride, bool checked>
class RecentRanks {
public:
    static constexpr void put(const std::byte*, std::size_t) noexcept {}
    static constexpr void popped(const std::byte*) noexcept {}
    static constexpr void forget_last() noexcept {}
};

template <std::size_t stride>
class RecentRanks<stride, true> {
public:
    static constexpr std::size_t classes = 1024;

    [[nodiscard]] std::size_t rank_of(const std::byte* object) const noexcept {
        return ranks_[class_of(address_of(object))];
    }
    [[nodiscard]] static bool same_class(const std::byte* a, const std::byte* b) noexcept {
        return class_of(address_of(a) ^ address_of(b)) == 0;
    }
    [[nodiscard]] bool is_last(const std::byte* object) const noexcept { return object == last_; }

    void put(const std::byte* object, std::size_t rank) noexcept {
        ranks_[class_of(address_of(object))] = static_cast<std::uint8_t>(rank);  // [R2]
    }
    void popped(const std::byte* object) noexcept { last_ = object; }
    void forget_last() noexcept { last_ = nullptr; }

private:
    // 2^shift <= stride: two of any 512 neighbouring slots never share a class.
    static constexpr int shift = std::bit_width(stride) - 1;

    [[nodiscard]] static std::size_t class_of(std::uintptr_t address) noexcept {
        return (address >> shift) % classes;
    }

    const std::byte* last_ = nullptr;
    std::uint8_t ranks_[classes] = {};
};

/// `with_infos`: the stack remembers each object's SlabInfo, so that a row with a map is asked once
/// in a free, not again when the object goes back to its slab.
template <std::size_t stride, bool checked, bool with_infos>
class RecentObjects {
public:
    static constexpr std::size_t capacity = recent_capacity(stride);
    static constexpr bool has_infos = with_infos;

    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
    [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] constexpr bool full() const noexcept { return size_ == limit_; }

    /// From now on, full() at `limit` objects. Requires: limit <= capacity, not checked.
    constexpr void set_limit(std::size_t limit) noexcept { limit_ = limit; }

    /// Takes the object that came last, if there is one. Returns: whether.
    [[nodiscard]] bool pop(std::byte*& object) noexcept {
        std::size_t size = 0;
        if (__builtin_sub_overflow(size_, 1, &size)) [[unlikely]]
            return false;
        size_ = size;
        object = objects_[size];
        ranks_.popped(object);
        return true;
    }

    /// Requires: !full(), and checked: !occupied(object). Not checked.
    void push(std::byte* object, SlabInfo* slab_info) noexcept {
        ranks_.forget_last();
        put(object, size_, slab_info);
        ++size_;
    }

    /// Undoes pop(), if `object` is what it gave and nothing was pushed since [R3].
    [[nodiscard]] bool push_again(const std::byte* object) noexcept
        requires checked
    {
        if (!ranks_.is_last(object) || object == nullptr || full()) return false;
        ranks_.forget_last();
        ++size_;
        return true;
    }

    /// Is the place of the object's class taken, by itself or by another?
    [[nodiscard]] bool occupied(const std::byte* object) const noexcept
        requires checked
    {
        const std::size_t rank = ranks_.rank_of(object);
        return rank < size_ && ranks_.same_class(objects_[rank], object);
    }

    /// Costs: one comparison where checked, one an object else.
    [[nodiscard]] bool contains(const std::byte* object) const noexcept {
        if constexpr (checked) {
            const std::size_t rank = ranks_.rank_of(object);
            return rank < size_ && objects_[rank] == object;
        } else {
            for (std::size_t rank = 0; rank < size_; ++rank) {
                if (objects_[rank] == object) return true;
            }
            return false;
        }
    }

    /// An object that pop() gave went elsewhere than here.
    void forget_last() noexcept { ranks_.forget_last(); }

    /// Pushes the slots `bits` of a word that starts at `start`, so that the lowest comes out
    /// first, until `most` objects are here. Returns: those that were pushed; others have no place.
    [[nodiscard]] std::uint64_t push_slots(std::byte* start, std::uint64_t bits, std::size_t most,
                                           SlabInfo* slab_info) noexcept {
        if (size_ != 0 || capacity < FreeMap::bits_per_word) {
            bits = with_place(start, bits, most - size_);
            if (bits == 0) return 0;
        }
        const std::size_t low = lowest_bit(bits);
        const std::uint64_t run = bits >> low;
        if ((run & (run + 1)) == 0) {  // neighbours, as in a slab that nobody has churned
            const std::size_t number = highest_bit(run) + 1;
            std::byte* object = start + (low + number) * stride;
            for (std::size_t rank = size_; rank < size_ + number; ++rank) {
                object -= stride;
                put(object, rank, slab_info);
            }
            size_ += number;
        } else {
            std::size_t rank = size_ += bits_number(bits);
            for (std::uint64_t left = bits; left != 0; left &= left - 1) {
                put(start + lowest_bit(left) * stride, --rank, slab_info);
            }
        }
        return bits;
    }

    /// The object `rank` places from the bottom, and its SlabInfo.
    [[nodiscard]] std::byte* at(std::size_t rank) const noexcept { return objects_[rank]; }
    [[nodiscard]] SlabInfo* info_at(std::size_t rank) const noexcept
        requires with_infos
    {
        return infos_[rank];
    }

    /// Forgets all objects but the lowest `size`.
    void drop_to(std::size_t size) noexcept {
        size_ = size;
        ranks_.forget_last();
    }

private:
    void put(std::byte* object, std::size_t rank, [[maybe_unused]] SlabInfo* slab_info) noexcept {
        ranks_.put(object, rank);
        if constexpr (with_infos) infos_[rank] = slab_info;
        objects_[rank] = object;
    }

    /// The lowest `most` of `bits` whose places are not taken. Slots of one word have places of
    /// their own.
    [[nodiscard]] std::uint64_t with_place(std::byte* start, std::uint64_t bits,
                                           std::size_t most) const noexcept {
        std::uint64_t result = 0;
        for (; bits != 0 && most > 0; bits &= bits - 1) {
            if constexpr (checked) {
                if (occupied(start + lowest_bit(bits) * stride)) continue;
            }
            result |= bits & (~bits + 1);
            --most;
        }
        return result;
    }

    struct NoInfos {};

    std::size_t size_ = 0;
    std::size_t limit_ = capacity;
    [[no_unique_address]] RecentRanks<stride, checked> ranks_;
    std::byte* objects_[capacity] = {};
    [[no_unique_address]] std::conditional_t<with_infos, SlabInfo* [capacity], NoInfos> infos_ = {};
};

}  // namespace slab_allocator
