#pragma once

// class_slabs.hpp -- one size class: what Cache is for a type, for a size that is a number.
//
//      alloc  <-- current word: 64 slots of one slab <-- slabs with room, the fullest first
//      free   --> the current word, or the map of the object's slab --------> slabs
//
// A Cache is compiled for its type; 64 of them are half a megabyte of code and 20 seconds of
// compiling, which no kernel wants for its kmalloc. So here stride and slots are members, and one
// piece of code serves all classes. The current word is 64 bits, taken out of a map at once: alloc
// takes the lowest of them, and a free of a slot in that word puts it back there. Nothing is
// written in a free object, and a free slot is found free at once, in the current word or in the
// map.
//
// At levels hardened and debug alloc takes any object of the word, and what is freed waits in a
// quarantine before it goes back there (quarantine.hpp); alloc gives, and free takes, objects with
// the guards of free ones (guards.hpp), and make_live and make_free, which need no lock, stand
// between them and the user.
//
// Invariants
//   [P1] a slot is in one of four places: free in its map, in the current word, in the quarantine,
//        or the caller's.
//   [P2] the slab of the current word is on no list; every other one on the list of its
//        free_number.
//   [P3] what is refused has changed nothing.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include <slab_allocator/core/object_stack.hpp>
#include <slab_allocator/core/quarantine.hpp>
#include <slab_allocator/core/slab_set.hpp>
#include <slab_allocator/heap/size_classes.hpp>

namespace slab_allocator {

template <typename Backend, HeapConfig Config>
class alignas(64) ClassSlabs {
    static constexpr bool checked = Config.checks != Checks::none;
    static constexpr bool guarded = guards_objects(Config.checks);
    static constexpr Layout like{.row = Row::LargeByMap,
                                 .front = detail::front_of(Config.checks, size_classes::grain),
                                 .page_size = Config.page_size};
    using Geometry = RuntimeGeometry<like>;
    using Shape = ShapeOfClass<Config.checks, size_classes::grain>;
    using Guard = Guards<Shape, Config.checks>;
    using Slabs = SlabSet<Geometry, Backend, Guard, Config.checks>;
    using Lists = typename Slabs::Lists;
    struct NoQuarantine {
        constexpr explicit NoQuarantine() noexcept = default;
    };
    using Waiting =
        std::conditional_t<guarded, Quarantine<size_classes::grain, 16, false>, NoQuarantine>;

public:
    /// It never has more than `most_slabs`; 0: any number. `heap`: whom reports name.
    constexpr ClassSlabs(std::size_t number, const Layout& layout, std::uint16_t most_slabs,
                         Backend backend, const void* heap) noexcept
        : most_slabs_(most_slabs),
          number_(static_cast<std::uint8_t>(number)),
          slabs_(Geometry(layout), Guard(Shape(layout.object_size)), std::move(backend)),
          heap_(heap) {}
    ClassSlabs(const ClassSlabs&) = delete;  // its slabs know its address
    ClassSlabs& operator=(const ClassSlabs&) = delete;

    // ---- One object -----------------------------------------------------------------------------

    /// Returns: nullptr where the backend refuses. Costs: O(1).
    [[nodiscard]] void* alloc() noexcept {
        if (word_ == 0) [[unlikely]]
            return alloc_slowly();
        return take_one();
    }

    /// Takes back an object whose SlabInfo is `slab_info`, of this class. Returns: false where that
    /// is no live object [P3]. Costs: O(1).
    [[nodiscard]] bool free(void* object, SlabRecord& slab_info) noexcept {
        if constexpr (guarded) {
            quarantine(bytes_of(object));
            return true;
        } else {
            return free_slot(object, slab_info);
        }
    }

    /// Takes back what make_free made free.
    void quarantine(std::byte* object) noexcept
        requires guarded
    {
        const std::size_t capacity =
            cached_capacity(slabs_.geometry.layout.stride, slabs_.geometry.layout.objects_per_slab);
        const std::size_t most = capacity < Waiting::capacity ? capacity : Waiting::capacity;
        while (waiting_.size() >= most)
            release_one();  // which may call the heap [I1]
        waiting_.make_room(1);
        waiting_.push(object, nullptr);
    }

    // ---- Its guards, without a lock -------------------------------------------------------------

