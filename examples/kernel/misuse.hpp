#pragma once

// misuse.hpp -- all that a caller can do wrong to a cache. Each is reported as what it is, and
// harms nothing: contents, statistics and validate() say so after each.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "memory.hpp"
#include "serial.hpp"
#include "tests.hpp"

namespace kernel {

/// `Caches` says of which: cache<Row, size>() and other<Row, size>() are two of them.
/// Caches::looking_changes_nothing: statistics() leaves every object where it is.
template <typename Caches, typename Row>
class Misuse {
    static constexpr std::size_t size = 48;  // more than a word of them in a slab
    static constexpr std::size_t things_number = 120;
    static constexpr auto checks = Row::config.checks;
    static constexpr bool guarded = checks >= slab_allocator::Checks::hardened;

    using Thing = Object<size>;
    static constexpr auto layout = slab_allocator::layout_of<Thing, Row::config>;

public:
    void run() noexcept {
        print("  ", Row::name, ", ", name_of_level(), "\n");
        before_there_is_anything();
        for (std::size_t i = 0; i < things_number; ++i) {
            things_[i] = cache_.alloc();
            if (things_[i] == nullptr) panic("no memory");
            things_[i]->stamp(i);
        }
        pointers_that_are_none_of_this_cache();
        double_frees();
        if constexpr (guarded) {
            writes_after_free();
            overflows();
        }
        for (std::size_t i = 0; i < things_number; ++i) {
            if (things_[i] != nullptr) cache_.free(take(i));
        }
        cache_.shrink();
    }

private:
    void before_there_is_anything() noexcept {
        Thing* const first = cache_.alloc();
        // The slots of a word are taken out of the slab together.
        const std::size_t last = last_slot(first);
        free_wrongly("never allocated", last < 64 ? Defect::DoubleFree : Defect::NeverAllocated,
                     in_slab(first, layout.offset_of(last) + layout.front));
        cache_.free(first);
        free_wrongly("double, the last of its slab", Defect::DoubleFree, first);
        cache_.shrink();
        free_wrongly("of a released slab", Defect::ForeignPointer, first);
        free_wrongly("null", Defect::None, nullptr);
    }

    void pointers_that_are_none_of_this_cache() noexcept {
        Thing* const thing = things_[things_number / 2];
        free_wrongly("interior", Defect::InteriorPointer, moved(thing, 8));
        free_wrongly("misaligned", Defect::InteriorPointer, moved(thing, 1));
        free_wrongly("into its SlabInfo",
                     layout.small() ? Defect::InteriorPointer : Defect::ForeignPointer,
                     info_of(thing));
        free_wrongly("the last byte of its slab", Defect::InteriorPointer,
                     in_slab(thing, layout.slab_size - 1));
        static constinit Thing in_the_image = {};
        free_wrongly("of the kernel's image", Defect::ForeignPointer, &in_the_image);
        Thing on_the_stack = {};
        free_wrongly("of the stack", Defect::ForeignPointer, &on_the_stack);
        void* const page = Pages::alloc_slab(page_size, page_size);
        free_wrongly("of a page of its own", Defect::ForeignPointer, static_cast<Thing*>(page));
        Pages::free_slab(page, page_size, page_size);
        free_other_cache();
        free_other_backend();
    }

    void double_frees() noexcept {
        cache_.free(take(17));
        free_wrongly("double, immediately", Defect::DoubleFree, taken_);
        Thing* delayed = nullptr;
        for (std::size_t i = 0; i < things_number; i += 3) {
            if (things_[i] != nullptr) cache_.free(take(i));
            if (i == 18) delayed = taken_;
        }
        free_wrongly("double, later", Defect::DoubleFree, delayed);
    }

    /// Caches that share a map, or need none, can tell whose it is.
    void free_other_cache() noexcept {
        constexpr bool has_own_map = layout.uses_map() && !std::is_base_of_v<ByFlatMap, Row>;
        auto& other = Caches::template other<Row, size>();
        Thing* const thing = other.alloc();
        thing->stamp(1);
        free_wrongly("of another cache", has_own_map ? Defect::ForeignPointer : Defect::OtherCache,
                     thing);
        if (!thing->has(1)) panic("a misuse did harm");
        other.free(thing);
        other.shrink();
    }

    /// Its pages lie in the kernel's image: no map and no array of page frames knows them.
    void free_other_backend() noexcept {
        static constinit Cache<Thing, slab_allocator::ArenaBackend<page_size>,
                               AtLevel<ByMask, checks>::config>
            other;
        Thing* const thing = other.alloc();
        free_wrongly("of another backend",
                     std::is_base_of_v<ByMask, Row> ? Defect::OtherCache : Defect::ForeignPointer,
                     thing);
        other.free(thing);
    }

    // ---- Levels hardened and debug --------------------------------------------------------------

    void writes_after_free() noexcept {
        std::size_t number = 40;  // it and some after it are live, but those that 3 divides
        for (const std::size_t byte : {std::size_t{0}, std::size_t{31}, size - 1}) {
            while (things_[number] == nullptr)
                ++number;
            cache_.free(take(number));
            *byte_of(taken_, byte) ^= 0x40;
            const auto found = report_of([&] { refill(); });
            if (found.defect != Defect::WriteAfterFree || found.pointer != taken_ ||
                found.offset != static_cast<std::ptrdiff_t>(byte)) {
                panic("a write after free was not reported as what it is");
            }
            require_sound();
        }
    }

