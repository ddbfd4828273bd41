// What the original of this library did wrong, each a regression test; and the promises of its own
// tests, in this library's terms.

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <support/catch.hpp>
#include <support/configurations.hpp>
#include <support/scenes.hpp>
#include <support/snapshot.hpp>

using namespace support;
using slab_allocator::Defect;
using slab_allocator::DefectReport;

namespace {

constexpr auto misuse = Checks::misuse;
constexpr CacheConfig small_8k_map{
    .slab_size = 8192, .slab_alignment = 4096, .object_size_type = ObjectSizeType::Small};

template <std::size_t size, CacheConfig config>
[[nodiscard]] Configuration original() {
    return configuration_of<Object<size>, config>("");
}

[[nodiscard]] bool slabs_are(AnyCache& cache, std::size_t free, std::size_t partial,
                             std::size_t full) {
    const CacheStatistics told = cache.statistics();
    return told.free_slabs_number == free && told.partial_slabs_number == partial &&
           told.full_slabs_number == full;
}

}  // namespace

// ---- What it did wrong --------------------------------------------------------------------------

TEST_CASE("B1: one object in a slab does not stop the first alloc", "[original]") {
    for (const Configuration& configuration :
         {original<2049, large_page<misuse>>(), original<4096, large_page<misuse>>(),
          original<2048, small_page<misuse>>(), original<4040, small_page<misuse>>(),
          original<8192, large_pages<misuse>>()}) {
        CAPTURE(configuration.layout.object_size);
        REQUIRE(configuration.objects_per_slab() == 1);
        TestMemory memory;
        const auto cache = configuration.make(memory);
        Model model(configuration, memory);
        grow(*cache, model, 5);
        REQUIRE(slabs_are(*cache, 0, 0, 5));
        REQUIRE(model.all_intact());
        shrink(*cache, model);
        REQUIRE(slabs_are(*cache, 1, 0, 0));
    }
}

TEST_CASE("B2: sizes that are no multiple of 8 are served", "[original]") {
    for (const Configuration& configuration :
         {original<17, small_page<misuse>>(), original<20, small_page<misuse>>(),
          original<36, large_page<misuse>>(), original<1, small_page<misuse>>()}) {
        CAPTURE(configuration.layout.object_size);
        TestMemory memory;
        const auto cache = configuration.make(memory);
        Model model(configuration, memory);
        grow(*cache, model, 1000);
        REQUIRE(configuration.layout.stride == configuration.layout.object_size);
        REQUIRE(model.all_intact());
        REQUIRE(model.agrees(*cache));
        shrink(*cache, model);
    }
}

TEST_CASE("B3: a double free neither hands an object out twice nor takes its slab away",
          "[original]") {
    const Configuration configuration = original<512, small_page<misuse>>();
    TestMemory memory;
    const auto cache = configuration.make(memory);
    std::byte* const x = cache->alloc();
    std::byte* const y = cache->alloc();
    std::byte* const live = cache->alloc();
    std::fill_n(live, 512, std::byte{0x11});

    cache->free(x);
    REQUIRE(defect_of([&] { cache->free(x); }) == Defect::DoubleFree);  // x x
    cache->free(y);
    REQUIRE(defect_of([&] { cache->free(x); }) == Defect::DoubleFree);  // x y x

    std::set<std::byte*> handed_out;
    for (std::size_t number = 0; number < 6; ++number)
        handed_out.insert(cache->alloc());
    REQUIRE(handed_out.size() == 6);
    REQUIRE(handed_out.count(live) == 0);
    for (std::byte* const object : handed_out)
        cache->free(object);
    for (std::byte* const object : handed_out) {
        REQUIRE(defect_of([&] { cache->free(object); }) != Defect::None);
    }
    REQUIRE(memory.slab_of(live) != nullptr);
    REQUIRE(std::count(live, live + 512, std::byte{0x11}) == 512);
    cache->free(live);
}

TEST_CASE("B4: the free of another cache's object does not write before it is refused",
          "[original]") {
    const Configuration configuration = original<64, small_page<misuse>>();
    TestMemory memory;
    const auto cache = configuration.make(memory);
    const auto other = configuration.make(memory);
    std::byte* const mine = cache->alloc();
    std::byte* const others = other->alloc();
    std::fill_n(others, 64, std::byte{0x22});
    REQUIRE(defect_of([&] { cache->free(others); }) == Defect::OtherCache);
    REQUIRE(std::count(others, others + 64, std::byte{0x22}) == 64);
    alignas(4096) static std::byte nobodys[2 * 4096];
    std::fill_n(nobodys, sizeof(nobodys), std::byte{0x33});
    REQUIRE(defect_of([&] { cache->free(nobodys + 64); }) == Defect::ForeignPointer);
    REQUIRE(std::count(nobodys, nobodys + sizeof(nobodys), std::byte{0x33}) == sizeof(nobodys));
    cache->free(mine);
    other->free(others);
}

