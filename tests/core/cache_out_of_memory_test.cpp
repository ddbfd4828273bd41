#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include <support/catch.hpp>
#include <support/scenes.hpp>

using namespace support;
using slab_allocator::Defect;

namespace {

/// A cache whose backend refuses, and what must be true whenever it did.
struct Shortage {
    const Configuration& configuration;
    TestMemory& memory;
    AnyCache& cache;
    Model& model;
    std::size_t failures = 0;
    bool right = true;

    /// All that is held: where a call fails it must be as before.
    struct Held {
        std::size_t slabs;
        std::size_t infos;
        std::size_t pages;
        friend bool operator==(const Held&, const Held&) = default;
    };
    [[nodiscard]] Held held() const {
        return {memory.live_slabs(), memory.live_infos(), memory.saved_pages()};
    }

    /// One object; where it is refused, the same again, with memory.
    void alloc() {
        const Held before = held();
        const std::size_t refusals = memory.refusals();
        std::byte* object = cache.alloc();
        if (object == nullptr) {
            ++failures;
            right = right && memory.refusals() == refusals + 1 && held() == before &&
                    model.agrees(cache, failures) && model.all_intact() &&
                    cache.validate().defect == Defect::None && memory.complaint().empty();
            memory.refuse_nothing();
            object = cache.alloc();
        }
        right = right && model.add(object);
    }

    void alloc_bulk(std::size_t number) {
        std::vector<std::byte*> objects(number);
        const std::size_t slabs = memory.live_slabs();
        const std::size_t refusals = memory.refusals();
        if (!cache.alloc_bulk(objects)) {
            ++failures;
            const std::size_t retained = configuration.config.retained_free_slabs;
            right = right && memory.live_slabs() <= slabs + retained;
            right = right && memory.refusals() == refusals + 1 && model.agrees(cache, failures) &&
                    model.all_intact() && cache.statistics().free_slabs_number <= retained &&
                    cache.validate().defect == Defect::None && memory.complaint().empty();
            memory.refuse_nothing();
            right = cache.alloc_bulk(objects) && right;
        }
        for (std::byte* const object : objects)
            right = model.add(object) && right;
    }

    void free_some(std::size_t left) {
        while (model.size() > left)
            cache.free(model.remove(model.size() - 1));
    }
};

using Workload = void (*)(Shortage&);

void alloc_loop(Shortage& shortage) {
    for (std::size_t number = shortage.configuration.slabs(3); number > 0; --number) {
        shortage.alloc();
    }
}

void one_bulk(Shortage& shortage) {
    shortage.alloc();
    shortage.alloc_bulk(shortage.configuration.slabs(3));
    shortage.alloc_bulk(1);
}

void reserve_first(Shortage& shortage) {
    const std::size_t number = shortage.configuration.slabs(3);
    const std::size_t refusals = shortage.memory.refusals();
    std::size_t can_be = shortage.cache.reserve(number);
    if (shortage.memory.refusals() != refusals) {
        shortage.right = shortage.right && can_be < number && can_be % (number / 3) == 0 &&
                         shortage.cache.validate().defect == Defect::None &&
                         shortage.memory.live_slabs() == can_be / (number / 3);
        shortage.memory.refuse_nothing();
        can_be = shortage.cache.reserve(number);
    }
    shortage.right = shortage.right && can_be >= number;
    for (std::size_t count = 0; count < number; ++count)
        shortage.alloc();
    static_cast<void>(shortage.cache.shrink(0));  // no more than the retained slabs from now on
}

void churn(Shortage& shortage) {
    Random random;
    const std::size_t slab = shortage.configuration.objects_per_slab();
    for (std::size_t round = 0; round < 6; ++round) {
        const std::size_t most = random.below(2 * slab) + 1;
        while (shortage.model.size() < most)
            shortage.alloc();
        shortage.model.shuffle(random);
        shortage.free_some(random.below(most));
    }
}

void grow_and_shrink(Shortage& shortage) {
    const std::size_t slab = shortage.configuration.objects_per_slab();
    for (std::size_t round = 0; round < 3; ++round) {
        shortage.alloc_bulk(slab + 1);
        shortage.free_some(round);
        static_cast<void>(shortage.cache.shrink_to_fit());
    }
}

void one_after_another(Shortage& shortage) {
    for (std::size_t round = 0; round < 8; ++round) {
        shortage.alloc();
        shortage.free_some(0);
        static_cast<void>(shortage.cache.shrink_to_fit());
    }
}

}  // namespace

TEST_CASE("whichever call the backend refuses, once or for ever, nothing is lost",
          "[cache][out_of_memory]") {
    std::size_t refused_calls = 0;
    for (const Configuration& configuration : every_configuration()) {
        DefectCatcher catcher;
        const bool large = configuration.objects_per_slab() >= 512;
        for (const Workload workload : {&alloc_loop, &one_bulk, &reserve_first, &churn,
                                        &grow_and_shrink, &one_after_another}) {
            for (const bool for_ever : {false, true}) {
                bool refused = true;
                for (std::size_t request = 1; refused; ++request) {
                    CAPTURE(configuration.name, request, for_ever);
                    TestMemory memory;
                    memory.patterns = !large;
                    const auto cache = configuration.make(memory);
                    Model model(configuration, memory);
                    Shortage shortage{configuration, memory, *cache, model};
                    memory.refuse(request, for_ever);
                    workload(shortage);
                    refused = memory.refusals() > 0;
                    refused_calls += refused ? 1 : 0;
                    memory.refuse_nothing();
                    REQUIRE(shortage.right);
                    REQUIRE(model.agrees(*cache, shortage.failures));
                    REQUIRE(model.all_intact());
                    shrink(*cache, model);
                    REQUIRE(memory.live_slabs() <= configuration.config.retained_free_slabs);
                }
            }
        }
        REQUIRE(catcher.number() == 0);
    }
    if (std::getenv("SLAB_ALLOCATOR_COUNT") != nullptr) {
        std::printf("%zu refused calls in %zu configurations, nothing lost\n", refused_calls,
                    every_configuration().size());
    }
    REQUIRE(refused_calls >= 2000);
}
