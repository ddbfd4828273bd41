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
// At levels hardened and debug any object in the hand is taken, and what is freed waits among the
// delayed objects before it goes back there (delayed_objects.hpp); alloc gives, and free takes,
// objects with the guards of free ones (guards.hpp), and make_live and make_free, which need no
// lock, stand between them and the user.
//
// Invariants
//   [L1] a slot is in one of four hands: free in its map, in hand_, delayed, or the caller's.
//   [L2] the slab in hand stands on no list; every other one on the list of its free_number.
//   [L3] before each call of the backend every list and counter is in order, and after it they are
//        looked at again: the backend may call the heap.
//   [L4] what is refused has changed nothing.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/cache_statistics.hpp>
#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/delayed_objects.hpp>
#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/core/guards.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/memcheck.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/poison.hpp>
#include <slab_allocator/core/recent_objects.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/core/slab_lists.hpp>
#include <slab_allocator/heap/heap_pages.hpp>
#include <slab_allocator/heap/size_classes.hpp>

namespace slab_allocator {

template <typename Backend, HeapConfig Config>
class alignas(64) ClassSlabs {
    static constexpr bool checked = Config.checks != Checks::none;
    using Memcheck = detail::Memcheck;
    using Shape = ShapeOfClass<Config.checks, size_classes::grain>;
    using Guard = Guards<Shape, Config.checks>;
    static constexpr bool guarded = guards_objects(Config.checks);
    struct NothingDelayed {
        constexpr explicit NothingDelayed() noexcept = default;
    };
    using Delayed =
        std::conditional_t<guarded, DelayedObjects<size_classes::grain, 16, false>, NothingDelayed>;

public:
    using Pages = HeapPages<Backend, Config.page_size, checked>;

    /// It never has more than `most_slabs`; 0: any number.
    constexpr ClassSlabs(std::size_t number, const Layout& layout, std::uint16_t most_slabs,
                         Pages pages) noexcept
        : most_slabs_(most_slabs),
          number_(static_cast<std::uint8_t>(number)),
          layout_(layout),
          pages_(std::move(pages)),
          guards_(Shape(layout_.object_size)) {}
    ClassSlabs(const ClassSlabs&) = delete;  // its slabs know its address
    ClassSlabs& operator=(const ClassSlabs&) = delete;

    // ---- One object -----------------------------------------------------------------------------

    /// Returns: nullptr where the backend refuses. Costs: O(1).
    [[nodiscard]] void* alloc() noexcept {
        if (hand_ == 0) [[unlikely]]
            return alloc_slowly();
        return take_one();
    }

    /// Takes back an object whose SlabInfo is `slab_info`, of this class. Returns: false where that
    /// is no live object [L4]. Costs: O(1).
    [[nodiscard]] bool free(void* object, SlabRecord& slab_info) noexcept {
        if constexpr (guarded) {
            delay(static_cast<std::byte*>(object));
            return true;
        } else {
            return give_back(object, slab_info);
        }
    }

    // ---- Its guards, without a lock -------------------------------------------------------------

    /// Makes what alloc gave a live object. Returns: false where it was not as a free one must be;
    /// that is reported, and it is a free one again.
    [[nodiscard]] bool make_live(void* memory, const void* by) noexcept
        requires guarded
    {
        auto* const object = static_cast<std::byte*>(memory);
        if (memcheck_.watches()) Memcheck::make_defined(object, layout_.object_size);
        const bool sound = guards_.is_free(object);
        if (sound) [[likely]] {
            guards_.make_live(object, by);
            if (memcheck_.watches()) Memcheck::allocated(object, layout_.object_size, false);
        } else {
            const SlabRecord& slab_info = *Pages::find(pages_.backend(), object);
            report(report_on(guards_.wrong_of_free(object), slab_info, object));
            guards_.make_free(object, by);
            Memcheck::make_nobodys(object, layout_.object_size);
        }
        return sound;
    }
    /// Makes a live object what free takes. Returns: false where it is none, or its guards are not
    /// sound [L4].
    [[nodiscard]] bool make_free(void* object, const SlabRecord& slab_info, const void* by) noexcept
        requires guarded
    {
        if (!is_sound(object, slab_info)) [[unlikely]]
            return false;
        guards_.make_free(static_cast<std::byte*>(object), by);
        if (memcheck_.watches()) Memcheck::freed(object);
        return true;
    }
    /// Is it a live object with sound guards?
    [[nodiscard]] bool is_sound(const void* object, const SlabRecord& slab_info) const noexcept
        requires guarded
    {
        return is_out(object, slab_info) && guards_.is_live(static_cast<const std::byte*>(object));
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
        SlabRecord& slab_info = *hand_slab_;
        slab_info.map.give_back(hand_word_, hand_);
        slab_info.free_number =
            static_cast<std::uint16_t>(slab_info.free_number + bits_number(hand_));
        hand_ = 0;
    }

