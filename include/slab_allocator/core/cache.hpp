#pragma once

// cache.hpp -- the allocator: what happens per object, and when a slab is born and dies.
//
//      alloc  <-- recent objects <--words-- slabs with room, the fullest first <-- backend
//      free   --> recent objects --words--> their slabs --------free ones------> backend
//
// The hot path is a short stack (recent_objects.hpp). It is filled from the free maps of slabs and
// emptied into them, so that neither call touches a slab's record more often than it must, and
// nothing is ever written in a free object, but by the levels that guard objects (guards.hpp).
//
// Invariants
//   [C1] a slot is in one of three hands: free in its slab's map, in the recent objects, or the
//        caller's. taken_objects_number == |recent objects| + |the caller's|.
//   [C2] more slabs than kept_free_slabs_ => full() before the last object of all comes back, so a
//        cache without live objects keeps no more than those.
//   [C3] before each call of the backend every list, map and counter is in order, and after it they
//        are looked at again: the backend may call the cache.
//   [C4] every check of a call stands before its first store.
//   [C5] where four slabs have room, and free looks at the SlabInfo (it checks), objects of slabs
//        that are nearly free go to their slabs, not to the recent objects, which are emptied when
//        a slab comes to that; where half of all slots are free, those of half free slabs do, too.
//        Allocation takes from the fuller ones: the emptier drain, and the cache becomes dense
//        again.
//
// Not synchronised: one lock, or one thread, for all members. The address of a cache is written in
// its slabs, so it is neither copied nor moved.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/cache_statistics.hpp>
#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/config_check.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/delayed_objects.hpp>
#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/core/guards.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/memcheck.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/object_calls.hpp>
#include <slab_allocator/core/placement.hpp>
#include <slab_allocator/core/poison.hpp>
#include <slab_allocator/core/recent_objects.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/core/slab_lists.hpp>
#include <slab_allocator/core/slab_view.hpp>
#include <slab_allocator/core/slot_group.hpp>

namespace slab_allocator {

template <typename T, typename Backend, CacheConfig Config = CacheConfig{}>
    requires(check_config<T, Config>() && check_memory_backend<Backend, layout_of<T, Config>.row>())
class Cache : public ObjectCalls<Cache<T, Backend, Config>, T, Config.checks != Checks::none> {
    static constexpr Layout layout = layout_of<T, Config>;
    static constexpr bool checked = Config.checks != Checks::none;
    using Place = Placement<layout, Backend, checked>;
    using Guard = Guards<KnownShape<layout>, Config.checks>;
    static constexpr bool guarded = Guard::active;
    static constexpr bool ranked = checked && !guarded;  // recent objects know what they hold
    static constexpr bool with_infos = checked && layout.uses_map();
    using Recent = std::conditional_t<
        guarded, DelayedObjects<layout.stride, layout.objects_per_slab, with_infos>,
        RecentObjects<layout.stride, layout.objects_per_slab, checked, with_infos>>;
    using Lists = SlabLists<layout.objects_per_slab>;
    using Memcheck = detail::Memcheck;

public:
    using value_type = T;
    using backend_type = Backend;

    /// Effects: none outside of the cache; the backend is first called by the first alloc.
    constexpr Cache() noexcept
        requires std::default_initializable<Backend>
    = default;
    constexpr explicit Cache(Backend backend) noexcept
        requires std::move_constructible<Backend>
        : backend_(std::move(backend)) {}
    constexpr explicit Cache(Backend&)  // cannot be moved in: hold it by BackendRef<Backend>
        requires(!std::move_constructible<Backend>)
    = delete;  // (compilers show the first line)

    Cache(const Cache&) = delete;  // its slabs know its address: pass it by reference
    Cache& operator=(const Cache&) = delete;

    /// Gives every slab back. Objects that are live then are a Defect::Leak, with their number.
    constexpr ~Cache()
        requires(!Config.never_destroyed)
    {
        give_back_everything();
    }
    constexpr ~Cache()
        requires(Config.never_destroyed)
    = default;

    // ---- One object -----------------------------------------------------------------------------

    /// Returns: uninitialised memory for one T, or nullptr where the backend refuses; everything is
    /// then as before. Costs: O(1); a new slab is not written through.
    [[nodiscard]] T* alloc() noexcept {
        if constexpr (guarded) return alloc_guarded();
        if (std::byte* const memory = recent_.pop(); memory != nullptr) [[likely]]
            return handed_out(memory);
        return alloc_from_slabs();
    }

    /// Takes back what alloc gave; nullptr does nothing. Costs: O(1), and at level misuse one
    /// question to the map, where there is one.
    void free(T* object) noexcept {
        std::byte* const memory = memory_of(object);
        if constexpr (guarded) {
            free_guarded(memory);
        } else if constexpr (checked) {
            if (recent_.push_again(memory)) [[likely]]
                return taken_back(memory);
            free_checked(memory);
        } else {
            if (memory == nullptr) return;
            taken_back(memory);
            if (recent_.full()) [[unlikely]]
                return free_to_slab(memory, nullptr);
            recent_.push(memory, nullptr);
        }
    }

    // ---- Many at once ---------------------------------------------------------------------------

    /// Fills `objects`, all or none. Returns: whether; where the backend refuses, everything is as
    /// before.
    [[nodiscard]] bool alloc_bulk(std::span<T*> objects) noexcept {
        if (!take_slabs_for(objects.size())) return false;
        if constexpr (guarded) return alloc_each(objects);
        std::size_t done = 0;
        while (done < objects.size() && !recent_.empty())
            objects[done++] = handed_out(recent_.pop());
        while (done < objects.size())
            done += take_from(*lists_.any_with_room(), objects.subspan(done));
        note_peak();
        settle_limit();
        return true;
    }