    /// Makes what alloc gave a live object. Returns: false where it was not as a free one must be;
    /// that is reported, and it is a free one again.
    [[nodiscard]] bool make_live(void* memory, const void* by) noexcept
        requires guarded
    {
        return slabs_.make_live(bytes_of(memory), by, heap_);
    }
    /// Makes a live object what free takes. Returns: false where it is none, or its guards are not
    /// sound [P3].
    [[nodiscard]] bool make_free(void* object, const SlabRecord& slab_info, const void* by) noexcept
        requires guarded
    {
        if (!is_sound(object, slab_info)) [[unlikely]]
            return false;
        slabs_.make_free(bytes_of(object), by);
        return true;
    }
    /// Is it a live object with sound guards?
    [[nodiscard]] bool is_sound(const void* object, const SlabRecord& slab_info) const noexcept
        requires guarded
    {
        return is_out(object, slab_info) &&
               slabs_.guards().is_live(static_cast<const std::byte*>(object));
    }

    // ---- For a layer in front, which holds the lock ---------------------------------------------

    /// Fills `objects` from the start. Returns: how many the backend allowed. Afterwards the
    /// current word is empty, so that what is not free in a map is the caller's.
    [[nodiscard]] std::size_t alloc_bulk(std::span<std::byte*> objects) noexcept {
        std::size_t done = 0;
        while (done < objects.size()) {
            objects[done] = static_cast<std::byte*>(alloc());
            if (objects[done] == nullptr) break;
            ++done;
        }
        flush_current();
        return done;
    }

    /// The current word goes back to its map; its slab stays the current one.
    void flush_current() noexcept {
        if (word_ == 0) return;
        SlabRecord& slab_info = *current_;
        slab_info.map.give_back(word_number_, word_);
        slab_info.free_number =
            static_cast<std::uint16_t>(slab_info.free_number + bits_number(word_));
        word_ = 0;
    }

    /// is_live, where the current word is empty. Reads nothing but what stays as it is while the
    /// object lives, so of a live one it may be asked without the lock.
    [[nodiscard]] bool is_out(const void* object, const SlabRecord& slab_info) const noexcept {
        const std::size_t slot = slot_of(object, slab_info);
        return slot < slabs_.geometry.layout.slots_per_slab &&
               !slab_info.map.is_free_unlocked(slot);
    }

    // ---- Slabs ----------------------------------------------------------------------------------

    /// Gives all Free slabs back. Returns: how many.
    std::size_t shrink_to_fit() noexcept {
        flush();
        std::size_t given = 0;
        while (SlabRecord* const slab_info = slabs_.lists().any_free()) {
            remove(*slab_info);
            ++given;
        }
        return given;
    }

    /// Every object that is ready or waits goes back to its slab.
    void flush() noexcept {
        if constexpr (guarded) {
            while (!waiting_.empty())
                release_one();
        }
        retire_current();
    }
    void give_back_everything() noexcept {
        flush();
        while (SlabRecord* const slab_info = slabs_.lists().any())
            remove(*slab_info);
    }

    /// Calls f(object) for every live object. Requires: flushed; `f` does not call the heap.
    template <typename F>
    void for_each(F f) noexcept {
        slabs_.for_each(f);
    }

    // ---- To look at -----------------------------------------------------------------------------

    [[nodiscard]] constexpr std::size_t number() const noexcept { return number_; }
    [[nodiscard]] constexpr std::size_t object_size() const noexcept {
        return slabs_.geometry.layout.object_size;
    }
    [[nodiscard]] constexpr Backend& backend() noexcept { return slabs_.backend(); }
    [[nodiscard]] const Guard& guards() const noexcept { return slabs_.guards(); }

    /// Of a guarded class: and has it sound guards?
    [[nodiscard]] bool is_live(const void* object, const SlabRecord& slab_info) const noexcept {
        if constexpr (guarded) return is_sound(object, slab_info);
        const std::size_t slot = slot_of(object, slab_info);
        return slot < slabs_.geometry.layout.slots_per_slab && !slab_info.map.is_free(slot) &&
               !is_current(slot, slab_info);
    }

    /// Completes the report on a free of report.pointer, which is not live.
    void diagnose(DefectReport& report, const SlabRecord& slab_info) const noexcept {
        slabs_.diagnosis(heap_).of_free(report, slab_info, false);
    }

