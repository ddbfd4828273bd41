#pragma once

// guarded_front.hpp -- alloc and free at the levels hardened and debug: free objects wait, and what
// stands around and in an object is looked at on both ways.
//
//      alloc  <-- is it as a free one must be?  <-- quarantine: any of them <--refill-- slabs
//      free   --> are its guards sound? is freed --> quarantine: the last   --flush---> slabs
//
// Invariants
//   [C6] what is in the quarantine or free in a slab has the guards of a free one [G1].

#include <cstddef>
#include <span>

#include <slab_allocator/core/bulk_marks.hpp>
#include <slab_allocator/core/quarantine.hpp>
#include <slab_allocator/core/slot_exchange.hpp>

namespace slab_allocator {

template <Layout layout>
using QuarantineOf = Quarantine<layout.stride, layout.objects_per_slab, layout.uses_map()>;

template <Layout layout, typename Backend, CacheConfig Config>
class GuardedFront : public SlotExchange<QuarantineOf<layout>, layout, Backend, Config> {
    using Exchange = SlotExchange<QuarantineOf<layout>, layout, Backend, Config>;
    using Exchange::cached_;
    using Exchange::slabs_;
    /// So few returned objects become ready together with others, of slabs.
    static constexpr std::size_t few_returned = Exchange::enough_filled / 2;

public:
    using Exchange::Exchange;

    [[nodiscard, gnu::noinline]] std::byte* alloc() noexcept {
        const void* const by = tag_.or_else(__builtin_return_address(0));
        if (cached_.none_ready()) [[unlikely]]
            return alloc_slowly(nullptr, by);
        std::byte* const object = cached_.pop();
        if (!slabs_.guards().is_free(object)) [[unlikely]]
            return alloc_slowly(object, by);
        slabs_.guards().make_live(object, by);
        return object;
    }

    [[gnu::noinline]] void free(std::byte* object) noexcept {
        if (object == nullptr) return;
        SlabRecord* const slab_info = slabs_.find(object);
        if (!has_live_canary(slab_info, object)) [[unlikely]]
            return Exchange::refuse(object);
        slabs_.guards().make_free(object, tag_.or_else(__builtin_return_address(0)));
        if (cached_.full() || Exchange::retention_.must_drain(*slab_info)) [[unlikely]]
            return free_slowly(object, slab_info);
        cached_.push(object, slab_info);
    }

    /// Fills `objects`, all or none.
    template <typename Object>
    [[nodiscard]] bool alloc_bulk(std::span<Object*> objects) noexcept {
        if (!Exchange::take_slabs_for(objects.size())) return false;
        for (std::size_t done = 0; done < objects.size(); ++done) {
            std::byte* const object = alloc();
            objects[done] = object_in<Object>(object);
            if (object != nullptr) continue;
            while (done-- > 0) {
                free(bytes_of(objects[done]));
                objects[done] = nullptr;
            }
            return false;
        }
        return true;
    }

    /// Takes back all of `objects` (nullptr does nothing), or, where one is refused, none.
    template <typename Object>
    [[gnu::noinline]] void free_bulk(std::span<Object* const> objects) noexcept {
        if (!BulkMarks<layout, true, GuardedFront>(*this).mark(objects)) return;
        const void* const by = tag_.or_else(__builtin_return_address(0));
        for (Object* const object : objects) {
            if (object != nullptr) slabs_.make_free(bytes_of(object), by);
        }
        Exchange::free_groups(
            objects, [&](std::size_t index) { return slabs_.find(bytes_of(objects[index])); });
        Exchange::trim();
    }

    [[nodiscard]] bool is_live(const SlabRecord* slab_info, const std::byte* object) noexcept {
        if (!Exchange::is_taken(slab_info, object)) return false;
        return slabs_.guards().is_live(object) || !cached_.contains(object);  // [G2]
    }
    /// Has it sound guards, too?
    [[nodiscard]] bool is_sound(const SlabRecord* slab_info,
                                const std::byte* object) const noexcept {
        return Exchange::is_taken(slab_info, object) && slabs_.guards().is_live(object);
    }

    [[nodiscard]] DefectReport validate() noexcept {
        const DefectReport of_slabs = Exchange::validate_cached();
        if (of_slabs.defect != Defect::None) return of_slabs;
        const auto is_cached = [&](const std::byte* object) { return cached_.contains(object); };
        return slabs_.first_violation(this, is_cached, true);
    }

    /// Level debug: who allocates and frees.
    void set_tag(const void* tag) noexcept
        requires(Config.checks == Checks::debug)
    {
        tag_.set(tag);
    }

private:
    /// `object`: null, or one that is perhaps not as a free one must be. That goes on as a free
    /// one, and another is tried.
    [[nodiscard, gnu::noinline]] std::byte* alloc_slowly(std::byte* object,
                                                         const void* by) noexcept {
        while (object == nullptr || !slabs_.make_live(object, by, this)) {
            if (object != nullptr) Exchange::free_or_cache(object, slabs_.find(object));
            if (!make_some_ready()) {
                ++Exchange::failures_number_;
                return nullptr;
            }
            object = cached_.pop();
        }
        if (Exchange::every_call_is_seen()) [[unlikely]]
            cached_.wipe_popped();
        return object;
    }

    /// Returns: whether it could.
    [[nodiscard]] bool make_some_ready() noexcept {
        while (cached_.none_ready()) {
            if (cached_.size() <= few_returned && Exchange::refill()) break;
            if (cached_.empty()) {
                if (!Exchange::add_slab()) return false;
            } else {
                cached_.shuffle(slabs_.guards().secret().next());
                Exchange::update_thresholds();
            }
        }
        return true;
    }

    [[gnu::noinline]] void free_slowly(std::byte* object, SlabRecord* slab_info) noexcept {
        if (!Exchange::retention_.must_drain(*slab_info)) {
            Exchange::update_thresholds();  // [X4]
            if (!cached_.full()) return cached_.push(object, slab_info);
        }
        if (Exchange::every_call_is_seen()) [[unlikely]]
            slabs_.instruments().freed(object);
        Exchange::free_or_cache(object, slab_info);
    }

    /// Is `object` live, with sound guards? Level hardened: its canary says so, as nobody else
    /// knows the secret [G2]; where an object was handed out in this life of its slab.
    [[nodiscard]] bool has_live_canary(const SlabRecord* slab_info,
                                       const std::byte* object) const noexcept {
        if constexpr (Config.checks == Checks::hardened) {
            if (!slabs_.may_be_record(slab_info)) return false;
            const std::size_t slot = Exchange::geometry.slot_of(*slab_info, object);
            return slot < layout.slots_per_slab && slot < slab_info->untouched &&
                   slabs_.guards().is_live(object);
        } else {
            return is_sound(slab_info, object);
        }
    }

    [[no_unique_address]] Tag<Config.checks> tag_;
};

}  // namespace slab_allocator