    /// Takes back all of `objects` (nullptr does nothing), or, where one of them is refused, none.
    void free_bulk(std::span<T* const> objects) noexcept {
        if constexpr (checked) {
            if (!mark_all(objects)) return;
        }
        if constexpr (guarded) make_all_free(objects);
        tell_freed(objects);
        recent_.forget_popped();
        give_back_all(objects, [&](std::size_t index) {
            return Place::find(backend_, memory_of(objects[index]));
        });
        give_back_surplus();
    }

    // ---- Slabs ----------------------------------------------------------------------------------

    /// Takes slabs ahead, so that `objects_number` objects can be allocated without asking the
    /// backend, and keeps as many Free slabs as that took until the next shrink.
    /// Returns: how many objects can be; fewer than asked for only where the backend refused.
    std::size_t reserve(std::size_t objects_number) noexcept {
        while (objects_at_hand() < objects_number && add_slab()) {
        }
        if (lists_.free_slabs_number() > kept_free_slabs_) {
            kept_free_slabs_ = lists_.free_slabs_number();
        }
        return objects_at_hand();
    }

    /// Gives all Free slabs back, retained ones too. Returns: how many. Costs: O(slabs given back).
    std::size_t shrink_to_fit() noexcept { return shrink(~std::size_t{0}); }

    /// Gives at most `most` Free slabs back. Returns: how many.
    std::size_t shrink(std::size_t most) noexcept {
        kept_free_slabs_ = Config.retained_free_slabs;
        settle_recent();
        std::size_t given = 0;
        while (given < most && give_back_one())
            ++given;
        return given;
    }

    // ---- To look at -----------------------------------------------------------------------------

    /// Calls f(T*) for every live object. `f` may free the visited one, and else must not call the
    /// cache. Costs: O(slots).
    template <typename F>
        requires std::invocable<F&, T*>
    void for_each(F&& f) {
        settle_recent();
        // From the emptiest slabs to the full ones: what `f` frees moves a slab to where the walk
        // has been.
        for (std::size_t number = Lists::free; number-- > Lists::full;) {
            auto& list = lists_.list(number);
            for (auto slab = list.begin(); slab != list.end();) {
                SlabRecord& slab_info = *slab;
                ++slab;
                visit(slab_info, f);
            }
        }
    }

    /// Calls f(const SlabView&) for every slab, the full ones first. `f` must not call the cache.
    /// What lies at the cache's hand goes back to its slabs before. Costs: O(slabs).
    template <typename F>
        requires std::invocable<F&, const SlabView&>
    void for_each_slab(F&& f) {
        settle_recent();
        lists_.for_each([&](const SlabRecord& slab_info) { f(SlabView(slab_info, layout)); });
    }

    /// Is `pointer` the start of a live object of this cache? Costs: O(1). Faults only where the
    /// row is found by masking, and `pointer` leads to memory that is not mapped.
    [[nodiscard]] bool owns(const T* pointer) noexcept {
        std::byte* const memory = memory_of(const_cast<T*>(pointer));
        return memory != nullptr && is_live(Place::find(backend_, memory), memory);
    }

    /// Is `pointer` the start of a slot that is out of its slab: a live object, or one at the
    /// cache's hand? For a layer that keeps freed objects in front of the cache. It reads nothing
    /// of the cache but what stays as it is while a live object lives, so of such a one it may be
    /// asked without the lock that the cache is under, where the backend's look-up may be.
    /// Costs: O(1).
    [[nodiscard]] bool is_out(const T* pointer) noexcept {
        const std::byte* const memory = memory_of(const_cast<T*>(pointer));
        return is_taken<&FreeMap::is_free_unlocked>(Place::find(backend_, memory), memory);
    }

    /// The same for many. Returns: how many of the first are out of their slabs; null is not.
    /// Costs: one question to the map, where there is one, for neighbours of one slab.
    [[nodiscard]] std::size_t out_number(std::span<T* const> objects) noexcept {
        std::size_t number = 0;
        while (number < objects.size() && objects[number] != nullptr && is_out(objects[number])) {
            const SlabRecord& slab_info = *Place::find(backend_, memory_of(objects[number]));
            const std::uintptr_t start = address_of(slab_info.slab) + layout.front;
            for (++number; number < objects.size(); ++number) {
                const std::size_t slot = layout.slot_at(address_of(objects[number]) - start);
                if (slot >= layout.slots_per_slab || slab_info.map.is_free_unlocked(slot)) break;
            }
        }
        return number;
    }

    /// Costs: O(1): what lies at the cache's hand goes back to its slabs first, so that the numbers
    /// are exact, and so may Free slabs to the backend.
    [[nodiscard]] CacheStatistics statistics() noexcept {
        settle_recent();
        give_back_surplus();
        settle_recent();  // the backend may have called the cache [C3]
        const std::size_t slabs = lists_.slabs_number();
        const std::size_t infos = layout.row == Row::LargeByMap ? sizeof(SlabInfo) : 0;
        return {
            .free_slabs_number = lists_.free_slabs_number(),
            .partial_slabs_number = slabs - lists_.free_slabs_number() - lists_.full_slabs_number(),
            .full_slabs_number = lists_.full_slabs_number(),
            .free_objects_number = lists_.free_objects_number(),
            .allocated_objects_number = lists_.taken_objects_number(),
            .peak_slabs_number = peak_slabs_number_,
            .peak_allocated_objects_number = peak_taken_objects_number_,
            .failures_number = failures_number_,
            .bytes_held = slabs * (layout.slab_size + infos),
            .bytes_lost =
                slabs * (layout.slab_size + infos - layout.objects_per_slab * layout.object_size),
        };
    }