    void overflows() noexcept {
        Thing* const thing = things_[50];
        overflow(thing, thing, size, 1);
        overflow(thing, thing, size, 8);
        if constexpr (checks == slab_allocator::Checks::debug) {
            overflow(thing, moved(thing, std::size_t{0} - 8), 0, 8);
        }
    }
    /// Writes `number` bytes from `start + offset` on, which are none of `thing`.
    void overflow(Thing* thing, Thing* start, std::size_t offset, std::size_t number) noexcept {
        for (std::size_t i = 0; i < number; ++i)
            *byte_of(start, offset + i) ^= 0x40;
        free_wrongly("after an overflow", Defect::Overflow, thing, false);
        for (std::size_t i = 0; i < number; ++i)
            *byte_of(start, offset + i) ^= 0x40;
        require_sound();
    }

    /// All objects that can be there are out at once, so that each free one was looked at.
    void refill() noexcept {
        constexpr std::size_t most = 1024;
        static constinit Thing* more[most] = {};
        std::size_t number = 0;
        while (number < most) {
            more[number] = cache_.alloc();
            if (more[number++] == taken_) break;
        }
        while (number > 0)
            cache_.free(more[--number]);
    }

    // ---- What must be afterwards ----------------------------------------------------------------

    void free_wrongly(const char* kind, Defect expected, Thing* pointer,
                      bool sound = true) noexcept {
        slab_allocator::CacheStatistics before{};
        if constexpr (Caches::looking_changes_nothing) before = cache_.statistics();
        const Defect found = kernel::defect_of([&] { cache_.free(pointer); });
        if (found != expected) {
            print("    ", kind, ": ", name_of(found), ", not ", name_of(expected), "\n");
            panic("a misuse was not reported as what it is");
        }
        if constexpr (Caches::looking_changes_nothing) {
            if (!(cache_.statistics() == before)) panic("a misuse did harm");
        }
        if (sound) require_sound();
    }

    void require_sound() noexcept {
        if (cache_.validate().defect != Defect::None) panic("a misuse did harm");
        for (std::size_t i = 0; i < things_number; ++i) {
            if (things_[i] != nullptr && !things_[i]->has(i)) panic("a misuse did harm");
        }
    }

    [[nodiscard]] Thing* take(std::size_t number) noexcept {
        if (!things_[number]->has(number)) panic("contents were lost");
        taken_ = things_[number];
        things_[number] = nullptr;
        return taken_;
    }

    // ---- Addresses ------------------------------------------------------------------------------

    [[nodiscard]] static const char* name_of_level() noexcept {
        if constexpr (checks == slab_allocator::Checks::debug) return "debug";
        return guarded ? "hardened" : "misuse";
    }
    [[nodiscard]] static unsigned char* byte_of(Thing* thing, std::size_t byte) noexcept {
        return reinterpret_cast<unsigned char*>(thing) + byte;
    }
    [[nodiscard]] static Thing* moved(Thing* thing, std::size_t bytes) noexcept {
        return reinterpret_cast<Thing*>(byte_of(thing, bytes));
    }
    [[nodiscard]] static std::uintptr_t slab_of(const Thing* thing) noexcept {
        return slab_allocator::align_down(slab_allocator::address_of(thing), layout.slab_size);
    }
    [[nodiscard]] static Thing* in_slab(const Thing* thing, std::size_t offset) noexcept {
        return reinterpret_cast<Thing*>(slab_of(thing) + offset);
    }

    /// The last slot of its slab that has an object, another one than `thing`: where slots come in
    /// random order, that may be the last one itself.
    [[nodiscard]] static std::size_t last_slot(const Thing* thing) noexcept {
        const auto is_of_another = [thing](std::size_t slot) {
            if constexpr (layout.info_slots != 0) {
                const std::size_t covered = slot - layout.info_slot_of(slab_of(thing));
                if (covered < layout.info_slots) return false;
            }
            return in_slab(thing, layout.offset_of(slot) + layout.front) != thing;
        };
        std::size_t slot = layout.slots_per_slab - 1;
        while (!is_of_another(slot))
            --slot;
        return slot;
    }

    /// The SlabInfo of the slab that `thing` is in.
    [[nodiscard]] Thing* info_of(const Thing* thing) noexcept {
        const std::uintptr_t slab = slab_of(thing);
        if constexpr (layout.small()) {
            return reinterpret_cast<Thing*>(slab + layout.info_offset_of(slab));
        } else if constexpr (layout.uses_map()) {
            return reinterpret_cast<Thing*>(cache_.backend().get_slab_info_ptr(slab));
        } else {
            return reinterpret_cast<Thing*>(Pages::slab_info_at(slab));
        }
    }

    std::remove_reference_t<decltype(Caches::template cache<Row, size>())>& cache_ =
        Caches::template cache<Row, size>();
    Thing* things_[things_number] = {};
    Thing* taken_ = nullptr;
};

}  // namespace kernel
