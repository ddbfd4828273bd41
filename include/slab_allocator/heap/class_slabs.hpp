#pragma once

// class_slabs.hpp -- the slabs of one size class: what Cache is for a type, for a size that is a
// number.
//
//      alloc  <-- hand: one word of one slab's map <-- slabs with room, the fullest first <-- pages
//      free   --> the hand, or the map of the object's slab ------------free slabs------> pages
//
// A Cache is compiled for its type; 64 of them are half a megabyte of code and 20 seconds of
// compiling, which no kernel wants for its kmalloc. So here stride and slots are members, and one
// piece of code serves all classes. The hand is a word of 64 bits, taken out of a map at once:
// alloc is the lowest of them, and a free of a slot in that word puts it back there. Nothing is
// written in a free object, and a free slot is found free at once, in the hand or in the map.
//
// Invariants
//   [L1] a slot is in one of three hands: free in its slab's map, in hand_, or the caller's.
//   [L2] the slab in hand stands on no list; every other one on the list of its free_number.
//   [L3] before each call of the backend every list and counter is in order, and after it they are
//        looked at again: the backend may call the heap.
//   [L4] what is refused has changed nothing.

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/cache_statistics.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/core/intrusive_list.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/poison.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/heap/heap_pages.hpp>
#include <slab_allocator/heap/size_classes.hpp>

namespace slab_allocator {

template <typename Backend, HeapConfig Config>
class alignas(64) ClassSlabs {
    static constexpr bool checked = Config.checks != Checks::none;

public:
    using Pages = HeapPages<Backend, Config.page_size, checked>;

    /// It never has more than `most_slabs`.
    constexpr ClassSlabs(std::size_t number, const Layout& layout, std::uint32_t most_slabs,
                         Pages pages) noexcept
        : number_(static_cast<std::uint32_t>(number)),
          most_slabs_(most_slabs),
          layout_(layout),
          pages_(std::move(pages)) {}
    ClassSlabs(const ClassSlabs&) = delete;  // its slabs know its address
    ClassSlabs& operator=(const ClassSlabs&) = delete;

    // ---- One object -----------------------------------------------------------------------------

    /// Returns: nullptr where the backend refuses. Costs: O(1).
    [[nodiscard]] void* alloc() noexcept {
        if (hand_ == 0) [[unlikely]]
            return alloc_slowly();
        return take_lowest();
    }

    /// Takes back an object whose SlabInfo is `slab_info`, of this class. Returns: false where that
    /// is no live object [L4]. Costs: O(1).
    [[nodiscard]] bool free(const void* object, SlabInfo& slab_info) noexcept {
        const std::size_t slot = slot_of(object, slab_info);
        if constexpr (checked) {
            if (slot >= layout_.slots_per_slab) [[unlikely]]
                return false;
        }
        const std::size_t word = slot / FreeMap::bits_per_word;
        const std::uint64_t bit = std::uint64_t{1} << (slot % FreeMap::bits_per_word);
        if (&slab_info == hand_slab_ && word == hand_word_) {
            if constexpr (checked) {
                if ((hand_ & bit) != 0) [[unlikely]]
                    return false;
            }
            detail::hide(object, layout_.object_size);
            hand_ |= bit;
            return true;
        }
        if constexpr (checked) {
            if (!slab_info.map.all_taken(word, bit)) [[unlikely]]
                return false;
        }
        detail::hide(object, layout_.object_size);
        slab_info.map.give_back(word, bit);
        if (++slab_info.free_number > slab_info.list_most) [[unlikely]]
            has_more_free(slab_info);
        return true;
    }

    // ---- For a layer in front, which holds the lock ---------------------------------------------

    /// Fills `objects` from the start. Returns: how many the backend allowed. Afterwards the hand
    /// is empty, so that what is not free in a map is the caller's.
    [[nodiscard]] std::size_t alloc_bulk(std::span<std::byte*> objects) noexcept {
        std::size_t done = 0;
        while (done < objects.size()) {
            objects[done] = static_cast<std::byte*>(alloc());
            if (objects[done] == nullptr) break;
            ++done;
        }
        empty_hand();
        return done;
    }

    /// The hand's bits go back to their map; the slab stays in hand.
    void empty_hand() noexcept {
        if (hand_ == 0) return;
        SlabInfo& slab_info = *hand_slab_;
        slab_info.map.give_back(hand_word_, hand_);
        slab_info.free_number =
            static_cast<std::uint16_t>(slab_info.free_number + bits_number(hand_));
        hand_ = 0;
    }