    /// is_live, where nothing lies in the hand. Reads nothing but what stays as it is while the
    /// object lives, so of a live one it may be asked without the lock.
    [[nodiscard]] bool is_out(const void* object, const SlabRecord& slab_info) const noexcept {
        const std::size_t slot = slot_of(object, slab_info);
        return slot < layout_.slots_per_slab && !slab_info.map.is_free_unlocked(slot);
    }

    // ---- Slabs ----------------------------------------------------------------------------------

    /// Gives all Free slabs back. Returns: how many.
    std::size_t shrink_to_fit() noexcept {
        settle();
        std::size_t given = 0;
        while (SlabRecord* const slab_info = lists_.any_free()) {
            remove(*slab_info);
            ++given;
        }
        return given;
    }

    /// Everything at hand goes back to its slab.
    void settle() noexcept {
        if constexpr (guarded) {
            while (!delayed_.empty())
                let_one_go();
        }
        put_down_hand();
    }
    void give_back_everything() noexcept {
        settle();
        while (SlabRecord* const slab_info = lists_.any())
            remove(*slab_info);
    }

    /// Calls f(object) for every live object. Requires: settled; `f` does not call the heap.
    template <typename F>
    void for_each(F f) noexcept {
        lists_.for_each([&](const SlabRecord& slab_info) {
            for (std::size_t slot = 0; slot < slab_info.untouched; ++slot) {
                if (!slab_info.map.is_free(slot)) f(object_at(slab_info, slot));
            }
        });
    }

    // ---- To look at -----------------------------------------------------------------------------

    [[nodiscard]] constexpr std::size_t number() const noexcept { return number_; }
    [[nodiscard]] constexpr const Layout& layout() const noexcept { return layout_; }
    [[nodiscard]] constexpr std::size_t object_size() const noexcept { return layout_.object_size; }
    [[nodiscard]] constexpr Backend& backend() noexcept { return pages_.backend(); }

    /// Of a guarded class: and has it sound guards?
    [[nodiscard]] bool is_live(const void* object, const SlabRecord& slab_info) const noexcept {
        if constexpr (guarded) return is_sound(object, slab_info);
        const std::size_t slot = slot_of(object, slab_info);
        return slot < layout_.slots_per_slab && !slab_info.map.is_free(slot) &&
               !in_hand(slot, slab_info);
    }

    /// The rest of a report on a free of `object`, which is not live.
    void say_what_is_wrong(DefectReport& report, const SlabRecord& slab_info) const noexcept {
        report.slab = slab_info.slab;
        const std::size_t slot = slot_of(report.pointer, slab_info);
        if (slot >= layout_.slots_per_slab) {
            report.defect = Defect::InteriorPointer;
            return;
        }
        report.slot = slot;
        if constexpr (guarded) {
            const auto* const object = static_cast<const std::byte*>(report.pointer);
            if (slot < slab_info.untouched) say_who(report, object);
            if (!slab_info.map.is_free(slot) && !guards_.looks_free(object)) {
                const Wrong wrong = guards_.wrong_of_live(object);
                report.defect = wrong.defect;
                report.offset = wrong.offset;
                return;
            }
        }
        report.defect = slot >= slab_info.untouched ? Defect::NeverAllocated : Defect::DoubleFree;
    }

    /// Level debug: who allocated an object of a slab, and who freed it.
    void say_who(DefectReport& report, const std::byte* object) const noexcept {
        guards_.say_who(report, object);
    }

    /// Costs: O(slabs). The peak of objects is not known.
    [[nodiscard]] CacheStatistics statistics() noexcept {
        CacheStatistics result{.free_slabs_number = lists_.free_slabs_number(),
                               .full_slabs_number = lists_.full_slabs_number(),
                               .peak_slabs_number = peak_slabs_number_,
                               .failures_number = failures_number_};
        lists_.for_each([&](const SlabRecord& slab_info) {
            result.free_objects_number += slab_info.free_number;
        });
        if (hand_slab_ != nullptr) {
            const std::size_t free_number = hand_slab_->free_number + bits_number(hand_);
            if (free_number == 0) ++result.full_slabs_number;
            if (free_number == layout_.objects_per_slab) ++result.free_slabs_number;
            result.free_objects_number += free_number;
        }
        if constexpr (guarded) result.free_objects_number += delayed_.size();
        const std::size_t slabs = slabs_number();
        const std::size_t objects = slabs * layout_.objects_per_slab;
        result.partial_slabs_number = slabs - result.free_slabs_number - result.full_slabs_number;
        result.allocated_objects_number = objects - result.free_objects_number;
        result.bytes_held = slabs * (layout_.slab_size + sizeof(SlabInfo));
        result.bytes_lost = result.bytes_held - objects * layout_.object_size;
        return result;
    }