TEST_CASE("B5: a pointer into an object is not handed out as an object", "[original]") {
    const Configuration configuration = original<48, small_page<misuse>>();
    TestMemory memory;
    const auto cache = configuration.make(memory);
    std::byte* const object = cache->alloc();
    REQUIRE(defect_of([&] { cache->free(object + 24); }) == Defect::InteriorPointer);
    for (std::size_t number = 0; number < 100; ++number) {
        std::byte* const next = cache->alloc();
        REQUIRE((next >= object + 48 || next + 48 <= object));
    }
    REQUIRE(defect_of([&] { cache->for_each([&](std::byte* live) { cache->free(live); }); }) ==
            Defect::None);
}

TEST_CASE("B6: nobody finds a slab in the map whose pages are gone already", "[original]") {
    // Another cache on the same map takes the pages as soon as they are free, and must keep them.
    const Configuration configuration = original<1024, large_pages<misuse>>();
    TestMemory memory;
    memory.quarantine = 0;  // a released slab is the next one given
    const auto cache = configuration.make(memory);
    const auto other = configuration.make(memory);
    std::byte* others = nullptr;
    bool entered = false;
    std::byte* const object = cache->alloc();
    memory.on_call = [&](Call call) {
        if (call != Call::free_slab || entered) return;
        entered = true;  // what the map, or a SlabInfo, still has of the slab would be found here
        REQUIRE(memory.saved_pages() == 0);
        REQUIRE(memory.live_infos() == 0);
        others = other->alloc();
    };
    cache->free(object);
    REQUIRE(cache->shrink_to_fit() == 1);
    memory.on_call = nullptr;
    REQUIRE(entered);
    REQUIRE(other->owns(others));
    std::byte* const again = cache->alloc();  // the pages of before, which are whole again
    REQUIRE(other->owns(others));
    REQUIRE(!other->owns(again));
    other->free(others);
    cache->free(again);
}

TEST_CASE("B7: a pointer into a slab that was given back is refused", "[original]") {
    const Configuration configuration = original<512, small_page<misuse>>();
    TestMemory memory;
    memory.poison = false;  // the pages stay mapped, and as they were
    const auto cache = configuration.make(memory);
    std::byte* const stale = cache->alloc();
    cache->free(stale);
    REQUIRE(cache->shrink_to_fit() == 1);
    const Snapshot before = snapshot({cache.get()}, {&memory});
    REQUIRE(defect_of([&] { cache->free(stale); }) == Defect::ForeignPointer);
    const bool same = snapshot({cache.get()}, {&memory}) == before;
    REQUIRE(same);
}

TEST_CASE("B8: a misaligned slab is noticed when it comes, not when an object goes", "[original]") {
    for (const Configuration& configuration :
         {original<64, small_page<misuse>>(), original<64, large_pages<misuse>>()}) {
        TestMemory memory;
        const auto cache = configuration.make(memory);
        memory.misalign = 64;
        REQUIRE(defect_of([&] { REQUIRE(cache->alloc() == nullptr); }) == Defect::MisalignedSlab);
        cache->free(cache->alloc());
    }
}

TEST_CASE("B9: a cache cannot be moved, and one at the address of a dead one is another",
          "[original]") {
    using Moved = CacheOf<Object<64>, small_page<misuse>>;
    STATIC_REQUIRE(!std::is_move_constructible_v<Moved>);
    STATIC_REQUIRE(!std::is_move_assignable_v<Moved>);
    TestMemory memory;
    memory.poison = false;
    std::optional<Moved> place;
    place.emplace(SlabsBackend{&memory});
    Object<64>* const object = place->alloc();
    REQUIRE(defect_of([&] { place.reset(); }) == Defect::Leak);
    place.emplace(SlabsBackend{&memory});
    REQUIRE(defect_of([&] { place->free(object); }) == Defect::ForeignPointer);
}

