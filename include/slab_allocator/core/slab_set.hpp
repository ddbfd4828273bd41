#pragma once

// slab_set.hpp -- the slabs of a cache or of a size class: added, listed, checked, removed.
//
//      alloc  <--- words of free slots <-- a slab with room <-- lists <--add---- backend
//      free   ---> slots ----------------> their slab ---> lists --remove--> backend
//
// A front end stands above: it takes words out of slabs, keeps what is in them ready for alloc, and
// decides when a slab is added and how many free ones are kept.
//
// Invariants
//   [I1] before each call of the backend every list, map and counter is in order, and after it they
//        are looked at again: the backend may call the cache.
//   [I2] the owner in a SlabInfo is what identity() says while the slab lives.

#include <cstddef>
#include <cstdint>
#include <utility>

#include <slab_allocator/core/cache_statistics.hpp>
#include <slab_allocator/core/diagnosis.hpp>
#include <slab_allocator/core/geometry.hpp>
#include <slab_allocator/core/instruments.hpp>
#include <slab_allocator/core/slab_lists.hpp>
#include <slab_allocator/core/slab_locator.hpp>
#include <slab_allocator/core/slab_store.hpp>

namespace slab_allocator {

/// Whose slabs they are, and whom reports name: a cache both times, or a size class and its heap.
struct SlabOwner {
    const void* owner;
    const void* reporter;
};

/// What a slab has free in one word of its map.
struct FreeWord {
    std::size_t number;
    std::byte* start;        // of its first slot's object
    std::uint64_t reserved;  // by the SlabInfo itself
    std::uint64_t bits;
};

template <typename Geometry, typename Backend, typename Guard, Checks checks>
class SlabSet {
    static constexpr bool checked = checks != Checks::none;
    static constexpr Layout located = Geometry::located;
    using Locator = SlabLocator<located, Backend>;
    using Store = SlabStore<located, Backend, checked>;

public:
    using Lists = SlabLists<Geometry::known_objects_per_slab>;

    constexpr SlabSet() noexcept = default;
    constexpr explicit SlabSet(Backend backend) noexcept : backend_(std::move(backend)) {}
    constexpr SlabSet(const Geometry& slots, const Guard& guards, Backend backend) noexcept
        : geometry(slots), backend_(std::move(backend)), guards_(guards) {}

    [[nodiscard]] constexpr Backend& backend() noexcept { return backend_; }
    [[nodiscard]] constexpr const Backend& backend() const noexcept { return backend_; }
    [[nodiscard]] constexpr Guard& guards() noexcept { return guards_; }
    [[nodiscard]] constexpr const Guard& guards() const noexcept { return guards_; }
    [[nodiscard]] constexpr const Instruments<Guard::active>& instruments() const noexcept {
        return instruments_;
    }
    [[nodiscard]] constexpr Lists& lists() noexcept { return lists_; }
    [[nodiscard]] constexpr const Lists& lists() const noexcept { return lists_; }

    [[no_unique_address]] Geometry geometry{};

    // ---- Birth and death ------------------------------------------------------------------------

    /// A slab from the backend, on its list. Returns: whether.
    [[nodiscard]] bool add(const SlabOwner& by) noexcept {
        auto* const slab_info = Store::create(backend_, request(), by.reporter);
        if (slab_info == nullptr) return false;
        const Layout& layout = geometry.layout;
        slab_info->free_number = static_cast<std::uint16_t>(layout.objects_per_slab);
        slab_info->map.fill(layout.slots_per_slab, geometry.first_reserved(*slab_info),
                            layout.info_slots);
        if constexpr (Guard::active) guards_.secret().seed(backend_, slab_info->slab, by.owner);
        slab_info->owner = identity(by.owner, slab_info);  // [I2]
        instruments_.slab_created(geometry, *slab_info);
        lists_.add(*slab_info);
        return true;
    }

    /// Back to the backend. `unlisted`, called before the backend is [I1].
    template <typename F>
    [[gnu::noinline]] void remove(SlabRecord& slab_info, const SlabOwner& by, F unlisted) noexcept {
        if constexpr (checks == Checks::debug) {
            const DefectReport last = last_look(slab_info, by);
            if (last.defect != Defect::None) report(last);  // never looked at again
        }
        lists_.remove(slab_info);
        unlisted();
        instruments_.slab_destroyed(geometry, slab_info);
        Store::destroy(backend_, static_cast<typename Store::Made&>(slab_info), request());
    }

    // ---- Slots ----------------------------------------------------------------------------------

    [[nodiscard]] FreeWord word_of(SlabRecord& slab_info, std::size_t number) const noexcept {
        const std::uint64_t reserved = geometry.reserved_in(slab_info, number);
        return {.number = number,
                .start = geometry.object_at(slab_info, number * FreeMap::bits_per_word),
                .reserved = reserved,
                .bits = slab_info.map.word_at(number) & ~reserved};
    }