    [[nodiscard]] static constexpr std::size_t object_size() noexcept { return layout.object_size; }
    [[nodiscard]] static constexpr std::size_t slab_size() noexcept { return layout.slab_size; }
    [[nodiscard]] static constexpr std::size_t page_size() noexcept { return layout.page_size; }
    [[nodiscard]] static constexpr ObjectSizeType object_size_type() noexcept {
        return layout.small() ? ObjectSizeType::Small : ObjectSizeType::Large;
    }
    [[nodiscard]] static constexpr std::size_t objects_per_slab() noexcept {
        return layout.objects_per_slab;
    }

    [[nodiscard]] constexpr Backend& backend() noexcept { return backend_; }
    [[nodiscard]] constexpr const Backend& backend() const noexcept { return backend_; }

    /// Level debug: who allocates and frees from now on, for its reports; nullptr: the return
    /// address of each call.
    void set_tag(const void* tag) noexcept
        requires(Config.checks == Checks::debug)
    {
        tag_.set(tag);
    }

    /// Walks everything. Returns: the first inconsistency, or Defect::None; tells no handler and
    /// changes nothing. Costs: O(slots).
    [[nodiscard]] DefectReport validate() noexcept {
        const auto wrong = lists_.validate([&](const SlabRecord& slab) { return defect_of(slab); });
        if (wrong.defect != Defect::None)
            return {.defect = wrong.defect, .pointer = wrong.where(this), .cache = this};
        const std::span<std::byte* const> recent = recent_.all();
        for (std::size_t rank = 0; rank < recent.size(); ++rank) {
            std::byte* const memory = recent[rank];
            if (!is_taken(Place::find(backend_, memory), memory)) return corrupted(memory);
            for (std::byte* const other : recent.first(rank)) {
                if (other == memory) return corrupted(memory);
            }
        }
        if constexpr (guarded) return wrong_anywhere();
        return {};
    }

private:
    static constexpr std::size_t enough_slabs = 4;  // with room, for one of them to drain [C5]
    static constexpr std::size_t enough_filled = divide_up(Recent::capacity, 4);
    static constexpr std::size_t most_filled = Recent::capacity > FreeMap::bits_per_word
                                                   ? Recent::capacity * 3 / 4
                                                   : divide_up(Recent::capacity, 2);
    static constexpr std::size_t word_bytes = FreeMap::bits_per_word * layout.stride;

    [[nodiscard]] static T* object_at(std::byte* memory) noexcept {
        return static_cast<T*>(static_cast<void*>(memory));
    }
    [[nodiscard]] static std::byte* memory_of(T* object) noexcept {
        return static_cast<std::byte*>(static_cast<void*>(object));
    }
    [[nodiscard]] static std::byte* memory_of(std::byte* object) noexcept { return object; }
    [[nodiscard]] static std::byte* word_start(SlabRecord& slab_info, std::size_t word) noexcept {
        return slab_info.slab + word * word_bytes + layout.front;
    }

    /// What a slab has free in one word of its map.
    struct FreeWord {
        std::size_t number;
        std::byte* start;       // of its first slot's object
        std::uint64_t covered;  // by the SlabInfo itself
        std::uint64_t bits;
    };
    [[nodiscard]] static FreeWord free_word(SlabRecord& slab_info, std::size_t number) noexcept {
        const std::uint64_t covered = Place::covered(slab_info, number);
        return {.number = number,
                .start = word_start(slab_info, number),
                .covered = covered,
                .bits = slab_info.map.word_at(number) & ~covered};
    }

    // ---- What sanitizers are told: poison.hpp, memcheck.hpp -------------------------------------

    /// The compiler leaves these two out where there is no AddressSanitizer.
    [[nodiscard]] static T* handed_out(std::byte* memory) noexcept {
        detail::reveal(memory, layout.object_size);
        return object_at(memory);
    }
    static void taken_back(const std::byte* memory) noexcept {
        detail::hide(memory, layout.object_size);
    }

    void tell_allocated(std::span<T* const> objects) const noexcept {
        if (!detail::hides && !memcheck_.watches()) [[likely]]
            return;
        for (T* const object : objects) {
            detail::reveal(object, layout.object_size);
            Memcheck::allocated(object, layout.object_size, false);
        }
    }
    void tell_freed(std::span<T* const> objects) const noexcept {
        if (!detail::hides && !memcheck_.watches()) [[likely]]
            return;
        for (T* const object : objects) {
            if (object == nullptr) continue;
            detail::hide(object, layout.object_size);
            Memcheck::freed(object);
        }
    }

    // ---- The way of an object: slow paths -------------------------------------------------------

    /// What the SlabInfo of a slab of this cache says of its owner. Masking leads anywhere, to a
    /// stack, too, and `this` lies there often: what no program has is asked for then.
    [[nodiscard]] const void* identity(const SlabRecord* slab_info) const noexcept {
        if constexpr (guarded) {
            return guards_.identity(this, slab_info);
        } else if constexpr (layout.row == Row::SmallByMask) {
            return disguised(this, address_of(slab_info));
        } else {
            return this;
        }
    }

    /// Is `memory` a slot of this cache that is not free in its slab?
    template <auto is_free = &FreeMap::is_free>
    [[nodiscard]] bool is_taken(SlabRecord* slab_info, const std::byte* memory) const noexcept {
        if constexpr (layout.row != Row::SmallByMask) {
            if (slab_info == nullptr) return false;
        }
        if (Place::is_hidden(slab_info)) return false;
        if (slab_info->owner != identity(slab_info)) return false;
        const std::size_t slot = Place::slot_of(*slab_info, memory);
        return slot < layout.slots_per_slab && !(slab_info->map.*is_free)(slot);
    }