TEST_CASE("B10: a dead cache leaves no slab behind", "[original]") {
    for (const Configuration& configuration :
         {original<512, small_page<misuse>>(), original<512, large_pages<misuse>>()}) {
        TestMemory memory;
        {
            const auto cache = configuration.make(memory);
            Model model(configuration, memory);
            grow(*cache, model, configuration.slabs(4));
            shrink(*cache, model);
            static_cast<void>(cache->reserve(configuration.slabs(4)));
            REQUIRE(memory.live_slabs() == 4);
        }
        REQUIRE(memory.live_slabs() == 0);
        REQUIRE(memory.live_infos() == 0);
        REQUIRE(memory.saved_pages() == 0);
    }
}

TEST_CASE("B11: a map that cannot save a page costs no object", "[original]") {
    const Configuration configuration = original<1024, large_pages<misuse>>();
    TestMemory memory;
    const auto cache = configuration.make(memory);
    memory.refuse(4, false);  // slab, SlabInfo, the first page: the second one is refused
    REQUIRE(cache->alloc() == nullptr);
    REQUIRE(memory.live_slabs() == 0);
    REQUIRE(memory.live_infos() == 0);
    REQUIRE(memory.saved_pages() == 0);
    REQUIRE(cache->statistics().allocated_objects_number == 0);
    REQUIRE(cache->statistics().free_objects_number == 0);
    REQUIRE(cache->statistics().failures_number == 1);
    Model model(configuration, memory);
    grow(*cache, model, 8);
    REQUIRE(slabs_are(*cache, 0, 0, 1));
    shrink(*cache, model);
}

TEST_CASE("B12: what is reported is what is wrong, and the numbers told are the true ones",
          "[original]") {
    const Configuration configuration =
        configuration_of<Object<64, 64>, small_page<misuse>>("aligned");
    TestMemory memory;
    const auto cache = configuration.make(memory);
    std::byte* const object = cache->alloc();
    const DefectReport misaligned = report_of([&] { cache->free(object + 8); });
    REQUIRE(misaligned.defect == Defect::InteriorPointer);
    REQUIRE(misaligned.pointer == object + 8);
    REQUIRE(misaligned.slab == memory.slab_of(object));
    REQUIRE(report_of([&] { cache->free(nullptr); }).defect == Defect::None);
    cache->free(object);
    STATIC_REQUIRE(slab_allocator::small_slab_info_size(64) == 56);
}

// ---- What its tests promised --------------------------------------------------------------------

TEST_CASE("the original's _00: Small, one page, alloc only", "[original]") {
    const Configuration configuration = original<1024, small_page<misuse>>();
    TestMemory memory;
    memory.record = true;
    const auto cache = configuration.make(memory);
    Model model(configuration, memory);
    REQUIRE(configuration.objects_per_slab() == 3);
    grow(*cache, model, 7);
    REQUIRE(slabs_are(*cache, 0, 1, 2));
    REQUIRE(cache->statistics().free_objects_number == 2);
    REQUIRE(cache->statistics().allocated_objects_number == 7);
    grow(*cache, model, 9);
    REQUIRE(slabs_are(*cache, 0, 0, 3));
    REQUIRE(cache->statistics().free_objects_number == 0);
    REQUIRE(memory.calls() == memory.calls(Call::alloc_slab));
    REQUIRE(memory.calls() == 3);
    REQUIRE(model.all_intact());
    shrink(*cache, model);
}

TEST_CASE("the original's _01: Small, two pages, alloc only", "[original]") {
    const Configuration configuration = original<1024, small_8k_map>();
    TestMemory memory;
    memory.record = true;
    const auto cache = configuration.make(memory);
    Model model(configuration, memory);
    REQUIRE(configuration.objects_per_slab() == 7);
    grow(*cache, model, 25);
    REQUIRE(slabs_are(*cache, 0, 1, 3));
    REQUIRE(cache->statistics().free_objects_number == 3);
    REQUIRE(cache->statistics().allocated_objects_number == 25);
    REQUIRE(memory.calls(Call::save) == 2 * 4);
    for (const TestMemory::Event& event : memory.events) {
        if (event.call != Call::save) continue;
        REQUIRE(event.address % 4096 == 0);
        REQUIRE(event.slab_info != nullptr);
        REQUIRE(slab_allocator::is_aligned(event.slab_info, alignof(SlabInfo)));
    }
    REQUIRE(model.all_intact());
    shrink(*cache, model);
}