    /// The first thing that is not as it must be, or Defect::None. Of objects that are out of their
    /// slabs only `with_live`: a layer in front may hold them. Costs: O(slots).
    [[nodiscard]] DefectReport validate([[maybe_unused]] bool with_live) noexcept {
        const auto of_lists =
            lists_.validate([&](const SlabRecord& slab) { return defect_of(slab); });
        if (of_lists.defect != Defect::None) return wrong(of_lists.defect, of_lists.where(this));
        if (hand_slab_ == nullptr) {
            if (hand_ != 0) return corrupted(this);
        } else {
            const bool at_rest = !hand_slab_->linked() &&
                                 (hand_ & hand_slab_->map.word_at(hand_word_)) == 0 &&
                                 hand_slab_->list_most == never_moves;
            if (!at_rest) return corrupted(hand_slab_);
            const Defect of_hand = defect_of(*hand_slab_);
            if (of_hand != Defect::None) return wrong(of_hand, hand_slab_);
        }
        if constexpr (guarded) return wrong_anywhere(with_live);
        return {};
    }

private:
    using Lists = SlabLists<0>;
    static constexpr std::uint16_t never_moves = 0xffff;  // list_most of the slab in hand

    [[nodiscard]] std::size_t slabs_number() const noexcept {  // [L2]
        return lists_.slabs_number() + (hand_slab_ != nullptr ? 1 : 0);
    }
    [[nodiscard]] std::size_t slot_of(const void* object,
                                      const SlabRecord& slab_info) const noexcept {
        return layout_.slot_at(address_of(object) - address_of(slab_info.slab) - front());
    }
    [[nodiscard]] std::byte* object_at(const SlabRecord& slab_info,
                                       std::size_t slot) const noexcept {
        return slab_info.slab + front() + layout_.offset_of(slot);
    }
    /// From a slab's start to its first object.
    [[nodiscard]] std::size_t front() const noexcept {
        return Config.checks == Checks::debug ? layout_.front : 0;
    }
    /// What guards hide and reveal by themselves.
    void hide(const void* object) const noexcept {
        if constexpr (!guarded) detail::hide(object, layout_.object_size);
    }
    [[nodiscard]] PagesWanted wanted() const noexcept {
        return {.bytes = layout_.slab_size,
                .alignment = layout_.slab_alignment,
                .known_pages = layout_.pages_per_slab()};
    }

    // ---- The hand -------------------------------------------------------------------------------

    [[nodiscard]] bool give_back(const void* object, SlabRecord& slab_info) noexcept {
        const std::size_t slot = slot_of(object, slab_info);
        if constexpr (checked) {
            if (slot >= layout_.slots_per_slab) [[unlikely]]
                return false;
        }
        const std::size_t word = slot / FreeMap::bits_per_word;
        const std::uint64_t bit = std::uint64_t{1} << (slot % FreeMap::bits_per_word);
        if (&slab_info == hand_slab_ && static_cast<std::uint32_t>(word) == hand_word_) {
            if constexpr (checked) {
                if ((hand_ & bit) != 0) [[unlikely]]
                    return false;
            }
            hide(object);
            hand_ |= bit;
            return true;
        }
        if constexpr (checked) {
            if (!slab_info.map.all_taken(word, bit)) [[unlikely]]
                return false;
        }
        hide(object);
        slab_info.map.give_back(word, bit);
        if (!guarded && memcheck_.watches()) [[unlikely]]
            return gave_back_watched(slot, slab_info);
        if (Lists::gave_back_one(slab_info)) [[unlikely]]
            has_more_free(slab_info);
        return true;
    }
    [[gnu::noinline, gnu::cold]] bool gave_back_watched(std::size_t slot,
                                                        SlabRecord& slab_info) noexcept {
        Memcheck::freed(object_at(slab_info, slot));
        if (Lists::gave_back_one(slab_info)) has_more_free(slab_info);
        return true;
    }