    /// Costs: O(slabs). The peak of objects is not known.
    [[nodiscard]] CacheStatistics statistics() noexcept {
        CacheStatistics result = slabs_.statistics();
        result.peak_slabs_number = peak_slabs_number_;
        result.failures_number = failures_number_;
        if (current_ != nullptr) {  // on no list [P2]
            const std::size_t free_number = current_->free_number + bits_number(word_);
            const bool is_full = free_number == 0;
            const bool is_free = free_number == slabs_.geometry.layout.objects_per_slab;
            ++(is_full   ? result.full_slabs_number
               : is_free ? result.free_slabs_number
                         : result.partial_slabs_number);
            result.free_objects_number += free_number;
        }
        if constexpr (guarded) result.free_objects_number += waiting_.size();
        slabs_.complete(result);
        return result;
    }

    /// The first thing that is not as it must be, or Defect::None. Of objects that are out of their
    /// slabs only `with_live`: a layer in front may hold them. Costs: O(slots).
    [[nodiscard]] DefectReport validate([[maybe_unused]] bool with_live) noexcept {
        const DefectReport of_lists = slabs_.validate(owner());
        if (of_lists.defect != Defect::None) return of_lists;
        const Defect of_current = defect_of_current();
        if (of_current != Defect::None) {
            const void* const where =
                current_ != nullptr ? static_cast<const void*>(current_) : this;
            return {.defect = of_current, .pointer = where, .cache = heap_};
        }
        if constexpr (guarded) {
            const auto in_word = [&](const std::byte* object) {
                return current_ != nullptr && is_current(slot_of(object, *current_), *current_);
            };
            const DefectReport first = slabs_.first_violation(heap_, in_word, with_live);
            if (first.defect != Defect::None || current_ == nullptr) return first;
            return slabs_.diagnosis(heap_).of_slab(*current_, in_word, with_live);
        }
        return {};
    }

private:
    static constexpr std::uint16_t never_moves = 0xffff;  // of the current slab

    [[nodiscard]] SlabOwner owner() const noexcept { return {this, heap_}; }
    [[nodiscard]] std::size_t slabs_number() const noexcept {  // [P2]
        return slabs_.lists().slabs_number() + (current_ != nullptr ? 1 : 0);
    }
    [[nodiscard]] std::size_t slot_of(const void* object,
                                      const SlabRecord& slab_info) const noexcept {
        return slabs_.geometry.slot_of(slab_info, static_cast<const std::byte*>(object));
    }

    // ---- The current word -----------------------------------------------------------------------

    /// Returns: false where the slot is free already.
    [[nodiscard]] bool free_slot(const void* object, SlabRecord& slab_info) noexcept {
        const std::size_t slot = slot_of(object, slab_info);
        if constexpr (checked) {
            if (slot >= slabs_.geometry.layout.slots_per_slab) [[unlikely]]
                return false;
        }
        const std::size_t word = slot / FreeMap::bits_per_word;
        const std::uint64_t bit = std::uint64_t{1} << (slot % FreeMap::bits_per_word);
        const auto& tools = slabs_.instruments();
        if (&slab_info == current_ && static_cast<std::uint32_t>(word) == word_number_) {
            if constexpr (checked) {
                if ((word_ & bit) != 0) [[unlikely]]
                    return false;
            }
            tools.annotate_free(object, object_size());
            word_ |= bit;
            return true;
        }
        if constexpr (checked) {
            if (!slab_info.map.all_taken(word, bit)) [[unlikely]]
                return false;
        }
        tools.annotate_free(object, object_size());
        slab_info.map.give_back(word, bit);
        if (!guarded && tools.watches()) [[unlikely]]
            return free_watched(slot, slab_info);
        if (Lists::slot_freed(slab_info)) [[unlikely]]
            relist_and_trim(slab_info);
        return true;
    }

    [[gnu::noinline, gnu::cold]] bool free_watched(std::size_t slot,
                                                   SlabRecord& slab_info) noexcept {
        slabs_.instruments().freed(slabs_.geometry.object_at(slab_info, slot));
        if (Lists::slot_freed(slab_info)) relist_and_trim(slab_info);
        return true;
    }

    [[gnu::noinline]] void relist_and_trim(SlabRecord& slab_info) noexcept {
        slabs_.lists().move(slab_info);
        while (slabs_.lists().free_slabs_number() > Config.retained_free_slabs)
            remove(*slabs_.lists().any_free());
    }