    /// Is it not at the cache's hand either?
    [[nodiscard]] bool is_live(SlabRecord* slab_info, const std::byte* memory) const noexcept {
        if (!is_taken(slab_info, memory)) return false;
        if constexpr (guarded) {
            if (guards_.is_live(memory)) return true;  // [G2]
        }
        return !recent_.contains(memory);
    }

    /// free, where it is not the object that alloc gave last.
    [[gnu::noinline]] void free_checked(std::byte* memory) noexcept
        requires ranked
    {
        if (memory == nullptr) return;
        SlabRecord* const slab_info = Place::find(backend_, memory);
        if (!is_taken(slab_info, memory)) [[unlikely]]
            return refuse(memory);
        if (slab_info->list >= draining_from_) return drain(memory, *slab_info);
        if (recent_.full() || recent_.occupied(memory)) return free_to_slab(memory, slab_info);
        taken_back(memory);
        recent_.push(memory, slab_info);
    }

    /// free of an object whose slab shall drain [C5].
    [[gnu::noinline]] void drain(std::byte* memory, SlabRecord& slab_info) noexcept {
        if (recent_.contains(memory)) return refuse(memory);
        taken_back(memory);
        recent_.forget_popped();
        give_back_slot(memory, slab_info);
    }

    [[nodiscard, gnu::noinline]] T* alloc_from_slabs() noexcept {
        while (recent_.empty()) {
            if (!fill_recent() && !add_slab()) {
                ++failures_number_;
                return nullptr;
            }
        }
        std::byte* const memory = recent_.pop();
        if (memcheck_.watches()) [[unlikely]]
            recent_.wipe_popped();
        return handed_out(memory);
    }

    /// Fills the recent objects, which are empty or guarded and few, with whole words, from one
    /// slab after the other. Returns: whether it could.
    [[nodiscard]] bool fill_recent() noexcept {
        SlabRecord* slab_info = lists_.any_with_room();
        if (slab_info == nullptr) return false;
        if constexpr (guarded) recent_.make_room(most_filled);
        bool more = true;
        do {
            const std::size_t before = recent_.size();
            more = fill_from(*slab_info);
            lists_.took(*slab_info, recent_.size() - before);
            slab_info = lists_.fullest_partial();  // a Free slab is opened for an empty hand only
        } while (more && slab_info != nullptr);
        if constexpr (guarded) recent_.shuffle(guards_.secret().next());
        note_peak();
        settle_limit();
        return true;
    }

    /// Takes words of one slab. Returns: whether there should be more, from others.
    [[nodiscard]] bool fill_from(SlabRecord& slab_info) noexcept {
        if (memcheck_.watches()) [[unlikely]]
            return fill_watched(slab_info);
        // Slots of one word have places of their own, and those of one slab, if there are as many.
        const bool places_for_slab =
            (guarded || recent_.empty()) && Recent::has_places_for(layout.slots_per_slab);
        for (std::uint64_t words = slab_info.map.nonempty_words(); words != 0; words &= words - 1) {
            const auto [word, start, covered, bits] = free_word(slab_info, lowest_bit(words));
            const std::size_t room = most_filled - recent_.size();
            // A word fits always or never: above enough_filled nobody fills.
            const bool all_fit = room >= FreeMap::bits_per_word &&  // not reached: the other way
                                 (places_for_slab || recent_.empty());
            const std::uint64_t taken = all_fit ? bits : recent_.with_place(start, bits, room);
            recent_.push_slots(start, taken, &slab_info);
            take(slab_info, word, taken, covered);
            if (taken != bits || recent_.size() >= enough_filled) return false;
        }
        return true;
    }

    /// One object: alloc is about to hand it out, and nothing stays at hand. Returns: as fill_from.
    [[nodiscard, gnu::noinline, gnu::cold]] bool fill_watched(SlabRecord& slab_info) noexcept {
        const auto [word, start, covered, bits] = free_word(slab_info, slab_info.map.first_word());
        const std::size_t slot = lowest_bit(bits);
        recent_.push_slots(start, std::uint64_t{1} << slot, &slab_info);
        take(slab_info, word, std::uint64_t{1} << slot, covered);
        Memcheck::allocated(start + layout.offset_of(slot), layout.object_size, guarded);
        return false;
    }

    /// Takes as many objects as a slab has, or as are wanted. Returns: how many.
    /// Not inlined: g++ would warn of whole words that a small array of the caller's never sees.
    [[nodiscard, gnu::noinline]] std::size_t take_from(SlabRecord& slab_info,
                                                       std::span<T*> objects) noexcept {
        std::size_t done = 0;
        while (done < objects.size() && !slab_info.map.empty()) {
            const auto [word, start, covered, bits] =
                free_word(slab_info, slab_info.map.first_word());
            std::uint64_t left = bits;
            const std::span<T*> rest = objects.subspan(done);
            if (bits == ~std::uint64_t{0} && rest.size() >= FreeMap::bits_per_word) {
                for_all_of_word([&](std::size_t slot) {
                    rest[slot] = object_at(start + layout.offset_of(slot));
                    return true;
                });
                left = 0;
                done += FreeMap::bits_per_word;
            } else {
                for (; left != 0 && done < objects.size(); left &= left - 1)
                    objects[done++] = object_at(start + layout.offset_of(lowest_bit(left)));
            }
            take(slab_info, word, bits & ~left, covered);
        }
        lists_.took(slab_info, done);
        tell_allocated(objects.first(done));
        return done;
    }