    /// is_live, where nothing lies in the hand. Reads nothing but what stays as it is while the
    /// object lives, so of a live one it may be asked without the lock.
    [[nodiscard]] bool is_out(const void* object, const SlabInfo& slab_info) const noexcept {
        const std::size_t slot = slot_of(object, slab_info);
        return slot < layout_.slots_per_slab && !slab_info.map.is_free_unlocked(slot);
    }

    // ---- Slabs ----------------------------------------------------------------------------------

    /// Gives all Free slabs back. Returns: how many.
    std::size_t shrink_to_fit() noexcept {
        put_down_hand();
        std::size_t given = 0;
        while (!lists_[free_list].empty()) {
            remove(lists_[free_list].front());
            ++given;
        }
        return given;
    }

    /// Gives all slabs back. Returns: how many objects were live.
    std::size_t give_back_everything() noexcept {
        const std::size_t live = allocated_objects_number();
        put_down_hand();
        for (auto& list : lists_) {
            while (!list.empty())
                remove(list.front());
        }
        return live;
    }

    // ---- To look at -----------------------------------------------------------------------------

    [[nodiscard]] constexpr std::size_t number() const noexcept { return number_; }
    [[nodiscard]] constexpr const Layout& layout() const noexcept { return layout_; }
    [[nodiscard]] constexpr std::size_t object_size() const noexcept { return layout_.object_size; }
    [[nodiscard]] constexpr Backend& backend() noexcept { return pages_.backend(); }

    [[nodiscard]] bool is_live(const void* object, const SlabInfo& slab_info) const noexcept {
        const std::size_t slot = slot_of(object, slab_info);
        return slot < layout_.slots_per_slab && !slab_info.map.is_free(slot) &&
               !in_hand(slot, slab_info);
    }

    /// The rest of a report on a free of `object`, which is not live.
    void say_what_is_wrong(DefectReport& report, const SlabInfo& slab_info) const noexcept {
        report.slab = slab_info.slab;
        const std::size_t slot = slot_of(report.pointer, slab_info);
        if (slot >= layout_.slots_per_slab) {
            report.defect = Defect::InteriorPointer;
            return;
        }
        report.slot = slot;
        report.defect = slot >= slab_info.untouched ? Defect::NeverAllocated : Defect::DoubleFree;
    }

    /// Costs: O(slabs). The peak of objects is not known.
    [[nodiscard]] CacheStatistics statistics() noexcept {
        CacheStatistics result;
        for (auto& list : lists_) {
            for (const SlabInfo& slab_info : list)
                count(result, slab_info.free_number);
        }
        if (hand_slab_ != nullptr) count(result, hand_slab_->free_number + bits_number(hand_));
        result.peak_slabs_number = peak_slabs_number_;
        result.failures_number = failures_number_;
        result.bytes_held = slabs_number_ * (layout_.slab_size + sizeof(SlabInfo));
        result.bytes_lost = slabs_number_ * (layout_.slab_size + sizeof(SlabInfo) -
                                             layout_.objects_per_slab * layout_.object_size);
        return result;
    }

    [[nodiscard]] std::size_t allocated_objects_number() noexcept {
        return statistics().allocated_objects_number;
    }

    /// The first thing that is not as it must be, or Defect::None. Costs: O(slots).
    [[nodiscard]] DefectReport validate() noexcept {
        std::size_t slabs = 0;
        for (std::size_t number = 0; number < lists_number; ++number) {
            for (SlabInfo& slab_info : lists_[number]) {
                if (++slabs > slabs_number_ || !slab_info.consistent())
                    return corrupted(&slab_info);
                const Defect defect = defect_of(slab_info, number);
                if (defect != Defect::None) return wrong(defect, &slab_info);
            }
        }
        if (hand_slab_ != nullptr) {
            ++slabs;
            const bool at_rest = !hand_slab_->linked() &&
                                 (hand_ & (hand_slab_->map.word_at(hand_word_))) == 0 &&
                                 hand_slab_->list_most == never_moves;
            if (!at_rest) return corrupted(hand_slab_);
            const Defect defect = defect_of(*hand_slab_, hand_slab_->list);
            if (defect != Defect::None) return wrong(defect, hand_slab_);
        } else if (hand_ != 0) {
            return corrupted(this);
        }
        return slabs == slabs_number_ ? DefectReport{} : corrupted(this);
    }

private:
    static constexpr std::size_t full_list = 0;
    static constexpr std::size_t partial_lists = 8;
    static constexpr std::size_t free_list = 1 + partial_lists;
    static constexpr std::size_t lists_number = 2 + partial_lists;
    static constexpr std::uint16_t never_moves = 0xffff;  // list_most of the slab in hand

