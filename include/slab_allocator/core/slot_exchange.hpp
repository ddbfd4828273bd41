#pragma once

// slot_exchange.hpp -- what goes on between the cached objects of a cache and its slabs.
//
//      cached  <--refill: words--  slabs with room, the fullest first  <--add_slab--  backend
//      cached  ---flush: groups->  their slabs  ---trim: surplus free ones-->         backend
//
// A slab's free map gives and takes whole words cheaply and single bits dearly: so the cached
// objects are filled from words and flushed into words, and neither alloc nor free touches a slab's
// record more often than it must.
//
// Invariants
//   [C1] a slot is in one of three places: free in its slab's map, cached, or the caller's.
//        taken_objects_number == |cached| + |the caller's|.

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/retention.hpp>
#include <slab_allocator/core/slab_set.hpp>
#include <slab_allocator/core/slot_group.hpp>

namespace slab_allocator {

/// `Cached`: an ObjectStack, or a Quarantine where objects have guards.
template <typename Cached, Layout layout, typename Backend, CacheConfig Config>
class SlotExchange {
public:
    constexpr SlotExchange() noexcept = default;
    constexpr explicit SlotExchange(Backend backend) noexcept : slabs_(std::move(backend)) {}
    SlotExchange(const SlotExchange&) = delete;  // its slabs know its address
    SlotExchange& operator=(const SlotExchange&) = delete;

    [[nodiscard]] constexpr Backend& backend() noexcept { return slabs_.backend(); }
    [[nodiscard]] constexpr const Backend& backend() const noexcept { return slabs_.backend(); }

    /// Adds slabs until `objects_number` objects can be allocated, and keeps as many free ones as
    /// that took. Returns: how many objects can be.
    std::size_t reserve(std::size_t objects_number) noexcept {
        while (ready_number() < objects_number && add_slab()) {
        }
        retention_.keep_all(slabs_.lists());
        return ready_number();
    }

    /// Gives at most `most` free slabs back. Returns: how many.
    std::size_t shrink(std::size_t most) noexcept {
        retention_.reset();
        flush_all();
        std::size_t given = 0;
        while (given < most && release_one())
            ++given;
        return given;
    }

    /// Gives every slab back. Objects that are live are a Defect::Leak.
    void release_all() noexcept {
        flush_all();
        report_leaks<Config.checks>(
            slabs_.lists().taken_objects_number(), this, [&](auto report_one) {
                slabs_.for_each([&](std::byte* object) { report_one(object, slabs_.guards()); });
            });
        while (SlabRecord* const slab_info = slabs_.lists().any())
            remove_slab(*slab_info);
    }

    [[nodiscard]] CacheStatistics statistics() noexcept {
        flush_all();
        trim();
        flush_all();  // the backend may have called the cache [I1]
        CacheStatistics result = slabs_.statistics();
        slabs_.complete(result);
        result.peak_slabs_number = peak_slabs_number_;
        result.peak_allocated_objects_number = peak_taken_objects_number_;
        result.failures_number = failures_number_;
        return result;
    }

    /// Calls f(object) for every live object; `f` may free it.
    template <typename F>
    void for_each(F f) {
        flush_all();
        slabs_.for_each(f);
    }

    /// Calls f(slab_info) for every slab. `f` must not call the cache.
    template <typename F>
    void for_each_slab(F f) {
        flush_all();
        slabs_.lists().for_each(f);
    }

    // ---- For the check of a pointer -------------------------------------------------------------

    [[nodiscard]] SlabRecord* find(const std::byte* object) noexcept { return slabs_.find(object); }
    [[nodiscard]] bool has_cached() const noexcept { return !cached_.empty(); }
    [[nodiscard]] bool is_cached(const std::byte* object) const noexcept {
        return cached_.contains(object);
    }
    /// Is `object` a slot of this cache that is not free in its slab?
    template <auto is_free = &FreeMap::is_free>
    [[nodiscard]] bool is_taken(const SlabRecord* slab_info,
                                const std::byte* object) const noexcept {
        return slabs_.template is_taken<is_free>(this, slab_info, object);
    }
    /// What is wrong with the free of `object`, which is known to be wrong.
    [[nodiscard]] DefectReport diagnose(const std::byte* object) noexcept {
        return slabs_.diagnose(object, owner(), is_cached(object));
    }

protected:
    using Geometry = StaticGeometry<layout>;
    using Guard = Guards<KnownShape<layout>, Config.checks>;
    using Slabs = SlabSet<Geometry, Backend, Guard, Config.checks>;
    using Lists = typename Slabs::Lists;
    static constexpr Geometry geometry{};
    static constexpr std::size_t capacity = Cached::capacity;
    static constexpr std::size_t enough_filled = divide_up(capacity, 4);
    static constexpr std::size_t most_filled = capacity > FreeMap::bits_per_word
                                                   ? capacity * 3 / 4
                                                   : divide_up(capacity, 2);