    /// Takes bits out of a map; the caller tells lists_.
    void take(SlabRecord& slab_info, std::size_t word, std::uint64_t bits,
              std::uint64_t covered) noexcept {
        if (bits == 0) return;
        slab_info.map.take(word, bits, covered);
        const std::size_t end = word * FreeMap::bits_per_word + highest_bit(bits) + 1;
        if (end > slab_info.untouched) {
            if constexpr (guarded) prepare(slab_info, slab_info.untouched, end);
            slab_info.untouched = static_cast<std::uint16_t>(end);
        }
    }

    /// free, where the recent objects are full, or another has the object's place (or the object
    /// itself has it, and this is a double free), or, guarded, its slab shall drain.
    [[gnu::noinline]] void free_to_slab(std::byte* memory, SlabRecord* slab_info) noexcept {
        if constexpr (ranked) {
            if (recent_.contains(memory)) return refuse(memory);
            taken_back(memory);
        }
        if (memcheck_.watches()) [[unlikely]]
            Memcheck::freed(memory);
        if (recent_.size() == Recent::capacity) {
            if (empty_recent(Recent::capacity / 2)) empty_recent(0);  // [C5]
            if (has_place(memory)) {
                recent_.push(memory, slab_info);
                return give_back_surplus();
            }
        }
        if (slab_info == nullptr) slab_info = Place::find(backend_, memory);
        give_back_slot(memory, *slab_info);
    }

    /// Back to its slab, past the recent objects.
    void give_back_slot(std::byte* memory, SlabRecord& slab_info) noexcept {
        const std::size_t slot = Place::slot_of(slab_info, memory);
        slab_info.map.give_back(slot / FreeMap::bits_per_word,
                                std::uint64_t{1} << (slot % FreeMap::bits_per_word));
        lists_.gave_back_in_all(1);
        // Else no slab becomes Free, and the limit stays the highest.
        const bool stays =
            !lists_.would_move(slab_info) && lists_.taken_objects_number() > Recent::capacity;
        if (!stays) [[unlikely]]
            return settle_slab(slab_info);
        ++slab_info.free_number;
    }

    [[gnu::noinline]] void settle_slab(SlabRecord& slab_info) noexcept {
        if (gave_back(slab_info, 1)) empty_recent(0);  // [C5]
        give_back_surplus();
    }

    [[nodiscard]] bool has_place(const std::byte* memory) const noexcept {
        if constexpr (ranked) return !recent_.occupied(memory);
        return true;
    }

    /// Gives recent objects back to their slabs until `left` are left. Returns: as give_back_all.
    bool empty_recent(std::size_t left) noexcept {
        const std::span<std::byte* const> given = recent_.all().subspan(left);
        recent_.drop_to(left);
        return give_back_all(given, [&](std::size_t index) {
            if constexpr (Recent::has_infos) return recent_.info_at(left + index);
            return Place::find(backend_, given[index]);
        });
    }

    /// Gives objects back to their slabs, by groups; nulls are passed over. info_at(index) is asked
    /// for the first object of a group. Returns: shall one of the slabs drain from now on?
    template <typename Object, typename InfoAt>
    bool give_back_all(std::span<Object* const> objects, InfoAt info_at) noexcept {
        bool one_drains = false;
        std::size_t sum = 0;
        for (std::size_t index = 0; index < objects.size();) {
            if (objects[index] == nullptr) {
                ++index;
                continue;
            }
            SlabRecord& slab_info = *info_at(index);
            const SlotGroup group = group_of<false>(slab_info, objects.subspan(index));
            group.give_back_to(slab_info.map);
            if (gave_back(slab_info, group.number)) one_drains = true;
            sum += group.number;
            index += group.number;
        }
        lists_.gave_back_in_all(sum);
        return one_drains;
    }

    /// Returns: shall the slab drain from now on?
    bool gave_back(SlabRecord& slab_info, std::size_t number) noexcept {
        return lists_.gave_back(slab_info, number) && slab_info.list >= draining_from_;
    }

    /// The group of the first objects, of a slab of this cache.
    template <bool suspect, typename Object>
    [[nodiscard]] static SlotGroup group_of(const SlabRecord& slab_info,
                                            std::span<Object* const> objects) noexcept {
        const std::byte* const slab = Place::slab_of(slab_info, memory_of(objects[0]));
        return first_group<layout, suspect>(address_of(slab) + layout.front, objects);
    }

    void settle_recent() noexcept {
        empty_recent(0);
        settle_limit();
    }

    /// [C2]
    void settle_limit() noexcept {
        const std::size_t taken = lists_.taken_objects_number();
        const std::size_t but_one = taken - 1;  // a large number, where none is
        const bool watch = lists_.slabs_number() > kept_free_slabs_ && but_one < most_recent();
        recent_.set_limit(watch ? but_one : most_recent());
        if constexpr (checked) draining_from_ = draining_from(taken);
    }

    /// None under memcheck.
    [[nodiscard]] std::size_t most_recent() const noexcept {
        return memcheck_.watches() ? 0 : Recent::capacity;
    }

    /// The first list whose slabs shall drain [C5].
    [[nodiscard]] std::uint8_t draining_from(std::size_t taken) const noexcept {
        const std::size_t slabs = lists_.slabs_number();
        std::size_t first = Lists::lists_number;
        if (slabs - lists_.full_slabs_number() >= enough_slabs && !memcheck_.watches()) {
            const bool half_free = 2 * taken < slabs * layout.objects_per_slab;
            first = half_free ? Lists::half_free : Lists::nearly_free;
        }
        return static_cast<std::uint8_t>(first);
    }

    void note_peak() noexcept {
        if (lists_.taken_objects_number() > peak_taken_objects_number_) {
            peak_taken_objects_number_ = lists_.taken_objects_number();
        }
    }