    [[nodiscard]] std::size_t slot_of(const void* object,
                                      const SlabInfo& slab_info) const noexcept {
        return layout_.slot_at(address_of(object) - address_of(slab_info.slab));
    }
    [[nodiscard]] PagesWanted wanted() const noexcept {
        return {.bytes = layout_.slab_size,
                .alignment = layout_.slab_alignment,
                .known_pages = layout_.pages_per_slab()};
    }

    // ---- The hand -------------------------------------------------------------------------------

    [[nodiscard]] void* take_lowest() noexcept {
        const std::size_t slot = lowest_bit(hand_);
        hand_ &= hand_ - 1;
        std::byte* const object = hand_start_ + slot * layout_.stride;
        detail::reveal(object, layout_.object_size);
        return object;
    }

    [[nodiscard]] bool in_hand(std::size_t slot, const SlabInfo& slab_info) const noexcept {
        return &slab_info == hand_slab_ && slot / FreeMap::bits_per_word == hand_word_ &&
               ((hand_ >> (slot % FreeMap::bits_per_word)) & 1U) != 0;
    }

    [[nodiscard, gnu::noinline]] void* alloc_slowly() noexcept {
        while (hand_ == 0) {
            if (!fill_hand() && !add()) {
                ++failures_number_;
                return nullptr;
            }
        }
        return take_lowest();
    }

    /// Takes a word of the slab in hand, or of another one. Returns: false where none has room.
    /// Requires: the hand is empty.
    [[nodiscard]] bool fill_hand() noexcept {
        if (hand_slab_ == nullptr || hand_slab_->map.empty()) {
            SlabInfo* const slab_info = slab_with_room();
            if (slab_info == nullptr) return false;
            put_down_hand();
            unlink(*slab_info);
            slab_info->list_most = never_moves;  // [L2]
            hand_slab_ = slab_info;
        }
        SlabInfo& slab_info = *hand_slab_;
        hand_word_ = slab_info.map.first_word();
        hand_ = slab_info.map.word_at(hand_word_);
        slab_info.map.take(hand_word_, hand_, 0);
        slab_info.free_number =
            static_cast<std::uint16_t>(slab_info.free_number - bits_number(hand_));
        const std::size_t first = hand_word_ * FreeMap::bits_per_word;
        hand_start_ = slab_info.slab + layout_.offset_of(first);
        const std::size_t end = first + highest_bit(hand_) + 1;
        if (end > slab_info.untouched) slab_info.untouched = static_cast<std::uint16_t>(end);
        return true;
    }

    /// The hand's bits go back to their map, and its slab on a list.
    void put_down_hand() noexcept {
        SlabInfo* const slab_info = hand_slab_;
        if (slab_info == nullptr) return;
        empty_hand();
        hand_slab_ = nullptr;
        link(*slab_info, list_for(slab_info->free_number, full_list));
    }

    // ---- Lists ----------------------------------------------------------------------------------

    /// The most free slots of a slab on list `number`.
    [[nodiscard]] std::size_t most_on(std::size_t number) const noexcept {
        if (number == full_list) return 0;
        if (number == free_list) return layout_.objects_per_slab;
        return divide_up(number * layout_.objects_per_slab, partial_lists) - 1;
    }
    /// The list of a slab with so many free slots, which is not before `from`.
    [[nodiscard]] std::size_t list_for(std::size_t free_number, std::size_t from) const noexcept {
        while (free_number > most_on(from))
            ++from;
        return from;
    }

    void link(SlabInfo& slab_info, std::size_t number) noexcept {
        lists_[number].push_front(slab_info);
        nonempty_ |= std::uint64_t{1} << number;
        slab_info.list = static_cast<std::uint8_t>(number);
        slab_info.list_most = static_cast<std::uint16_t>(most_on(number));
        if (number == free_list) ++free_slabs_number_;
    }
    void unlink(SlabInfo& slab_info) noexcept {
        const std::size_t number = slab_info.list;
        slab_info.unlink();
        if (lists_[number].empty()) nonempty_ &= ~(std::uint64_t{1} << number);
        if (number == free_list) --free_slabs_number_;
    }

