#pragma once

// plain_front.hpp -- alloc and free at the levels none and misuse, where nothing is ever written in
// a free object.
//
//      alloc  <-- object stack <--refill-- slabs
//      free   --> object stack --flush---> slabs
//
// The hot path is the stack (object_stack.hpp): alloc pops, free pushes. At level misuse free looks
// at the object's slab first, but where it is the object that alloc gave last.
//
// Invariants
//   [C4] every check of a call stands before its first store.

#include <cstddef>
#include <cstdint>
#include <span>

#include <slab_allocator/core/bulk_marks.hpp>
#include <slab_allocator/core/object_stack.hpp>
#include <slab_allocator/core/slot_exchange.hpp>

namespace slab_allocator {

template <Layout layout, CacheConfig Config>
using StackOf = ObjectStack<layout.stride, layout.objects_per_slab, Config.checks != Checks::none,
                            Config.checks != Checks::none && layout.uses_map()>;

template <Layout layout, typename Backend, CacheConfig Config>
class PlainFront : public SlotExchange<StackOf<layout, Config>, layout, Backend, Config> {
    using Exchange = SlotExchange<StackOf<layout, Config>, layout, Backend, Config>;
    static constexpr bool checked = Config.checks != Checks::none;
    using Exchange::cached_;
    using Exchange::slabs_;

public:
    using Exchange::Exchange;

    [[nodiscard]] std::byte* alloc() noexcept {
        if (std::byte* const object = cached_.pop(); object != nullptr) [[likely]] {
            annotate_alloc(object);
            return object;
        }
        return alloc_slowly();
    }

    void free(std::byte* object) noexcept {
        if constexpr (checked) {
            if (cached_.push_again(object)) [[likely]]
                return annotate_free(object);
            free_checked(object);
        } else {
            if (object == nullptr) return;
            annotate_free(object);
            if (cached_.full()) [[unlikely]]
                return free_to_slab(object, nullptr);
            cached_.push(object, nullptr);
        }
    }

    /// Fills `objects`, all or none.
    template <typename Object>
    [[nodiscard]] bool alloc_bulk(std::span<Object*> objects) noexcept {
        if (!Exchange::take_slabs_for(objects.size())) return false;
        std::size_t done = 0;
        while (done < objects.size() && !cached_.empty()) {
            std::byte* const object = cached_.pop();
            annotate_alloc(object);
            objects[done++] = object_in<Object>(object);
        }
        while (done < objects.size())
            done += take_from(*slabs_.lists().any_with_room(), objects.subspan(done));
        Exchange::note_peak();
        Exchange::update_thresholds();
        return true;
    }

    /// Takes back all of `objects` (nullptr does nothing), or, where one is refused, none.
    template <typename Object>
    void free_bulk(std::span<Object* const> objects) noexcept {
        if constexpr (checked) {
            if (!BulkMarks<layout, false, PlainFront>(*this).mark(objects)) return;
        }
        slabs_.instruments().annotate_free(objects, layout.object_size);
        cached_.forget_popped();
        Exchange::free_groups(
            objects, [&](std::size_t index) { return slabs_.find(bytes_of(objects[index])); });
        Exchange::trim();
    }

    [[nodiscard]] bool is_live(const SlabRecord* slab_info, const std::byte* object) noexcept {
        return Exchange::is_taken(slab_info, object) && !cached_.contains(object);
    }
    /// Has it sound guards, too? It has none.
    [[nodiscard]] bool is_sound(const SlabRecord* slab_info, const std::byte* object) noexcept {
        return is_live(slab_info, object);
    }

    [[nodiscard]] DefectReport validate() noexcept { return Exchange::validate_cached(); }

private:
    void annotate_alloc(std::byte* object) const noexcept {
        slabs_.instruments().annotate_alloc(object, layout.object_size);
    }
    void annotate_free(std::byte* object) const noexcept {
        slabs_.instruments().annotate_free(object, layout.object_size);
    }

    [[nodiscard, gnu::noinline]] std::byte* alloc_slowly() noexcept {
        while (cached_.empty()) {
            if (!Exchange::refill() && !Exchange::add_slab()) {
                ++Exchange::failures_number_;
                return nullptr;
            }
        }
        std::byte* const object = cached_.pop();
        if (Exchange::every_call_is_seen()) [[unlikely]]
            cached_.wipe_popped();
        annotate_alloc(object);
        return object;
    }

    /// free, where it is not the object that alloc gave last.
    [[gnu::noinline]] void free_checked(std::byte* object) noexcept
        requires checked
    {
        if (object == nullptr) return;
        SlabRecord* const slab_info = slabs_.find(object);
        if (!Exchange::is_taken(slab_info, object)) [[unlikely]]
            return Exchange::refuse(object);
        if (Exchange::retention_.must_drain(*slab_info))
            return free_to_draining_slab(object, *slab_info);
        if (cached_.full() || cached_.collides(object)) return free_to_slab(object, slab_info);
        annotate_free(object);
        cached_.push(object, slab_info);
    }

    [[gnu::noinline]] void free_to_draining_slab(std::byte* object,
                                                 SlabRecord& slab_info) noexcept {
        if (cached_.contains(object)) return Exchange::refuse(object);
        annotate_free(object);
        cached_.forget_popped();
        Exchange::free_slot(object, slab_info);
    }

    /// free, where the stack is full, or another object collides with this one, or the object
    /// itself is there already, and this is a double free.
    [[gnu::noinline]] void free_to_slab(std::byte* object, SlabRecord* slab_info) noexcept {
        if constexpr (checked) {
            if (cached_.contains(object)) return Exchange::refuse(object);
            annotate_free(object);
        }
        if (Exchange::every_call_is_seen()) [[unlikely]]
            slabs_.instruments().freed(object);
        Exchange::free_or_cache(object, slab_info);
    }

    /// Takes as many objects as a slab has, or as are wanted. Returns: how many.
    /// Not inlined: g++ would warn of whole words that a small array of the caller's never sees.
    template <typename Object>
    [[nodiscard, gnu::noinline]] std::size_t take_from(SlabRecord& slab_info,
                                                       std::span<Object*> objects) noexcept {
        std::size_t done = 0;
        while (done < objects.size() && !slab_info.map.empty()) {
            const FreeWord word = slabs_.word_of(slab_info, slab_info.map.first_word());
            std::uint64_t left = word.bits;
            const std::span<Object*> rest = objects.subspan(done);
            if (word.bits == ~std::uint64_t{0} && rest.size() >= FreeMap::bits_per_word) {
                for_all_of_word([&](std::size_t slot) {
                    rest[slot] = object_in<Object>(word.start + layout.offset_of(slot));
                    return true;
                });
                left = 0;
                done += FreeMap::bits_per_word;
            } else {
                for (; left != 0 && done < objects.size(); left &= left - 1)
                    objects[done++] =
                        object_in<Object>(word.start + layout.offset_of(lowest_bit(left)));
            }
            slabs_.take(slab_info, word, word.bits & ~left);
        }
        slabs_.lists().slots_taken(slab_info, done);
        slabs_.instruments().annotate_alloc(std::span<Object* const>(objects.first(done)),
                                            layout.object_size);
        return done;
    }
};

}  // namespace slab_allocator