    /// The lowest; of a guarded class any.
    [[nodiscard]] void* take_one() noexcept {
        if constexpr (guarded) {
            const std::uint64_t random = slabs_.guards().secret().next();
            const auto turn = static_cast<int>(random % FreeMap::bits_per_word);
            const std::uint64_t one = std::rotr(word_, turn) & -std::rotr(word_, turn);
            const std::uint64_t bit = std::rotl(one, turn);
            word_ &= ~bit;
            return word_start_ + lowest_bit(bit) * slabs_.geometry.layout.stride;
        }
        const std::size_t slot = lowest_bit(word_);
        word_ &= word_ - 1;
        std::byte* const object = word_start_ + slot * slabs_.geometry.layout.stride;
        slabs_.instruments().annotate_alloc(object, object_size());
        return object;
    }

    [[nodiscard]] bool is_current(std::size_t slot, const SlabRecord& slab_info) const noexcept {
        return &slab_info == current_ && slot / FreeMap::bits_per_word == word_number_ &&
               ((word_ >> (slot % FreeMap::bits_per_word)) & 1U) != 0;
    }

    [[nodiscard, gnu::noinline]] void* alloc_slowly() noexcept {
        while (word_ == 0) {
            if (!refill_current() && !add()) {
                ++failures_number_;
                return nullptr;
            }
        }
        void* const object = take_one();
        if (slabs_.instruments().watches()) [[unlikely]] {
            retire_current();  // so that each call takes a slow path, which tells memcheck
            if constexpr (!guarded) slabs_.instruments().allocated(object, object_size(), false);
        }
        return object;
    }

    /// Takes a word of the current slab, or of another one. Returns: false where none has room.
    /// Requires: the current word is empty.
    [[nodiscard]] bool refill_current() noexcept {
        if (current_ == nullptr || current_->map.empty()) {
            SlabRecord* const slab_info = slabs_.lists().any_with_room();
            if (slab_info == nullptr) return false;
            retire_current();
            slabs_.lists().remove(*slab_info);
            slab_info->list_max_free = never_moves;  // [P2]
            current_ = slab_info;
        }
        const FreeWord word = slabs_.word_of(*current_, current_->map.first_word());
        slabs_.take(*current_, word, word.bits);
        current_->free_number =
            static_cast<std::uint16_t>(current_->free_number - bits_number(word.bits));
        word_ = word.bits;
        word_start_ = word.start;
        word_number_ = static_cast<std::uint32_t>(word.number);
        return true;
    }

    /// The current word goes back to its map, and its slab on a list.
    void retire_current() noexcept {
        SlabRecord* const slab_info = current_;
        if (slab_info == nullptr) return;
        flush_current();
        current_ = nullptr;
        slabs_.lists().add(*slab_info);
    }

    [[nodiscard]] Defect defect_of_current() noexcept {
        if (current_ == nullptr) return word_ == 0 ? Defect::None : Defect::CorruptedSlabInfo;
        const bool at_rest = !current_->linked() &&
                             (word_ & current_->map.word_at(word_number_)) == 0 &&
                             current_->list_max_free == never_moves;
        return at_rest ? slabs_.defect_of(*current_, this) : Defect::CorruptedSlabInfo;
    }

    // ---- Slabs ----------------------------------------------------------------------------------

    [[nodiscard]] bool add() noexcept {
        if (most_slabs_ != 0 && slabs_number() >= most_slabs_) return false;
        if (!slabs_.add(owner())) return false;
        if (slabs_number() > peak_slabs_number_) peak_slabs_number_ = slabs_number();
        return true;
    }
    [[gnu::noinline]] void remove(SlabRecord& slab_info) noexcept {
        slabs_.remove(slab_info, owner(), [] {});
    }

    // ---- Objects with guards --------------------------------------------------------------------

    /// Any of those that have been in quarantine for long.
    void release_one() noexcept
        requires guarded
    {
        if (waiting_.none_ready()) waiting_.shuffle(slabs_.guards().secret().next());
        const std::byte* const object = waiting_.pop();
        static_cast<void>(free_slot(object, *slabs_.find(object)));
    }

    std::uint64_t word_ = 0;  // bit i: slot i from word_start_ on is free, and here [P1]
    std::byte* word_start_ = nullptr;
    SlabRecord* current_ = nullptr;
    std::uint32_t word_number_ = 0;
    std::uint16_t most_slabs_;
    std::uint8_t number_;
    Slabs slabs_;
    const void* heap_;
    [[no_unique_address]] Waiting waiting_;
    std::size_t peak_slabs_number_ = 0;
    std::size_t failures_number_ = 0;
};

}  // namespace slab_allocator