    // ---- The life of a slab ---------------------------------------------------------------------

    [[nodiscard]] std::size_t objects_at_hand() const noexcept {
        return recent_.size() + lists_.free_objects_number();
    }

    [[nodiscard]] bool take_slabs_for(std::size_t objects_number) noexcept {
        while (objects_at_hand() < objects_number) {
            if (!add_slab()) {
                ++failures_number_;
                give_back_surplus();
                return false;
            }
        }
        return true;
    }

    /// A slab is born whole or not at all. Returns: whether.
    [[nodiscard]] bool add_slab() noexcept {
        auto* const slab =
            static_cast<std::byte*>(backend_.alloc_slab(layout.slab_size, layout.slab_alignment));
        if (slab == nullptr) return false;
        if constexpr (checked) {
            if (!is_aligned(slab, layout.slab_alignment)) [[unlikely]] {
                report({.defect = Defect::MisalignedSlab, .pointer = slab, .cache = this});
                backend_.free_slab(slab, layout.slab_size, layout.slab_alignment);
                return false;
            }
            if (Place::in_use(backend_, slab)) [[unlikely]] {
                // Not given back: another slab lies there.
                report({.defect = Defect::MemoryInUse, .pointer = slab, .cache = this});
                return false;
            }
        }
        Place::reveal_slots(slab);  // a backend may have hidden it
        if constexpr (guarded) guards_.secret().seed(backend_, slab, this);
        SlabRecord* const slab_info = Place::enter(backend_, slab, this);
        if (slab_info == nullptr) {
            backend_.free_slab(slab, layout.slab_size, layout.slab_alignment);
            return false;
        }
        slab_info->owner = identity(slab_info);
        Place::template hide_slots<!guarded>(*slab_info, memcheck_);
        lists_.add(*slab_info);
        if (lists_.slabs_number() > peak_slabs_number_) peak_slabs_number_ = lists_.slabs_number();
        settle_limit();
        return true;
    }

    /// It dies in this order: off its list, nobody's, unknown to the map, its SlabInfo, its pages.
    void remove_slab(SlabRecord& slab_info) noexcept {
        std::byte* const slab = slab_info.slab;
        if constexpr (Config.checks == Checks::debug) {
            if (slab_info.free_number == layout.objects_per_slab) {
                const DefectReport wrong = wrong_in(slab_info);
                if (wrong.defect != Defect::None) report(wrong);  // written to, never used again
            }
            if (!Place::knows(backend_, slab_info)) {
                report({.defect = Defect::BackendLostSlab,
                        .pointer = slab,
                        .cache = this,
                        .slab = slab});
            }
        }
        if (memcheck_.watches()) [[unlikely]]
            unwatch(slab_info);
        lists_.remove(slab_info);
        settle_limit();
        Place::reveal_slots(slab);
        Place::leave(backend_, slab_info);
        backend_.free_slab(slab, layout.slab_size, layout.slab_alignment);
    }

    /// memcheck has no block of the slab any more, and anybody may use it.
    [[gnu::noinline, gnu::cold]] void unwatch(SlabRecord& slab_info) noexcept {
        auto forget = [](T* object) { Memcheck::freed(object); };
        visit(slab_info, forget);
        Memcheck::make_defined(slab_info.slab, layout.slab_size);
    }

    bool give_back_one() noexcept {
        SlabRecord* const slab_info = lists_.any_free();
        if (slab_info == nullptr) return false;
        remove_slab(*slab_info);
        return true;
    }

    void give_back_surplus() noexcept {
        const bool none_live = recent_.size() == lists_.taken_objects_number();
        if (none_live && lists_.slabs_number() > kept_free_slabs_) empty_recent(0);  // [C2]
        while (lists_.free_slabs_number() > kept_free_slabs_)
            give_back_one();
        settle_limit();
    }

    constexpr void give_back_everything() noexcept {
        settle_recent();
        const std::size_t live = lists_.taken_objects_number();
        if constexpr (checked) {
            if (live != 0) report_leaks(live);
        }
        while (SlabRecord* const slab_info = lists_.any())
            remove_slab(*slab_info);
    }

    /// Level debug: one by one.
    void report_leaks(std::size_t live) noexcept {
        if constexpr (Config.checks == Checks::debug) {
            for_each([&](T* object) {
                DefectReport leak{.defect = Defect::Leak,
                                  .pointer = object,
                                  .cache = this,
                                  .objects_number = live--};
                guards_.say_who(leak, memory_of(object));
                report(leak);
            });
        } else {
            report({.defect = Defect::Leak, .cache = this, .objects_number = live});
        }
    }

    // ---- Defects --------------------------------------------------------------------------------

    /// What is wrong with the free of `memory`, which is known to be wrong.
    [[nodiscard]] DefectReport what_is_wrong(std::byte* memory) noexcept {
        DefectReport result{.defect = Defect::ForeignPointer, .pointer = memory, .cache = this};
        SlabRecord* const slab_info = Place::find(backend_, memory);
        if constexpr (guarded) {
            if (is_live(slab_info, memory)) {
                return report_on(guards_.wrong_of_live(memory), *slab_info, memory);
            }
        }
        if (slab_info == nullptr || Place::is_hidden(slab_info)) return result;
        if (slab_info->owner == nullptr) return result;
        if (slab_info->owner != identity(slab_info)) {
            // The mask row may be looking at anything: a SlabInfo at least knows its own slab.
            const bool is_slab_info = layout.row != Row::SmallByMask ||
                                      slab_info->slab == block_of(memory, layout.slab_size);
            if (is_slab_info) result.defect = Defect::OtherCache;
            return result;
        }
        result.slab = slab_info->slab;
        result.slot = Place::slot_of(*slab_info, memory);
        const bool is_slot =
            result.slot < layout.slots_per_slab && !Place::is_covered(*slab_info, result.slot);
        if (!is_slot) {
            result.defect = Defect::InteriorPointer;
            result.slot = 0;
        } else {
            result.defect =
                result.slot >= slab_info->untouched ? Defect::NeverAllocated : Defect::DoubleFree;
            if (result.defect == Defect::DoubleFree) guards_.say_who(result, memory);
        }
        return result;
    }

