// first.cpp -- how does a cache compare with a bare free list, malloc, and the standard library's
// pool?
//
// A minute with Google Benchmark; compare/ has all workloads and all rivals. One item is an alloc
// and its free.

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include <benchmark/benchmark.h>

#include "compare/caches.hpp"
#include "compare/limits.hpp"
#include "compare/mallocs.hpp"
#include "compare/pools.hpp"
#include "compare/region.hpp"

namespace {

using namespace bench;
using slab_allocator::CacheConfig;
using slab_allocator::Checks;
using slab_allocator::ObjectSizeType;

constexpr std::size_t object_size = 64;
constexpr std::size_t live_objects = 10'000;

using FreeList = Limit<object_size>;
using Malloc = Glibc<object_size>;
using StandardPool = PmrPool<object_size>;
template <Checks checks>
using CacheWith =
    CacheSubject<object_size, RegionSlabs,
                 CacheConfig{.object_size_type = ObjectSizeType::Small, .checks = checks}>;
using CacheUnchecked = CacheWith<Checks::none>;
using CacheChecked = CacheWith<Checks::misuse>;

template <typename Allocator>
class Fixture {
public:
    Fixture() { Region::instance().reset(); }
    [[nodiscard]] void* alloc() {
        void* object = allocator_.alloc();
        benchmark::DoNotOptimize(object);
        return object;
    }
    void free(void* object) { allocator_.free(object); }

private:
    Allocator allocator_{live_objects + 1};
};

template <typename Allocator>
void pair(benchmark::State& state) {  // alloc, free, alloc, free: one slot, always in cache
    Fixture<Allocator> allocator;
    for (auto _ : state)
        allocator.free(allocator.alloc());
    state.SetItemsProcessed(state.iterations());
}

template <typename Allocator>
void batch(benchmark::State& state) {  // a thousand of them, then all back in order
    Fixture<Allocator> allocator;
    std::vector<void*> objects(1'000);
    for (auto _ : state) {
        for (void*& object : objects)
            object = allocator.alloc();
        for (void* const object : objects)
            allocator.free(object);
    }
    state.SetItemsProcessed(state.iterations() * 1'000);
}

template <typename Allocator>
void churn(benchmark::State& state) {  // a random one of ten thousand is replaced
    Fixture<Allocator> allocator;
    std::vector<void*> objects(live_objects);
    for (void*& object : objects)
        object = allocator.alloc();
    std::vector<std::uint32_t> victims(1'000'000);
    std::mt19937 random{1};
    for (auto& victim : victims)
        victim = static_cast<std::uint32_t>(random() % live_objects);
    std::size_t next = 0;
    for (auto _ : state) {
        void*& object = objects[victims[next]];
        allocator.free(object);
        object = allocator.alloc();
        next = next + 1 == victims.size() ? 0 : next + 1;
    }
    for (void* const object : objects)
        allocator.free(object);
    state.SetItemsProcessed(state.iterations());
}

BENCHMARK_TEMPLATE(pair, FreeList);
BENCHMARK_TEMPLATE(pair, CacheUnchecked);
BENCHMARK_TEMPLATE(pair, CacheChecked);
BENCHMARK_TEMPLATE(pair, StandardPool);
BENCHMARK_TEMPLATE(pair, Malloc);
BENCHMARK_TEMPLATE(batch, FreeList);
BENCHMARK_TEMPLATE(batch, CacheUnchecked);
BENCHMARK_TEMPLATE(batch, CacheChecked);
BENCHMARK_TEMPLATE(batch, StandardPool);
BENCHMARK_TEMPLATE(batch, Malloc);
BENCHMARK_TEMPLATE(churn, FreeList);
BENCHMARK_TEMPLATE(churn, CacheUnchecked);
BENCHMARK_TEMPLATE(churn, CacheChecked);
BENCHMARK_TEMPLATE(churn, StandardPool);
BENCHMARK_TEMPLATE(churn, Malloc);

}  // namespace

BENCHMARK_MAIN();
