#include <span>
#include <vector>

#include <support/catch.hpp>
#include <support/scenes.hpp>

using namespace support;
using slab_allocator::Defect;

namespace {

/// Lets the backend call the cache that calls it, each time it is called, to a certain depth.
class Intruder {
public:
    Intruder(TestMemory& memory, AnyCache& cache, Model& model, std::size_t depth, std::size_t most)
        : memory_(memory), cache_(cache), model_(model), deepest_(depth), most_(most) {
        memory.on_call = [this](Call) { intrude(); };
    }
    Intruder(const Intruder&) = delete;
    Intruder& operator=(const Intruder&) = delete;
    ~Intruder() { memory_.on_call = nullptr; }

    [[nodiscard]] bool right() const noexcept { return right_; }
    [[nodiscard]] std::size_t number() const noexcept { return number_; }

private:
    void intrude() {
        if (depth_ == deepest_ || number_ == 500) return;
        ++depth_;
        ++number_;
        const std::size_t allocs = model_.size() < most_ ? random_.below(4) : 0;
        for (std::size_t count = 0; count < allocs; ++count) {
            right_ = model_.add(cache_.alloc()) && right_;
        }
        const std::size_t frees = random_.below(4);
        for (std::size_t count = 0; count < frees && !model_.empty(); ++count) {
            std::byte* const object = model_.remove(random_.below(model_.size()));
            right_ = right_ && object != nullptr;
            cache_.free(object);
        }
        --depth_;
    }

    TestMemory& memory_;
    AnyCache& cache_;
    Model& model_;
    Random random_;
    std::size_t deepest_;
    std::size_t most_;
    std::size_t depth_ = 0;
    std::size_t number_ = 0;
    bool right_ = true;
};

}  // namespace

TEST_CASE("a backend may allocate from and free to the cache that calls it",
          "[cache][reentrancy]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            memory.patterns = configuration.objects_per_slab() < 512;
            for (const std::size_t depth : {1U, 2U, 3U}) {
                CAPTURE(depth);
                Random random;
                Model model(configuration, memory);
                bool right = true;
                std::size_t intrusions = 0;
                const std::size_t most =
                    configuration.slabs(configuration.objects_per_slab() < 512 ? 6 : 2);
                for (std::size_t round = 0; round < 8; ++round) {
                    {
                        Intruder intruder(memory, cache, model, depth, 2 * most);
                        while (right && model.size() < most) {
                            if (random.one_in(10)) {
                                std::vector<std::byte*> objects(random.below(most));
                                right = cache.alloc_bulk(objects) && right;
                                for (std::byte* const object : objects) {
                                    right = model.add(object) && right;
                                }
                            } else {
                                right = model.add(cache.alloc()) && right;
                            }
                        }
                        if (random.one_in(3)) static_cast<void>(cache.reserve(2 * most));
                        if (random.one_in(3)) static_cast<void>(cache.shrink(random.below(4)));
                        const std::size_t left = random.below(most);
                        while (right && model.size() > left) {
                            std::byte* const object = model.remove(random.below(model.size()));
                            right = right && object != nullptr;
                            cache.free(object);
                        }
                        if (random.one_in(3)) static_cast<void>(cache.shrink_to_fit());
                        right = right && intruder.right();
                        intrusions += intruder.number();
                    }
                    REQUIRE(right);
                    REQUIRE(cache.validate().defect == Defect::None);
                    REQUIRE(model.all_intact());
                    static_cast<void>(cache.statistics());
                    REQUIRE(cache.statistics().allocated_objects_number == model.size());
                    REQUIRE(memory.complaint().empty());
                }
                REQUIRE(intrusions > 0);
                static_cast<void>(cache.shrink(0));
                shrink(cache, model);
                REQUIRE(cache.statistics().free_slabs_number <=
                        configuration.config.retained_free_slabs);
            }
        });
}

TEST_CASE("a cache may be allocated from while a slab of it is born, and the call still serves",
          "[cache][reentrancy]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            // The intruder takes every object of the slab that was made for the call.
            Model model(configuration, memory);
            std::size_t times = 0;
            memory.on_call = [&](Call call) {
                if (call != Call::alloc_slab || times == 3) return;
                ++times;
                for (std::size_t number = configuration.slabs(1); number > 0; --number) {
                    REQUIRE(model.add(cache.alloc()));
                }
            };
            REQUIRE(model.add(cache.alloc()));
            std::vector<std::byte*> objects(configuration.slabs(2));
            REQUIRE(cache.alloc_bulk(objects));
            memory.on_call = nullptr;
            for (std::byte* const object : objects)
                REQUIRE(model.add(object));
            REQUIRE(times == 3);
            REQUIRE(model.all_intact());
            REQUIRE(model.agrees(cache));
            shrink(cache, model);
        });
}

TEST_CASE("what a backend frees while it takes a slab leaves no slab behind",
          "[cache][reentrancy]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            memory.patterns = false;
            Random random;
            Model model(configuration, memory);
            const std::size_t rounds = configuration.objects_per_slab() < 16 ? 200 : 10;
            for (std::size_t round = 0; round < rounds; ++round) {
                grow(cache, model, configuration.slabs(1 + random.below(7)));
                model.shuffle(random);
                memory.on_call = [&](Call) {
                    if (!model.empty()) cache.free(model.remove(model.size() - 1));
                };
                while (!model.empty())
                    cache.free(model.remove(model.size() - 1));
                memory.on_call = nullptr;
                REQUIRE(memory.live_slabs() <= configuration.config.retained_free_slabs);
            }
            REQUIRE(cache.validate().defect == Defect::None);
        });
}

TEST_CASE("the statistics are exact, though the backend calls the cache while they are made",
          "[cache][reentrancy][statistics]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            // Objects of two slabs lie at the hand, one lives: to be exact, slabs go back.
            if (configuration.config.retained_free_slabs > 1) return;
            std::vector<std::byte*> objects;
            while (objects.size() < configuration.slabs(3))
                objects.push_back(cache.alloc());
            std::byte* const live = objects.front();
            for (std::byte* const object : std::span(objects).subspan(1))
                cache.free(object);
            std::size_t pairs = 0;
            memory.on_call = [&](Call call) {
                if (call != Call::free_slab || pairs > 0) return;
                ++pairs;
                std::byte* const object = cache.alloc();
                std::byte* const other = cache.alloc();
                cache.free(object);
                cache.free(other);
            };
            const CacheStatistics told = cache.statistics();
            memory.on_call = nullptr;
            REQUIRE(told.allocated_objects_number == 1);
            REQUIRE(told.free_objects_number ==
                    told.slabs_number() * configuration.objects_per_slab() - 1);
            cache.free(live);
        });
}