    /// The fullest one, so that the emptier ones drain.
    [[nodiscard]] SlabInfo* slab_with_room() noexcept {
        const std::uint64_t with_room = nonempty_ & ~(std::uint64_t{1} << full_list);
        return with_room == 0 ? nullptr : &lists_[lowest_bit(with_room)].front();
    }

    [[gnu::noinline]] void has_more_free(SlabInfo& slab_info) noexcept {
        const std::size_t number = list_for(slab_info.free_number, slab_info.list);
        unlink(slab_info);
        link(slab_info, number);
        while (free_slabs_number_ > Config.retained_free_slabs)
            remove(lists_[free_list].front());
    }

    // ---- The life of a slab ---------------------------------------------------------------------

    /// A slab is born whole or not at all. Returns: whether.
    [[nodiscard]] bool add() noexcept {
        if (slabs_number_ >= most_slabs_) return false;
        SlabInfo* const slab_info = pages_.take(wanted());
        if (slab_info == nullptr) return false;
        slab_info->free_number = static_cast<std::uint16_t>(layout_.objects_per_slab);
        slab_info->map.fill(layout_.slots_per_slab, 0, 0);
        slab_info->owner = this;
        detail::hide(slab_info->slab, layout_.slab_size);
        link(*slab_info, free_list);
        if (++slabs_number_ > peak_slabs_number_) peak_slabs_number_ = slabs_number_;
        return true;
    }

    [[gnu::noinline]] void remove(SlabInfo& slab_info) noexcept {
        unlink(slab_info);
        --slabs_number_;
        detail::reveal(slab_info.slab, layout_.slab_size);
        pages_.give(slab_info, wanted());
    }

    // ---- Looking --------------------------------------------------------------------------------

    void count(CacheStatistics& statistics, std::size_t free_number) const noexcept {
        if (free_number == 0) {
            ++statistics.full_slabs_number;
        } else if (free_number == layout_.objects_per_slab) {
            ++statistics.free_slabs_number;
        } else {
            ++statistics.partial_slabs_number;
        }
        statistics.free_objects_number += free_number;
        statistics.allocated_objects_number += layout_.objects_per_slab - free_number;
    }

    [[nodiscard]] Defect defect_of(const SlabInfo& slab_info, std::size_t number) noexcept {
        const bool on_its_list =
            &slab_info == hand_slab_ ||
            (slab_info.list == number && slab_info.list_most == most_on(number) &&
             list_for(slab_info.free_number, full_list) == number);
        const bool sound =
            on_its_list && slab_info.owner == this &&
            slab_info.map.consistent(layout_.slots_per_slab, 0, 0, slab_info.free_number) &&
            slab_info.untouched <= layout_.slots_per_slab &&
            slab_info.untouched >= slab_info.map.end_of_taken(layout_.slots_per_slab) &&
            is_aligned(slab_info.slab, layout_.slab_alignment);
        if (!sound) return Defect::CorruptedSlabInfo;
        return pages_.knows(slab_info, layout_.pages_per_slab()) ? Defect::None
                                                                 : Defect::BackendLostSlab;
    }
    [[nodiscard]] DefectReport wrong(Defect defect, const void* where) const noexcept {
        return {.defect = defect, .pointer = where, .cache = pages_.heap()};
    }
    [[nodiscard]] DefectReport corrupted(const void* where) const noexcept {
        return wrong(Defect::CorruptedSlabInfo, where);
    }

    std::uint64_t hand_ = 0;  // bit i: slot i from hand_start_ on is free, and here [L1]
    std::byte* hand_start_ = nullptr;
    SlabInfo* hand_slab_ = nullptr;
    std::size_t hand_word_ = 0;
    std::uint32_t number_;
    std::uint32_t most_slabs_;
    Layout layout_;
    Pages pages_;
    std::uint64_t nonempty_ = 0;  // bit i: list i is not empty
    std::size_t slabs_number_ = 0;
    std::size_t free_slabs_number_ = 0;
    std::size_t peak_slabs_number_ = 0;
    std::size_t failures_number_ = 0;
    IntrusiveList<SlabInfo> lists_[lists_number];
};

}  // namespace slab_allocator