    /// The lowest; of a guarded class any.
    [[nodiscard]] void* take_one() noexcept {
        if constexpr (guarded) {
            const auto turn = static_cast<int>(guards_.secret().next() % FreeMap::bits_per_word);
            const std::uint64_t one = std::rotr(hand_, turn) & -std::rotr(hand_, turn);
            const std::uint64_t bit = std::rotl(one, turn);
            hand_ &= ~bit;
            return hand_start_ + lowest_bit(bit) * layout_.stride;
        }
        const std::size_t slot = lowest_bit(hand_);
        hand_ &= hand_ - 1;
        std::byte* const object = hand_start_ + slot * layout_.stride;
        detail::reveal(object, layout_.object_size);
        return object;
    }

    [[nodiscard]] bool in_hand(std::size_t slot, const SlabRecord& slab_info) const noexcept {
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
        void* const object = take_one();
        if (memcheck_.watches()) [[unlikely]]
            leave_none_at_hand(object);
        return object;
    }

    /// Under memcheck, so that each call takes a slow path, which tells.
    [[gnu::noinline, gnu::cold]] void leave_none_at_hand(const void* object) noexcept {
        put_down_hand();
        if constexpr (!guarded) Memcheck::allocated(object, layout_.object_size, false);
    }

    /// Takes a word of the slab in hand, or of another one. Returns: false where none has room.
    /// Requires: the hand is empty.
    [[nodiscard]] bool fill_hand() noexcept {
        if (hand_slab_ == nullptr || hand_slab_->map.empty()) {
            SlabRecord* const slab_info = lists_.any_with_room();
            if (slab_info == nullptr) return false;
            put_down_hand();
            lists_.remove(*slab_info);
            slab_info->list_most = never_moves;  // [L2]
            hand_slab_ = slab_info;
        }
        SlabRecord& slab_info = *hand_slab_;
        hand_word_ = static_cast<std::uint32_t>(slab_info.map.first_word());
        hand_ = slab_info.map.word_at(hand_word_);
        slab_info.map.take(hand_word_, hand_, 0);
        slab_info.free_number =
            static_cast<std::uint16_t>(slab_info.free_number - bits_number(hand_));
        const std::size_t first = std::size_t{hand_word_} * FreeMap::bits_per_word;
        hand_start_ = object_at(slab_info, first);
        const std::size_t end = first + highest_bit(hand_) + 1;
        if (end > slab_info.untouched) {
            if constexpr (guarded) prepare(slab_info, slab_info.untouched, end);
            slab_info.untouched = static_cast<std::uint16_t>(end);
        }
        return true;
    }

    /// The hand's bits go back to their map, and its slab on a list.
    void put_down_hand() noexcept {
        SlabRecord* const slab_info = hand_slab_;
        if (slab_info == nullptr) return;
        empty_hand();
        hand_slab_ = nullptr;
        lists_.add(*slab_info);
    }

    // ---- The life of a slab ---------------------------------------------------------------------

    /// A slab is born whole or not at all. Returns: whether.
    [[nodiscard]] bool add() noexcept {
        if (most_slabs_ != 0 && slabs_number() >= most_slabs_) return false;
        SlabInfo* const slab_info = pages_.take(wanted());
        if (slab_info == nullptr) return false;
        slab_info->free_number = static_cast<std::uint16_t>(layout_.objects_per_slab);
        slab_info->map.fill(layout_.slots_per_slab, 0, 0);
        slab_info->owner = this;
        if constexpr (guarded) guards_.secret().seed(pages_.backend(), slab_info->slab, this);
        detail::hide(slab_info->slab, layout_.slab_size);
        memcheck_.hide(slab_info->slab, slab_info->slab + (guarded ? 0 : layout_.slab_size));
        lists_.add(*slab_info);
        if (slabs_number() > peak_slabs_number_) peak_slabs_number_ = slabs_number();
        return true;
    }

    [[gnu::noinline]] void remove(SlabRecord& slab_info) noexcept {
        if constexpr (Config.checks == Checks::debug) {
            DefectReport last = wrong(defect_of(slab_info), slab_info.slab);
            if (last.defect == Defect::None) last = wrong_in(slab_info, false);
            if (last.defect != Defect::None) report(last);  // never looked at again
        }
        if (memcheck_.watches()) [[unlikely]]
            unwatch(slab_info);
        lists_.remove(slab_info);
        detail::reveal(slab_info.slab, layout_.slab_size);
        pages_.give(*for_backend(&slab_info), wanted());
    }

