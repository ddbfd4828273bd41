#include <algorithm>
#include <set>
#include <vector>

#include <support/catch.hpp>
#include <support/scenes.hpp>

using namespace support;
using slab_allocator::Defect;

namespace {

[[nodiscard]] bool add_all(Model& model, const std::vector<std::byte*>& objects) {
    bool right = true;
    for (std::byte* const object : objects)
        right = model.add(object) && right;
    return right;
}

}  // namespace

TEST_CASE("alloc_bulk gives as many distinct objects as were asked for", "[cache][bulk]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Model model(configuration, memory);
            for (const std::size_t number :
                 {std::size_t{1}, configuration.objects_per_slab(), std::size_t{0}, std::size_t{7},
                  configuration.slabs(2) + 1, configuration.slabs(1) - 1}) {
                CAPTURE(number);
                std::vector<std::byte*> objects(number);
                REQUIRE(cache.alloc_bulk(objects));
                REQUIRE(add_all(model, objects));
                REQUIRE(model.agrees(cache));
                REQUIRE(cache.validate().defect == Defect::None);
            }
            std::vector<std::byte*> all = model.objects();
            REQUIRE(std::set<std::byte*>(all.begin(), all.end()).size() == all.size());
            REQUIRE(model.all_intact());
            REQUIRE(memory.live_slabs() == (model.size() + configuration.objects_per_slab() - 1) /
                                               configuration.objects_per_slab());
            cache.free_bulk(all);
            REQUIRE(cache.statistics().allocated_objects_number == 0);
        });
}

TEST_CASE("alloc_bulk uses up what lies at the cache's hand and in partial slabs first",
          "[cache][bulk]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Model model(configuration, memory);
            grow(cache, model, configuration.slabs(3));
            Random random;
            model.shuffle(random);
            const std::size_t left = configuration.slabs(3) / 2 + 1;
            shrink(cache, model, left);
            const std::size_t before = memory.live_slabs();
            std::vector<std::byte*> objects(configuration.slabs(before) - left);
            REQUIRE(cache.alloc_bulk(objects));
            REQUIRE(memory.live_slabs() == before);
            REQUIRE(add_all(model, objects));
            REQUIRE(model.agrees(cache));
            REQUIRE(model.all_intact());
            cache.free_bulk(model.objects());
        });
}

TEST_CASE("alloc_bulk is all or nothing", "[cache][bulk]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Model model(configuration, memory);
            grow(cache, model, configuration.objects_per_slab() + 1);
            const CacheStatistics before = cache.statistics();
            const std::size_t slabs = memory.live_slabs();
            memory.refuse(20, true);
            std::vector<std::byte*> objects(configuration.slabs(30));
            REQUIRE(!cache.alloc_bulk(objects));
            REQUIRE(memory.live_slabs() <= slabs + configuration.config.retained_free_slabs);
            REQUIRE(std::all_of(objects.begin(), objects.end(),
                                [](const std::byte* object) { return object == nullptr; }));
            CacheStatistics after = cache.statistics();
            REQUIRE(after.failures_number == 1);
            REQUIRE(after.free_slabs_number <= configuration.config.retained_free_slabs);
            REQUIRE(after.allocated_objects_number == before.allocated_objects_number);
            REQUIRE(model.all_intact());
            REQUIRE(cache.validate().defect == Defect::None);
            memory.refuse_nothing();
            REQUIRE(cache.alloc_bulk(objects));
            REQUIRE(add_all(model, objects));
            cache.free_bulk(model.objects());
        });
}

TEST_CASE("free_bulk takes objects in any order, with null pointers between them",
          "[cache][bulk]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Random random;
            Model model(configuration, memory);
            for (std::size_t round = 0; round < 4; ++round) {
                grow(cache, model, configuration.slabs(3) + round);
                model.shuffle(random);
                std::vector<std::byte*> objects;
                const std::size_t left = model.size() / (round + 2);
                while (model.size() > left) {
                    objects.push_back(model.remove(model.size() - 1));
                    if (random.one_in(5)) objects.push_back(nullptr);
                }
                cache.free_bulk(objects);
                REQUIRE(model.agrees(cache));
                REQUIRE(model.all_intact());
                REQUIRE(cache.validate().defect == Defect::None);
            }
            shrink(cache, model);
            REQUIRE(model.agrees(cache));
        });
}

TEST_CASE("free_bulk takes runs of neighbours, up and down, wherever they begin", "[cache][bulk]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Random random;
            Model model(configuration, memory);
            for (std::size_t round = 0; round < 12; ++round) {
                grow(cache, model, configuration.slabs(2) + 200 + random.below(70));
                model.sort();
                std::vector<std::byte*> run;
                const std::size_t left = random.below(100);
                while (model.size() > left) {
                    std::byte* const object = model.remove(model.size() - 1);
                    if (random.one_in(150)) run.push_back(nullptr);
                    if (random.one_in(150)) {
                        cache.free(object);  // a gap
                    } else {
                        run.push_back(object);
                    }
                }
                if (round % 2 == 1) std::reverse(run.begin(), run.end());
                cache.free_bulk(run);
                REQUIRE(model.agrees(cache));
                REQUIRE(model.all_intact());
                REQUIRE(cache.validate().defect == Defect::None);
            }
            shrink(cache, model);
            REQUIRE(model.agrees(cache));
        });
}