    /// Nothing has been written yet, and nothing is [C4].
    [[gnu::noinline, gnu::cold]] void refuse(std::byte* memory) noexcept {
        report(what_is_wrong(memory));
    }

    /// Checks every object of a bulk and marks it free in its word, so that a second one of the
    /// same is found, too. Returns: false where one is refused, all marks undone.
    [[nodiscard]] bool mark_all(std::span<T* const> objects) noexcept {
        for (std::size_t done = 0; done < objects.size();) {
            std::byte* const memory = memory_of(objects[done]);
            if (memory == nullptr) {
                ++done;
                continue;
            }
            SlabRecord* const slab_info = Place::find(backend_, memory);
            if (!is_live_and_sound(slab_info, memory)) [[unlikely]] {
                const DefectReport wrong = what_is_wrong(memory);
                unmark_all(objects.first(done));
                report(wrong);
                return false;
            }
            const std::size_t at_once = guarded ? 1 : objects.size() - done;
            done += mark_group(*slab_info, objects.subspan(done, at_once));
        }
        return true;
    }

    /// Marks the first objects, of which the first is right, as far as all are. Returns: how many.
    [[nodiscard]] std::size_t mark_group(SlabRecord& slab_info,
                                         std::span<T* const> objects) noexcept {
        SlotGroup group = group_of<true>(slab_info, objects);
        bool all_right = group.all_taken_in(slab_info.map);
        if (!recent_.empty()) {
            for (T* const object : objects.first(group.number))
                all_right = all_right && !recent_.contains(memory_of(object));
        }
        if (!all_right) group = group_of<true>(slab_info, objects.first(1));
        group.mark_in(slab_info.map);
        return group.number;
    }

    void unmark_all(std::span<T* const> objects) noexcept {
        for (T* const object : objects) {
            if (object == nullptr) continue;
            SlabRecord& slab_info = *Place::find(backend_, memory_of(object));
            group_of<true>(slab_info, std::span(&object, 1)).unmark_in(slab_info.map);
        }
    }

    // ---- Objects with guards: levels hardened and debug -----------------------------------------

    /// So few returned objects become ready together with others, of slabs.
    static constexpr std::size_t few_returned = enough_filled / 2;

    [[nodiscard, gnu::noinline]] T* alloc_guarded() noexcept
        requires guarded
    {
        const void* const by = tag_.or_else(__builtin_return_address(0));
        if (recent_.none_ready()) [[unlikely]]
            return alloc_guarded_slowly(nullptr, by);
        std::byte* const memory = recent_.pop();
        if (!guards_.is_free(memory)) [[unlikely]]
            return alloc_guarded_slowly(memory, by);
        guards_.make_live(memory, by);
        return object_at(memory);
    }

    /// `memory`: null, or an object that is not as a free one must be. That goes on as a free one,
    /// and another is tried.
    [[nodiscard, gnu::noinline]] T* alloc_guarded_slowly(std::byte* memory, const void* by) noexcept
        requires guarded
    {
        for (;;) {
            if (memory != nullptr) {
                const Wrong wrong = guards_.wrong_of_free(memory);
                if (wrong.defect == Defect::None) break;
                SlabRecord* const slab_info = Place::find(backend_, memory);
                report(report_on(wrong, *slab_info, memory));
                guards_.make_free(memory, by);
                free_to_slab(memory, slab_info);
            }
            if (!make_some_ready()) {
                ++failures_number_;
                return nullptr;
            }
            memory = recent_.pop();
        }
        guards_.make_live(memory, by);
        if (memcheck_.watches()) [[unlikely]] {
            Memcheck::make_undefined(memory, layout.object_size);
            recent_.wipe_popped();
        }
        return object_at(memory);
    }

    /// Returns: whether it could.
    [[nodiscard]] bool make_some_ready() noexcept
        requires guarded
    {
        while (recent_.none_ready()) {
            if (recent_.size() <= few_returned && fill_recent()) break;
            if (recent_.empty()) {
                if (!add_slab()) return false;
            } else {
                recent_.shuffle(guards_.secret().next());
                settle_limit();
            }
        }
        return true;
    }

    [[gnu::noinline]] void free_guarded(std::byte* memory) noexcept
        requires guarded
    {
        if (memory == nullptr) return;
        SlabRecord* const slab_info = Place::find(backend_, memory);
        if (!certifies(slab_info, memory)) [[unlikely]]
            return refuse(memory);
        guards_.make_free(memory, tag_.or_else(__builtin_return_address(0)));
        if (recent_.full() || slab_info->list >= draining_from_) [[unlikely]]
            return free_guarded_slowly(memory, slab_info);
        recent_.push(memory, slab_info);
    }

    [[gnu::noinline]] void free_guarded_slowly(std::byte* memory, SlabRecord* slab_info) noexcept
        requires guarded
    {
        if (slab_info->list < draining_from_) {
            settle_limit();
            if (!recent_.full()) return recent_.push(memory, slab_info);
        }
        free_to_slab(memory, slab_info);
    }

