#include <algorithm>
#include <set>
#include <vector>

#include <support/catch.hpp>
#include <support/scenes.hpp>

using namespace support;
using slab_allocator::Defect;

namespace {

[[nodiscard]] std::vector<Call> calls_of(const std::vector<TestMemory::Event>& events) {
    std::vector<Call> calls;
    for (const TestMemory::Event& event : events)
        calls.push_back(event.call);
    return calls;
}

}  // namespace

// ---- The life of a slab -------------------------------------------------------------------------

TEST_CASE("a slab is born and dies by the calls of its row, in their order", "[cache][slabs]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            const Layout& layout = configuration.layout;
            memory.record = true;
            std::byte* const object = cache.alloc();
            const std::byte* const slab = memory.slab_of(object);
            cache.free(object);
            static_cast<void>(cache.shrink_to_fit());

            std::vector<Call> expected{Call::alloc_slab};
            const bool info = layout.row == Row::LargeByMap;
            const std::size_t pages = layout.uses_map() ? layout.pages_per_slab() : 0;
            if (info) expected.push_back(Call::alloc_slab_info);
            expected.insert(expected.end(), pages, Call::save);
            expected.insert(expected.end(), pages, Call::remove);
            if (info) expected.push_back(Call::free_slab_info);
            expected.push_back(Call::free_slab);
            REQUIRE(calls_of(memory.events) == expected);

            std::set<std::uintptr_t> saved;
            std::set<std::uintptr_t> removed;
            for (const TestMemory::Event& event : memory.events) {
                if (event.call == Call::save) saved.insert(event.address);
                if (event.call == Call::remove) removed.insert(event.address);
            }
            REQUIRE(saved.size() == pages);
            REQUIRE(saved == removed);
            if (pages > 0) {
                REQUIRE(*saved.begin() == slab_allocator::address_of(slab));
                REQUIRE(*saved.rbegin() - *saved.begin() == (pages - 1) * layout.page_size);
            }
        });
}

TEST_CASE("alloc calls the backend for new slabs alone", "[cache][slabs]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            const Layout& layout = configuration.layout;
            const std::size_t slabs = layout.objects_per_slab >= 512 ? 2 : 8;
            const std::size_t info = layout.row == Row::LargeByMap ? 1 : 0;
            const std::size_t pages = layout.uses_map() ? layout.pages_per_slab() : 0;
            Model model(configuration, memory);
            for (std::size_t number = 1; number <= slabs; ++number) {
                grow(cache, model, configuration.slabs(number));
                REQUIRE(memory.calls() == number * (1 + info + pages));
            }
            // Where to place the SlabInfo; checked: is there one already, and is it there then?
            const std::size_t frames = layout.row == Row::LargeByPageFrames ? 1 : 0;
            const std::size_t checks = configuration.checked() ? 2 * pages + frames : 0;
            REQUIRE(memory.gets == slabs * (frames + checks));
            shrink(cache, model);
        });
}

TEST_CASE("free asks the map at most once, and an array of page frames at most twice",
          "[cache][slabs]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            const std::size_t most = configuration.layout.row == Row::LargeByPageFrames ? 2 : 1;
            // Debug: is each page of a slab that goes still known?
            const bool debug = configuration.config.checks == Checks::debug;
            const std::size_t last = debug ? 3 * configuration.layout.pages_per_slab() : 0;
            Random random;
            Model model(configuration, memory);
            grow(cache, model, configuration.slabs(3));
            model.shuffle(random);
            const std::size_t frees = model.size();
            memory.gets = 0;
            shrink(cache, model);
            REQUIRE(memory.gets <= most * frees + last);
            std::byte* const object = cache.alloc();
            memory.gets = 0;
            for (std::size_t pair = 0; pair < 100; ++pair)
                cache.free(cache.alloc());
            REQUIRE(memory.gets <= most * 100);
            cache.free(object);
        });
}

TEST_CASE("a dying cache gives back every slab, live objects or not", "[cache][slabs]") {
    for (const Configuration& configuration : every_configuration()) {
        DYNAMIC_SECTION(configuration.name) {
            DefectCatcher catcher;
            TestMemory memory;  // complains where a slab, a SlabInfo or a page is left
            auto cache = configuration.make(memory);
            Model model(configuration, memory);
            grow(*cache, model, configuration.slabs(3) + 1);
            shrink(*cache, model, configuration.slabs(1) + 1);
            cache.reset();
            REQUIRE(memory.live_slabs() == 0);
            if (configuration.checked()) {
                REQUIRE(catcher.number() > 0);
                REQUIRE(catcher.reports().front().defect == Defect::Leak);
                REQUIRE(catcher.reports().front().objects_number == configuration.slabs(1) + 1);
            } else {
                REQUIRE(catcher.number() == 0);
            }
        }
    }
}

