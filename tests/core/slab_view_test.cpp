#include <slab_allocator/core/slab_view.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

#include <support/catch.hpp>
#include <support/configurations.hpp>
#include <support/scenes.hpp>

using namespace support;
using slab_allocator::SlabView;
using slab_allocator::SlotState;

namespace {

/// How many slots of a slab are in each state; false where one is in the wrong one.
struct Counted {
    std::size_t number[4] = {};
    bool right = true;
    [[nodiscard]] std::size_t of(SlotState state) const {
        return number[static_cast<std::size_t>(state)];
    }
};

[[nodiscard]] Counted counted(const SlabView& view, const Layout& layout,
                              const std::vector<std::byte*>& live) {
    Counted result;
    for (std::size_t slot = 0; slot < view.slots_number(); ++slot) {
        const SlotState state = view.state_of(slot);
        ++result.number[static_cast<std::size_t>(state)];
        const std::byte* const object = view.slab() + slot * layout.stride;
        const bool is_live = std::find(live.begin(), live.end(), object) != live.end();
        const bool untouched = slot >= view.slab_info().untouched;
        result.right = result.right && (state == SlotState::Taken) == is_live &&
                       (state != SlotState::Free || !untouched) &&
                       (state != SlotState::Untouched || untouched);
    }
    return result;
}

template <std::size_t size, CacheConfig config>
void shows_its_slabs() {
    using Cache = CacheOf<Object<size>, config>;
    constexpr Layout layout = slab_allocator::layout_of<Object<size>, config>;
    TestMemory memory;
    typename Cache::backend_type backend;
    backend.memory = &memory;
    Cache cache(backend);
    constexpr std::size_t per_slab = Cache::objects_per_slab();
    std::vector<std::byte*> live;
    std::vector<Object<size>*> objects(2 * per_slab + 5);
    REQUIRE(cache.alloc_bulk(objects));
    cache.free(objects.back());  // of the third slab, or of a full one: it is Free then, or handed
    objects.pop_back();          // out again
    for (Object<size>* const object : objects)
        live.push_back(object->bytes);
    REQUIRE(cache.reserve(2 * per_slab) >= 2 * per_slab);

    std::vector<const std::byte*> slabs;
    std::size_t taken = 0;
    std::size_t full = 0;
    std::size_t empty = 0;
    std::size_t untouched = 0;
    bool full_ones_first = true;
    cache.for_each_slab([&](const SlabView& view) {
        slabs.push_back(view.slab());
        REQUIRE(view.slab_size() == layout.slab_size);
        REQUIRE(view.objects_number() == per_slab);
        REQUIRE(memory.slab_of(view.slab()) == view.slab());
        REQUIRE(view.contains(view.slab()));
        REQUIRE(view.contains(view.slab() + view.slab_size() - 1));
        REQUIRE_FALSE(view.contains(view.slab() + view.slab_size()));
        REQUIRE_FALSE(view.contains(view.slab() - 1));
        const Counted slots = counted(view, layout, live);
        REQUIRE(slots.right);
        REQUIRE(slots.of(SlotState::Taken) == view.allocated_objects_number());
        REQUIRE(slots.of(SlotState::Free) + slots.of(SlotState::Untouched) ==
                view.free_objects_number());
        REQUIRE(slots.of(SlotState::Covered) == view.slots_number() - per_slab);
        taken += slots.of(SlotState::Taken);
        untouched += slots.of(SlotState::Untouched);
        const bool is_full = view.free_objects_number() == 0;
        full_ones_first = full_ones_first && (!is_full || full + 1 == slabs.size());
        full += is_full ? 1U : 0U;
        empty += view.allocated_objects_number() == 0 ? 1U : 0U;
    });
    REQUIRE(taken == live.size());
    REQUIRE(full == 2);
    REQUIRE(full_ones_first);
    REQUIRE(empty > 0);
    REQUIRE(untouched >= per_slab);  // of the slab that was taken ahead
    std::sort(slabs.begin(), slabs.end());
    REQUIRE(std::adjacent_find(slabs.begin(), slabs.end()) == slabs.end());
    REQUIRE(slabs.size() == memory.live_slabs());
    cache.free_bulk(objects);
}

}  // namespace

TEST_CASE("every slab is shown, the full ones first, with what each slot is", "[slab_view]") {
    shows_its_slabs<64, small_page<Checks::misuse>>();
    shows_its_slabs<200, small_map<Checks::none>>();
    shows_its_slabs<1000, large_pages<Checks::misuse>>();
}

TEST_CASE("an object is out of its slab while it lives, and while it lies at the hand",
          "[slab_view]") {
    TestMemory memory;
    CacheOf<Object<64>, large_pages<Checks::misuse>> cache{{{{&memory}}}};
    Object<64>* const object = cache.alloc();
    Object<64>* const other = cache.alloc();
    REQUIRE(cache.is_out(object));
    REQUIRE_FALSE(cache.is_out(object + 70'000));  // of no slab
    REQUIRE_FALSE(cache.is_out(static_cast<Object<64>*>(static_cast<void*>(object->bytes + 1))));
    cache.free(object);
    REQUIRE_FALSE(cache.owns(object));
    REQUIRE(cache.is_out(object));
    static_cast<void>(cache.shrink_to_fit());
    REQUIRE_FALSE(cache.is_out(object));
    REQUIRE(cache.is_out(other));
    cache.free(other);
}