    /// Takes `bits` of a word out of its map; the caller tells the lists. Slots that are taken for
    /// the first time get the guards of free ones [G1]. Requires: bits != 0, not checked.
    void take(SlabRecord& slab_info, const FreeWord& word, std::uint64_t bits) noexcept {
        slab_info.map.take(word.number, bits, word.reserved);
        const std::size_t end = word.number * FreeMap::bits_per_word + highest_bit(bits) + 1;
        if (end > slab_info.untouched) {
            if constexpr (Guard::active) make_fresh(slab_info, slab_info.untouched, end);
            slab_info.untouched = static_cast<std::uint16_t>(end);
        }
    }

    // ---- Objects with guards: no lock is needed -------------------------------------------------

    /// Makes a free object, out of its slab, a live one. Returns: false where it was not as a free
    /// one must be; that is reported, and it is a free one again.
    [[nodiscard]] bool make_live(std::byte* object, const void* by, const void* reporter) noexcept
        requires(Guard::active)
    {
        const bool seen = instruments_.watches();
        if (seen) [[unlikely]]
            instruments_.make_defined(object, geometry.layout.object_size);
        if (!guards_.is_free(object)) [[unlikely]]
            return free_again(object, by, reporter);
        guards_.make_live(object, by);
        if (seen) [[unlikely]]
            instruments_.allocated(object, geometry.layout.object_size, false);
        return true;
    }

    /// Makes a live object, whose guards are sound, a free one.
    void make_free(std::byte* object, const void* by) const noexcept
        requires(Guard::active)
    {
        guards_.make_free(object, by);
        if (instruments_.watches()) [[unlikely]]
            instruments_.freed(object);
    }

    // ---- All objects ----------------------------------------------------------------------------

    /// Calls f(object) for every slot that is out of the slab. `f` may free the visited one.
    template <typename F>
    void visit(const SlabRecord& slab_info, F& f) const {
        const std::size_t slots = geometry.layout.slots_per_slab;
        std::size_t taken = geometry.layout.objects_per_slab - slab_info.free_number;
        // The slab may be gone after its last one.
        for (std::size_t word = 0; taken > 0 && word < FreeMap::words_for(slots); ++word) {
            std::byte* const start = geometry.object_at(slab_info, word * FreeMap::bits_per_word);
            std::uint64_t left = FreeMap::bits_of(0, slots, word) & ~slab_info.map.word_at(word);
            for (; left != 0; left &= left - 1, --taken)
                f(start + geometry.layout.offset_of(lowest_bit(left)));
        }
    }

    /// The same for all slabs, from the emptiest to the full ones: what `f` frees moves a slab to
    /// where the walk has been.
    template <typename F>
    void for_each(F f) {
        for (std::size_t number = Lists::lists_number; number-- > 0;) {
            auto& list = lists_.list(number);
            for (auto slab = list.begin(); slab != list.end();) {
                const SlabRecord& slab_info = *slab;
                ++slab;
                visit(slab_info, f);
            }
        }
    }

    // ---- Whose is a pointer? --------------------------------------------------------------------

    [[nodiscard]] SlabRecord* find(const std::byte* object) noexcept {
        return Locator::find(backend_, object);
    }

    /// What the SlabInfo of a slab says of its owner. Masking leads anywhere, to a stack, too, and
    /// the owner's address lies there often: what no program has is asked for then. [I2]
    [[nodiscard]] const void* identity(const void* owner,
                                       const SlabRecord* slab_info) const noexcept {
        if constexpr (Geometry::disguises_owner && Guard::active) {
            return guards_.identity(owner, slab_info);
        } else if constexpr (Geometry::disguises_owner && located.row == Row::SmallByMask) {
            return disguised(owner, address_of(slab_info));
        } else {
            return owner;
        }
    }

    /// Is `object` a slot of `owner` that is not free in its slab?
    template <auto is_free = &FreeMap::is_free>
    [[nodiscard]] bool is_taken(const void* owner, const SlabRecord* slab_info,
                                const std::byte* object) const noexcept {
        if (!may_be_record(slab_info)) return false;
        if (slab_info->owner != identity(owner, slab_info)) return false;
        const std::size_t slot = geometry.slot_of(*slab_info, object);
        return slot < geometry.layout.slots_per_slab && !(slab_info->map.*is_free)(slot);
    }

    /// Of what find() answers.
    [[nodiscard]] static bool may_be_record(const SlabRecord* slab_info) noexcept {
        if constexpr (located.row != Row::SmallByMask) {
            if (slab_info == nullptr) return false;
        }
        return !Locator::is_poisoned(slab_info);
    }

    /// What is wrong with the free of `object`, which is known to be wrong.
    [[nodiscard]] DefectReport diagnose(const std::byte* object, const SlabOwner& by,
                                        bool is_cached) noexcept {
        DefectReport result{
            .defect = Defect::ForeignPointer, .pointer = object, .cache = by.reporter};
        const SlabRecord* const slab_info = find(object);
        if (!may_be_record(slab_info)) return result;
        if (slab_info->owner == identity(by.owner, slab_info)) {
            diagnosis(by.reporter).of_free(result, *slab_info, is_cached);
        } else if (slab_info->owner != nullptr) {
            // The mask row may be looking at anything: a SlabInfo at least knows its own slab.
            const bool is_slab_info = located.row != Row::SmallByMask ||
                                      slab_info->slab == block_of(object, located.slab_size);
            if (is_slab_info) result.defect = Defect::OtherCache;
        }
        return result;
    }