// ---- reserve and shrink -------------------------------------------------------------------------

TEST_CASE("what is reserved is allocated without asking the backend", "[cache][slabs]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            const std::size_t number = configuration.slabs(4) + 1;
            const std::size_t can_be = cache.reserve(number);
            REQUIRE(can_be == configuration.slabs(5));
            REQUIRE(memory.live_slabs() == 5);
            REQUIRE(cache.reserve(number) == can_be);
            REQUIRE(memory.live_slabs() == 5);
            const std::size_t calls = memory.calls();
            Model model(configuration, memory);
            grow(cache, model, can_be);
            REQUIRE(memory.calls() == calls);
            REQUIRE(model.agrees(cache));
            shrink(cache, model);
            REQUIRE(memory.calls() == calls);  // they stay until a shrink
            REQUIRE(memory.live_slabs() == 5);
            REQUIRE(cache.statistics().free_slabs_number == 5);
            REQUIRE(cache.validate().defect == Defect::None);
            REQUIRE(cache.shrink_to_fit() == 5);
            REQUIRE(memory.live_slabs() == 0);
        });
}

TEST_CASE("reserve counts what is free in partial slabs", "[cache][slabs]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            std::byte* const object = cache.alloc();
            const std::size_t free_slots = configuration.objects_per_slab() - 1;
            REQUIRE(cache.reserve(free_slots) == free_slots);
            REQUIRE(memory.live_slabs() == 1);
            REQUIRE(cache.reserve(free_slots + 1) == free_slots + configuration.objects_per_slab());
            REQUIRE(memory.live_slabs() == 2);
            cache.free(object);
            static_cast<void>(cache.shrink_to_fit());
        });
}

TEST_CASE("reserve tells how many objects can be, where the backend refuses", "[cache][slabs]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            static_cast<void>(cache.reserve(1));
            const std::size_t one_slab = memory.requests();
            memory.refuse(one_slab + 1, true);
            REQUIRE(cache.reserve(configuration.slabs(5)) == configuration.slabs(2));
            REQUIRE(memory.live_slabs() == 2);
            memory.refuse_nothing();
            REQUIRE(cache.reserve(configuration.slabs(5)) == configuration.slabs(5));
        });
}

TEST_CASE("shrink gives back Free slabs, as many as it may, and tells how many", "[cache][slabs]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            static_cast<void>(cache.reserve(configuration.slabs(6)));
            std::byte* const object = cache.alloc();
            REQUIRE(cache.shrink(0) == 0);
            REQUIRE(memory.live_slabs() == 6);
            REQUIRE(cache.shrink(2) == 2);
            REQUIRE(memory.live_slabs() == 4);
            REQUIRE(cache.validate().defect == Defect::None);
            REQUIRE(cache.shrink_to_fit() == 3);
            REQUIRE(memory.live_slabs() == 1);
            REQUIRE(cache.shrink_to_fit() == 0);
            cache.free(object);
            REQUIRE(cache.shrink_to_fit() <= 1);
            REQUIRE(memory.live_slabs() == 0);
            REQUIRE(cache.statistics().free_slabs_number == 0);
        });
}

TEST_CASE("a shrink of nothing ends what reserve was to keep", "[cache][slabs]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            const std::size_t slabs = configuration.config.retained_free_slabs + 3;
            std::byte* const object = cache.alloc();
            static_cast<void>(cache.reserve(configuration.slabs(slabs) - 1));
            REQUIRE(memory.live_slabs() == slabs);
            REQUIRE(cache.shrink(0) == 0);
            REQUIRE(memory.live_slabs() == slabs);
            cache.free(object);
            REQUIRE(memory.live_slabs() == configuration.config.retained_free_slabs);
        });
}

