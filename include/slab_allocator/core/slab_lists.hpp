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
//   [B1] a slab stands on the list of its free_number, and slab_info.list says which;
//        list_max_free is the most free slots that a slab on that list has.
//   [B2] bit i of nonempty  <=>  list i is not empty
//   [B3] a cache's: free_objects_number == sum of free_number over all slabs
//   [B4] slabs_number == |slabs on all lists|; the counts of full and free ones likewise
//
// A cache knows at compile time how many objects a slab has; a heap's size class has a member for
// that, SlabLists<0>, and does not count the free ones of all its slabs.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/core/intrusive_list.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

namespace detail {

template <std::size_t number>
class ObjectsOfSlabs {
public:
    constexpr ObjectsOfSlabs() noexcept = default;
    constexpr explicit ObjectsOfSlabs(std::size_t) noexcept {}
    [[nodiscard]] static constexpr std::size_t objects_per_slab() noexcept { return number; }

protected:
    [[nodiscard]] constexpr bool are_free(std::size_t objects) const noexcept {  // [B3]
        return objects == free_objects_number_;
    }
    constexpr void add_free(std::size_t objects) noexcept { free_objects_number_ += objects; }
    constexpr void remove_free(std::size_t objects) noexcept { free_objects_number_ -= objects; }

    std::size_t free_objects_number_ = 0;
};

template <>
class ObjectsOfSlabs<0> {
public:
    constexpr explicit ObjectsOfSlabs(std::size_t number) noexcept
        : number_(static_cast<std::uint32_t>(number)) {}
    [[nodiscard]] constexpr std::size_t objects_per_slab() const noexcept { return number_; }

protected:
    [[nodiscard]] static constexpr bool are_free(std::size_t) noexcept { return true; }
    static constexpr void add_free(std::size_t) noexcept {}
    static constexpr void remove_free(std::size_t) noexcept {}

private:
    std::uint32_t number_;
};

}  // namespace detail

template <std::size_t known_objects_per_slab>
class SlabLists : public detail::ObjectsOfSlabs<known_objects_per_slab> {
    using Objects = detail::ObjectsOfSlabs<known_objects_per_slab>;

public:
    using Objects::Objects;
    using Objects::objects_per_slab;

    static constexpr std::size_t full = 0;
    static constexpr std::size_t partial_classes = 8;
    static constexpr std::size_t free = 1 + partial_classes;
    static constexpr std::size_t half_free = 1 + partial_classes / 2;  // and the lists after it
    static constexpr std::size_t nearly_free = partial_classes;
    static constexpr std::size_t lists_number = 2 + partial_classes;

    /// The list of a slab with `free_number` free slots [B1].
    [[nodiscard]] constexpr std::size_t list_for(std::size_t free_number) const noexcept {
        if (free_number == 0) return full;
        if (free_number == objects_per_slab()) return free;
        if constexpr (known_objects_per_slab != 0)
            return 1 + free_number * partial_classes / objects_per_slab();
        std::size_t number = 1;  // no division, where the compiler does not know by what
        while (free_number > max_free_on(number))
            ++number;
        return number;
    }

    /// The most free slots of a slab on list `number`.
    [[nodiscard]] constexpr std::size_t max_free_on(std::size_t number) const noexcept {
        if (number == full) return 0;
        if (number == free) return objects_per_slab();
        const std::size_t next = divide_up(number * objects_per_slab(), partial_classes);
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
        return Objects::free_objects_number_;
    }
    /// Slots that are not in the hands of their slabs.
    [[nodiscard]] constexpr std::size_t taken_objects_number() const noexcept {
        return slabs_number_ * objects_per_slab() - free_objects_number();
    }

    [[nodiscard]] IntrusiveList<SlabRecord>& list(std::size_t number) noexcept {
        return lists_[number];
    }

    /// Calls f(slab_info) for every slab, the full ones first. It may move none.
    template <typename F>
    void for_each(F f) {
        for (IntrusiveList<SlabRecord>& of : lists_) {
            for (const SlabRecord& slab_info : of)
                f(slab_info);
        }
    }

