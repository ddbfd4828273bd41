// test_cache_of_caches.cpp -- caches that are made at run time are objects like any other.

#include <cstddef>

#include "memory.hpp"
#include "serial.hpp"
#include "tests.hpp"

namespace kernel {

namespace {

using Thing = Object<200>;
using ThingCache = Cache<Thing, Pages, CacheConfig{.object_size_type = ObjectSizeType::Small}>;

constinit SharedCache<ThingCache, Pages,
                      CacheConfig{.object_size_type = ObjectSizeType::Small,
                                  .never_destroyed = true}>
    cache_of_caches;

constexpr std::size_t caches_number = 24;
constexpr std::size_t things_number = 150;

}  // namespace

void test_cache_of_caches() noexcept {
    static constinit ThingCache* caches[caches_number] = {};
    static constinit Thing* things[caches_number][things_number] = {};
    for (ThingCache*& cache : caches) {
        cache = cache_of_caches.alone([](auto& all) { return all.create(); });
        if (cache == nullptr) panic("no memory");
    }
    for (std::size_t thing = 0; thing < things_number; ++thing) {
        for (std::size_t cache = 0; cache < caches_number; ++cache) {
            things[cache][thing] = caches[cache]->create();
            if (things[cache][thing] == nullptr) panic("no memory");
            things[cache][thing]->stamp(cache * things_number + thing);
        }
    }
    for (std::size_t cache = 0; cache < caches_number; ++cache) {
        const std::size_t leaked = cache == 5 ? 3 : 0;
        for (std::size_t thing = leaked; thing < things_number; ++thing) {
            if (!things[cache][thing]->has(cache * things_number + thing)) panic("contents");
            caches[cache]->destroy(things[cache][thing]);
        }
        const Defect found = defect_of(
            [&] { cache_of_caches.alone([&](auto& all) { all.destroy(caches[cache]); }); });
        if (found != (leaked == 0 ? Defect::None : Defect::Leak)) panic("a leak was not reported");
    }
    cache_of_caches.shrink();
    print("  ", caches_number, " caches of ", things_number, " objects each\n");
}

}  // namespace kernel