TEST_CASE("shrink_to_fit finds the Free slabs in whatever order their objects were freed",
          "[cache][slabs]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Random random;
            Model model(configuration, memory);
            grow(cache, model, configuration.slabs(6));
            std::vector<std::byte*> objects = model.objects();
            random.shuffle(objects);
            // All objects of two slabs are freed, one of each of the others stays.
            std::set<const std::byte*> kept;
            const std::vector<std::byte*> slabs = memory.live_slab_starts();
            std::vector<std::byte*> stay;
            for (std::byte* const object : objects) {
                const std::byte* const slab = memory.slab_of(object);
                const bool leave = slab != slabs[1] && slab != slabs[4] && kept.insert(slab).second;
                if (leave) {
                    stay.push_back(object);
                } else {
                    cache.free(object);
                }
            }
            static_cast<void>(cache.shrink_to_fit());
            REQUIRE(memory.live_slabs() == 4);
            REQUIRE(cache.statistics().allocated_objects_number == 4);
            for (std::byte* const object : stay)
                cache.free(object);
        });
}

TEST_CASE("recent objects hold no slab back when the statistics are asked for", "[cache][slabs]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Random random;
            Model model(configuration, memory);
            grow(cache, model, configuration.slabs(8));
            std::vector<std::byte*> drained;
            std::vector<std::byte*> stay;
            for (std::byte* const object : model.objects()) {
                (memory.number_of(object) % 2 == 0 ? drained : stay).push_back(object);
            }
            random.shuffle(drained);
            for (std::byte* const object : drained)
                cache.free(object);
            REQUIRE(cache.statistics().full_slabs_number == 4);
            REQUIRE(memory.live_slabs() ==
                    4 + std::min<std::size_t>(configuration.config.retained_free_slabs, 4));
            for (std::byte* const object : stay)
                cache.free(object);
        });
}

TEST_CASE("a cache that is less than half full becomes dense again by its own traffic",
          "[cache][slabs]") {
    in_every_checked_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            if (configuration.objects_per_slab() < 16 || configuration.objects_per_slab() > 512)
                return;
            memory.patterns = false;
            Random random;
            std::vector<std::byte*> live(configuration.slabs(40));
            REQUIRE(cache.alloc_bulk(live));
            random.shuffle(live);
            while (live.size() > configuration.slabs(16)) {
                cache.free(live.back());
                live.pop_back();
            }
            for (std::size_t exchange = 20 * configuration.slabs(40); exchange > 0; --exchange) {
                std::swap(live[random.below(live.size())], live.back());
                cache.free(live.back());
                live.back() = cache.alloc();
            }
            REQUIRE(memory.live_slabs() <= 16 + 8);  // of 40
            cache.free_bulk(live);
        });
}

// ---- To look at ---------------------------------------------------------------------------------

TEST_CASE("for_each visits every live object once", "[cache][for_each]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Random random;
            Model model(configuration, memory);
            grow(cache, model, configuration.slabs(4));
            model.shuffle(random);
            shrink(cache, model, configuration.slabs(4) / 3);
            std::vector<std::byte*> visited;
            cache.for_each([&visited](std::byte* object) { visited.push_back(object); });
            std::vector<std::byte*> live = model.objects();
            std::sort(visited.begin(), visited.end());
            std::sort(live.begin(), live.end());
            REQUIRE(visited == live);
            REQUIRE(model.agrees(cache));
            shrink(cache, model);
        });
}

TEST_CASE("for_each may free the object that it visits", "[cache][for_each]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Random random;
            for (const std::size_t one_in : {1U, 2U, 3U, 40U}) {
                CAPTURE(one_in);
                Model model(configuration, memory);
                grow(cache, model, configuration.slabs(5));
                model.shuffle(random);
                shrink(cache, model, configuration.slabs(3) + 1);
                std::vector<std::byte*> visited;
                std::vector<std::byte*> left;
                cache.for_each([&](std::byte* object) {
                    visited.push_back(object);
                    if (random.one_in(one_in)) {
                        cache.free(object);
                    } else {
                        left.push_back(object);
                    }
                });
                std::vector<std::byte*> live = model.objects();
                std::sort(visited.begin(), visited.end());
                std::sort(live.begin(), live.end());
                REQUIRE(visited == live);
                REQUIRE(cache.validate().defect == Defect::None);
                REQUIRE(cache.statistics().allocated_objects_number == left.size());
                cache.free_bulk(left);
            }
            REQUIRE(memory.live_slabs() <= configuration.config.retained_free_slabs);
        });
}

