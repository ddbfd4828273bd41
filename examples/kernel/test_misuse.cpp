// test_misuse.cpp -- all that a caller can do wrong, in every row.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "memory.hpp"
#include "serial.hpp"
#include "tests.hpp"

namespace kernel {

namespace {

using Thing = Object<48>;  // more than a word of them in a slab
constexpr std::size_t things_number = 120;

constinit Thing in_the_image = {};

template <typename Row>
constinit SharedCache<Thing, typename Row::Backend, Row::config> other_cache;

template <typename Row>
inline constexpr auto layout = slab_allocator::layout_of<Thing, Row::config>;

[[nodiscard]] Thing* moved(Thing* thing, std::size_t bytes) noexcept {
    return reinterpret_cast<Thing*>(reinterpret_cast<char*>(thing) + bytes);
}

template <typename Row>
[[nodiscard]] std::uintptr_t slab_of(const Thing* thing) noexcept {
    return slab_allocator::align_down(slab_allocator::address_of(thing), layout<Row>.slab_size);
}

/// The SlabInfo of the slab that `thing` is in.
template <typename Row>
[[nodiscard]] Thing* info_of(Thing* thing) noexcept {
    const std::uintptr_t slab = slab_of<Row>(thing);
    if constexpr (layout<Row>.small()) {
        return reinterpret_cast<Thing*>(slab + layout<Row>.info_offset_of(slab));
    } else if constexpr (layout<Row>.uses_map()) {
        auto* const info = cache_of<Row, sizeof(Thing)>.alone(
            [&](auto& cache) { return cache.backend().get_slab_info_ptr(slab); });
        return reinterpret_cast<Thing*>(info);
    } else {
        return reinterpret_cast<Thing*>(Pages::slab_info_at(slab));
    }
}

/// The last slot of a slab that no object has had yet.
template <typename Row>
[[nodiscard]] Thing* never_allocated(const Thing* thing) noexcept {
    const std::uintptr_t slab = slab_of<Row>(thing);
    std::size_t slot = layout<Row>.slots_per_slab - 1;
    if constexpr (layout<Row>.info_slots != 0) {
        const std::size_t first = layout<Row>.info_slot_of(slab);
        if (slot - first < layout<Row>.info_slots) slot = first - 1;
    }
    return reinterpret_cast<Thing*>(slab + layout<Row>.offset_of(slot));
}

template <typename Row>
class Misuse {
public:
    void run() noexcept {
        print("  ", Row::name, "\n");
        Thing* const first = cache_.alloc();
        free_wrongly("never allocated", Defect::NeverAllocated, never_allocated<Row>(first));
        cache_.free(first);
        cache_.shrink();
        free_wrongly("of a released slab", Defect::ForeignPointer, first);
        free_wrongly("null", Defect::None, nullptr);

        for (std::size_t i = 0; i < things_number; ++i) {
            things_[i] = cache_.alloc();
            if (things_[i] == nullptr) panic("no memory");
            things_[i]->stamp(i);
        }
        Thing* const thing = things_[things_number / 2];
        free_wrongly("interior", Defect::InteriorPointer, moved(thing, 8));
        free_wrongly("misaligned", Defect::InteriorPointer, moved(thing, 1));
        free_wrongly("into its SlabInfo",
                     layout<Row>.small() ? Defect::InteriorPointer : Defect::ForeignPointer,
                     info_of<Row>(thing));
        free_wrongly("of the kernel's image", Defect::ForeignPointer, &in_the_image);
        free_foreign_page();
        free_other_cache();

        cache_.free(take(17));
        free_wrongly("double, immediately", Defect::DoubleFree, taken_);
        for (std::size_t i = 0; i < things_number; i += 3) {
            if (things_[i] != nullptr) cache_.free(take(i));
            if (i == 18) delayed_ = taken_;
        }
        free_wrongly("double, later", Defect::DoubleFree, delayed_);

        for (std::size_t i = 0; i < things_number; ++i) {
            if (things_[i] != nullptr) cache_.free(take(i));
        }
        cache_.shrink();
    }

private:
    void free_wrongly(const char* kind, Defect expected, Thing* pointer) noexcept {
        const auto before = cache_.alone([](auto& cache) { return cache.statistics(); });
        const Defect found = kernel::defect_of([&] { cache_.free(pointer); });
        if (found != expected) {
            print("    ", kind, ": ", name_of(found), ", not ", name_of(expected), "\n");
            panic("a misuse was not reported as what it is");
        }
        const bool sound = cache_.alone([&](auto& cache) {
            return cache.validate().defect == Defect::None && cache.statistics() == before;
        });
        if (!sound || !contents_are_right()) panic("a misuse did harm");
    }

    void free_foreign_page() noexcept {
        void* const page = Pages::alloc_slab(page_size, page_size);
        free_wrongly("of a page of its own", Defect::ForeignPointer, static_cast<Thing*>(page));
        Pages::free_slab(page, page_size, page_size);
    }

    /// Caches that share a map, or need none, can tell whose it is.
    void free_other_cache() noexcept {
        constexpr bool has_own_map = layout<Row>.uses_map() && !std::is_same_v<Row, ByFlatMap>;
        Thing* const thing = other_cache<Row>.alloc();
        thing->stamp(1);
        free_wrongly("of another cache", has_own_map ? Defect::ForeignPointer : Defect::OtherCache,
                     thing);
        if (!thing->has(1)) panic("a misuse did harm");
        other_cache<Row>.free(thing);
        other_cache<Row>.shrink();
    }

    [[nodiscard]] Thing* take(std::size_t number) noexcept {
        if (!things_[number]->has(number)) panic("contents were lost");
        taken_ = things_[number];
        things_[number] = nullptr;
        return taken_;
    }
    [[nodiscard]] bool contents_are_right() const noexcept {
        for (std::size_t i = 0; i < things_number; ++i) {
            if (things_[i] != nullptr && !things_[i]->has(i)) return false;
        }
        return true;
    }

    SharedCache<Thing, typename Row::Backend, Row::config>& cache_ = cache_of<Row, sizeof(Thing)>;
    Thing* things_[things_number] = {};
    Thing* taken_ = nullptr;
    Thing* delayed_ = nullptr;
};

void misuse_page_frames() noexcept {
    print("  page frames by themselves\n");
    const auto free_wrongly = [](void* block, std::size_t order, Defect expected) {
        const PagesState before = pages_state();
        if (kernel::defect_of([&] { page_frames.free_order(block, order); }) != expected ||
            !(pages_state() == before)) {
            panic("a misuse of the page frames");
        }
    };
    auto* const block = static_cast<char*>(page_frames.alloc_order(3));
    free_wrongly(block, 2, Defect::ForeignPointer);
    free_wrongly(block, 4, Defect::ForeignPointer);
    free_wrongly(block + page_size, 0, Defect::ForeignPointer);
    free_wrongly(block + 1, 3, Defect::ForeignPointer);
    free_wrongly(&in_the_image, 0, Defect::ForeignPointer);
    free_wrongly(nullptr, 0, Defect::ForeignPointer);
    page_frames.free_order(block, 3);
    free_wrongly(block, 3, Defect::DoubleFree);
    free_wrongly(block + page_size, 0, Defect::DoubleFree);
}

}  // namespace

void test_misuse() noexcept {
    for_each_row([]<typename Row>() { Misuse<Row>().run(); });
    misuse_page_frames();
}

}  // namespace kernel