    /// memcheck has no block of the slab any more, and anybody may use it.
    [[gnu::noinline, gnu::cold]] void unwatch(const SlabRecord& slab_info) const noexcept {
        for (std::size_t slot = 0; slot < slab_info.untouched; ++slot) {
            if (!slab_info.map.is_free(slot)) Memcheck::freed(object_at(slab_info, slot));
        }
        Memcheck::make_defined(slab_info.slab, layout_.slab_size);
    }

    [[gnu::noinline]] void has_more_free(SlabRecord& slab_info) noexcept {
        lists_.move(slab_info);
        while (lists_.free_slabs_number() > Config.retained_free_slabs)
            remove(*lists_.any_free());
    }

    // ---- Objects with guards --------------------------------------------------------------------

    void delay(std::byte* object) noexcept
        requires guarded
    {
        while (delayed_.size() >= most_delayed())
            let_one_go();  // which may call the heap [L3]
        delayed_.make_room(1);
        delayed_.push(object, nullptr);
    }
    [[nodiscard]] std::size_t most_delayed() const noexcept
        requires guarded
    {
        const std::size_t most = recent_capacity(layout_.stride, layout_.objects_per_slab);
        return most < Delayed::capacity ? most : Delayed::capacity;
    }
    /// Any of those that have been here for long.
    void let_one_go() noexcept
        requires guarded
    {
        if (delayed_.none_ready()) delayed_.shuffle(guards_.secret().next());
        const std::byte* const object = delayed_.pop();
        static_cast<void>(give_back(object, *Pages::find(pages_.backend(), object)));
    }

    /// Slots `first` .. `end - 1` come out of their slab for the first time.
    void prepare(const SlabRecord& slab_info, std::size_t first, std::size_t end) noexcept
        requires guarded
    {
        for (std::size_t slot = first; slot < end; ++slot) {
            guards_.make_fresh(object_at(slab_info, slot));
        }
    }

    [[nodiscard]] DefectReport wrong_anywhere(bool with_live) noexcept
        requires guarded
    {
        DefectReport found;
        const auto look_at = [&](const SlabRecord& slab_info) {
            if (found.defect == Defect::None) found = wrong_in(slab_info, with_live);
        };
        lists_.for_each(look_at);
        if (hand_slab_ != nullptr) look_at(*hand_slab_);
        return found;
    }

    /// The first object of a slab that is not as it must be.
    [[nodiscard]] DefectReport wrong_in(const SlabRecord& slab_info, bool with_live) const noexcept
        requires guarded
    {
        for (std::size_t slot = 0; slot < slab_info.untouched; ++slot) {
            const std::byte* const object = object_at(slab_info, slot);
            const bool is_here = slab_info.map.is_free(slot) || in_hand(slot, slab_info);
            if (!is_here && (!with_live || guards_.is_live(object))) continue;
            const bool is_free = is_here || guards_.looks_free(object);
            const Wrong wrong = is_free ? wrong_of_free(object) : guards_.wrong_of_live(object);
            if (wrong.defect != Defect::None) return report_on(wrong, slab_info, object);
        }
        return {};
    }

    [[nodiscard]] Wrong wrong_of_free(const std::byte* object) const noexcept
        requires guarded
    {
        return wrong_of_nobodys(guards_, object, layout_.object_size, memcheck_);
    }

    [[nodiscard]] DefectReport report_on(const Wrong& wrong, const SlabRecord& slab_info,
                                         const std::byte* object) const noexcept
        requires guarded
    {
        const std::size_t slot = slot_of(object, slab_info);
        return report_of(wrong, guards_, object, slab_info, slot, pages_.heap());
    }

    // ---- Looking --------------------------------------------------------------------------------

    [[nodiscard]] Defect defect_of(const SlabRecord& slab_info) noexcept {
        if (slab_info.owner != this || !layout_.is_sound(slab_info))
            return Defect::CorruptedSlabInfo;
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
    SlabRecord* hand_slab_ = nullptr;
    std::uint32_t hand_word_ = 0;
    std::uint16_t most_slabs_;
    std::uint8_t number_;
    [[no_unique_address]] Memcheck memcheck_;
    Layout layout_;
    Pages pages_;
    [[no_unique_address]] Guard guards_;
    [[no_unique_address]] Delayed delayed_;
    Lists lists_{layout_.objects_per_slab};
    std::size_t peak_slabs_number_ = 0;
    std::size_t failures_number_ = 0;
};

}  // namespace slab_allocator
