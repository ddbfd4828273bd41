#pragma once

// scenes.hpp -- the beginnings of most tests.

#include <cstddef>
#include <utility>

#include <support/any_cache.hpp>
#include <support/catch.hpp>
#include <support/defects.hpp>
#include <support/model.hpp>
#include <support/random.hpp>
#include <support/test_memory.hpp>

namespace support {

/// Runs `promise` in a section of each configuration, with a memory and a cache on it. A defect
/// that it does not expect fails the test.
template <typename Configurations, typename Promise>
void in_each(const Configurations& configurations, Promise&& promise) {
    for (const Configuration& configuration : configurations) {
        DYNAMIC_SECTION(configuration.name) {
            CAPTURE(configuration.layout.objects_per_slab, configuration.layout.stride, seed());
            DefectCatcher catcher;
            TestMemory memory;
            {
                const auto cache = configuration.make(memory);
                promise(configuration, memory, *cache);
            }
            REQUIRE(catcher.number() == 0);
        }
    }
}

template <typename Promise>
void in_every_configuration(Promise&& promise) {
    in_each(every_configuration(), std::forward<Promise>(promise));
}
template <typename Promise>
void in_every_checked_configuration(Promise&& promise) {
    in_each(every_checked_configuration(), std::forward<Promise>(promise));
}

/// Allocates until the model holds `number` objects.
inline void grow(AnyCache& cache, Model& model, std::size_t number) {
    bool right = true;
    while (right && model.size() < number)
        right = model.add(cache.alloc());
    REQUIRE(right);
}

/// Frees all but `left` objects, the last one first.
inline void shrink(AnyCache& cache, Model& model, std::size_t left = 0) {
    bool intact = true;
    while (model.size() > left) {
        std::byte* const object = model.remove(model.size() - 1);
        intact = intact && object != nullptr;
        if (object != nullptr) cache.free(object);
    }
    REQUIRE(intact);
}

}  // namespace support