TEST_CASE("owns knows the starts of live objects and nothing else", "[cache][owns]") {
    in_every_configuration([](const Configuration& configuration, TestMemory& memory,
                              AnyCache& cache) {
        alignas(65536) static std::byte elsewhere[2 * 65536];
        TestMemory other_memory;
        const auto other = configuration.make(other_memory);
        const auto neighbour = configuration.make(memory);
        std::byte* const others = other->alloc();
        std::byte* const neighbours = neighbour->alloc();
        Model model(configuration, memory);
        grow(cache, model, configuration.slabs(2) + 1);
        bool knows = true;
        for (std::byte* const object : model.objects())
            knows = knows && cache.owns(object);
        REQUIRE(knows);
        REQUIRE(!cache.owns(nullptr));
        REQUIRE(!cache.owns(others));
        REQUIRE(!cache.owns(neighbours));
        REQUIRE(!cache.owns(elsewhere + 65536));
        REQUIRE(!cache.owns(memory.no_mans_land()));
        if (configuration.layout.row != Row::SmallByMask) {
            // The map answers for addresses that are not mapped.
            REQUIRE(!cache.owns(reinterpret_cast<std::byte*>(slab_allocator::address_of(elsewhere) -
                                                             (std::uintptr_t{1} << 40))));
        }
        if (configuration.layout.stride > 1) REQUIRE(!cache.owns(model.at(0) + 1));
        std::vector<std::byte*> objects = model.objects();
        for (std::byte* const object : objects) {
            cache.free(object);
            knows = knows && !cache.owns(object);
        }
        REQUIRE(knows);
        other->free(others);
        neighbour->free(neighbours);
    });
}

// ---- Statistics ---------------------------------------------------------------------------------

TEST_CASE("statistics are exact after every operation", "[cache][statistics]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Random random;
            Model model(configuration, memory);
            bool exact = true;
            for (std::size_t step = 0; exact && step < 300; ++step) {
                if (model.size() < 130 && (model.empty() || random.below(5) < 3)) {
                    exact = model.add(cache.alloc());
                } else {
                    cache.free(model.remove(random.below(model.size())));
                }
                exact = exact && model.agrees(cache);
            }
            REQUIRE(exact);
            shrink(cache, model);
        });
}

TEST_CASE("the peaks remember, and are not late", "[cache][statistics]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Model model(configuration, memory);
            grow(cache, model, configuration.slabs(3) + 1);
            shrink(cache, model);
            const CacheStatistics told = cache.statistics();
            REQUIRE(told.peak_slabs_number == 4);
            REQUIRE(told.peak_allocated_objects_number >= configuration.slabs(3) + 1);
            REQUIRE(told.peak_allocated_objects_number < configuration.slabs(3) + 1 + 64);
            REQUIRE(told.allocated_objects_number == 0);
        });
}

TEST_CASE("the numbers of the layout are there before a cache is", "[cache][statistics]") {
    using Small = CacheOf<Object<1024>, CacheConfig{.slab_size = 8192,
                                                    .object_size_type = ObjectSizeType::Small}>;
    STATIC_REQUIRE(Small::object_size() == 1024);
    STATIC_REQUIRE(Small::slab_size() == 8192);
    STATIC_REQUIRE(Small::page_size() == 4096);
    STATIC_REQUIRE(Small::object_size_type() == ObjectSizeType::Small);
    STATIC_REQUIRE(Small::objects_per_slab() == 7);
    using Large = CacheOf<Object<1024>, CacheConfig{.slab_size = 8192,
                                                    .object_size_type = ObjectSizeType::Large}>;
    STATIC_REQUIRE(Large::object_size_type() == ObjectSizeType::Large);
    STATIC_REQUIRE(Large::objects_per_slab() == 8);
}

TEST_CASE("caches of different configurations share one backend's memory", "[cache][slabs]") {
    DefectCatcher catcher;
    TestMemory memory;
    const auto& all = every_configuration();
    Random random;
    std::vector<std::unique_ptr<AnyCache>> caches;
    std::vector<std::pair<AnyCache*, std::byte*>> objects;
    for (const Configuration& configuration : all)
        caches.push_back(configuration.make(memory));
    for (std::size_t step = 0; step < 20'000; ++step) {
        if (objects.size() < 2000 && random.below(5) < 3) {
            AnyCache* const cache = caches[random.below(caches.size())].get();
            objects.emplace_back(cache, cache->alloc());
        } else if (!objects.empty()) {
            std::swap(objects[random.below(objects.size())], objects.back());
            objects.back().first->free(objects.back().second);
            objects.pop_back();
        }
    }
    for (const auto& [cache, object] : objects)
        cache->free(object);
    for (const auto& cache : caches) {
        REQUIRE(cache->validate().defect == Defect::None);
        REQUIRE(cache->statistics().allocated_objects_number == 0);
    }
    REQUIRE(catcher.number() == 0);
}