    [[nodiscard]] SlabOwner owner() const noexcept { return {this, this}; }
    [[nodiscard]] bool every_call_is_seen() const noexcept {
        return slabs_.instruments().watches();
    }

    /// Nothing has been written yet, and nothing is [C4].
    [[gnu::noinline, gnu::cold]] void refuse(const std::byte* object) noexcept {
        report(diagnose(object));
    }

    /// The lists, and each cached object.
    [[nodiscard]] DefectReport validate_cached() noexcept {
        const DefectReport of_slabs = slabs_.validate(owner());
        if (of_slabs.defect != Defect::None) return of_slabs;
        const std::span<std::byte* const> all = cached_.all();
        for (std::size_t rank = 0; rank < all.size(); ++rank) {
            bool sound = is_taken(slabs_.find(all[rank]), all[rank]);
            for (std::byte* const other : all.first(rank))
                sound = sound && other != all[rank];
            if (!sound)
                return {.defect = Defect::CorruptedSlabInfo, .pointer = all[rank], .cache = this};
        }
        return {};
    }

    // ---- Slabs ----------------------------------------------------------------------------------

    [[nodiscard]] std::size_t ready_number() const noexcept {
        return cached_.size() + slabs_.lists().free_objects_number();
    }

    [[nodiscard]] bool take_slabs_for(std::size_t objects_number) noexcept {
        while (ready_number() < objects_number) {
            if (!add_slab()) {
                ++failures_number_;
                trim();
                return false;
            }
        }
        return true;
    }

    [[nodiscard, gnu::noinline]] bool add_slab() noexcept {
        if (!slabs_.add(owner())) return false;
        if (slabs_.lists().slabs_number() > peak_slabs_number_)
            peak_slabs_number_ = slabs_.lists().slabs_number();
        update_thresholds();
        return true;
    }

    void remove_slab(SlabRecord& slab_info) noexcept {
        slabs_.remove(slab_info, owner(), [&] { update_thresholds(); });
    }

    bool release_one() noexcept {
        SlabRecord* const slab_info = slabs_.lists().any_free();
        if (slab_info == nullptr) return false;
        remove_slab(*slab_info);
        return true;
    }

    /// Gives back the free slabs that are more than are kept [C2].
    void trim() noexcept {
        const Lists& lists = slabs_.lists();
        const bool none_live = cached_.size() == lists.taken_objects_number();
        if (none_live && retention_.has_surplus(lists.slabs_number())) flush(0);
        while (retention_.has_surplus(lists.free_slabs_number()))
            release_one();
        update_thresholds();
    }

    void update_thresholds() noexcept {
        cached_.set_limit(retention_.update(slabs_.lists(), every_call_is_seen()));
    }

    void note_peak() noexcept {
        if (slabs_.lists().taken_objects_number() > peak_taken_objects_number_)
            peak_taken_objects_number_ = slabs_.lists().taken_objects_number();
    }

    // ---- Refill: out of the slabs ---------------------------------------------------------------

    /// Fills the cached objects, which are none, or guarded and few, with whole words, from one
    /// slab after the other. Returns: whether it could.
    [[nodiscard]] bool refill() noexcept {
        Lists& lists = slabs_.lists();
        SlabRecord* slab_info = lists.any_with_room();
        if (slab_info == nullptr) return false;
        if constexpr (Guard::active) cached_.make_room(most_filled);
        bool more = true;
        do {
            const std::size_t before = cached_.size();
            more = refill_from(*slab_info);
            lists.slots_taken(*slab_info, cached_.size() - before);
            slab_info = lists.fullest_partial();  // a free slab is opened where nothing is cached
        } while (more && slab_info != nullptr);
        if constexpr (Guard::active) cached_.shuffle(slabs_.guards().secret().next());
        note_peak();
        update_thresholds();
        return true;
    }

    /// Takes words of one slab. Returns: whether there should be more, from others.
    [[nodiscard]] bool refill_from(SlabRecord& slab_info) noexcept {
        if (every_call_is_seen()) [[unlikely]]
            return refill_one(slab_info);
        // Slots of one word never collide, nor do those of one slab, if it has few enough.
        const bool slab_fits =
            (Guard::active || cached_.empty()) && Cached::can_index(layout.slots_per_slab);
        for (std::uint64_t words = slab_info.map.nonempty_words(); words != 0; words &= words - 1) {
            const FreeWord word = slabs_.word_of(slab_info, lowest_bit(words));
            const std::size_t room = most_filled - cached_.size();
            // A word fits always or never: above enough_filled nobody fills.
            const bool all_fit = room >= FreeMap::bits_per_word &&  // not reached: the other way
                                 (slab_fits || cached_.empty());
            const std::uint64_t taken =
                all_fit ? word.bits : cached_.indexable(word.start, word.bits, room);
            cached_.push_slots(word.start, taken, &slab_info);
            if (taken != 0) slabs_.take(slab_info, word, taken);
            if (taken != word.bits || cached_.size() >= enough_filled) return false;
        }
        return true;
    }

