#include <slab_allocator/core/slab_lists.hpp>

#include <deque>
#include <memory>
#include <vector>

#include <support/catch.hpp>
#include <support/random.hpp>

using namespace slab_allocator;

namespace {

template <std::size_t objects_per_slab>
void lists_agree_with_a_count() {
    CAPTURE(objects_per_slab);
    using Lists = SlabLists<objects_per_slab>;
    support::Random random;
    Lists lists;
    std::deque<SlabInfo> infos(12);
    std::vector<SlabInfo*> slabs;
    for (std::size_t step = 0; step < 3000; ++step) {
        const std::size_t choice = random.below(10);
        if (slabs.size() < infos.size() && (slabs.empty() || choice == 0)) {
            for (SlabInfo& info : infos) {
                if (info.linked()) continue;
                info.free_number = objects_per_slab;
                lists.add(info);
                slabs.push_back(&info);
                break;
            }
        } else if (choice == 1) {
            const std::size_t which = random.below(slabs.size());
            lists.remove(*slabs[which]);
            slabs.erase(slabs.begin() + static_cast<std::ptrdiff_t>(which));
        } else {
            SlabInfo& slab = *slabs[random.below(slabs.size())];
            const std::size_t taken = objects_per_slab - slab.free_number;
            if (choice < 6 && taken > 0) {
                const std::size_t number = 1 + random.below(taken);
                const std::size_t before = slab.list;
                const bool moved = lists.gave_back(slab, number);
                REQUIRE(moved == (slab.list != before));
                lists.gave_back_in_all(number);
            } else if (slab.free_number > 0) {
                lists.took(slab, 1 + random.below(slab.free_number));
            }
        }
        std::size_t free_objects = 0;
        std::size_t free_slabs = 0;
        std::size_t full_slabs = 0;
        std::size_t fewest = objects_per_slab;
        for (const SlabRecord* const slab : slabs) {
            free_objects += slab->free_number;
            free_slabs += slab->free_number == objects_per_slab;
            full_slabs += slab->free_number == 0;
            if (slab->free_number > 0 && slab->free_number < fewest) fewest = slab->free_number;
            REQUIRE(slab->list == Lists::list_for(slab->free_number));
        }
        REQUIRE(lists.slabs_number() == slabs.size());
        REQUIRE(lists.free_objects_number() == free_objects);
        REQUIRE(lists.taken_objects_number() == slabs.size() * objects_per_slab - free_objects);
        REQUIRE(lists.free_slabs_number() == free_slabs);
        REQUIRE(lists.full_slabs_number() == full_slabs);
        REQUIRE((lists.any() == nullptr) == slabs.empty());
        REQUIRE((lists.any_free() == nullptr) == (free_slabs == 0));
        REQUIRE((lists.fullest_partial() == nullptr) == (free_slabs + full_slabs == slabs.size()));
        if (lists.fullest_partial() != nullptr) {
            REQUIRE(lists.fullest_partial()->list == Lists::list_for(fewest));
        }
    }
    while (SlabRecord* const slab = lists.any())
        lists.remove(*slab);
    REQUIRE(lists.slabs_number() == 0);
    REQUIRE(lists.free_objects_number() == 0);
}

}  // namespace

TEST_CASE("a slab stands where its free slots say, whatever was taken and given back",
          "[slab_lists]") {
    lists_agree_with_a_count<1>();
    lists_agree_with_a_count<2>();
    lists_agree_with_a_count<3>();
    lists_agree_with_a_count<8>();
    lists_agree_with_a_count<63>();
    lists_agree_with_a_count<64>();
    lists_agree_with_a_count<65>();
    lists_agree_with_a_count<4096>();
}

TEST_CASE("fuller slabs stand on lower lists, and no list's end is beyond it", "[slab_lists]") {
    using Lists = SlabLists<65>;
    STATIC_REQUIRE(Lists::list_for(0) == Lists::full);
    STATIC_REQUIRE(Lists::list_for(65) == Lists::free);
    for (std::size_t free_number = 1; free_number <= 65; ++free_number) {
        REQUIRE(Lists::list_for(free_number) >= Lists::list_for(free_number - 1));
        REQUIRE(free_number <= Lists::most_on(Lists::list_for(free_number)));
        if (free_number < 65) {
            REQUIRE(Lists::list_for(Lists::most_on(Lists::list_for(free_number))) ==
                    Lists::list_for(free_number));
        }
    }
}

TEST_CASE("of slabs on one list, the one that came last is taken first", "[slab_lists]") {
    SlabLists<4> lists;
    SlabInfo one;
    SlabInfo two;
    one.free_number = two.free_number = 2;
    lists.add(one);
    lists.add(two);
    REQUIRE(lists.fullest_partial() == &two);
    lists.remove(two);
    lists.remove(one);
}
