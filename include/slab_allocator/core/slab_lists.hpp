#pragma once

// slab_lists.hpp -- on which list a slab stands: the only place that moves one.
//
//      full        no free slot
//      partial 0   some, few free: taken from first, so that these become full ...
//      ...
//      partial 7   some, most free: ... and these drain, and go back to the backend
//      free        all free
//
// Partial slabs stand in eight classes by their share of free slots; within a class, the slab that
// came last is taken first. Finding the fullest slab with room is one bit scan.
//
// Invariants
//   [B1] a slab stands on the list of its free_number, and slab_info.list says which; list_most is
//        the most free slots that a slab on that list has.
//   [B2] bit i of nonempty  <=>  list i is not empty
//   [B3] free_objects_number == sum of free_number over all slabs
//   [B4] slabs_number == |slabs on all lists|; the counts of full and free ones likewise

#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/core/intrusive_list.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

template <std::size_t objects_per_slab>
class SlabLists {
public:
    static constexpr std::size_t full = 0;
    static constexpr std::size_t partial_classes = 8;
    static constexpr std::size_t free = 1 + partial_classes;
    static constexpr std::size_t half_free = 1 + partial_classes / 2;  // and the lists after it
    static constexpr std::size_t nearly_free = partial_classes;
    static constexpr std::size_t lists_number = 2 + partial_classes;

    /// The list of a slab with `free_number` free slots [B1].
    [[nodiscard]] static constexpr std::size_t list_for(std::size_t free_number) noexcept {
        if (free_number == 0) return full;
        if (free_number == objects_per_slab) return free;
        return 1 + free_number * partial_classes / objects_per_slab;
    }

    /// The most free slots of a slab on list `number`.
    [[nodiscard]] static constexpr std::size_t most_on(std::size_t number) noexcept {
        if (number == full) return 0;
        if (number == free) return objects_per_slab;
        const std::size_t next = divide_up(number * objects_per_slab, partial_classes);
        return next - 1;
    }

    [[nodiscard]] constexpr std::size_t slabs_number() const noexcept { return slabs_number_; }
    [[nodiscard]] constexpr std::size_t free_slabs_number() const noexcept {
        return free_slabs_number_;
    }
    [[nodiscard]] constexpr std::size_t full_slabs_number() const noexcept {
        return full_slabs_number_;
    }
    [[nodiscard]] constexpr std::size_t free_objects_number() const noexcept {
        return free_objects_number_;
    }
    /// Slots that are not in the hands of their slabs.
    [[nodiscard]] constexpr std::size_t taken_objects_number() const noexcept {
        return slabs_number_ * objects_per_slab - free_objects_number_;
    }

    [[nodiscard]] IntrusiveList<SlabRecord>& list(std::size_t number) noexcept {
        return lists_[number];
    }

    /// The fullest partial slab; nullptr where there is none.
    [[nodiscard]] SlabRecord* fullest_partial() noexcept {
        return nonempty_partial() == 0 ? nullptr : &lists_[lowest_bit(nonempty_partial())].front();
    }
    [[nodiscard]] SlabRecord* any_free() noexcept {
        return free_slabs_number_ == 0 ? nullptr : &lists_[free].front();
    }
    [[nodiscard]] SlabRecord* any() noexcept {
        return nonempty_ == 0 ? nullptr : &lists_[lowest_bit(nonempty_)].front();
    }

    /// Do the counts and bits agree with `slabs` slabs standing on list `number`? [B2] [B4]
    [[nodiscard]] bool agree(std::size_t number, std::size_t slabs) const noexcept {
        if (number == free && slabs != free_slabs_number_) return false;
        if (number == full && slabs != full_slabs_number_) return false;
        return ((nonempty_ >> number) & 1U) == (slabs == 0 ? 0U : 1U);
    }

    /// Requires: slab_info is at rest.
    void add(SlabRecord& slab_info) noexcept {
        ++slabs_number_;
        free_objects_number_ += slab_info.free_number;
        link(slab_info, list_for(slab_info.free_number));
    }
    void remove(SlabRecord& slab_info) noexcept {
        unlink(slab_info);
        free_objects_number_ -= slab_info.free_number;
        --slabs_number_;
    }

    /// `number` slots of a slab became free: moves it where it now belongs. Returns: was that
    /// elsewhere? The caller counts them for all slabs together, by gave_back_in_all() [B3].
    [[nodiscard]] bool gave_back(SlabRecord& slab_info, std::size_t number) noexcept {
        const std::size_t free_number = slab_info.free_number + number;
        slab_info.free_number = static_cast<std::uint16_t>(free_number);
        if (free_number <= slab_info.list_most) [[likely]]
            return false;
        move(slab_info);
        return true;
    }
    /// Would one more free slot move it?
    [[nodiscard]] static bool would_move(const SlabRecord& slab_info) noexcept {
        return slab_info.free_number >= slab_info.list_most;
    }
    void gave_back_in_all(std::size_t number) noexcept { free_objects_number_ += number; }

    /// `number` slots of a slab were taken: moves it where it now belongs.
    void took(SlabRecord& slab_info, std::size_t number) noexcept {
        free_objects_number_ -= number;
        slab_info.free_number = static_cast<std::uint16_t>(slab_info.free_number - number);
        if (list_for(slab_info.free_number) != slab_info.list) move(slab_info);
    }

private:
    [[nodiscard]] std::uint64_t nonempty_partial() const noexcept {
        constexpr std::uint64_t partial = ((std::uint64_t{1} << partial_classes) - 1) << 1;
        return nonempty_ & partial;
    }

    [[gnu::noinline]] void move(SlabRecord& slab_info) noexcept {
        unlink(slab_info);
        link(slab_info, list_for(slab_info.free_number));
    }

    void link(SlabRecord& slab_info, std::size_t number) noexcept {
        lists_[number].push_front(slab_info);
        nonempty_ |= std::uint64_t{1} << number;  // [B2]
        slab_info.list = static_cast<std::uint8_t>(number);
        slab_info.list_most = static_cast<std::uint16_t>(most_on(number));
        if (number == free) ++free_slabs_number_;  // [B4]
        if (number == full) ++full_slabs_number_;
    }
    void unlink(SlabRecord& slab_info) noexcept {
        const std::size_t number = slab_info.list;
        slab_info.unlink();
        if (lists_[number].empty()) nonempty_ &= ~(std::uint64_t{1} << number);  // [B2]
        if (number == free) --free_slabs_number_;                                // [B4]
        if (number == full) --full_slabs_number_;
    }

    std::uint64_t nonempty_ = 0;
    std::size_t slabs_number_ = 0;
    std::size_t free_slabs_number_ = 0;
    std::size_t full_slabs_number_ = 0;
    std::size_t free_objects_number_ = 0;
    IntrusiveList<SlabRecord> lists_[lists_number];
};

}  // namespace slab_allocator