    /// One object, which alloc is about to give, and nothing stays cached. Returns: as refill_from.
    [[nodiscard, gnu::noinline, gnu::cold]] bool refill_one(SlabRecord& slab_info) noexcept {
        const FreeWord word = slabs_.word_of(slab_info, slab_info.map.first_word());
        const std::size_t slot = lowest_bit(word.bits);
        cached_.push_slots(word.start, std::uint64_t{1} << slot, &slab_info);
        slabs_.take(slab_info, word, std::uint64_t{1} << slot);
        if constexpr (!Guard::active) {
            std::byte* const object = word.start + layout.offset_of(slot);
            slabs_.instruments().allocated(object, layout.object_size, false);
        }
        return false;
    }

    // ---- Flush: back to the slabs ---------------------------------------------------------------

    void flush_all() noexcept {
        flush(0);
        update_thresholds();
    }

    /// Returns cached objects to their slabs until `left` are left. Returns: as free_groups.
    bool flush(std::size_t left) noexcept {
        const std::span<std::byte* const> flushed = cached_.all().subspan(left);
        cached_.drop_to(left);
        return free_groups(flushed, [&](std::size_t index) {
            if constexpr (Cached::has_infos) return cached_.info_at(left + index);
            return slabs_.find(flushed[index]);
        });
    }

    /// Returns objects to their slabs, by groups; nulls are passed over. info_at(index) is asked
    /// for the first object of a group. Returns: shall one of the slabs drain from now on [C5]?
    template <typename Object, typename InfoAt>
    bool free_groups(std::span<Object* const> objects, InfoAt info_at) noexcept {
        bool one_drains = false;
        std::size_t sum = 0;
        for (std::size_t index = 0; index < objects.size();) {
            if (objects[index] == nullptr) {
                ++index;
                continue;
            }
            SlabRecord& slab_info = *info_at(index);
            const SlotGroup group = group_of<layout, false>(slab_info, objects.subspan(index));
            group.free_in(slab_info.map);
            if (slots_freed(slab_info, group.number)) one_drains = true;
            sum += group.number;
            index += group.number;
        }
        slabs_.lists().add_free_count(sum);
        return one_drains;
    }

    /// Returns: shall the slab drain from now on?
    [[nodiscard]] bool slots_freed(SlabRecord& slab_info, std::size_t number) noexcept {
        return slabs_.lists().slots_freed(slab_info, number) && retention_.must_drain(slab_info);
    }

    /// One object goes to its slab, past the cached ones.
    void free_slot(std::byte* object, SlabRecord& slab_info) noexcept {
        const std::size_t slot = geometry.slot_of(slab_info, object);
        slab_info.map.give_back(slot / FreeMap::bits_per_word,
                                std::uint64_t{1} << (slot % FreeMap::bits_per_word));
        Lists& lists = slabs_.lists();
        lists.add_free_count(1);
        // Else no slab becomes free, and the limit stays the highest.
        const bool stays = !lists.would_move(slab_info) && lists.taken_objects_number() > capacity;
        if (!stays) [[unlikely]]
            return relist_and_trim(slab_info);
        ++slab_info.free_number;
    }

    /// free of an object that is checked, where the cached ones are full, or it collides.
    void free_or_cache(std::byte* object, SlabRecord* slab_info) noexcept {
        if (cached_.size() == capacity) {
            if (flush(capacity / 2)) flush(0);  // [C5]
            if (!cached_.collides(object)) {
                cached_.push(object, slab_info);
                return trim();
            }
        }
        if (slab_info == nullptr) slab_info = slabs_.find(object);
        free_slot(object, *slab_info);
    }

    [[gnu::noinline]] void relist_and_trim(SlabRecord& slab_info) noexcept {
        if (slots_freed(slab_info, 1)) flush(0);  // [C5]
        trim();
    }

    Cached cached_;
    [[no_unique_address]] Slabs slabs_;  // what follows lies in its padding
    Retention<Lists, capacity, Config.retained_free_slabs> retention_;
    std::size_t peak_slabs_number_ = 0;
    std::size_t peak_taken_objects_number_ = 0;
    std::size_t failures_number_ = 0;
};

}  // namespace slab_allocator
