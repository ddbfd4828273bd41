#include <slab_allocator/core/cache.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include <support/any_cache.hpp>
#include <support/catch.hpp>
#include <support/configurations.hpp>
#include <support/defects.hpp>
#include <support/model.hpp>
#include <support/poke.hpp>
#include <support/random.hpp>
#include <support/scenes.hpp>
#include <support/test_memory.hpp>

using namespace support;
using slab_allocator::Defect;

namespace {

/// So many slabs that every list is used, but no more than a few MiB.
[[nodiscard]] std::size_t some_slabs(const Configuration& configuration) {
    return configuration.objects_per_slab() >= 512 ? 3 : 20;
}

}  // namespace

// ---- One object ---------------------------------------------------------------------------------

TEST_CASE("alloc gives distinct aligned memory that overlaps nothing", "[cache]") {
    in_every_configuration([](const Configuration& configuration, TestMemory& memory,
                              AnyCache& cache) {
        Model model(configuration, memory);
        grow(cache, model, configuration.slabs(some_slabs(configuration)));
        std::vector<std::byte*> objects = model.objects();
        std::sort(objects.begin(), objects.end());
        bool apart = true;
        for (std::size_t rank = 1; rank < objects.size(); ++rank) {
            apart = apart && objects[rank] - objects[rank - 1] >=
                                 static_cast<std::ptrdiff_t>(configuration.layout.object_size);
        }
        REQUIRE(apart);
        if (configuration.layout.small()) {
            bool clear_of_info = true;
            for (std::byte* const object : objects) {
                const auto* const info = static_cast<const std::byte*>(
                    static_cast<const void*>(cache.slab_info_of(object)));
                const std::size_t size =
                    slab_allocator::small_slab_info_size(configuration.layout.slots_per_slab);
                clear_of_info =
                    clear_of_info &&
                    (object + configuration.layout.object_size <= info || info + size <= object);
            }
            REQUIRE(clear_of_info);
        }
        REQUIRE(memory.live_slabs() == some_slabs(configuration));
        REQUIRE(model.agrees(cache));
        REQUIRE(model.all_intact());
        shrink(cache, model);
    });
}

TEST_CASE("every slot of a slab is used before the next slab is asked for", "[cache]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Model model(configuration, memory);
            for (std::size_t slabs = 1; slabs <= 3; ++slabs) {
                grow(cache, model, configuration.slabs(slabs));
                REQUIRE(memory.live_slabs() == slabs);
            }
            shrink(cache, model);
        });
}

TEST_CASE("contents survive whatever else is allocated and freed", "[cache]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Random random;
            Model model(configuration, memory);
            const std::size_t most = configuration.slabs(some_slabs(configuration));
            for (std::size_t round = 0; round < 4; ++round) {
                grow(cache, model, most);
                model.shuffle(random);
                shrink(cache, model, random.below(most));
                REQUIRE(model.all_intact());
                REQUIRE(model.agrees(cache));
                REQUIRE(cache.validate().defect == Defect::None);
            }
            model.shuffle(random);
            shrink(cache, model);
            REQUIRE(model.agrees(cache));
        });
}

TEST_CASE("free of a null pointer does nothing", "[cache]") {
    in_every_configuration([](const Configuration&, TestMemory& memory, AnyCache& cache) {
        cache.free(nullptr);
        cache.destroy(nullptr);
        std::byte* const object = cache.alloc();
        cache.free(nullptr);
        cache.destroy(nullptr);
        std::byte* const nulls[3] = {};
        cache.free_bulk(nulls);
        REQUIRE(cache.statistics().allocated_objects_number == 1);
        REQUIRE(memory.live_slabs() == 1);
        cache.free(object);
    });
}