    [[nodiscard]] auto diagnosis(const void* reporter) const noexcept {
        return Diagnosis(geometry, guards_, instruments_, reporter);
    }

    // ---- To look at -----------------------------------------------------------------------------

    /// Of a slab: does it agree with itself, with the layout, with the map?
    [[nodiscard]] Defect defect_of(const SlabRecord& slab_info, const void* owner) noexcept {
        const bool sound =
            slab_info.owner == identity(owner, &slab_info) && geometry.is_sound(slab_info);
        if (!sound) return Defect::CorruptedSlabInfo;
        return Locator::knows(backend_, slab_info, geometry.layout.pages_per_slab())
                   ? Defect::None
                   : Defect::BackendLostSlab;
    }

    /// The first inconsistency of the lists and their slabs, or Defect::None.
    [[nodiscard]] DefectReport validate(const SlabOwner& by) noexcept {
        const auto found = lists_.validate(
            [&](const SlabRecord& slab_info) { return defect_of(slab_info, by.owner); });
        if (found.defect == Defect::None) return {};
        return {.defect = found.defect, .pointer = found.where(by.owner), .cache = by.reporter};
    }

    /// The first object of all slabs that is not as it must be: as Diagnosis::of_slab.
    template <typename IsCached>
    [[nodiscard]] DefectReport first_violation(const void* reporter, IsCached is_cached,
                                               bool with_live) noexcept
        requires(Guard::active)
    {
        DefectReport first;
        lists_.for_each([&](const SlabRecord& slab_info) {
            if (first.defect == Defect::None)
                first = diagnosis(reporter).of_slab(slab_info, is_cached, with_live);
        });
        return first;
    }

    /// Of what the lists know; peaks and failures are the front end's. Costs: O(1), or O(slabs)
    /// where the layout is a member.
    [[nodiscard]] CacheStatistics statistics() noexcept {
        CacheStatistics result{.free_slabs_number = lists_.free_slabs_number(),
                               .full_slabs_number = lists_.full_slabs_number()};
        result.partial_slabs_number =
            lists_.slabs_number() - result.free_slabs_number - result.full_slabs_number;
        if constexpr (Geometry::known_objects_per_slab != 0) {
            result.free_objects_number = lists_.free_objects_number();
        } else {
            lists_.for_each([&](const SlabRecord& slab_info) {
                result.free_objects_number += slab_info.free_number;
            });
        }
        return result;
    }

    /// Completes statistics of which slabs and free objects are known.
    void complete(CacheStatistics& statistics) const noexcept {
        const Layout& layout = geometry.layout;
        const std::size_t slabs = statistics.slabs_number();
        const std::size_t objects = slabs * layout.objects_per_slab;
        const std::size_t outside = layout.row == Row::LargeByMap ? sizeof(SlabInfo) : 0;
        statistics.allocated_objects_number = objects - statistics.free_objects_number;
        statistics.bytes_held = slabs * (layout.slab_size + outside);
        statistics.bytes_lost = statistics.bytes_held - objects * layout.object_size;
    }

private:
    [[nodiscard]] constexpr SlabRequest request() const noexcept {
        return {.bytes = geometry.layout.slab_size,
                .alignment = geometry.layout.slab_alignment,
                .known_pages = geometry.layout.pages_per_slab()};
    }

    [[gnu::noinline, gnu::cold]] bool free_again(std::byte* object, const void* by,
                                                 const void* reporter) noexcept {
        const Violation violation = guards_.violation_of_free(object);
        report(diagnosis(reporter).report_on(violation, *find(object), object));
        guards_.make_free(object, by);
        instruments_.make_nobodys(object, geometry.layout.object_size);
        return false;
    }

    void make_fresh(const SlabRecord& slab_info, std::size_t first, std::size_t end) noexcept {
        for (std::size_t slot = first; slot < end; ++slot) {
            if (!geometry.is_reserved(slab_info, slot))
                guards_.make_fresh(geometry.object_at(slab_info, slot));
        }
    }

    /// Level debug: at a slab that goes back.
    [[nodiscard]] DefectReport last_look(const SlabRecord& slab_info,
                                         const SlabOwner& by) noexcept {
        const Defect defect = defect_of(slab_info, by.owner);
        if (defect != Defect::None) {
            return {.defect = defect,
                    .pointer = slab_info.slab,
                    .cache = by.reporter,
                    .slab = slab_info.slab};
        }
        const auto none_cached = [](const std::byte*) { return false; };
        return diagnosis(by.reporter).of_slab(slab_info, none_cached, false);
    }

    [[no_unique_address]] Backend backend_{};
    [[no_unique_address]] Guard guards_{};
    Lists lists_{geometry.layout.objects_per_slab};
    [[no_unique_address]] Instruments<Guard::active> instruments_;
};

}  // namespace slab_allocator