TEST_CASE("the peak counts objects of alloc_bulk", "[cache][bulk][statistics]") {
    in_every_configuration([](const Configuration& configuration, TestMemory&, AnyCache& cache) {
        std::vector<std::byte*> objects(configuration.slabs(2) + 1);
        REQUIRE(cache.alloc_bulk(objects));
        cache.free_bulk(objects);
        const std::size_t peak = cache.statistics().peak_allocated_objects_number;
        REQUIRE(peak >= objects.size());
        REQUIRE(peak < objects.size() + (configuration.guarded() ? 128 : 1));
    });
}

TEST_CASE("a run of neighbours of which one is free already is refused whole", "[cache][bulk]") {
    in_every_checked_configuration(
        [](const Configuration& configuration, TestMemory&, AnyCache& cache) {
            const std::size_t number = configuration.objects_per_slab();
            if (number < 192) return;
            for (const std::size_t hole : {0U, 1U, 40U, 63U}) {
                for (const bool at_hand : {false, true}) {
                    CAPTURE(hole, at_hand);
                    std::vector<std::byte*> all(number);
                    REQUIRE(cache.alloc_bulk(all));
                    std::sort(all.begin(), all.end());
                    const std::vector<std::byte*> run(all.begin() + 100, all.begin() + 164);
                    cache.free(run[hole]);
                    if (!at_hand) static_cast<void>(cache.statistics());
                    const auto report = report_of([&] { cache.free_bulk(run); });
                    REQUIRE(report.defect == Defect::DoubleFree);
                    REQUIRE(report.pointer == run[hole]);
                    REQUIRE(cache.validate().defect == Defect::None);
                    REQUIRE(cache.statistics().allocated_objects_number == number - 1);
                    std::erase(all, run[hole]);
                    cache.free_bulk(all);
                    REQUIRE(cache.statistics().allocated_objects_number == 0);
                }
            }
        });
}

TEST_CASE("out_number counts the first objects that are out of their slabs", "[cache][bulk]") {
    in_every_configuration([](const Configuration& configuration, TestMemory&, AnyCache& cache) {
        std::vector<std::byte*> objects(configuration.slabs(3) + 1);
        REQUIRE(cache.alloc_bulk(objects));
        REQUIRE(cache.out_number(objects) == objects.size());
        REQUIRE(cache.out_number({}) == 0);
        std::vector<std::byte*> backwards(objects.rbegin(), objects.rend());
        REQUIRE(cache.out_number(backwards) == objects.size());

        // In a slab's middle, at the border of two, and as the first and the last one.
        const std::size_t per_slab = configuration.objects_per_slab();
        for (const std::size_t rank :
             {std::size_t{0}, per_slab / 2, per_slab, per_slab + 1, objects.size() - 1}) {
            CAPTURE(rank);
            std::vector<std::byte*> others = objects;
            others[rank] = nullptr;
            REQUIRE(cache.out_number(others) == rank);
            if (configuration.layout.stride > 1) {
                others[rank] = objects[rank] + 1;
                REQUIRE(cache.out_number(others) == rank);
            }
            others[rank] = objects[objects.size() - 1 - rank];  // of another slab, and out
            REQUIRE(cache.out_number(others) == others.size());
        }

        std::byte* const back = objects[per_slab / 2];
        cache.free_bulk({&back, 1});  // to its slab, not to the hand
        REQUIRE(cache.out_number(objects) == per_slab / 2);
        objects.erase(objects.begin() + static_cast<std::ptrdiff_t>(per_slab / 2));
        REQUIRE(cache.out_number(objects) == objects.size());
        cache.free_bulk(objects);
    });
}

TEST_CASE("what alloc_bulk gave lies at the hand when it is freed: no map is asked",
          "[cache][bulk]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            if (configuration.checked()) return;  // a free asks then
            const std::size_t at_hand = slab_allocator::cached_capacity(
                configuration.layout.stride, configuration.objects_per_slab());
            std::byte* const first = cache.alloc();
            std::vector<std::byte*> objects(configuration.slabs(4) + at_hand);
            REQUIRE(cache.alloc_bulk(objects));
            memory.gets = 0;
            for (std::size_t rank = 0; rank < at_hand; ++rank)
                cache.free(objects[rank]);
            REQUIRE(memory.gets == 0);
            cache.free_bulk(std::span(objects).subspan(at_hand));
            cache.free(first);
        });
}