TEST_CASE("a freed object is the next one allocated", "[cache]") {
    in_every_configuration([](const Configuration& configuration, TestMemory&, AnyCache& cache) {
        if (configuration.guarded()) return;  // the contrary, see below
        std::byte* const first = cache.alloc();
        std::byte* const second = cache.alloc();
        cache.free(first);
        REQUIRE(cache.alloc() == first);
        cache.free(second);
        cache.free(first);
    });
}

// ---- Slabs --------------------------------------------------------------------------------------

TEST_CASE("a cache calls its backend first when it first needs a slab", "[cache]") {
    in_every_configuration([](const Configuration&, TestMemory& memory, AnyCache& cache) {
        REQUIRE(cache.statistics() == CacheStatistics{});
        REQUIRE(cache.validate().defect == Defect::None);
        REQUIRE(cache.shrink_to_fit() == 0);
        REQUIRE(cache.reserve(0) == 0);
        REQUIRE(cache.alloc_bulk({}));
        cache.free_bulk({});
        cache.for_each([](std::byte*) { FAIL("there is no object"); });
        REQUIRE(memory.calls() == 0);
        REQUIRE(memory.gets == 0);
    });
}

TEST_CASE(
    "a cache without live objects keeps exactly the retained slabs, in whatever order they "
    "were freed",
    "[cache]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Random random;
            const std::size_t retained = configuration.config.retained_free_slabs;
            for (std::size_t order = 0; order < 6; ++order) {
                CAPTURE(order);
                Model model(configuration, memory);
                const std::size_t number = configuration.slabs(6) - order % 2;
                grow(cache, model, number);
                if (order == 1) {
                    shrink(cache, model);  // the last one first
                } else if (order == 2) {   // the first one first
                    for (std::byte* const object : model.objects())
                        cache.free(object);
                } else if (order == 3) {
                    cache.free_bulk(model.objects());
                } else if (order == 4) {  // one of each slab in turn
                    std::vector<std::byte*> objects = model.objects();
                    for (std::size_t first = 0; first < configuration.objects_per_slab(); ++first) {
                        for (std::size_t rank = first; rank < objects.size();
                             rank += configuration.objects_per_slab()) {
                            cache.free(objects[rank]);
                        }
                    }
                } else {
                    model.shuffle(random);
                    shrink(cache, model);
                }
                REQUIRE(memory.live_slabs() == std::min<std::size_t>(retained, 6));
                REQUIRE(cache.statistics().free_slabs_number == memory.live_slabs());
                REQUIRE(cache.statistics().allocated_objects_number == 0);
            }
        });
}

TEST_CASE("a hot pair at the border of a slab does not call the backend", "[cache]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            if (configuration.config.retained_free_slabs == 0) return;
            Model model(configuration, memory);
            for (std::size_t slabs = 0; slabs <= 3; ++slabs) {
                CAPTURE(slabs);
                grow(cache, model, configuration.slabs(slabs));
                cache.free(cache.alloc());  // may take a slab
                const std::size_t calls = memory.calls();
                for (std::size_t pair = 0; pair < 1000; ++pair)
                    cache.free(cache.alloc());
                REQUIRE(memory.calls() == calls);
            }
            shrink(cache, model);
        });
}

TEST_CASE("churn at the border of a slab does not call the backend", "[cache]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            if (configuration.config.retained_free_slabs == 0) return;
            Model model(configuration, memory);
            grow(cache, model, configuration.slabs(4) + 1);
            const std::size_t step = std::min<std::size_t>(configuration.objects_per_slab(), 40);
            shrink(cache, model, model.size() - step);
            const std::size_t calls = memory.calls();
            for (std::size_t round = 0; round < 20; ++round) {
                grow(cache, model, model.size() + step);
                shrink(cache, model, model.size() - step);
            }
            REQUIRE(memory.calls() == calls);
            shrink(cache, model);
        });
}