    /// Is `memory` a live object with sound guards? Level hardened: its canary says so, as nobody
    /// else knows the secret [G2]; where an object was handed out in this life of its slab.
    [[nodiscard]] bool certifies(SlabRecord* slab_info, const std::byte* memory) const noexcept
        requires guarded
    {
        if constexpr (Config.checks == Checks::hardened) {
            if constexpr (layout.row != Row::SmallByMask) {
                if (slab_info == nullptr) return false;
            }
            if (Place::is_hidden(slab_info)) return false;
            const std::size_t slot = Place::slot_of(*slab_info, memory);
            return slot < layout.slots_per_slab && slot < slab_info->untouched &&
                   guards_.is_live(memory);
        } else {
            return is_live_and_sound(slab_info, memory);
        }
    }

    [[nodiscard]] bool is_live_and_sound(SlabRecord* slab_info,
                                         const std::byte* memory) const noexcept {
        if constexpr (guarded) return is_taken(slab_info, memory) && guards_.is_live(memory);
        return is_live(slab_info, memory);
    }

    /// Of objects that are checked. A function of its own, so that it returns to the caller of
    /// free_bulk.
    [[gnu::noinline]] void make_all_free(std::span<T* const> objects) const noexcept
        requires guarded
    {
        const void* const by = tag_.or_else(__builtin_return_address(0));
        for (T* const object : objects) {
            if (object != nullptr) guards_.make_free(memory_of(object), by);
        }
    }

    /// alloc_bulk, where there are as many objects as are wanted. Returns: whether.
    [[nodiscard]] bool alloc_each(std::span<T*> objects) noexcept
        requires guarded
    {
        for (std::size_t done = 0; done < objects.size(); ++done) {
            objects[done] = alloc_guarded();
            if (objects[done] != nullptr) continue;
            while (done-- > 0) {
                free(objects[done]);
                objects[done] = nullptr;
            }
            return false;
        }
        return true;
    }

    /// Slots `first` .. `end - 1` are handed out for the first time [G1].
    void prepare(const SlabRecord& slab_info, std::size_t first, std::size_t end) noexcept
        requires guarded
    {
        for (std::size_t slot = first; slot < end; ++slot) {
            if (Place::is_covered(slab_info, slot)) continue;
            std::byte* const object = slab_info.slab + layout.offset_of(slot) + layout.front;
            guards_.make_fresh(object);
        }
    }

    [[nodiscard]] DefectReport report_on(const Wrong& wrong, const SlabRecord& slab_info,
                                         const std::byte* memory) const noexcept
        requires guarded
    {
        const std::size_t slot = Place::slot_of(slab_info, memory);
        return report_of(wrong, guards_, memory, slab_info, slot, this);
    }

    /// The first object of a slab that is not as it must be [G1] [G2].
    [[nodiscard]] DefectReport wrong_in(const SlabRecord& slab_info) const noexcept
        requires guarded
    {
        for (std::size_t slot = 0; slot < slab_info.untouched; ++slot) {
            if (Place::is_covered(slab_info, slot)) continue;
            const std::byte* const object = slab_info.slab + layout.offset_of(slot) + layout.front;
            if (!slab_info.map.is_free(slot) && guards_.is_live(object)) continue;
            const bool is_free = slab_info.map.is_free(slot) || recent_.contains(object);
            const Wrong wrong = is_free ? wrong_of_free(object) : guards_.wrong_of_live(object);
            if (wrong.defect != Defect::None) return report_on(wrong, slab_info, object);
        }
        return {};
    }

    [[nodiscard]] Wrong wrong_of_free(const std::byte* object) const noexcept
        requires guarded
    {
        return wrong_of_nobodys(guards_, object, layout.object_size, memcheck_);
    }

    [[nodiscard]] DefectReport wrong_anywhere() noexcept
        requires guarded
    {
        DefectReport wrong;
        lists_.for_each([&](const SlabRecord& slab_info) {
            if (wrong.defect == Defect::None) wrong = wrong_in(slab_info);
        });
        return wrong;
    }

    // ---- Walks ----------------------------------------------------------------------------------

    template <typename F>
    static void visit(SlabRecord& slab_info, F& f) {
        std::size_t live = layout.objects_per_slab - slab_info.free_number;
        for (std::size_t word = 0; live > 0; ++word) {  // the slab may be gone after its last one
            std::byte* const start = word_start(slab_info, word);
            std::uint64_t left =
                FreeMap::bits_of(0, layout.slots_per_slab, word) & ~slab_info.map.word_at(word);
            for (; left != 0; left &= left - 1, --live) {
                f(object_at(start + layout.offset_of(lowest_bit(left))));
            }
        }
    }

    [[nodiscard]] DefectReport corrupted(const void* where) const noexcept {
        return {.defect = Defect::CorruptedSlabInfo, .pointer = where, .cache = this};
    }

    [[nodiscard]] Defect defect_of(const SlabRecord& slab_info) noexcept {
        const bool sound = slab_info.owner == identity(&slab_info) &&
                           layout.is_sound(slab_info, Place::info_slot(slab_info));
        if (!sound) return Defect::CorruptedSlabInfo;
        return Place::knows(backend_, slab_info) ? Defect::None : Defect::BackendLostSlab;
    }

    Recent recent_;
    [[no_unique_address]] Backend backend_{};
    [[no_unique_address]] Guard guards_;
    [[no_unique_address]] Tag<Config.checks> tag_;
    Lists lists_;
    std::uint8_t draining_from_ = Lists::lists_number;  // [C5]
    [[no_unique_address]] Memcheck memcheck_;
    std::size_t kept_free_slabs_ = Config.retained_free_slabs;
    std::size_t peak_slabs_number_ = 0;
    std::size_t peak_taken_objects_number_ = 0;
    std::size_t failures_number_ = 0;
};

}  // namespace slab_allocator