TEST_CASE("the original's _02: Large, one page, alloc only", "[original]") {
    const Configuration configuration = original<56, large_page<misuse>>();
    TestMemory memory;
    const auto cache = configuration.make(memory);
    Model model(configuration, memory);
    REQUIRE(configuration.objects_per_slab() == 73);
    grow(*cache, model, 100);
    REQUIRE(slabs_are(*cache, 0, 1, 1));
    REQUIRE(cache->statistics().free_objects_number == 46);
    REQUIRE(memory.live_infos() == 2);
    shrink(*cache, model);
}

TEST_CASE("the original's _03: Large, two pages, alloc only", "[original]") {
    const Configuration configuration = original<16, large_pages<misuse>>();
    TestMemory memory;
    const auto cache = configuration.make(memory);
    Model model(configuration, memory);
    REQUIRE(configuration.objects_per_slab() == 512);
    grow(*cache, model, 100);
    REQUIRE(slabs_are(*cache, 0, 1, 0));
    REQUIRE(cache->statistics().free_objects_number == 412);
    shrink(*cache, model);
}

TEST_CASE(
    "the original's _04 to _07: free in every row, one slab through all its states, then at "
    "random",
    "[original]") {
    const Configuration rows[] = {
        original<512, small_page<misuse>>(), original<512, small_8k_map>(),
        original<512, large_page<misuse>>(), original<256, large_pages<misuse>>()};
    const std::size_t objects[] = {7, 15, 8, 32};
    for (std::size_t row = 0; row < 4; ++row) {
        const Configuration& configuration = rows[row];
        const std::size_t in_a_slab = objects[row];
        REQUIRE(configuration.objects_per_slab() == in_a_slab);
        DYNAMIC_SECTION(in_a_slab << " in a slab") {
            Random random;
            TestMemory memory;
            const auto cache = configuration.make(memory);
            Model model(configuration, memory);
            grow(*cache, model, 1);
            shrink(*cache, model);
            REQUIRE(slabs_are(*cache, 1, 0, 0));  // it is kept: the original gave it back
            grow(*cache, model, in_a_slab - 1);
            REQUIRE(slabs_are(*cache, 0, 1, 0));
            grow(*cache, model, in_a_slab);
            REQUIRE(slabs_are(*cache, 0, 0, 1));
            std::vector<std::byte*> first = model.objects();
            model.shuffle(random);
            shrink(*cache, model, 1);
            REQUIRE(slabs_are(*cache, 0, 1, 0));
            grow(*cache, model, in_a_slab);
            std::vector<std::byte*> second = model.objects();
            std::sort(first.begin(), first.end());
            std::sort(second.begin(), second.end());
            REQUIRE(first == second);
            grow(*cache, model, in_a_slab + in_a_slab / 2);
            REQUIRE(slabs_are(*cache, 0, 1, 1));
            model.shuffle(random);
            shrink(*cache, model);
            REQUIRE(slabs_are(*cache, 1, 0, 0));
            for (std::size_t round = 0; round < 40; ++round) {
                grow(*cache, model, model.size() + 20 + random.below(80));
                model.shuffle(random);
                shrink(*cache, model, random.below(model.size()));
                REQUIRE(model.agrees(*cache));
                REQUIRE(model.all_intact());
            }
            shrink(*cache, model);
            static_cast<void>(cache->shrink_to_fit());
            REQUIRE(memory.live_slabs() == 0);
            REQUIRE(memory.live_infos() == 0);
            REQUIRE(memory.saved_pages() == 0);
        }
    }
}

TEST_CASE("the original's slab_occupacy_lists: a slab is told by how full it is", "[original]") {
    const Configuration configuration = original<256, large_pages<misuse>>();
    TestMemory memory;
    const auto cache = configuration.make(memory);
    Model model(configuration, memory);
    const slab_allocator::SlabLists<32> lists;
    const auto list = [&] {
        static_cast<void>(cache->statistics());
        return std::size_t{cache->slab_info_of(memory.live_slab_starts().front())->list};
    };
    grow(*cache, model, 23);
    REQUIRE(list() == lists.list_for(9));
    grow(*cache, model, 32);
    REQUIRE(list() == lists.full);
    shrink(*cache, model, 24);
    REQUIRE(list() == lists.list_for(8));
    shrink(*cache, model, 23);
    REQUIRE(list() == lists.list_for(9));
    REQUIRE(lists.list_for(1) < lists.list_for(31));
    shrink(*cache, model);
    REQUIRE(list() == lists.free);
    REQUIRE(slabs_are(*cache, 1, 0, 0));
}