TEST_CASE("a new slab is not written through", "[cache]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            if (configuration.guarded()) return;  // slots that are taken out are, by words
            std::byte* const object = cache.alloc();
            std::byte* const slab = memory.slab_of(object);
            const std::size_t info_size =
                configuration.layout.small()
                    ? slab_allocator::small_slab_info_size(configuration.layout.slots_per_slab)
                    : 0;
            const auto* const info =
                static_cast<const std::byte*>(static_cast<const void*>(cache.slab_info_of(object)));
            std::size_t written = 0;
            for (std::byte* at = slab; at != slab + configuration.layout.slab_size; ++at) {
                const bool in_info = at >= info && at < info + info_size;
                if (peek(at) != TestMemory::fresh && !in_info) ++written;
            }
            REQUIRE(written == 0);
            cache.free(object);
            written = 0;
            for (std::size_t byte = 0; byte < configuration.layout.object_size; ++byte) {
                if (configuration.config.retained_free_slabs > 0 &&
                    peek(object + byte) != TestMemory::fresh) {
                    ++written;
                }
            }
            REQUIRE(written == 0);  // nor is a freed object
        });
}

TEST_CASE("allocation prefers the fullest slabs, so that the emptiest drain", "[cache]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            const std::size_t in_a_slab = configuration.objects_per_slab();
            if (in_a_slab < 63 || in_a_slab > 512) return;
            Model model(configuration, memory);
            grow(cache, model, configuration.slabs(4));
            std::map<std::byte*, std::vector<std::byte*>> slabs;
            for (std::byte* const object : model.objects()) {
                slabs[memory.slab_of(object)].push_back(object);
            }
            // One object left in the first two slabs, a third of all in the others.
            std::size_t number = 0;
            std::set<const std::byte*> emptiest;
            for (auto& [slab, objects] : slabs) {
                if (number < 2) emptiest.insert(slab);
                while (objects.size() > (number < 2 ? 1 : in_a_slab / 3)) {
                    cache.free(objects.back());
                    objects.pop_back();
                }
                ++number;
            }
            static_cast<void>(cache.statistics());  // what lies at the cache's hand goes back
            for (std::size_t object = 0; object < in_a_slab / 3; ++object) {
                std::byte* const memory_of_it = cache.alloc();
                REQUIRE(emptiest.count(memory.slab_of(memory_of_it)) == 0);
                slabs[memory.slab_of(memory_of_it)].push_back(memory_of_it);
            }
            for (auto& [slab, objects] : slabs)
                cache.free_bulk(objects);
        });
}

TEST_CASE("slots that would share a place at the hand are not both taken there", "[cache]") {
    using Cache = CacheOf<Object<3>, small_map<Checks::misuse>>;
    TestMemory memory;
    Cache::backend_type backend;
    backend.memory = &memory;
    Cache cache(backend);
    std::vector<Object<3>*> all(Cache::objects_per_slab());
    REQUIRE(cache.alloc_bulk(all));
    REQUIRE(memory.live_slabs() == 1);
    const std::byte* const slab = memory.slab_of(all.front());
    // Few slots of the first word, and a whole one that stands where their places are, too.
    std::set<Object<3>*> freed;
    for (Object<3>* const object : all) {
        const std::ptrdiff_t slot = (object->bytes - slab) / 3;
        if ((slot >= 25 && slot < 41) || (slot >= 704 && slot < 768)) freed.insert(object);
    }
    REQUIRE(freed.size() >= 64);
    for (Object<3>* const object : freed)
        cache.free(object);
    REQUIRE(cache.shrink_to_fit() == 0);

    std::set<Object<3>*> again;
    Object<3>* const first = cache.alloc();
    REQUIRE(freed.count(first) == 1);
    again.insert(first);
    for (Object<3>* const object : freed) {
        if (object == first) continue;
        REQUIRE(defect_of([&] { cache.free(object); }) == Defect::DoubleFree);
    }
    while (again.size() < freed.size())
        again.insert(cache.alloc());
    REQUIRE(again == freed);
    REQUIRE(memory.live_slabs() == 1);
    cache.free_bulk(all);
}