    /// The fullest one, so that the emptier ones drain; nullptr where none has room.
    [[nodiscard]] SlabRecord* any_with_room() noexcept {
        SlabRecord* const partial = fullest_partial();
        return partial != nullptr ? partial : any_free();
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

    /// The first slab that does not stand as it must, or of which `defect_of` says that it has a
    /// defect; a null one where slabs are missing or counted wrongly.
    struct Wrong {
        Defect defect = Defect::None;
        const SlabRecord* slab_info = nullptr;

        /// For a report: the slab, or whose lists these are.
        [[nodiscard]] const void* where(const void* owner) const noexcept {
            return slab_info != nullptr ? static_cast<const void*>(slab_info) : owner;
        }
    };
    template <typename F>
    [[nodiscard]] Wrong validate(F defect_of) noexcept {
        std::size_t slabs = 0;
        std::size_t free_objects = 0;
        for (std::size_t number = 0; number < lists_number; ++number) {
            const std::size_t before = slabs;
            for (const SlabRecord& slab_info : lists_[number]) {
                Defect defect = Defect::CorruptedSlabInfo;
                if (++slabs <= slabs_number_ && slab_info.consistent() &&
                    stands_right(slab_info, number)) {
                    defect = defect_of(slab_info);
                }
                if (defect != Defect::None) return {defect, &slab_info};
                free_objects += slab_info.free_number;
            }
            if (!agree(number, slabs - before)) return {Defect::CorruptedSlabInfo};
        }
        if (slabs == slabs_number_ && Objects::are_free(free_objects)) return {};
        return {Defect::CorruptedSlabInfo};
    }

    /// Requires: slab_info is at rest.
    void add(SlabRecord& slab_info) noexcept {
        ++slabs_number_;
        Objects::add_free(slab_info.free_number);
        link(slab_info, list_for(slab_info.free_number));
    }
    [[gnu::noinline]] void remove(SlabRecord& slab_info) noexcept {
        unlink(slab_info);
        Objects::remove_free(slab_info.free_number);
        --slabs_number_;
    }

    /// `number` slots of a slab became free: moves it where it now belongs. Returns: was that
    /// elsewhere? The caller counts them for all slabs together, by add_free_count() [B3].
    [[nodiscard]] bool slots_freed(SlabRecord& slab_info, std::size_t number) noexcept {
        const std::size_t free_number = slab_info.free_number + number;
        slab_info.free_number = static_cast<std::uint16_t>(free_number);
        if (free_number <= slab_info.list_max_free) [[likely]]
            return false;
        move(slab_info);
        return true;
    }
    /// One more slot of a slab became free. Returns: does it belong elsewhere now? Then the caller
    /// calls move().
    [[nodiscard]] static bool slot_freed(SlabRecord& slab_info) noexcept {
        return ++slab_info.free_number > slab_info.list_max_free;
    }
    [[gnu::noinline]] void move(SlabRecord& slab_info) noexcept {
        unlink(slab_info);
        link(slab_info, list_for(slab_info.free_number));
    }
    /// Would one more free slot move it?
    [[nodiscard]] static bool would_move(const SlabRecord& slab_info) noexcept {
        return slab_info.free_number >= slab_info.list_max_free;
    }
    void add_free_count(std::size_t number) noexcept { Objects::add_free(number); }

    /// `number` slots of a slab were taken: moves it where it now belongs.
    void slots_taken(SlabRecord& slab_info, std::size_t number) noexcept {
        Objects::remove_free(number);
        slab_info.free_number = static_cast<std::uint16_t>(slab_info.free_number - number);
        if (list_for(slab_info.free_number) != slab_info.list) move(slab_info);
    }

private:
    [[nodiscard]] bool stands_right(const SlabRecord& slab_info,
                                    std::size_t number) const noexcept {  // [B1]
        return slab_info.list == number && slab_info.list_max_free == max_free_on(number) &&
               number == list_for(slab_info.free_number);
    }
    /// Do the counts and bits agree with `slabs` slabs standing on list `number`? [B2] [B4]
    [[nodiscard]] bool agree(std::size_t number, std::size_t slabs) const noexcept {
        if (number == free && slabs != free_slabs_number_) return false;
        if (number == full && slabs != full_slabs_number_) return false;
        return ((nonempty_ >> number) & 1U) == (slabs == 0 ? 0U : 1U);
    }

    [[nodiscard]] std::uint32_t nonempty_partial() const noexcept {
        constexpr std::uint32_t partial = ((std::uint32_t{1} << partial_classes) - 1) << 1;
        return nonempty_ & partial;
    }

    void link(SlabRecord& slab_info, std::size_t number) noexcept {
        lists_[number].push_front(slab_info);
        nonempty_ |= std::uint32_t{1} << number;  // [B2]
        slab_info.list = static_cast<std::uint8_t>(number);
        slab_info.list_max_free = static_cast<std::uint16_t>(max_free_on(number));
        if (number == free) ++free_slabs_number_;  // [B4]
        if (number == full) ++full_slabs_number_;
    }
    void unlink(SlabRecord& slab_info) noexcept {
        const std::size_t number = slab_info.list;
        slab_info.unlink();
        if (lists_[number].empty()) nonempty_ &= ~(std::uint32_t{1} << number);  // [B2]
        if (number == free) --free_slabs_number_;                                // [B4]
        if (number == full) --full_slabs_number_;
    }

    std::uint32_t nonempty_ = 0;
    std::size_t slabs_number_ = 0;
    std::size_t free_slabs_number_ = 0;
    std::size_t full_slabs_number_ = 0;
    IntrusiveList<SlabRecord> lists_[lists_number];
};

}  // namespace slab_allocator
