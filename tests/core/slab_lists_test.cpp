#include <slab_allocator/core/slab_lists.hpp>

#include <deque>
#include <memory>
#include <vector>

#include <support/catch.hpp>
#include <support/random.hpp>

using namespace slab_allocator;

namespace {

/// Of a cache, which counts free objects, or of a heap's size class, which has a number that is not
/// known before it runs.
template <typename Lists>
void lists_agree_with_a_count(Lists& lists) {
    constexpr bool counts = requires { Lists::objects_per_slab(); };
    const std::size_t objects_per_slab = lists.objects_per_slab();
    CAPTURE(objects_per_slab, counts);
    support::Random random;
    std::deque<SlabInfo> infos(12);
    std::vector<SlabInfo*> slabs;
    for (std::size_t step = 0; step < 3000; ++step) {
        const std::size_t choice = random.below(10);
        if (slabs.size() < infos.size() && (slabs.empty() || choice == 0)) {
            for (SlabInfo& info : infos) {
                if (info.linked()) continue;
                info.free_number = static_cast<std::uint16_t>(objects_per_slab);
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
                const bool moved = lists.slots_freed(slab, number);
                REQUIRE(moved == (slab.list != before));
                lists.add_free_count(number);
            } else if (slab.free_number > 0) {
                lists.slots_taken(slab, 1 + random.below(slab.free_number));
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
            REQUIRE(slab->list == lists.list_for(slab->free_number));
        }
        REQUIRE(lists.slabs_number() == slabs.size());
        if constexpr (counts) {
            REQUIRE(lists.free_objects_number() == free_objects);
            REQUIRE(lists.taken_objects_number() == slabs.size() * objects_per_slab - free_objects);
        }
        REQUIRE(lists.free_slabs_number() == free_slabs);
        REQUIRE(lists.full_slabs_number() == full_slabs);
        REQUIRE((lists.any() == nullptr) == slabs.empty());
        REQUIRE((lists.any_free() == nullptr) == (free_slabs == 0));
        REQUIRE((lists.any_with_room() == nullptr) == (full_slabs == slabs.size()));
        const auto sound = [](const SlabRecord&) { return Defect::None; };
        REQUIRE(lists.validate(sound).defect == Defect::None);
        REQUIRE((lists.fullest_partial() == nullptr) == (free_slabs + full_slabs == slabs.size()));
        if (lists.fullest_partial() != nullptr) {
            REQUIRE(lists.fullest_partial()->list == lists.list_for(fewest));
        }
    }
    while (SlabRecord* const slab = lists.any())
        lists.remove(*slab);
    REQUIRE(lists.slabs_number() == 0);
    if constexpr (counts) REQUIRE(lists.free_objects_number() == 0);
}

template <std::size_t objects_per_slab>
void both_kinds_of_lists_agree() {
    SlabLists<objects_per_slab> of_a_cache;
    lists_agree_with_a_count(of_a_cache);
    SlabLists<0> of_a_class(objects_per_slab);
    lists_agree_with_a_count(of_a_class);
    for (std::size_t free_number = 0; free_number <= objects_per_slab; ++free_number)
        REQUIRE(of_a_class.list_for(free_number) == of_a_cache.list_for(free_number));
}

}  // namespace

TEST_CASE("a slab stands where its free slots say, whatever was taken and given back",
          "[slab_lists]") {
    both_kinds_of_lists_agree<1>();
    both_kinds_of_lists_agree<2>();
    both_kinds_of_lists_agree<3>();
    both_kinds_of_lists_agree<8>();
    both_kinds_of_lists_agree<63>();
    both_kinds_of_lists_agree<64>();
    both_kinds_of_lists_agree<65>();
    both_kinds_of_lists_agree<4096>();
}

TEST_CASE("fuller slabs stand on lower lists, and no list's end is beyond it", "[slab_lists]") {
    const SlabLists<65> lists;
    REQUIRE(lists.list_for(0) == lists.full);
    REQUIRE(lists.list_for(65) == lists.free);
    for (std::size_t free_number = 1; free_number <= 65; ++free_number) {
        REQUIRE(lists.list_for(free_number) >= lists.list_for(free_number - 1));
        REQUIRE(free_number <= lists.max_free_on(lists.list_for(free_number)));
        if (free_number < 65) {
            REQUIRE(lists.list_for(lists.max_free_on(lists.list_for(free_number))) ==
                    lists.list_for(free_number));
        }
    }
}

TEST_CASE("validate finds what stands wrongly", "[slab_lists]") {
    SlabLists<0> lists(10);
    SlabInfo one;
    SlabInfo two;
    one.free_number = 10;
    two.free_number = 5;
    lists.add(one);
    lists.add(two);
    Defect said = Defect::None;
    const auto validated = [&] {
        return lists.validate(
            [&](const SlabRecord& slab) { return &slab == &two ? said : Defect::None; });
    };
    REQUIRE(validated().defect == Defect::None);
    said = Defect::BackendLostSlab;
    REQUIRE(validated().defect == Defect::BackendLostSlab);
    REQUIRE(validated().slab_info == &two);
    REQUIRE(validated().where(&lists) == &two);
    said = Defect::None;
    for (std::uint16_t SlabRecord::* const field :
         {&SlabRecord::free_number, &SlabRecord::list_max_free}) {
        const std::uint16_t before = one.*field;
        one.*field = 3;
        REQUIRE(validated().defect == Defect::CorruptedSlabInfo);
        REQUIRE(validated().slab_info == &one);
        one.*field = before;
    }
    one.list = 5;
    REQUIRE(validated().slab_info == &one);
    one.list = lists.free;
    one.unlink();
    REQUIRE(validated().defect == Defect::CorruptedSlabInfo);
    REQUIRE(validated().slab_info == nullptr);
    REQUIRE(validated().where(&lists) == &lists);
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
